import { randomBytes } from 'node:crypto'
import { routingKeyFor } from '../amqp/message-properties.ts'
import { appendJsonMembers } from '../core/json-members.ts'
import { createUuidV7Generator } from '../core/uuid.ts'
import { PublishError } from './errors.ts'

/** A message to publish. All further fields are passed through to subscribers unchanged. */
export interface OutgoingMessage {
  /** 1 to 255 characters without control characters, except `.` and `..`. */
  readonly event_id: string
  readonly message_from?: string | null
  readonly message_type?: string | null
  /** Any JSON value. A BigInt becomes an integer with all its digits. */
  readonly message_content?: unknown
  /** An integer within ±(2^53-1), or a string of 1 to 15 digits. */
  readonly round_id?: number | string | null
  /** 1 to 255 characters: the idempotency key within the event. Default: a new UUIDv7. */
  readonly message_id?: string | null
  readonly [field: string]: unknown
}

/** A message, encoded for the broker. */
export interface EncodedMessage {
  readonly event_id: string
  readonly message_id: string
  readonly routingKey: string
  /** Not a Buffer, so that users of the library do not need the type declarations of Node. */
  readonly body: Uint8Array
}

const CONTROL = /\p{Cc}/u

const DIGITS = /^\d{1,15}$/

const invalid = (text: string, message_id?: unknown, cause?: unknown): PublishError =>
  new PublishError('invalid_message', text, {
    cause,
    message_id: typeof message_id === 'string' ? message_id : undefined,
  })

/** Characters are code points, as in the gateway. */
const isIdentifier = (value: unknown): value is string => {
  if (typeof value !== 'string' || value === '' || !value.isWellFormed()) return false
  return value.length <= 255 || [...value].length <= 255
}

/**
 * `notifications.frontend.<event_id>.<message_type>`, always four words and at most 152 bytes. It is used only for
 * routing: the gateway reads the event from the body.
 */
export const routingKey = (event_id: string, message_type: string | null | undefined): string =>
  routingKeyFor('notifications.frontend.#', event_id, message_type)

const makeId = createUuidV7Generator(randomBytes)

/** Creates the id of a message that has none: a UUIDv7. */
export const createMessageId = (): string => makeId(Date.now())

const optionalText = (value: unknown, field: string, id: unknown): string | null => {
  if (value == null) return null
  if (typeof value !== 'string') throw invalid(`${field} must be a string.`, id)
  return value
}

/** Inserts text into the output of JSON.stringify unchanged. TypeScript does not declare it yet. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }

/** Throws for numbers that JSON cannot represent instead of turning them into null. BigInts keep all their digits. */
const strictReplacer = (key: string, value: unknown): unknown => {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw invalid(`${key === '' ? 'a value' : JSON.stringify(key)} is ${value}, which JSON cannot represent.`)
  }
  return typeof value === 'bigint' ? rawJSON(String(value)) : value
}

/** Checks the fields that the gateway reads, by the gateway's rules. @returns the message type, for the routing key */
const checkFields = (message: Readonly<Record<string, unknown>>): string | null => {
  const { event_id, message_id: id, round_id } = message
  if (!isIdentifier(event_id) || CONTROL.test(event_id) || event_id === '.' || event_id === '..') {
    throw invalid('event_id must be a string of 1 to 255 characters without control characters, except . and ..', id)
  }
  if (id != null && !isIdentifier(id)) throw invalid('message_id must be a string of 1 to 255 characters.')
  const isRound = typeof round_id === 'string' ? DIGITS.test(round_id) : Number.isSafeInteger(round_id)
  if (round_id != null && !isRound) throw invalid('round_id must be an integer, or a string of 1 to 15 digits.', id)
  optionalText(message.message_from ?? message.source, 'message_from', id)
  return optionalText(message.message_type ?? message.type, 'message_type', id)
}

const assertSize = (message: EncodedMessage, maxBytes: number): EncodedMessage => {
  const { length } = message.body
  if (length <= maxBytes) return message
  throw new PublishError('message_too_large', `The body has ${length} bytes; at most ${maxBytes} are allowed.`, {
    message_id: message.message_id,
  })
}

/**
 * Checks a message and encodes it, with a new message_id if it has none.
 *
 * @throws PublishError invalid_message or message_too_large
 */
export const encode = (message: OutgoingMessage, maxBytes: number): EncodedMessage => {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) {
    throw invalid('A message must be an object.')
  }
  const type = checkFields(message)
  const message_id = message.message_id ?? createMessageId()
  let text: string
  try {
    text = JSON.stringify(message.message_id == null ? { ...message, message_id } : message, strictReplacer)
  } catch (error) {
    if (error instanceof PublishError) throw error
    throw invalid(`The message cannot be encoded as JSON: ${(error as Error).message}`, message_id, error)
  }
  const { event_id } = message
  return assertSize({ event_id, message_id, routingKey: routingKey(event_id, type), body: Buffer.from(text) }, maxBytes)
}

/**
 * Checks and encodes a message that is already JSON text. The text is published unchanged, digit for digit; only a
 * missing `message_id` or `event_id` is appended to it.
 *
 * @param event_id used if the text contains none
 * @throws PublishError invalid_message or message_too_large
 */
export const encodeText = (text: string, event_id: string | undefined, maxBytes: number): EncodedMessage => {
  let parsed: Record<string, unknown>
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw invalid(`The text is not JSON: ${(error as Error).message}`, undefined, error)
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw invalid('The text is not a JSON object.')
  const event = parsed.event_id ?? event_id
  const type = checkFields({ ...parsed, event_id: event })
  const message_id = (parsed.message_id as string | null | undefined) ?? createMessageId()
  const missing = [
    ...(parsed.event_id == null ? [`"event_id":${JSON.stringify(event)}`] : []),
    ...(parsed.message_id == null ? [`"message_id":${JSON.stringify(message_id)}`] : []),
  ]
  const body = Buffer.from(missing.length === 0 ? text : appendJsonMembers(text, missing.join(',')))
  const key = routingKey(event as string, type)
  return assertSize({ event_id: event as string, message_id, routingKey: key, body }, maxBytes)
}
