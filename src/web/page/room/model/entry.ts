import { type EventFacts, extractEventFacts } from './event-facts.ts'
import { ownTime } from './own-time.ts'
import { getRole, type Role } from './roles.ts'
import { getAuthor, type UserName } from './user-names.ts'

/** Severity of a message: a failure, an unexpected response, the announcement of a step, or none of these. */
type Severity = 'error' | 'warning' | 'notice' | 'plain'

/** A message in memory: its text, and the fields for sorting and filtering. */
export interface Entry {
  /** db_id */
  readonly id: number
  /** Time of the message by its own `created_at`, otherwise of its receipt, in milliseconds since 1970. */
  readonly at: number
  /** received_at in milliseconds since 1970. */
  readonly receivedAt: number
  /** Sender; empty if there is none. */
  readonly from: string
  /** The author; null if it is not a person. */
  readonly user: UserName | null
  readonly type: string
  /** `response_type` of a language model's response; empty if there is none. */
  readonly answer: string
  /** Null if the message tells nothing about its event. */
  readonly facts: EventFacts | null
  readonly role: Role
  readonly round: number | null
  readonly tone: Severity
  /** The JSON text, digit for digit. */
  readonly raw: string
  /** Last measured row height in CSS pixels; 0 if it was never shown. */
  height: number
}

const names = new Map<string, string>()

/** Interns a name, so that messages with the same name share one string. */
const kept = (value: unknown): string => {
  const name = typeof value === 'string' ? value : value === null || value === undefined ? '' : String(value)
  const known = names.get(name)
  if (known !== undefined) return known
  if (names.size < 5_000) names.set(name, name)
  return name
}

const NOTICE = /(^|_)llm_request(_|$)|^event_next_round_initiated$|^llm_roger_response$/

const toSeverity = (type: string): Severity => {
  if (type.startsWith('error_')) return 'error'
  if (type === 'llm_unexpected_response') return 'warning'
  return NOTICE.test(type) ? 'notice' : 'plain'
}

/** An agent can send the round as digits. */
const toRound = (value: unknown): number | null => {
  if (typeof value === 'string') return /^\d{1,15}$/.test(value) ? Number(value) : null
  return typeof value === 'number' ? value : null
}

/**
 * @param message parsed by JSON.parse; of its numbers only `db_id` and `round_id` are used, which are safe integers
 * @param raw the text of the same message
 */
export const toEntry = (message: Readonly<Record<string, unknown>>, raw: string): Entry => {
  const from = kept(message.message_from ?? message.source)
  const type = kept(message.message_type ?? message.type)
  const role = getRole(from, message.sender_type)
  const { round_id } = message
  const receivedAt = Date.parse(String(message.received_at))
  const content = message.message_content as { data?: { response_type?: unknown } | null } | null | undefined
  return {
    id: message.db_id as number,
    at: ownTime(message.created_at, receivedAt, message.message_category === 'engineer_chat'),
    receivedAt,
    from,
    user: role === 'user' ? getAuthor(message, from) : null,
    type,
    answer: kept(content?.data?.response_type),
    facts: extractEventFacts(message),
    role,
    round: toRound(round_id),
    tone: toSeverity(type),
    raw,
    height: 0,
  }
}
