import { isUtf8 } from 'node:buffer'
import * as z from 'zod'
import type { QuarantineReason } from './error-catalogue/groups.ts'
import { appendJsonMembers } from './json-members.ts'
import { parseTraceparent } from './trace.ts'

/** Keys that the gateway must add because the published body lacks them. Bits, combined with OR. */
export const MISSING_EVENT_ID = 1
export const MISSING_MESSAGE_ID = 2
/** The body has a `published_by` of its publisher, which must be replaced by null in deliveries. A bit like the two above. */
export const UNVERIFIED_PUBLISHED_BY = 4

/** A valid message that is not stored yet. */
export interface NewMessage {
  readonly event_id: string
  readonly message_id: string
  readonly message_from: string | null
  readonly message_type: string | null
  readonly round_id: number | null
  /** Time at which the gateway received it, in milliseconds since 1970. */
  readonly received_at: number
  /** The published text, unchanged. */
  readonly body: string
  /** MISSING_* and UNVERIFIED_* bits. */
  readonly lacks: number
  /** Its trace as returned by parseTraceparent, or null if it has none. */
  readonly traceparent: string | null
}

/** A stored message, with the fields needed to deliver it. */
export interface StoredMessage extends Omit<NewMessage, 'round_id'> {
  readonly db_id: number
}

/** Code of a message that is invalid. `event_mismatch` is possible over HTTP only, where the path names the event. */
export type ValidationReason = QuarantineReason | 'event_mismatch'

/** Reason why a message is invalid. */
export interface ValidationError {
  readonly reason: ValidationReason
  /** One sentence with the details. */
  readonly detail: string
}

const CONTROL = /\p{Cc}/u

/** Counts characters as code points, like Python's len(). */
const countCharacters = (text: string): number => {
  let count = 0
  for (const _ of text) count++
  return count
}

const identifier = z
  .string()
  // A lone surrogate has no UTF-8 form: two different ids would become equal in the store.
  .refine((id) => id.length > 0 && id.isWellFormed() && (id.length <= 255 || countCharacters(id) <= 255), {
    error: 'must have 1 to 255 characters',
  })
  .meta({ minLength: 1, maxLength: 255 })

/** Schema of an event id: 1 to 255 characters, without control characters. URLs cannot name `.` and `..`, which they resolve. */
export const EventId = identifier
  .refine((id) => !CONTROL.test(id), { error: 'must not hold control characters' })
  .refine((id) => id !== '.' && id !== '..', { error: 'must not be . or ..' })

/** Schema of a message id, the idempotency key of a message within its event. */
export const MessageId = identifier

const optionalText = z.string().nullish()

/** At most 15 digits, so that the number is exact. */
const DIGITS = /^\d{1,15}$/

/** DeepSOC's agents take the round from a language model, which writes it as a number or as text. */
const round = z.union([z.number().int(), z.string().regex(DIGITS)], {
  error: 'expected an integer, or a string of 1 to 15 digits',
})

/**
 * Schema of the fields that the gateway reads from a published body; all others are passed on unchanged. An alias is used only if the field
 * itself is absent.
 */
export const PublishedMessage = z.object({
  event_id: EventId.nullish().describe(
    'The id of the event; no control characters, not . or .. Over HTTP it is in the path.',
  ),
  message_id: MessageId.nullish().describe('The idempotency key within its event; generated if it is absent.'),
  message_from: optionalText.describe('The sender of the message.'),
  source: z.unknown().optional().describe('Alias of message_from, used if that is absent; it must then be a string.'),
  message_type: optionalText.describe('The type of the message.'),
  type: z.unknown().optional().describe('Alias of message_type, used if that is absent; it must then be a string.'),
  message_content: z.unknown().optional().describe('Any JSON value.'),
  content: z.unknown().optional().describe('Alias of message_content.'),
  round_id: round.nullish().describe('The round of the investigation, also as a string of 1 to 15 digits.'),
})

const REASON_BY_FIELD: Record<string, QuarantineReason> = {
  event_id: 'invalid_event_id',
  message_id: 'invalid_message_id',
  message_from: 'invalid_message_from',
  source: 'invalid_message_from',
  message_type: 'invalid_message_type',
  type: 'invalid_message_type',
  round_id: 'invalid_round_id',
}

