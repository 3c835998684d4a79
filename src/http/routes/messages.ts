import { randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type Router from '@koa/router'
import type { Context } from 'koa'
import { type Bounds, parseCursor, type ResetReason, resolveCursor, restrictBounds } from '../../core/cursor.ts'
import { GatewayError } from '../../core/errors.ts'
import { decodeUtf8, type NewMessage, serializeDelivery, validateMessage } from '../../core/message.ts'
import { splitJsonArray } from '../../core/split-json-array.ts'
import { createFilter, type SubscriptionFilter } from '../../core/subscription-filter.ts'
import { parseTraceparent, type Span, type Tracer } from '../../core/trace.ts'
import { createUuidV7Generator } from '../../core/uuid.ts'
import type { EventSummary, MessagePage, MessageStore, PageLimit } from '../../store/store.ts'
import type { Access, Authorise } from '../auth/authorize.ts'
import { readBody } from '../body.ts'
import { parseDbIdParam, parseEventId, parseLimit, parseListParam, singleParam } from '../parameters.ts'
import type { Quotas } from '../quotas.ts'
import { sendJsonTexts, sendSuccess, toGatewayError } from '../responses.ts'
import { isClientGone } from '../server/sinks.ts'

const MESSAGES = { defaultValue: 500, max: 5_000 }
const EVENTS = { defaultValue: 100, max: 1_000 }
/** A page of messages ends here even below its limit; `has_more` then says so. */
const PAGE_BYTES = 8 * 1024 * 1024
const BATCH = { messages: 1_000, bytes: 16 * 1024 * 1024 }
/** Bodies that are parsed in one go: nested or with a million keys they take a hundred times as long as others. */
const PARSED_BYTES = 256 * 1024

/** What became of one published message. `db_id` is known only where the gateway itself has stored it. */
export interface PublishResult {
  readonly message_id: string
  readonly db_id?: number
  /** The same message was stored before. */
  readonly duplicate?: true
  /** Set where this message could not be taken. */
  readonly error?: GatewayError
}

/** Hands messages on: straight to the log (embedded), or through the exchange. */
export interface MessagePublisher {
  /** HTTP status of a success: 201 where the messages are stored, 202 where the broker has them. */
  readonly status: 201 | 202
  /** @returns one result per message, in order. @throws GatewayError when none could be handed on */
  publish(messages: readonly NewMessage[]): Promise<PublishResult[]>
}

export interface MessagesOptions {
  readonly log: MessageStore
  readonly authorise: Authorise
  readonly gate: Quotas
  readonly publishPort: MessagePublisher
  readonly maxMessageBytes: number
  /** Begins spans; null: nobody wants them. */
  readonly tracer: Tracer | null
  /** Told of every cursor that could not be honoured. */
  readonly onReset: (reason: ResetReason) => void
}

const summary = (event: EventSummary) => ({
  ...event,
  first_at: new Date(event.first_at).toISOString(),
  last_at: new Date(event.last_at).toISOString(),
})

/** Reads windows of the log until a page is full: a filter may leave little of each window. */
const readPages = async (
  { ctx, limit, hold }: MessagesRequest,
  read: (limit: PageLimit, from: MessagePage | null) => Promise<MessagePage>,
): Promise<MessagePage[]> => {
  const pages: MessagePage[] = []
  let left: PageLimit = { messages: limit, bytes: PAGE_BYTES }
  let last: MessagePage | null = null
  do {
    last = await read(left, last)
    pages.push(last)
    const bytes = last.messages.reduce((sum, message) => sum + message.body.length, 0)
    hold(bytes)
    left = { messages: left.messages - last.messages.length, bytes: left.bytes - bytes }
    // Who has left needs no more of them.
  } while (last.hasMore && left.messages > 0 && left.bytes > 0 && !isClientGone(ctx))
  return pages
}

/** The bounds of a selection as far as its reader may know them, and the end of the log, which stays in here. */
export const visibleBounds = async (
  log: MessageStore,
  filter: SubscriptionFilter,
  { readableEvents }: Access,
): Promise<{ bounds: Bounds; head: number }> => {
  const bounds = await log.bounds(filter)
  const head = bounds.head_db_id
  return {
    bounds: readableEvents === '*' ? bounds : restrictBounds(bounds, await log.bounds(createFilter(readableEvents))),
    head,
  }
}

/** The REST side: the list of events, the messages of one, and publishing. */
export const routeMessages = (router: Router, options: MessagesOptions): void => {
  const { log, authorise, gate, onReset } = options
  const publishing: PublishContext = {
    maxMessageBytes: options.maxMessageBytes,
    makeId: createUuidV7Generator(randomBytes),
  }

  router.get('/api/events', async (ctx) => {
    const query = new URLSearchParams(ctx.querystring)
    const limit = parseLimit(query, EVENTS.defaultValue, EVENTS.max)
    const before = parseDbIdParam(query, 'before') ?? 0
    const access = await authorise(ctx, 'read', '*')
    const events = await log.events(limit + 1, before, access.events)
    const shown = events.slice(0, limit)
    sendSuccess(ctx, 200, shown.map(summary), { has_more: events.length > limit, log_id: log.logId })
  })

  router.get('/api/events/:event_id/messages', async (ctx) => {
    const event_id = parseEventId(ctx.params.event_id ?? '')
    const query = new URLSearchParams(ctx.querystring)
    const limit = parseLimit(query, MESSAGES.defaultValue, MESSAGES.max)
    const access = await authorise(ctx, 'read', [event_id])
    const filter = createFilter(
      access.events,
      parseListParam(query, 'message_type'),
      parseListParam(query, 'message_from'),
    )
    const before = parseDbIdParam(query, 'before')
    const hold = gate.trackBodyBytes(ctx, access)
    if (before === undefined) await respondAfter({ ctx, log, wanted: filter, limit, query, hold, onReset }, access)
    else await answerBefore({ ctx, log, wanted: filter, limit, query, hold, onReset }, before)
  })

  router.post('/api/events/:event_id/messages', async (ctx) => {
    const event_id = parseEventId(ctx.params.event_id ?? '')
    const access = await authorise(ctx, 'publish', [event_id])
    // Paid before the body is read: one that turns out wrong costs as much.
    await gate.consumePublish(ctx, access, 1)
    await withSpan(ctx, options.tracer, async (traceparent) => {
      const hold = gate.trackBodyBytes(ctx, access)
      const { messages, batch } = await readMessages(ctx, event_id, traceparent, hold, publishing)
      await gate.consumePublish(ctx, access, messages.length - 1)
      answerPublished(ctx, options.publishPort.status, await options.publishPort.publish(messages), batch)
    })
  })
}

/** Does work within a span, where the caller traces. @param work is given what the messages carry on */
const withSpan = async (
  ctx: Context,
  tracer: Tracer | null,
  work: (traceparent: string | null) => Promise<void>,
): Promise<void> => {
  const parent = parseTraceparent(ctx.get('traceparent'))
  if (parent === null || tracer === null) return work(parent)
  const span = beginSpan(ctx, tracer, parent)
  try {
    await work(span.traceparent)
    span.end(null, { 'http.response.status_code': ctx.status })
  } catch (thrown) {
    const { status, code, message } = toGatewayError(thrown)
    span.end(`${code}: ${message}`, { 'http.response.status_code': status })
    throw thrown
  }
}

const beginSpan = (ctx: Context, tracer: Tracer, parent: string): Span => {
  const route = '/api/events/:event_id/messages'
  const facts = {
    'http.request.method': 'POST',
    'http.route': route,
    'url.path': ctx.path,
    'gateway.request_id': ctx.response.get('X-Request-Id'),
  }
  return tracer(parent, { name: `POST ${route}`, kind: 'server', at: Date.now(), attributes: facts })
}

/** A request for messages, read and let in. */
interface MessagesRequest {
  readonly ctx: Context
  readonly log: MessageStore
  readonly wanted: SubscriptionFilter
  readonly limit: number
  readonly query: URLSearchParams
  /** Told of the bytes that the answer will hold. */
  readonly hold: (bytes: number) => void
  readonly onReset: (reason: ResetReason) => void
}

const respondAfter = async (asked: MessagesRequest, access: Access) => {
  const { ctx, log, wanted: filter, query, onReset } = asked
  const text = singleParam(query, 'last_message_db_id')
  const request = parseCursor(undefined, text)
  if (request === null) {
    throw new GatewayError('invalid_query', 'last_message_db_id must be a whole number from 0 up, or latest.')
  }
  const { bounds } = await visibleBounds(log, filter, access)
  const { cursor, reset } = resolveCursor(request, bounds)
  if (reset !== null) onReset(reset)
  const pages = await readPages(asked, (left, last) => log.read(filter, last?.readThrough ?? cursor, left))
  const messages = pages.flatMap((page) => page.messages)
  sendJsonTexts(ctx, messages.map(serializeDelivery), {
    last_message_db_id: messages.at(-1)?.db_id ?? cursor,
    has_more: pages.at(-1)!.hasMore,
    log_id: log.logId,
    ...(reset === null ? {} : { reset: { reason: reset, first_db_id: bounds.first_db_id } }),
  })
}

const answerBefore = async (asked: MessagesRequest, before: number) => {
  const { ctx, log, wanted: filter, query } = asked
  if (query.has('last_message_db_id')) {
    throw new GatewayError('invalid_query', 'before and last_message_db_id exclude each other.')
  }
  const pages = await readPages(asked, (left, last) => log.readBefore(filter, last?.readThrough ?? before, left))
  const messages = pages.reverse().flatMap((page) => page.messages)
  sendJsonTexts(ctx, messages.map(serializeDelivery), {
    last_message_db_id: messages.at(-1)?.db_id ?? Math.max(0, before - 1),
    has_more: pages[0]!.hasMore,
    log_id: log.logId,
  })
}

const validationError = (reason: GatewayError['code'], detail: string, index: number | null): GatewayError =>
  new GatewayError(reason, detail, index === null ? {} : { details: { index } })

interface PublishContext {
  readonly maxMessageBytes: number
  readonly makeId: (now: number) => string
}

/** Checks the whole request before anything of it is handed on. */
const readMessages = async (
  ctx: Context,
  event_id: string,
  traceparent: string | null,
  hold: (bytes: number) => void,
  { maxMessageBytes, makeId }: PublishContext,
): Promise<{ messages: NewMessage[]; batch: boolean }> => {
  const text = decodeUtf8(await readBody(ctx.req, Math.max(BATCH.bytes, maxMessageBytes), hold))
  if (typeof text !== 'string') throw validationError(text.refusal.reason, text.refusal.detail, null)
  const batch = /^[ \t\r\n]*\[/.test(text)
  const texts = batch ? elementsOf(text) : [text]
  const key = ctx.get('idempotency-key')
  if (batch && key !== '') {
    throw new GatewayError(
      'invalid_message_id',
      'Idempotency-Key serves a single message; give each of many its own message_id.',
    )
  }
  const received_at = Date.now()
  const messages: NewMessage[] = []
  let parsed = 0
  for (const [index, body] of texts.entries()) {
    const at = batch ? index : null
    const bytes = Buffer.byteLength(body)
    if (bytes > maxMessageBytes) {
      throw validationError('body_too_large', `The message is larger than ${maxMessageBytes} bytes.`, at)
    }
    parsed += bytes
    if (parsed > PARSED_BYTES) {
      parsed = 0
      await setImmediate()
    }
    const arrival = { received_at, event_id, message_id: key, traceparent, makeId: () => makeId(received_at) }
    const checked = validateMessage(body, arrival)
    if ('refusal' in checked) throw validationError(checked.refusal.reason, checked.refusal.detail, at)
    messages.push(checked.message)
  }
  return { messages, batch }
}

const elementsOf = (text: string): string[] => {
  const elements = splitJsonArray(text)
  if (elements === null) throw validationError('invalid_json', 'The body is no whole array.', null)
  if (elements.length === 0) throw new GatewayError('empty_batch', 'The array is empty.')
  if (elements.length > BATCH.messages) {
    throw new GatewayError('batch_too_large', `The array has ${elements.length} messages.`)
  }
  return elements
}

const answerPublished = (ctx: Context, status: number, published: readonly PublishResult[], batch: boolean): void => {
  const shown = published.map(({ error, ...rest }) => (error === undefined ? rest : { ...rest, code: error.code }))
  const failed = published.find((one) => one.error !== undefined)?.error
  if (failed === undefined) {
    sendSuccess(ctx, status, batch ? shown : shown[0])
    return
  }
  throw batch ? new GatewayError(failed.code, failed.message, { details: { results: shown } }) : failed
}
