import type { Context } from 'koa'
import * as z from 'zod'
import { Cursor, DbId, parseCursor } from '../../core/cursor.ts'
import { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import { encodeHelloEvent, encodeResetEvent, type HelloData } from '../../core/sse.ts'
import type { SubscriptionFilter } from '../../core/subscription-filter.ts'
import type { StreamHub, StreamToken } from '../../streams/hub.ts'
import type { Access } from '../auth/authorize.ts'
import { EventIdField, EventsField, EXAMPLE_EVENT, type FieldValues, MESSAGE_FILTERS } from '../parameters.ts'
import { lastEventId, type RequestView } from '../request-view.ts'
import { defineRoute, STORAGE_ERRORS } from '../route.ts'
import { type DetachedResponse, detachResponse, isClientGone } from '../server/sinks.ts'
import { type MessagesOptions, resolveStart, toFilter } from './messages.ts'

/** Delay before clients reconnect, unless configured otherwise, in milliseconds. */
const RETRY_MS = 2_000
const MAX_TAIL = 5_000

/** Headers of a stream response. */
export const STREAM_HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
  'X-Content-Type-Options': 'nosniff',
}

export interface StreamOptions extends MessagesOptions {
  readonly hub: StreamHub
}

const STREAM_QUERY = {
  last_message_db_id: Cursor.optional().meta({
    description:
      'The cursor: the stream starts after it; 0 if absent, latest for the end. Last-Event-ID and lastEventId take precedence.',
    example: 0,
  }),
  lastEventId: z.array(z.string()).optional().meta({
    description: 'As Last-Event-ID, which takes precedence, for clients that cannot set headers. The last one counts.',
    explode: true,
  }),
  tail: DbId.pipe(
    z
      .number()
      .int()
      .max(MAX_TAIL, { error: `is at most ${MAX_TAIL}` }),
  )
    .optional()
    .describe('Start this many messages before the end.'),
  event: z
    .literal('message', { error: 'must be message' })
    .optional()
    .describe('Send messages without an event name, for clients that only receive default events (onmessage).'),
  ...MESSAGE_FILTERS,
}

/** A request for a stream that was authorized and whose parameters are valid. */
export interface AdmittedStream {
  readonly access: Access
  readonly query: FieldValues<typeof STREAM_QUERY>
}

/** The connection that a stream is sent on. */
export interface StreamResponse {
  /** True if the client has disconnected. */
  isGone(): boolean
  /**
   * Takes over the connection. Nothing has been written to it before.
   *
   * @param onClose called once when the client disconnects or the connection is lost
   */
  detach(onClose: () => void): DetachedResponse
}

const toStreamResponse = (ctx: Context): StreamResponse => ({
  isGone: () => isClientGone(ctx),
  detach: (onClose) => {
    // Raw bytes would be sent before the response of an earlier request on this connection.
    if (ctx.res.socket === null)
      throw new GatewayError(
        'pipelining_unsupported',
        'An earlier request on this connection has not been answered yet.',
      )
    ctx.respond = false
    ctx.status = 200
    for (const [name, value] of Object.entries(STREAM_HEADERS)) ctx.res.setHeader(name, value)
    return detachResponse(ctx, onClose)
  },
})

const toStreamFilter = ({ access, query }: AdmittedStream): SubscriptionFilter => ({
  ...toFilter(access, query),
  unnamed: query.event === 'message',
})

const resolveStreamStart = async (
  request: RequestView,
  { access, query }: AdmittedStream,
  options: StreamOptions,
  filter: SubscriptionFilter,
) => {
  const resumedAfter = lastEventId(request)
  const resolved = await resolveStart(parseCursor(resumedAfter, query.last_message_db_id), options, filter, access)
  if (query.tail === undefined || resumedAfter !== '') return resolved
  return { ...resolved, start: { cursor: await options.store.tailCursor(filter, query.tail), reset: null } }
}

/**
 * Opens a stream, unless its client has disconnected meanwhile.
 *
 * @throws GatewayError if it cannot be opened; no slot is held and nothing was written in that case
 */
export const openStream = async (
  request: RequestView,
  admitted: AdmittedStream,
  response: StreamResponse,
  options: StreamOptions,
): Promise<boolean> => {
  const releaseSlot = await options.quotas.acquireStream(request, admitted.access)
  let open = false
  try {
    open = await subscribe(request, admitted, response, options, releaseSlot)
  } finally {
    if (!open) releaseSlot()
  }
  return open
}