/** Data about a received message in addition to its body. */
export interface ReceiveContext {
  readonly received_at: number
  /** The event in the HTTP path; over AMQP only the body contains it. */
  readonly event_id?: string
  /** The AMQP property `message_id` or the Idempotency-Key; message_id in the body has precedence. */
  readonly message_id?: string | undefined
  /** The header traceparent of AMQP or HTTP, or the traceparent of the gateway's own span. */
  readonly traceparent?: unknown
  /** Returns true if the gateway itself has added the `published_by` of the body. Absent: it has not. */
  readonly verifyPublishedBy?: (message_id: string) => boolean
  /** Generates an id if neither the body nor the property has one. */
  readonly makeId: () => string
}

export type ValidationResult = { readonly message: NewMessage } | { readonly error: ValidationError }

const invalid = (reason: ValidationReason, detail: string): { error: ValidationError } => ({
  error: { reason, detail },
})

/**
 * Decodes a body strictly as UTF-8.
 *
 * @returns the text, or the error. A byte order mark is kept, so that the validation of the JSON reports it
 */
export const decodeUtf8 = (body: Buffer): string | { error: ValidationError } =>
  isUtf8(body) ? body.toString('utf8') : invalid('invalid_utf8', 'The body is not valid UTF-8.')

/** Validates a published text and returns the fields that the gateway uses. Pure: the clock and ids are passed in. */
export const validateMessage = (body: string, context: ReceiveContext): ValidationResult => {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch (error) {
    return invalid(
      'invalid_json',
      body.startsWith('\uFEFF') ? 'The body starts with a byte order mark.' : String(error),
    )
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return invalid('not_an_object', `The body is ${Array.isArray(parsed) ? 'an array' : `a JSON ${typeof parsed}`}.`)
  }
  const result = PublishedMessage.safeParse(parsed)
  if (!result.success) {
    const issue = result.error.issues[0]!
    const field = String(issue.path[0])
    return invalid(REASON_BY_FIELD[field] ?? 'not_an_object', `${field}: ${issue.message}`)
  }
  return normalize(body, result.data, Object.hasOwn(parsed, 'published_by'), context)
}

const normalize = (
  body: string,
  fields: z.infer<typeof PublishedMessage>,
  hasPublishedBy: boolean,
  context: ReceiveContext,
): ValidationResult => {
  const event_id = fields.event_id ?? context.event_id
  if (event_id === undefined) return invalid('invalid_event_id', 'event_id is missing.')
  if (context.event_id !== undefined && event_id !== context.event_id) {
    return invalid('event_mismatch', 'event_id in the body differs from the one in the path.')
  }
  const message_from = fields.message_from ?? fields.source ?? null
  if (message_from !== null && typeof message_from !== 'string') {
    return invalid('invalid_message_from', 'source: expected a string.')
  }
  const message_type = fields.message_type ?? fields.type ?? null
  if (message_type !== null && typeof message_type !== 'string') {
    return invalid('invalid_message_type', 'type: expected a string.')
  }
  const propertyId = context.message_id === '' ? undefined : context.message_id
  if (fields.message_id == null && propertyId !== undefined && !MessageId.safeParse(propertyId).success) {
    return invalid('invalid_message_id', 'The message_id property must be UTF-8 with 1 to 255 characters.')
  }
  const message_id = fields.message_id ?? propertyId ?? context.makeId()
  const isUnverified = hasPublishedBy && !context.verifyPublishedBy?.(message_id)
  return {
    message: {
      event_id,
      message_id,
      message_from,
      message_type,
      round_id: fields.round_id == null ? null : Number(fields.round_id),
      received_at: context.received_at,
      body,
      traceparent: context.traceparent === undefined ? null : parseTraceparent(context.traceparent),
      lacks:
        (fields.event_id == null ? MISSING_EVENT_ID : 0) |
        (fields.message_id == null ? MISSING_MESSAGE_ID : 0) |
        (isUnverified ? UNVERIFIED_PUBLISHED_BY : 0),
    },
  }
}

/** Returns the text of a delivered message: the published object with the gateway's own keys at its end. */
export const serializeDelivery = (message: StoredMessage): string => {
  let keys = ''
  if (message.lacks & MISSING_EVENT_ID) keys += `"event_id":${JSON.stringify(message.event_id)},`
  if (message.lacks & MISSING_MESSAGE_ID) keys += `"message_id":${JSON.stringify(message.message_id)},`
  if (message.lacks & UNVERIFIED_PUBLISHED_BY) keys += '"published_by":null,'
  if (message.traceparent !== null) keys += `"traceparent":"${message.traceparent}",`
  const receivedAt = new Date(message.received_at).toISOString()
  return appendJsonMembers(message.body.trim(), `${keys}"received_at":"${receivedAt}","db_id":${message.db_id}`)
}
