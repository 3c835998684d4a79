import { compileAttention, type Me, NOBODY } from './attention.ts'
import type { Entry } from './entry.ts'
import type { Role } from './roles.ts'

/** Filter for messages. Empty sets, an empty text and null match everything. */
export interface MessageFilter {
  readonly roles: ReadonlySet<Role>
  readonly types: ReadonlySet<string>
  /** Case-insensitive search in the JSON text of a message, field names included; `#N` matches the db_id. */
  readonly text: string
  /** Milliseconds since 1970; `to` exclusive. */
  readonly from: number | null
  readonly to: number | null
  /** Only messages that need attention. */
  readonly attention: boolean
}

export const EMPTY_FILTER: MessageFilter = {
  roles: new Set(),
  types: new Set(),
  text: '',
  from: null,
  to: null,
  attention: false,
}

export const isEverything = ({ roles, types, text, from, to, attention }: MessageFilter): boolean =>
  roles.size === 0 && types.size === 0 && text === '' && from === null && to === null && !attention

const ESCAPE = /\\(?:u([0-9a-fA-F]{4})|(.))/g
const SHORT: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', f: '\f' }

/** Decodes JSON escapes, since agents in Python escape all non-ASCII characters. */
const unescaped = (raw: string): string =>
  raw.includes('\\')
    ? raw.replace(ESCAPE, (_all, code?: string, char = '') =>
        code === undefined ? (SHORT[char] ?? char) : String.fromCharCode(Number.parseInt(code, 16)),
      )
    : raw

/** Characters before and after a match in an excerpt. */
const AROUND = 60

/** Returns the part of a message's JSON text around the first match of a search, on one line; empty without a match. Pure. */
export const excerptAround = (raw: string, search: string): string => {
  const text = unescaped(raw)
  const at = text.toLowerCase().indexOf(search.trim().toLowerCase())
  if (at < 0) return ''
  const [from, to] = [Math.max(0, at - AROUND), at + search.trim().length + AROUND]
  // Half of a surrogate pair is dropped at both ends.
  const part = text
    .slice(from, to)
    .replace(/^[\udc00-\udfff]|[\ud800-\udbff]$/g, '')
    .replace(/\s+/g, ' ')
  return `${from > 0 ? '…' : ''}${part}${to < text.length ? '…' : ''}`
}

/** Returns a predicate for messages that match a filter. @param me the user, for messages that name it */
export const compileFilter = (
  { roles, types, text, from, to, attention }: MessageFilter,
  me: Me = NOBODY,
): ((entry: Entry) => boolean) => {
  const getAttentionReason = compileAttention(me)
  const wanted = text.trim().toLowerCase()
  const number = /^#(\d+)$/.exec(wanted)?.[1]
  return (entry) => {
    if (roles.size > 0 && !roles.has(entry.role)) return false
    if (types.size > 0 && !types.has(entry.type)) return false
    if (from !== null && !(entry.at >= from)) return false
    if (to !== null && !(entry.at < to)) return false
    if (attention && getAttentionReason(entry) === null) return false
    if (number !== undefined) return String(entry.id) === number
    return wanted === '' || unescaped(entry.raw).toLowerCase().includes(wanted)
  }
}

/** Returns a copy of a set with a member added, or removed if it was in the set. */
export const toggled = <T>(set: ReadonlySet<T>, member: T): ReadonlySet<T> => {
  const next = new Set(set)
  if (!next.delete(member)) next.add(member)
  return next
}
