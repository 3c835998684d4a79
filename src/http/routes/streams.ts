import type Router from '@koa/router'
import type { Context } from 'koa'
import { z } from 'zod'
import { DbId, parseCursor, type ResetReason, type ResolvedCursor, resolveCursor } from '../../core/cursor.ts'
import { GatewayError } from '../../core/errors.ts'
import { EventId } from '../../core/message.ts'
import { noop } from '../../core/noop.ts'
import { encodeHelloEvent, encodeResetEvent, encodeRetry } from '../../core/sse.ts'
import { createFilter, type SubscriptionFilter } from '../../core/subscription-filter.ts'
import type { MessageStore } from '../../store/store.ts'
import type { StreamHub, StreamToken } from '../../streams/hub.ts'
import type { Access, Authorise } from '../auth/authorize.ts'
import { parseDbIdParam, parseEventId, parseListParam, singleParam } from '../parameters.ts'
import type { Quotas } from '../quotas.ts'
import type { RequestView } from '../request-view.ts'
import { type DetachedResponse, detachResponse, isClientGone } from '../server/sinks.ts'
import { visibleBounds } from './messages.ts'

/** What a client waits before it reconnects, unless told otherwise, in milliseconds. */
const RETRY_MS = 2_000
const MAX_EVENTS = 100
const MAX_TAIL = 5_000

/** The events of one stream. */
export const StreamEvents = z
  .array(z.union([z.literal('*'), EventId]))
  .min(1)
  .max(MAX_EVENTS)
/** How many messages before the end a stream begins. */
export const Tail = DbId.pipe(z.number().int().max(MAX_TAIL))

/** On the answer that is a stream. */
export const STREAM_HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
  'X-Content-Type-Options': 'nosniff',
}

export interface StreamOptions {
  readonly log: MessageStore
  readonly live: StreamHub
  readonly authorise: Authorise
  readonly gate: Quotas
  /** Told of every cursor that could not be honoured. */
  readonly onReset: (reason: ResetReason) => void
}

/** The events that a query names: `*` alone, or up to 100 ids. */
const eventsOf = (query: URLSearchParams): string[] | '*' => {
  const ids = query.getAll('event_id')
  if (ids.length === 0) throw new GatewayError('invalid_query', 'event_id is missing.')
  if (ids.includes('*')) {
    if (ids.length > 1) throw new GatewayError('invalid_query', 'event_id=* stands alone.')
    return '*'
  }
  if (ids.length > MAX_EVENTS) throw new GatewayError('too_many_events', `${ids.length} events are too many.`)
  return ids.map(parseEventId)
}

/** The SSE side: one event, or several on one connection with one cursor. */
export const routeStreams = (router: Router, options: StreamOptions): void => {
  const open = async (ctx: Context, event: string | null): Promise<void> => {
    if (ctx.method === 'HEAD') {
      await validateRequest(ctx, event, options)
      ctx.set(STREAM_HEADERS)
      ctx.status = 200
      return
    }
    await openStream(ctx, event, wayOf(ctx), options)
    // The stream has the connection now, or there is nobody any more who waits for an answer.
    ctx.respond = false
  }
  router.get('/api/events/:event_id/stream', (ctx) => open(ctx, ctx.params.event_id ?? ''))
  router.get('/api/stream', (ctx) => open(ctx, null))
}

/** How a stream gets out. */
export interface StreamResponse {
  /** True when nobody waits for the answer any more. */
  isGone(): boolean
  /**
   * Takes the connection over. Nothing was written on it before.
   *
   * @param onClose called once when the client or its connection is gone
   */
  detach(onClose: () => void): DetachedResponse
}

const wayOf = (ctx: Context): StreamResponse => ({
  isGone: () => isClientGone(ctx),
  detach: (onClose) => {
    // Raw bytes would get in front of an answer that is still to be sent on this connection.
    if (ctx.res.socket === null) throw new GatewayError('pipelined_stream', 'An earlier request is not answered yet.')
    ctx.respond = false
    for (const [name, value] of Object.entries(STREAM_HEADERS)) ctx.res.setHeader(name, value)
    return detachResponse(ctx, onClose)
  },
})

