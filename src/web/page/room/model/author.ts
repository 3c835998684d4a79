import type { Caller } from '../../caller.ts'

/** True if the caller can publish messages. */
export const canWrite = ({ scopes }: Pick<Caller, 'scopes'>): boolean =>
  scopes.includes('publish') || scopes.includes('chat')

/** Returns the name under which the caller writes; null if the caller chooses it. */
export const fixedName = ({ sub, name }: Pick<Caller, 'sub' | 'name'>): string | null =>
  sub === null ? null : name || sub

/**
 * Returns the keys of a message that name its author. With the scope `chat` the gateway sets the same ones; with `publish` it accepts any.
 *
 * @param typedName used if the token does not determine the author
 */
export const authorKeys = (
  { sub, name }: Pick<Caller, 'sub' | 'name'>,
  typedName: string,
): Readonly<Record<string, string | null>> =>
  sub === null
    ? { message_from: typedName || 'web', sender_type: 'user' }
    : { message_from: sub, user_id: sub, user_nickname: name, sender_type: 'user' }
