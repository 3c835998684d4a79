import { decodeUtf8, type ValidationResult, validateMessage } from '../../core/message.ts'
import { type ParsedArgs, UsageError } from '../command.ts'

/** Clock and id generator. */
export interface IdSource {
  readonly now: () => number
  /** Generates a message_id for this time. */
  readonly makeId: (now: number) => string
}

/**
 * Validates a message like the gateway does, and generates a message_id if it has none.
 *
 * @param event_id default event_id for a text without one
 */
export const validateText = (text: string, event_id: string | undefined, source: IdSource): ValidationResult => {
  const received_at = source.now()
  const arrival = { received_at, makeId: () => source.makeId(received_at) }
  const checked = validateMessage(text, arrival)
  if (event_id === undefined || !('refusal' in checked) || checked.refusal.reason !== 'invalid_event_id') return checked
  return validateMessage(text, { ...arrival, event_id })
}

/** Validates the bytes of a line; null if it is blank. */
export const checkLine = (bytes: Buffer, event_id: string | undefined, source: IdSource): ValidationResult | null => {
  const text = decodeUtf8(bytes)
  if (typeof text !== 'string') return text
  return text.trim() === '' ? null : validateText(text, event_id, source)
}

/** Returns a JSON object, array or string unchanged; anything else becomes a JSON string. */
const contentOf = (text: string): string => {
  if (/^\s*[[{"]/.test(text)) {
    try {
      JSON.parse(text)
      return text
    } catch {
      // Plain text that begins with a bracket or a quote.
    }
  }
  return JSON.stringify(text)
}

const MESSAGE_FLAGS = ['type', 'from', 'content', 'round', 'id'] as const

/** Builds a message from flags; null if no message flag is set. @throws UsageError */
export const messageOfFlags = (given: ParsedArgs): string | null => {
  if (MESSAGE_FLAGS.every((flag) => given.text(flag) === undefined)) return null
  const event_id = given.text('event')
  if (event_id === undefined) throw new UsageError('--event is missing: which event does the message belong to?')
  const round = given.whole('round', Number.MIN_SAFE_INTEGER)
  const content = given.text('content')
  const fields: [string, string | undefined][] = [
    ['event_id', JSON.stringify(event_id)],
    ['message_id', quoted(given.text('id'))],
    ['message_from', quoted(given.text('from'))],
    ['message_type', quoted(given.text('type'))],
    ['round_id', round === undefined ? undefined : String(round)],
    ['message_content', content === undefined ? undefined : contentOf(content)],
  ]
  const pairs = fields.filter(([, value]) => value !== undefined).map(([name, value]) => `"${name}":${value}`)
  return `{${pairs.join(',')}}`
}

const quoted = (text: string | undefined): string | undefined => (text === undefined ? undefined : JSON.stringify(text))
