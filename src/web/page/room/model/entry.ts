import { type Role, roleOf } from './roles.ts'

/** What a message means for who skims: something failed, something is odd, or a step was merely announced. */
type Severity = 'error' | 'warning' | 'notice' | 'plain'

/** A message as the page keeps it: its text, and the few parts by which messages are sorted and filtered. */
export interface Entry {
  /** db_id */
  readonly id: number
  /** When the gateway got it, in milliseconds since 1970. */
  readonly at: number
  /** Empty where the message names nobody. */
  readonly from: string
  readonly type: string
  readonly role: Role
  readonly round: number | null
  readonly tone: Severity
  /** The JSON text, digit for digit. */
  readonly raw: string
  /** How high its row was when it was last shown, in CSS pixels; 0: never shown. */
  height: number
}

const names = new Map<string, string>()

/** One copy of each name, whatever the number of messages that have it. */
const kept = (value: unknown): string => {
  const name = typeof value === 'string' ? value : value === null || value === undefined ? '' : String(value)
  const known = names.get(name)
  if (known !== undefined) return known
  if (names.size < 5_000) names.set(name, name)
  return name
}

const NOTICE = /(^|_)llm_request(_|$)|^event_next_round_initiated$|^llm_roger_response$/

const toneOf = (type: string): Severity => {
  if (type.startsWith('error_')) return 'error'
  if (type === 'llm_unexpected_response') return 'warning'
  return NOTICE.test(type) ? 'notice' : 'plain'
}

/**
 * @param message parsed as JavaScript does: nothing that could be rounded is taken from it but `db_id` and `round_id`,
 * which the gateway keeps within bounds
 * @param raw the text of the same message
 */
export const toEntry = (message: Readonly<Record<string, unknown>>, raw: string): Entry => {
  const from = kept(message.message_from ?? message.source)
  const type = kept(message.message_type ?? message.type)
  const role = roleOf(from, message.sender_type)
  const { round_id } = message
  return {
    id: message.db_id as number,
    at: Date.parse(String(message.received_at)),
    from,
    type,
    role,
    round: typeof round_id === 'number' ? round_id : null,
    tone: toneOf(type),
    raw,
    height: 0,
  }
}
