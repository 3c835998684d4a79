import type { SearchHit } from '../../../store/search/search.ts'
import type { MessageFilter } from '../room/model/filter.ts'
import { agentRole, getRole } from '../room/model/roles.ts'

/** Senders and types are separated by commas, and blanks around them are dropped. */
const isListable = (name: string): boolean => name !== '' && !name.includes(',') && name.trim() === name

/** Lists that the gateway accepts have at most this many values. */
const MAX_VALUES = 100

/** The senders that have these roles; null if there can be others. */
const toSenders = (roles: MessageFilter['roles']): readonly string[] | null => {
  const senders = [...roles].map((role) => `_${role}`)
  return senders.every((from) => agentRole(from) !== undefined) ? senders : null
}

/**
 * Returns the parameters of a search that the gateway applies for the filter of a room. Some roles and types cannot be listed,
 * see isShown; the gateway compares the period with the time of receipt. Pure.
 */
export const filterParameters = ({ roles, types, from, to }: MessageFilter): Readonly<Record<string, string>> => {
  const senders = toSenders(roles) ?? []
  const isTypeListed = types.size <= MAX_VALUES && [...types].every(isListable)
  const parameters = {
    message_from: senders.join(','),
    message_type: isTypeListed ? [...types].join(',') : '',
    since: from === null ? '' : new Date(from).toISOString(),
    until: to === null ? '' : new Date(to).toISOString(),
  }
  return Object.fromEntries(Object.entries(parameters).filter(([, value]) => value !== ''))
}

/** Returns whether the filter of a room shows a hit, by its sender and type. Pure. */
export const isShown = (
  { roles, types }: MessageFilter,
  { message_from, message_type }: Pick<SearchHit, 'message_from' | 'message_type'>,
): boolean =>
  (roles.size === 0 || roles.has(getRole(message_from ?? '', null))) &&
  (types.size === 0 || types.has(message_type ?? ''))
