import { decodeUtf8, type ValidationResult, validateMessage } from '../../core/message.ts'
import { type ParsedArgs, UsageError } from '../command.ts'

/** Where clock and ids come from. */
export interface IdSource {
  readonly now: () => number
  /** Makes the id of a message of this time. */
  readonly makeId: (now: number) => string
}

/**
 * Checks a text by the rules of the gateway and gives it an id if it has none.
 *
 * @param event_id the event of a text that names none
 */
export const validateText = (text: string, event_id: string | undefined, source: IdSource): ValidationResult => {
  const received_at = source.now()
  const arrival = { received_at, makeId: () => source.makeId(received_at) }
  const checked = validateMessage(text, arrival)
  if (event_id === undefined || !('refusal' in checked) || checked.refusal.reason !== 'invalid_event_id') return checked
  return validateMessage(text, { ...arrival, event_id })
}

/** The same for bytes; null for a blank line. */
export const checkLine = (bytes: Buffer, event_id: string | undefined, source: IdSource): ValidationResult | null => {
  const text = decodeUtf8(bytes)
  if (typeof text !== 'string') return text
  return text.trim() === '' ? null : validateText(text, event_id, source)
}

/** JSON as it stands if it is an object, a list or a quoted text; anything else is text. */
const contentOf = (text: string): string => {
  if (/^\s*[[{"]/.test(text)) {
    try {
      JSON.parse(text)
      return text
    } catch {
      // Text may begin with a bracket too.
    }
  }
  return JSON.stringify(text)
}

const MESSAGE_FLAGS = ['type', 'from', 'content', 'round', 'id'] as const

/** The text of the message that flags describe; null where they describe none. @throws UsageError */
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
