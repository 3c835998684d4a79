import { z } from 'zod'
import { Cursor, DbId } from '../../core/cursor.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { MessageId } from '../../core/message.ts'
import { Limit } from '../parameters.ts'
import { StreamEvents, Tail } from '../routes/streams.ts'
import { EVENT_ID, EXAMPLE_EVENT, FILTERS, type Operations, type Parameter, STORAGE_ERRORS } from './operation.ts'
import {
  DeliveredMessage,
  EventSummarySchema,
  MESSAGES_ENVELOPE,
  PostedMessage,
  PublishedResult,
  success,
} from './schemas.ts'

const EXAMPLE_MESSAGE = {
  message_id: '019a0b5e-3c58-7d4a-9c1f-2b6f0a9d4e11',
  message_from: '_captain',
  message_type: 'llm_response',
  message_content: { text: 'Two hosts speak to the same address every 60 seconds.' },
  round_id: 1,
}

const MESSAGE_FAULTS: readonly ErrorCode[] = [
  'invalid_utf8',
  'invalid_json',
  'not_an_object',
  'invalid_event_id',
  'invalid_message_id',
  'invalid_message_from',
  'invalid_message_type',
  'invalid_round_id',
  'event_mismatch',
  'body_too_large',
  'body_incomplete',
  'empty_batch',
  'batch_too_large',
  'message_conflict',
  'storage_refused',
  'too_many_messages',
]

const BROKER_FAULTS: readonly ErrorCode[] = [
  'broker_unreachable',
  'broker_blocked',
  'publish_unroutable',
  'publish_nacked',
  'publish_unconfirmed',
]

const CURSOR: Parameter = {
  name: 'last_message_db_id',
  in: 'query',
  schema: Cursor,
  meaning: 'The cursor: messages behind it, 0 if absent; latest: the end.',
  example: 0,
}

const STREAM_PARAMETERS: readonly Parameter[] = [
  { ...CURSOR, meaning: `${CURSOR.meaning} Last-Event-ID wins over it.` },
  {
    name: 'Last-Event-ID',
    in: 'header',
    schema: z.string(),
    meaning: 'The last id that was seen, as EventSource sends it. What is no db_id is answered by reset.',
  },
  { name: 'tail', in: 'query', schema: Tail, meaning: 'Begin so many messages before the end.' },
  ...FILTERS,
  { name: 'ticket', in: 'query', schema: z.string(), meaning: 'Instead of a token; see POST /api/stream-tickets.' },
]

const STREAM_EXAMPLE = `retry: 2000

id: 0
event: hello
data: {"log_id":"…","cursor":0,"first_db_id":1,"last_db_id":1,"server_time":"2026-11-22T10:00:00.000Z"}

id: 1
event: new_message
data: {"message_from":"_captain",…,"event_id":"${EXAMPLE_EVENT}","message_id":"…","received_at":"…","db_id":1}

event: caught_up
data: {"last_message_db_id":1}

`

const STREAM = {
  tag: 'streams',
  needs: 'stream',
  answers: {
    200: {
      meaning: 'Server-sent events until one side closes. Each event and its data: x-events.',
      text: { type: 'text/event-stream', example: STREAM_EXAMPLE },
    },
  },
  errors: [
    ...STORAGE_ERRORS,
    'invalid_event_id',
    'invalid_query',
    'ticket_invalid',
    'origin_forbidden',
    'pipelined_stream',
    'too_many_streams',
  ],
} as const

