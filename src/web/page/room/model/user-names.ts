/** Maximum number of users whose nickname is remembered, which bounds the memory for hostile publishers. */
const MAX_USERS = 5_000

const nicknames = new Map<string, string>()

const toTrimmedText = (value: unknown): string => (typeof value === 'string' ? value.trim() : '')

/** The author of a message, as far as it is a person. */
export interface UserName {
  /** Id of the user; empty if there is none. */
  readonly userId: string
  /** The nickname in the message itself; empty if there is none. */
  readonly nickname: string
}

/**
 * Returns the author of a message, and remembers the nickname: of the messages of a user, only some contain it.
 *
 * @param message parsed by JSON.parse
 * @param from its sender; DeepSOC writes `user` for every user
 */
export const getAuthor = (message: Readonly<Record<string, unknown>>, from: string): UserName => {
  const userId = toTrimmedText(message.user_id) || (from === 'user' ? '' : from)
  const nickname = toTrimmedText(message.user_nickname) || toTrimmedText(message.user_username)
  if (userId !== '' && nickname !== '' && (nicknames.has(userId) || nicknames.size < MAX_USERS))
    nicknames.set(userId, nickname)
  return { userId, nickname }
}

/** Returns the nickname of a user, or else the id; empty for an unknown user. */
export const userName = ({ nickname, userId }: UserName): string => nickname || (nicknames.get(userId) ?? userId)