/** Keeps only those fields of the token that determine when the stream ends. */
const toStreamToken = ({ principal }: Access): StreamToken | null => {
  if (principal === null) return null
  const { subject, hasSession, tokenId, issuedAt, expiresAt } = principal
  return { subject, session: hasSession ? tokenId : null, issuedAt, expiresAt }
}

/** @returns true if the stream is open; `onEnd` is then called when it ends */
const subscribe = async (
  request: RequestView,
  admitted: AdmittedStream,
  response: StreamResponse,
  options: StreamOptions,
  onEnd: () => void,
): Promise<boolean> => {
  const { access } = admitted
  const { store, hub, onReset } = options
  const filter = toStreamFilter(admitted)
  const { start, bounds, head } = await resolveStreamStart(request, admitted, options, filter)
  // The client may have disconnected during the cursor lookup (S2).
  if (response.isGone()) return false
  // There is no await between this check and the subscription, so no revocation can be missed.
  access.requireValid()
  let unsubscribe: () => void = noop
  const { sink, head: responseBytes } = response.detach(() => {
    unsubscribe()
    onEnd()
  })
  const hello: HelloData = {
    log_id: store.logId,
    cursor: start.cursor,
    first_db_id: bounds.first_db_id,
    last_db_id: bounds.last_db_id,
    server_time: new Date().toISOString(),
    events: filter.events,
    filters: {
      message_type: filter.types && [...filter.types],
      message_from: filter.senders && [...filter.senders],
    },
  }
  const reset = start.reset === null ? [] : [encodeResetEvent(start.reset, bounds.first_db_id)]
  if (start.reset !== null) onReset(start.reset)
  unsubscribe = hub.subscribe({
    filter,
    sink,
    cursor: start.cursor,
    caughtUpAt: bounds.last_db_id,
    head,
    token: toStreamToken(access),
    preamble: Buffer.concat([responseBytes, encodeHelloEvent(hello, RETRY_MS), ...reset]),
  })
  return true
}

const handler =
  (options: StreamOptions) =>
  async ({ ctx, ...admitted }: AdmittedStream & { readonly ctx: Context }): Promise<void> => {
    if (ctx.method === 'HEAD') {
      await resolveStreamStart(ctx, admitted, options, toStreamFilter(admitted))
      ctx.set(STREAM_HEADERS)
      ctx.status = 200
      return
    }
    await openStream(ctx, admitted, toStreamResponse(ctx), options)
    // The stream owns the connection now, or the client has disconnected.
    ctx.respond = false
  }

const EXAMPLE_STREAM = `retry: 2000
id: 0
event: hello
data: {"log_id":"…","cursor":0,"first_db_id":1,"last_db_id":1,…,"events":["${EXAMPLE_EVENT}"],"filters":{…}}

id: 1
event: new_message
data: {"message_from":"_captain",…,"event_id":"${EXAMPLE_EVENT}","message_id":"…","received_at":"…","db_id":1}

event: caught_up
data: {"last_message_db_id":1}

`

const STREAM = {
  method: 'GET',
  access: 'stream',
  tag: 'streams',
  headers: {
    'Last-Event-ID': z
      .string()
      .optional()
      .describe('The last id received, as EventSource sends it. A value that is not a db_id causes a reset.'),
  },
  responses: {
    200: {
      description: 'Server-sent events until either side closes. x-events describes each event and its data.',
      text: { type: 'text/event-stream', example: EXAMPLE_STREAM },
    },
  },
  errors: [
    ...STORAGE_ERRORS,
    'invalid_event_id',
    'invalid_query',
    'ticket_invalid',
    'origin_forbidden',
    'pipelining_unsupported',
    'too_many_streams',
  ],
  handler,
} as const

/** The SSE channel of one event. */
export const EVENT_STREAM = defineRoute({
  ...STREAM,
  path: '/api/events/:event_id/stream',
  summary: 'Subscribe to one event',
  description:
    'Sends the messages after the cursor and then each new one. An event without messages is an empty stream.',
  params: { event_id: EventIdField },
  query: STREAM_QUERY,
})

/** Several events on one connection. */
export const EVENTS_STREAM = defineRoute({
  ...STREAM,
  path: '/api/stream',
  summary: 'Subscribe to several events on one connection, with one cursor',
  description: 'Sends the messages of all these events in one ascending order, as the stream of one event does.',
  query: { event_id: EventsField, ...STREAM_QUERY },
  errors: [...STREAM.errors, 'too_many_events'],
})