/** Reading and writing messages. */
export const MESSAGE_OPERATIONS: Operations = {
  'GET /api/events': {
    tag: 'messages',
    summary: 'Events that may be read, by latest activity',
    needs: 'token',
    parameters: [
      { name: 'limit', in: 'query', schema: Limit, meaning: '100 if absent, at most 1,000.', example: 10 },
      { name: 'before', in: 'query', schema: DbId, meaning: 'Only events with a last_db_id below this one.' },
    ],
    answers: {
      200: {
        meaning: 'One page.',
        schema: success(z.array(EventSummarySchema), { has_more: z.boolean(), log_id: z.string() }),
        example: {
          status: 'success',
          data: [
            {
              event_id: EXAMPLE_EVENT,
              messages: 1,
              first_db_id: 1,
              last_db_id: 1,
              first_at: '2026-11-22T10:00:00.123Z',
              last_at: '2026-11-22T10:00:00.123Z',
            },
          ],
          has_more: false,
          log_id: '6f0f1c1e-5a86-4c0a-8f0a-0f7a54cf0a51',
        },
      },
    },
    errors: [...STORAGE_ERRORS, 'invalid_query'],
  },
  'POST /api/events/:event_id/messages': {
    tag: 'messages',
    summary: 'Publish one message, or an array of up to 1,000',
    description: 'Nothing is taken unless all of them pass the checks. The text is stored and delivered as it came.',
    needs: 'token',
    parameters: [
      EVENT_ID,
      {
        name: 'traceparent',
        in: 'header',
        schema: z.string(),
        meaning: 'W3C Trace Context: the trace goes on to the delivered messages.',
      },
      {
        name: 'Idempotency-Key',
        in: 'header',
        schema: MessageId,
        meaning: 'The message_id of a single message that has none.',
      },
    ],
    body: {
      schema: z.union([PostedMessage, z.array(PostedMessage).min(1).max(1_000)]),
      meaning: 'JSON, whatever the Content-Type says.',
      example: EXAMPLE_MESSAGE,
    },
    answers: {
      201: {
        meaning: 'Committed (without a broker). An array for an array.',
        schema: success(z.union([PublishedResult, z.array(PublishedResult)])),
        example: { status: 'success', data: { message_id: EXAMPLE_MESSAGE.message_id, db_id: 1 } },
      },
      202: {
        meaning: 'The broker has confirmed. An array for an array.',
        schema: success(z.union([PublishedResult, z.array(PublishedResult)])),
        example: { status: 'success', data: { message_id: EXAMPLE_MESSAGE.message_id } },
      },
    },
    errors: [...MESSAGE_FAULTS, ...BROKER_FAULTS, ...STORAGE_ERRORS],
  },
  'GET /api/events/:event_id/messages': {
    tag: 'messages',
    summary: 'The messages of an event behind a cursor, ascending',
    description: 'An event without messages is an empty list. A page ends at its limit or at 8 MiB of bodies.',
    needs: 'token',
    parameters: [
      EVENT_ID,
      CURSOR,
      { name: 'limit', in: 'query', schema: Limit, meaning: '500 if absent, at most 5,000.', example: 2 },
      {
        name: 'before',
        in: 'query',
        schema: DbId,
        meaning: 'Instead of a cursor: the newest messages below this db_id.',
      },
      ...FILTERS,
    ],
    answers: {
      200: {
        meaning: 'One page.',
        schema: success(z.array(DeliveredMessage), MESSAGES_ENVELOPE),
        example: {
          status: 'success',
          data: [{ ...EXAMPLE_MESSAGE, event_id: EXAMPLE_EVENT, received_at: '2026-11-22T10:00:00.123Z', db_id: 1 }],
          last_message_db_id: 1,
          has_more: false,
          log_id: '6f0f1c1e-5a86-4c0a-8f0a-0f7a54cf0a51',
        },
      },
    },
    errors: [...STORAGE_ERRORS, 'invalid_query', 'invalid_event_id'],
  },
  'GET /api/events/:event_id/stream': {
    ...STREAM,
    summary: 'Follow one event',
    parameters: [EVENT_ID, ...STREAM_PARAMETERS],
  },
  'GET /api/stream': {
    ...STREAM,
    summary: 'Follow several events on one connection, with one cursor',
    parameters: [
      {
        name: 'event_id',
        in: 'query',
        schema: StreamEvents,
        meaning: 'Given once for each event; * alone: all that may be read.',
        required: true,
        explode: true,
        example: [EXAMPLE_EVENT],
      },
      ...STREAM_PARAMETERS,
    ],
    errors: [...STREAM.errors, 'too_many_events'],
  },
}
