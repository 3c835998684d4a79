import { randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { Context } from 'koa'
import * as z from 'zod'
import { type ErrorCode, GatewayError } from '../../core/errors.ts'
import { decodeUtf8, MessageId, type NewMessage, PublishedMessage, validateMessage } from '../../core/message.ts'
import { splitJsonArray } from '../../core/split-json-array.ts'
import { parseTraceparent, type Span, type Tracer } from '../../core/trace.ts'
import { createUuidV7Generator } from '../../core/uuid.ts'
import { EXAMPLE_MESSAGE, successSchema } from '../api/schemas.ts'
import { attributeMessage } from '../auth/attribution.ts'
import type { Principal } from '../auth/claims.ts'
import { readBody } from '../body.ts'
import { type ForwardOptions, forwardToCore, UPSTREAM_REFUSALS } from '../forward.ts'
import { EventIdField } from '../parameters.ts'
import type { Quotas } from '../quotas.ts'
import { sendSuccess, toGatewayError } from '../responses.ts'
import { defineRoute, STORAGE_ERRORS } from '../route.ts'

const BATCH = { messages: 1_000, bytes: 16 * 1024 * 1024 }
/**
 * Yield to the event loop after parsing this many bytes: deeply nested bodies or those with a million keys take 100
 * times as long as others.
 */
const PARSED_BYTES = 256 * 1024

/** Result of publishing one message. `db_id` is only known if the gateway itself stored the message. */
export interface PublishResult {
  readonly message_id: string
  readonly db_id?: number
  /** Set if the same message was stored before. */
  readonly duplicate?: true
  /** Set if this message was not accepted. */
  readonly error?: GatewayError
}

/** Publishes messages: directly to the store (embedded mode) or through the exchange. */
export interface MessagePublisher {
  /** HTTP status of a success: 201 if the messages are stored, 202 if the broker has confirmed them. */
  readonly status: 201 | 202
  /** @returns one result per message, in order. @throws GatewayError if no message could be published */
  publish(messages: readonly NewMessage[]): Promise<PublishResult[]>
}

export interface PublishOptions extends ForwardOptions {
  readonly quotas: Quotas
  readonly publisher: MessagePublisher
  readonly maxMessageBytes: number
  /** Starts spans; null if tracing is disabled. */
  readonly tracer: Tracer | null
}

const PATH = '/api/events/:event_id/messages'

const MESSAGE_ERRORS: readonly ErrorCode[] = [
  'unsupported_content_encoding',
  'invalid_content_encoding',
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
  'request_aborted',
  'empty_batch',
  'batch_too_large',
  'message_conflict',
  'message_unstorable',
  'chat_forbidden',
  'rate_limited',
]

const BROKER_ERRORS: readonly ErrorCode[] = [
  'broker_unreachable',
  'broker_blocked',
  'publish_unroutable',
  'publish_nacked',
  'publish_confirm_timeout',
]

/** A message over HTTP, where the path identifies the event. */
const PostedMessageSchema = PublishedMessage.loose()

const PublishResultSchema = z.strictObject({
  message_id: MessageId,
  db_id: z
    .number()
    .int()
    .min(0)
    .optional()
    .describe('Only in embedded mode, in which the gateway itself stores the message.'),
  duplicate: z.literal(true).optional().describe('The same message was stored before.'),
})

const ResultsSchema = successSchema(z.union([PublishResultSchema, z.array(PublishResultSchema)]))

/** Publishing over HTTP. */
export const PUBLISH = defineRoute({
  method: 'POST',
  path: PATH,
  access: 'publish',
  tag: 'messages',
  summary: 'Publish one message, or an array of up to 1,000',
  description:
    'Requires the scope publish, or chat. If one message is invalid, none is published. The JSON text is stored and delivered unchanged; with a token, published_by (its sub) is appended. With the scope chat, message_type is chat or user_message, and message_from, user_id, user_nickname and sender_type are appended from the token. An edge forwards the request to its core, and answers with its answer.',
  params: { event_id: EventIdField },
  headers: {
    traceparent: z.string().optional().describe('W3C Trace Context: continued in the delivered messages.'),
    'Idempotency-Key': MessageId.optional().describe('message_id of a single message whose body has none.'),
  },
  body: {
    schema: z.union([PostedMessageSchema, z.array(PostedMessageSchema).min(1).max(BATCH.messages)]),
    description: 'JSON; the Content-Type is ignored. With Content-Encoding gzip or deflate it is decompressed.',
    example: EXAMPLE_MESSAGE,
  },
  responses: {
    201: {
      description: 'Committed (embedded mode). An array if the request was one.',
      schema: ResultsSchema,
      example: { status: 'success', data: { message_id: EXAMPLE_MESSAGE.message_id, db_id: 1 } },
    },
    202: {
      description: 'Confirmed by the broker. An array if the request was one.',
      schema: ResultsSchema,
      example: { status: 'success', data: { message_id: EXAMPLE_MESSAGE.message_id } },
    },
  },
  errors: [...MESSAGE_ERRORS, ...BROKER_ERRORS, ...STORAGE_ERRORS, ...UPSTREAM_REFUSALS],
  handler: ({ quotas, publisher, maxMessageBytes, tracer, upstream, callerToken }: PublishOptions) => {
    const context: PublishContext = { maxMessageBytes, makeId: createUuidV7Generator(randomBytes) }
    return async ({ ctx, access, params }) => {
      // Charged before the body is read, since an invalid one costs as much.
      await quotas.consumePublish(ctx, access, 1)
      if (upstream !== null) return forwardToCore(ctx, access, upstream, callerToken)
      await withSpan(ctx, tracer, async (traceparent) => {
        const trackBytes = quotas.trackBodyBytes(ctx, access)
        const request = { ctx, principal: access.principal, event_id: params.event_id, traceparent, trackBytes }
        const { messages, batch } = await readMessages(request, context)
        await quotas.consumePublish(ctx, access, messages.length - 1)
        access.requireValid()
        respondPublished(ctx, publisher.status, await publisher.publish(messages), batch)
      })
    }
  },
})

/** Runs work in a span if the request has a traceparent. @param handle called with the traceparent for the messages */
const withSpan = async (
  ctx: Context,
  tracer: Tracer | null,
  handle: (traceparent: string | null) => Promise<void>,
): Promise<void> => {
  const parent = parseTraceparent(ctx.get('traceparent'))
  if (parent === null || tracer === null) return handle(parent)
  const span = startServerSpan(ctx, tracer, parent)
  try {
    await handle(span.traceparent)
    span.end(null, { 'http.response.status_code': ctx.status })
  } catch (thrown) {
    const { status, code, message } = toGatewayError(thrown)
    span.end(`${code}: ${message}`, { 'http.response.status_code': status })
    throw thrown
  }
}

const startServerSpan = (ctx: Context, tracer: Tracer, parent: string): Span => {
  const attributes = {
    'http.request.method': 'POST',
    'http.route': PATH,
    'url.path': ctx.path,
    'gateway.request_id': ctx.response.get('X-Request-Id'),
  }
  return tracer(parent, { name: `POST ${PATH}`, kind: 'server', at: Date.now(), attributes })
}

const validationError = (reason: GatewayError['code'], detail: string, index: number | null): GatewayError =>
  new GatewayError(reason, detail, index === null ? {} : { details: { index } })

interface PublishRequest {
  readonly ctx: Context
  /** null if AUTH=none. */
  readonly principal: Principal | null
  readonly event_id: string
  readonly traceparent: string | null
  /** Called with the bytes of the body as they arrive. */
  readonly trackBytes: (bytes: number) => void
}

interface PublishContext {
  readonly maxMessageBytes: number
  readonly makeId: (now: number) => string
}

/** Validates the whole request before any of its messages is published. */
const readMessages = async (
  { ctx, principal, event_id, traceparent, trackBytes }: PublishRequest,
  { maxMessageBytes, makeId }: PublishContext,
): Promise<{ messages: NewMessage[]; batch: boolean }> => {
  const text = decodeUtf8(await readBody(ctx.req, Math.max(BATCH.bytes, maxMessageBytes), trackBytes))
  if (typeof text !== 'string') throw validationError(text.error.reason, text.error.detail, null)
  const batch = /^[ \t\r\n]*\[/.test(text)
  const texts = batch ? parseElements(text) : [text]
  const key = ctx.get('idempotency-key')
  if (batch && key !== '') {
    throw new GatewayError(
      'invalid_message_id',
      'Idempotency-Key applies to a single message; set message_id in each message of an array.',
    )
  }
  const received_at = Date.now()
  const messages: NewMessage[] = []
  let parsed = 0
  for (const [index, body] of texts.entries()) {
    const at = batch ? index : null
    const requireSize = (text: string): number => {
      const bytes = Buffer.byteLength(text)
      if (bytes <= maxMessageBytes) return bytes
      throw validationError('body_too_large', `The message is larger than ${maxMessageBytes} bytes.`, at)
    }
    parsed += requireSize(body)
    if (parsed > PARSED_BYTES) {
      parsed = 0
      await setImmediate()
    }
    const context = { received_at, event_id, message_id: key, traceparent, makeId: () => makeId(received_at) }
    const result = validateMessage(body, context)
    if ('error' in result) throw validationError(result.error.reason, result.error.detail, at)
    const message = principal === null ? result.message : attribute(result.message, principal, at)
    // With the keys of the token a message can become too large for the consumer, which would quarantine it.
    if (message !== result.message) requireSize(message.body)
    messages.push(message)
  }
  return { messages, batch }
}

/** @throws GatewayError chat_forbidden */
const attribute = (message: NewMessage, principal: Principal, index: number | null): NewMessage => {
  try {
    return attributeMessage(message, principal)
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    throw validationError(error.code, error.message, index)
  }
}

const parseElements = (text: string): string[] => {
  const elements = splitJsonArray(text, BATCH.messages)
  if (elements === null) throw validationError('invalid_json', 'The body is not a complete array.', null)
  if (elements.length === 0) throw new GatewayError('empty_batch', 'The array is empty.')
  if (elements.length > BATCH.messages) {
    throw new GatewayError('batch_too_large', `The array has more than ${BATCH.messages} messages.`)
  }
  return elements
}

const respondPublished = (ctx: Context, status: number, results: readonly PublishResult[], batch: boolean): void => {
  const data = results.map(({ error, ...rest }) => (error === undefined ? rest : { ...rest, code: error.code }))
  const firstError = results.find((result) => result.error !== undefined)?.error
  if (firstError === undefined) {
    sendSuccess(ctx, status, batch ? data : data[0])
    return
  }
  throw batch ? new GatewayError(firstError.code, firstError.message, { details: { results: data } }) : firstError
}
