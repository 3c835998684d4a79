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
  const context = { received_at, makeId: () => source.makeId(received_at) }
  const result = validateMessage(text, context)
  if (event_id === undefined || !('error' in result) || result.error.reason !== 'invalid_event_id') return result
  return validateMessage(text, { ...context, event_id })
}

/** Validates the bytes of a line; null if it is blank. */
export const validateLine = (
  bytes: Buffer,
  event_id: string | undefined,
  source: IdSource,
): ValidationResult | null => {
  const text = decodeUtf8(bytes)
  if (typeof text !== 'string') return text
  return text.trim() === '' ? null : validateText(text, event_id, source)
}

/** Returns a JSON object, array or string unchanged; anything else becomes a JSON string. */
const toJsonContent = (text: string): string => {
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

/**
 * Builds a message from flags; null if no message flag is set.
 *
 * @param content the value of `--content`, or the text of stdin in its place
 * @throws UsageError
 */
export const buildMessage = (args: ParsedArgs, content = args.text('content')): string | null => {
  if (MESSAGE_FLAGS.every((flag) => args.text(flag) === undefined)) return null
  const event_id = args.text('event')
  if (event_id === undefined) throw new UsageError('--event is missing: which event does the message belong to?')
  const round = args.integer('round', Number.MIN_SAFE_INTEGER)
  const fields: [string, string | undefined][] = [
    ['event_id', JSON.stringify(event_id)],
    ['message_id', toJsonString(args.text('id'))],
    ['message_from', toJsonString(args.text('from'))],
    ['message_type', toJsonString(args.text('type'))],
    ['round_id', round === undefined ? undefined : String(round)],
    ['message_content', content === undefined ? undefined : toJsonContent(content)],
  ]
  const pairs = fields.filter(([, value]) => value !== undefined).map(([name, value]) => `"${name}":${value}`)
  return `{${pairs.join(',')}}`
}

const toJsonString = (text: string | undefined): string | undefined =>
  text === undefined ? undefined : JSON.stringify(text)
