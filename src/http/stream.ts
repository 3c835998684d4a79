import type Router from '@koa/router'
import type { Context } from 'koa'
import { z } from 'zod'
import type { Live, StreamToken } from '../live/live.ts'
import type { Log } from '../log/log.ts'
import { DbId, parseCursor, type ResetReason, resolveCursor, type Start } from '../message/cursor.ts'
import { GatewayError } from '../message/errors.ts'
import { helloFrame, resetFrame, retryFrame } from '../message/frames.ts'
import { EventId } from '../message/message.ts'
import { type Selection, selection } from '../message/selection.ts'
import type { Access, Authorise } from './auth.ts'
import type { Gate } from './limits.ts'
import { boundsFor } from './messages.ts'
import { dbIdOf, eventIdOf, filterOf, single } from './query.ts'
import { isGone, takeOver } from './sinks.ts'

/** What a client waits before it reconnects, unless told otherwise, in milliseconds. */
const RETRY_MS = 2_000
const MOST_EVENTS = 100
const MOST_TAIL = 5_000

/** The events of one stream. */
export const StreamEvents = z
  .array(z.union([z.literal('*'), EventId]))
  .min(1)
  .max(MOST_EVENTS)
/** How many messages before the end a stream begins. */
export const Tail = DbId.pipe(z.number().int().max(MOST_TAIL))

const HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
  'X-Content-Type-Options': 'nosniff',
}

export interface StreamOptions {
  readonly log: Log
  readonly live: Live
  readonly authorise: Authorise
  readonly gate: Gate
  /** Told of every cursor that could not be honoured. */
  readonly onReset: (reason: ResetReason) => void
}

/** The events that a request names: `*` alone, or up to 100 ids. */
const eventsOf = (query: URLSearchParams): string[] | '*' => {
  const ids = query.getAll('event_id')
  if (ids.length === 0) throw new GatewayError('invalid_query', 'event_id is missing.')
  if (ids.includes('*')) {
    if (ids.length > 1) throw new GatewayError('invalid_query', 'event_id=* stands alone.')
    return '*'
  }
  if (ids.length > MOST_EVENTS) throw new GatewayError('too_many_events', `${ids.length} events are too many.`)
  return ids.map(eventIdOf)
}

/** The SSE side: one event, or several on one connection with one cursor. */
export const routeStreams = (router: Router, options: StreamOptions): void => {
  router.get('/api/events/:event_id/stream', async (ctx) => {
    const query = new URLSearchParams(ctx.querystring)
    await openStream(ctx, options, [eventIdOf(ctx.params.event_id ?? '')], query)
  })

  router.get('/api/stream', async (ctx) => {
    const query = new URLSearchParams(ctx.querystring)
    await openStream(ctx, options, eventsOf(query), query)
  })
}

const startOf = async (ctx: Context, log: Log, wanted: Selection, access: Access, query: URLSearchParams) => {
  const request = parseCursor(ctx.get('last-event-id') || undefined, single(query, 'last_message_db_id'))
  if (request === null) {
    throw new GatewayError('invalid_query', 'last_message_db_id must be a whole number from 0 up, or latest.')
  }
  const tail = dbIdOf(query, 'tail')
  if (tail !== undefined && tail > MOST_TAIL) throw new GatewayError('invalid_query', `tail is at most ${MOST_TAIL}.`)
  const { bounds, head } = await boundsFor(log, wanted, access)
  let start: Start = resolveCursor(request, bounds)
  const fromHeader = ctx.get('last-event-id') !== ''
  if (tail !== undefined && !fromHeader) start = { cursor: await log.cursorBefore(wanted, tail), reset: null }
  return { start, bounds, head }
}

const openStream = async (ctx: Context, options: StreamOptions, events: string[] | '*', query: URLSearchParams) => {
  const access = await options.authorise(ctx, 'stream', events)
  if (ctx.method === 'HEAD') {
    await startOf(ctx, options.log, wantedOf(access, query), access, query)
    ctx.set(HEADERS)
    ctx.status = 200
    return
  }
  const leavePlace = await options.gate.enter(ctx, access)
  let open = false
  try {
    open = await openPlaced(ctx, options, access, query, leavePlace)
  } finally {
    if (!open) leavePlace()
  }
}

const wantedOf = ({ events }: Access, query: URLSearchParams): Selection =>
  selection(events, filterOf(query, 'message_type'), filterOf(query, 'message_from'))

/** A stream keeps no more of its token than decides on its end. */
const tokenOf = ({ principal }: Access): StreamToken | null => {
  if (principal === null) return null
  const { subject, issuedAt, expiresAt } = principal
  return { subject, issuedAt, expiresAt }
}

/** @returns whether the stream is open; `onEnd` is then called at its end */
const openPlaced = async (
  ctx: Context,
  { log, live, onReset }: StreamOptions,
  access: Access,
  query: URLSearchParams,
  onEnd: () => void,
): Promise<boolean> => {
  const wanted = wantedOf(access, query)
  const { start, bounds, head } = await startOf(ctx, log, wanted, access, query)
  // The client may have left while its cursor was looked up (S2).
  if (isGone(ctx)) {
    ctx.respond = false
    return false
  }
  // Raw bytes would get in front of an answer that is still to be sent on this connection.
  if (ctx.res.socket === null) throw new GatewayError('pipelined_stream', 'An earlier request is not answered yet.')
  // Nothing waits between this look and the subscription, so no revocation falls between them.
  if (!access.stands()) throw new GatewayError('token_revoked', 'The token’s subject was revoked.')
  ctx.respond = false
  let leave = (): void => undefined
  for (const [name, value] of Object.entries(HEADERS)) ctx.res.setHeader(name, value)
  const { sink, head: responseBytes } = takeOver(ctx, () => {
    leave()
    onEnd()
  })
  const hello = helloFrame({
    log_id: log.logId,
    cursor: start.cursor,
    first_db_id: bounds.first_db_id,
    last_db_id: bounds.last_db_id,
    server_time: new Date().toISOString(),
  })
  const reset = start.reset === null ? [] : [resetFrame(start.reset, bounds.first_db_id)]
  if (start.reset !== null) onReset(start.reset)
  leave = live.subscribe({
    selection: wanted,
    sink,
    cursor: start.cursor,
    target: bounds.last_db_id,
    head,
    token: tokenOf(access),
    prelude: Buffer.concat([responseBytes, retryFrame(RETRY_MS), hello, ...reset]),
  })
  return true
}