const resolveStart = async (
  asked: RequestView,
  log: MessageStore,
  filter: SubscriptionFilter,
  access: Access,
  query: URLSearchParams,
) => {
  const request = parseCursor(asked.get('last-event-id') || undefined, singleParam(query, 'last_message_db_id'))
  if (request === null) {
    throw new GatewayError('invalid_query', 'last_message_db_id must be a whole number from 0 up, or latest.')
  }
  const tail = parseDbIdParam(query, 'tail')
  if (tail !== undefined && tail > MAX_TAIL) throw new GatewayError('invalid_query', `tail is at most ${MAX_TAIL}.`)
  const { bounds, head } = await visibleBounds(log, filter, access)
  let start: ResolvedCursor = resolveCursor(request, bounds)
  const fromHeader = asked.get('last-event-id') !== ''
  if (tail !== undefined && !fromHeader) start = { cursor: await log.tailCursor(filter, tail), reset: null }
  return { start, bounds, head }
}

/** @param event the one of the path; null: the query names them */
const authorizeStream = async (asked: RequestView, event: string | null, authorise: Authorise) => {
  const query = new URLSearchParams(asked.querystring)
  const events = event === null ? eventsOf(query) : [parseEventId(event)]
  return { query, access: await authorise(asked, 'stream', events) }
}

/** Everything that could be wrong with a request for a stream, and no stream. */
const validateRequest = async (
  asked: RequestView,
  event: string | null,
  { log, authorise }: StreamOptions,
): Promise<void> => {
  const { query, access } = await authorizeStream(asked, event, authorise)
  await resolveStart(asked, log, filterFromQuery(access, query), access, query)
}

/**
 * Opens a stream, unless its client has left meanwhile.
 *
 * @param event the one of the path, decoded; null: the query names them
 * @throws GatewayError when it may not be opened; nothing was taken or written then
 */
export const openStream = async (
  asked: RequestView,
  event: string | null,
  way: StreamResponse,
  options: StreamOptions,
) => {
  const { query, access } = await authorizeStream(asked, event, options.authorise)
  const releaseSlot = await options.gate.acquireStream(asked, access)
  let open = false
  try {
    open = await subscribe(asked, way, options, access, query, releaseSlot)
  } finally {
    if (!open) releaseSlot()
  }
}

const filterFromQuery = ({ events }: Access, query: URLSearchParams): SubscriptionFilter =>
  createFilter(events, parseListParam(query, 'message_type'), parseListParam(query, 'message_from'))

/** A stream keeps no more of its token than decides on its end. */
const tokenOf = ({ principal }: Access): StreamToken | null => {
  if (principal === null) return null
  const { subject, issuedAt, expiresAt } = principal
  return { subject, issuedAt, expiresAt }
}

/** @returns whether the stream is open; `onEnd` is then called at its end */
const subscribe = async (
  asked: RequestView,
  way: StreamResponse,
  { log, live, onReset }: StreamOptions,
  access: Access,
  query: URLSearchParams,
  onEnd: () => void,
): Promise<boolean> => {
  const filter = filterFromQuery(access, query)
  const { start, bounds, head } = await resolveStart(asked, log, filter, access, query)
  // The client may have left while its cursor was looked up (S2).
  if (way.isGone()) return false
  // Nothing waits between this look and the subscription, so no revocation falls between them.
  if (!access.isStillValid()) throw new GatewayError('token_revoked', 'The token’s subject was revoked.')
  let leave: () => void = noop
  const { sink, head: responseBytes } = way.detach(() => {
    leave()
    onEnd()
  })
  const hello = encodeHelloEvent({
    log_id: log.logId,
    cursor: start.cursor,
    first_db_id: bounds.first_db_id,
    last_db_id: bounds.last_db_id,
    server_time: new Date().toISOString(),
  })
  const reset = start.reset === null ? [] : [encodeResetEvent(start.reset, bounds.first_db_id)]
  if (start.reset !== null) onReset(start.reset)
  leave = live.subscribe({
    selection: filter,
    sink,
    cursor: start.cursor,
    caughtUpAt: bounds.last_db_id,
    head,
    token: tokenOf(access),
    preamble: Buffer.concat([responseBytes, encodeRetry(RETRY_MS), hello, ...reset]),
  })
  return true
}
