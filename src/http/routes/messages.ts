import { randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type Router from '@koa/router'
import type { Context } from 'koa'
import { type Bounds, boundsWithin, parseCursor, type ResetReason, resolveCursor } from '../../core/cursor.ts'
import { GatewayError } from '../../core/errors.ts'
import { checkMessage, decodeText, deliveredText, type NewMessage } from '../../core/message.ts'
import { splitArray } from '../../core/split-json-array.ts'
import { type Selection, selection } from '../../core/subscription-filter.ts'
import { type Span, type Tracer, traceparentOf } from '../../core/trace.ts'
import { uuidMaker } from '../../core/uuid.ts'
import type { EventSummary, Log, Page, PageLimit } from '../../store/store.ts'
import type { Access, Authorise } from '../auth/authorize.ts'
import { readBody } from '../body.ts'
import { dbIdOf, eventIdOf, filterOf, limitOf, single } from '../query.ts'
import type { Gate } from '../quotas.ts'
import { succeed, succeedTexts, toGatewayError } from '../responses.ts'
import { isGone } from '../server/sinks.ts'

const MESSAGES = { usual: 500, most: 5_000 }
const EVENTS = { usual: 100, most: 1_000 }
/** A page of messages ends here even below its limit; `has_more` then says so. */
const PAGE_BYTES = 8 * 1024 * 1024
const BATCH = { messages: 1_000, bytes: 16 * 1024 * 1024 }
/** Bodies that are parsed in one go: nested or with a million keys they take a hundred times as long as others. */
const PARSED_BYTES = 256 * 1024

/** What became of one published message. `db_id` is known only where the gateway itself has stored it. */
export interface Published {
  readonly message_id: string
  readonly db_id?: number
  /** The same message was stored before. */
  readonly duplicate?: true
  /** Set where this message could not be taken. */
  readonly error?: GatewayError
}

/** Hands messages on: straight to the log (embedded), or through the exchange. */
export interface PublishPort {
  /** HTTP status of a success: 201 where the messages are stored, 202 where the broker has them. */
  readonly status: 201 | 202
  /** @returns one result per message, in order. @throws GatewayError when none could be handed on */
  publish(messages: readonly NewMessage[]): Promise<Published[]>
}

export interface MessagesOptions {
  readonly log: Log
  readonly authorise: Authorise
  readonly gate: Gate
  readonly publishPort: PublishPort
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
const fill = async (
  { ctx, limit, hold }: Asked,
  read: (limit: PageLimit, from: Page | null) => Promise<Page>,
): Promise<Page[]> => {
  const pages: Page[] = []
  let left: PageLimit = { messages: limit, bytes: PAGE_BYTES }
  let last: Page | null = null
  do {
    last = await read(left, last)
    pages.push(last)
    const bytes = last.messages.reduce((sum, message) => sum + message.body.length, 0)
    hold(bytes)
    left = { messages: left.messages - last.messages.length, bytes: left.bytes - bytes }
    // Who has left needs no more of them.
  } while (last.more && left.messages > 0 && left.bytes > 0 && !isGone(ctx))
  return pages
}

/** The bounds of a selection as far as its reader may know them, and the end of the log, which stays in here. */
export const boundsFor = async (
  log: Log,
  wanted: Selection,
  { readable }: Access,
): Promise<{ bounds: Bounds; head: number }> => {
  const bounds = await log.bounds(wanted)
  const head = bounds.head_db_id
  return { bounds: readable === '*' ? bounds : boundsWithin(bounds, await log.bounds(selection(readable))), head }
}

/** The REST side: the list of events, the messages of one, and publishing. */
export const routeMessages = (router: Router, options: MessagesOptions): void => {
  const { log, authorise, gate, onReset } = options
  const publishing: Publishing = { maxMessageBytes: options.maxMessageBytes, makeId: uuidMaker(randomBytes) }

  router.get('/api/events', async (ctx) => {
    const query = new URLSearchParams(ctx.querystring)
    const limit = limitOf(query, EVENTS.usual, EVENTS.most)
    const before = dbIdOf(query, 'before') ?? 0
    const access = await authorise(ctx, 'read', '*')
    const events = await log.events(limit + 1, before, access.events)
    const shown = events.slice(0, limit)
    succeed(ctx, 200, shown.map(summary), { has_more: events.length > limit, log_id: log.logId })
  })

  router.get('/api/events/:event_id/messages', async (ctx) => {
    const event_id = eventIdOf(ctx.params.event_id ?? '')
    const query = new URLSearchParams(ctx.querystring)
    const limit = limitOf(query, MESSAGES.usual, MESSAGES.most)
    const access = await authorise(ctx, 'read', [event_id])
    const wanted = selection(access.events, filterOf(query, 'message_type'), filterOf(query, 'message_from'))
    const before = dbIdOf(query, 'before')
    const hold = gate.holder(ctx, access)
    if (before === undefined) await answerAfter({ ctx, log, wanted, limit, query, hold, onReset }, access)
    else await answerBefore({ ctx, log, wanted, limit, query, hold, onReset }, before)
  })

  router.post('/api/events/:event_id/messages', async (ctx) => {
    const event_id = eventIdOf(ctx.params.event_id ?? '')
    const access = await authorise(ctx, 'publish', [event_id])
    // Paid before the body is read: one that turns out wrong costs as much.
    await gate.publish(ctx, access, 1)
    await inSpan(ctx, options.tracer, async (traceparent) => {
      const hold = gate.holder(ctx, access)
      const { messages, batch } = await readMessages(ctx, event_id, traceparent, hold, publishing)
      await gate.publish(ctx, access, messages.length - 1)
      answerPublished(ctx, options.publishPort.status, await options.publishPort.publish(messages), batch)
    })
  })
}

/** Does work within a span, where the caller traces. @param work is given what the messages carry on */
const inSpan = async (
  ctx: Context,
  tracer: Tracer | null,
  work: (traceparent: string | null) => Promise<void>,
): Promise<void> => {
  const parent = traceparentOf(ctx.get('traceparent'))
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
  return tracer(parent, { name: `POST ${route}`, kind: 'server', at: Date.now(), facts })
}

/** A request for messages, read and let in. */
interface Asked {
  readonly ctx: Context
  readonly log: Log
  readonly wanted: Selection
  readonly limit: number
  readonly query: URLSearchParams
  /** Told of the bytes that the answer will hold. */
  readonly hold: (bytes: number) => void
  readonly onReset: (reason: ResetReason) => void
}

const answerAfter = async (asked: Asked, access: Access) => {
  const { ctx, log, wanted, query, onReset } = asked
  const text = single(query, 'last_message_db_id')
  const request = parseCursor(undefined, text)
  if (request === null) {
    throw new GatewayError('invalid_query', 'last_message_db_id must be a whole number from 0 up, or latest.')
  }
  const { bounds } = await boundsFor(log, wanted, access)
  const { cursor, reset } = resolveCursor(request, bounds)
  if (reset !== null) onReset(reset)
  const pages = await fill(asked, (left, last) => log.read(wanted, last?.through ?? cursor, left))
  const messages = pages.flatMap((page) => page.messages)
  succeedTexts(ctx, messages.map(deliveredText), {
    last_message_db_id: messages.at(-1)?.db_id ?? cursor,
    has_more: pages.at(-1)!.more,
    log_id: log.logId,
    ...(reset === null ? {} : { reset: { reason: reset, first_db_id: bounds.first_db_id } }),
  })
}

const answerBefore = async (asked: Asked, before: number) => {
  const { ctx, log, wanted, query } = asked
  if (query.has('last_message_db_id')) {
    throw new GatewayError('invalid_query', 'before and last_message_db_id exclude each other.')
  }
  const pages = await fill(asked, (left, last) => log.readBefore(wanted, last?.through ?? before, left))
  const messages = pages.reverse().flatMap((page) => page.messages)
  succeedTexts(ctx, messages.map(deliveredText), {
    last_message_db_id: messages.at(-1)?.db_id ?? Math.max(0, before - 1),
    has_more: pages[0]!.more,
    log_id: log.logId,
  })
}

const refused = (reason: GatewayError['code'], detail: string, index: number | null): GatewayError =>
  new GatewayError(reason, detail, index === null ? {} : { details: { index } })

interface Publishing {
  readonly maxMessageBytes: number
  readonly makeId: (now: number) => string
}

/** Checks the whole request before anything of it is handed on. */
const readMessages = async (
  ctx: Context,
  event_id: string,
  traceparent: string | null,
  hold: (bytes: number) => void,
  { maxMessageBytes, makeId }: Publishing,
): Promise<{ messages: NewMessage[]; batch: boolean }> => {
  const text = decodeText(await readBody(ctx.req, Math.max(BATCH.bytes, maxMessageBytes), hold))
  if (typeof text !== 'string') throw refused(text.refusal.reason, text.refusal.detail, null)
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
      throw refused('body_too_large', `The message is larger than ${maxMessageBytes} bytes.`, at)
    }
    parsed += bytes
    if (parsed > PARSED_BYTES) {
      parsed = 0
      await setImmediate()
    }
    const arrival = { received_at, event_id, message_id: key, traceparent, makeId: () => makeId(received_at) }
    const checked = checkMessage(body, arrival)
    if ('refusal' in checked) throw refused(checked.refusal.reason, checked.refusal.detail, at)
    messages.push(checked.message)
  }
  return { messages, batch }
}

const elementsOf = (text: string): string[] => {
  const elements = splitArray(text)
  if (elements === null) throw refused('invalid_json', 'The body is no whole array.', null)
  if (elements.length === 0) throw new GatewayError('empty_batch', 'The array is empty.')
  if (elements.length > BATCH.messages) {
    throw new GatewayError('batch_too_large', `The array has ${elements.length} messages.`)
  }
  return elements
}

const answerPublished = (ctx: Context, status: number, published: readonly Published[], batch: boolean): void => {
  const shown = published.map(({ error, ...rest }) => (error === undefined ? rest : { ...rest, code: error.code }))
  const failed = published.find((one) => one.error !== undefined)?.error
  if (failed === undefined) {
    succeed(ctx, status, batch ? shown : shown[0])
    return
  }
  throw batch ? new GatewayError(failed.code, failed.message, { details: { results: shown } }) : failed
}
