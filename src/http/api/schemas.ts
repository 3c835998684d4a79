import * as z from 'zod'
import { RESET_REASONS } from '../../core/cursor.ts'
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import { EventId, MessageId, PublishedMessage } from '../../core/message.ts'
import { CLOSING_REASONS, type HelloData } from '../../core/sse.ts'

/** Schemas of the data that the gateway sends. Its input is described by the schemas that also validate it. */

const dbId = z.number().int().min(0)
const time = z.iso.datetime().describe('ISO 8601 in UTC.')
/** Error codes as a non-empty tuple, for z.enum. */
export const ERROR_CODES = Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]

/** The body of every error. */
export const ErrorSchema = z.looseObject({
  status: z.literal('error'),
  code: z.enum(ERROR_CODES),
  message: z.string(),
  hint: z.string().describe('How to fix it.'),
})

/** Schema of `{"status":"success","data":…}`, with additional keys next to `data`. */
export const successSchema = <Data extends z.ZodType>(data: Data, beside: z.ZodRawShape = {}) =>
  z.strictObject({ status: z.literal('success'), data, ...beside })

/** A message as subscribers receive it: the published object with the gateway's keys appended. */
export const DeliveredMessageSchema = PublishedMessage.extend({
  event_id: EventId,
  message_id: MessageId,
  traceparent: z
    .unknown()
    .optional()
    .describe('Trace of the message if it arrived with a traceparent header; otherwise the value in its body, if any.'),
  published_by: z
    .string()
    .nullish()
    .describe(
      'The sub of the token with which the message came over HTTP; null if there is none, or if an agent has set it.',
    ),
  received_at: time,
  db_id: dbId.min(1).describe('Ascending in commit order, over all events. The cursor of a subscriber.'),
}).loose()

/** A message as an agent publishes it to the exchange. The event is identified by the body alone. */
export const StreamedMessageSchema = PublishedMessage.extend({
  event_id: EventId.describe('The event; no control characters. Read from here, never from the routing key.'),
}).loose()

/** The message that examples use. */
export const EXAMPLE_MESSAGE = {
  message_id: '019a0b5e-3c58-7d4a-9c1f-2b6f0a9d4e11',
  message_from: '_captain',
  message_type: 'llm_response',
  message_content: { text: 'Two hosts speak to the same address every 60 seconds.' },
  round_id: 1,
}

/** Why a cursor was invalid. The stream continues with everything from `first_db_id` on. */
export const ResetSchema = z.strictObject({ reason: z.enum(RESET_REASONS), first_db_id: dbId })

const HelloDataSchema = z.strictObject({
  log_id: z.string(),
  cursor: dbId.describe('Everything after it follows.'),
  first_db_id: dbId,
  last_db_id: dbId.describe('caught_up follows once everything up to it has been sent.'),
  server_time: time,
  events: z.union([z.literal('*'), z.array(EventId)]).describe('The events that are sent.'),
  filters: z
    .strictObject({ message_type: z.array(z.string()).nullable(), message_from: z.array(z.string()).nullable() })
    .describe('The filters that hold; null for all values.'),
}) satisfies z.ZodType<HelloData>

/**
 * Every event of a stream: whether it has an `id:`, and its data. test/repo/api-documents.test.ts compares them with
 * the events that are sent.
 */
export const STREAM_EVENTS = {
  hello: { id: true, data: HelloDataSchema, description: 'Sent once, first: the start of the stream.' },
  reset: { id: false, data: ResetSchema, description: 'After hello, if the cursor was invalid.' },
  new_message: {
    id: true,
    data: DeliveredMessageSchema,
    description: 'One message; each is sent once, in ascending db_id order. Without its name if ?event=message is set.',
  },
  caught_up: {
    id: false,
    data: z.strictObject({ last_message_db_id: dbId }),
    description: 'Sent once, when everything up to last_db_id of hello has been sent.',
  },
  heartbeat: {
    id: false,
    data: z.strictObject({ server_time: time }),
    description: 'Sent every HEARTBEAT_SECONDS. A client that receives nothing for two intervals should reconnect.',
  },
  closing: {
    id: false,
    data: z.strictObject({ reason: z.enum(CLOSING_REASONS) }),
    description: 'Sent before the server ends the stream. Reconnect with the last id.',
  },
} as const
