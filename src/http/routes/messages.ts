import type { Context } from 'koa'
import * as z from 'zod'
import {
  type Bounds,
  Cursor,
  type CursorRequest,
  parseCursor,
  type ResetReason,
  type ResolvedCursor,
  resolveCursor,
  restrictBounds,
} from '../../core/cursor.ts'
import { EventId, serializeDelivery } from '../../core/message.ts'
import { createFilter, type SubscriptionFilter } from '../../core/subscription-filter.ts'
import type { EventSummary, MessagePage, MessageStore, PageLimit } from '../../store/store.ts'
import type { UpstreamView } from '../../upstream/status.ts'
import { DeliveredMessageSchema, EXAMPLE_MESSAGE, ResetSchema, successSchema } from '../api/schemas.ts'
import type { Access } from '../auth/authorize.ts'
import {
  dbIdField,
  EventIdField,
  EXAMPLE_EVENT,
  type FieldValues,
  invalidQuery,
  limitField,
  MESSAGE_FILTERS,
} from '../parameters.ts'
import type { Quotas } from '../quotas.ts'
import { sendJsonTexts, sendSuccess } from '../responses.ts'
import { defineRoute, STORAGE_ERRORS } from '../route.ts'
import { isClientGone } from '../server/sinks.ts'

/** A page of messages ends at this size even below its limit; `has_more` is true then. */
const PAGE_BYTES = 8 * 1024 * 1024

export interface MessagesOptions {
  readonly store: MessageStore
  readonly quotas: Quotas
  /** The core of this gateway if it is an edge, otherwise null. */
  readonly upstream: UpstreamView | null
  /** Called for every invalid cursor. */
  readonly onReset: (reason: ResetReason) => void
}

const toSummary = (event: EventSummary) => ({
  ...event,
  first_at: new Date(event.first_at).toISOString(),
  last_at: new Date(event.last_at).toISOString(),
})

/** Reads windows of the store until a page is full, since a filter may leave few messages of each window. */
const readPages = async (
  { ctx, query, trackBytes }: PageRequest,
  read: (limit: PageLimit, from: MessagePage | null) => Promise<MessagePage>,
): Promise<MessagePage[]> => {
  const pages: MessagePage[] = []
  let remaining: PageLimit = { messages: query.limit, bytes: PAGE_BYTES }
  let last: MessagePage | null = null
  do {
    last = await read(remaining, last)
    pages.push(last)
    const bytes = last.messages.reduce((sum, message) => sum + message.body.length, 0)
    trackBytes(bytes)
    remaining = { messages: remaining.messages - last.messages.length, bytes: remaining.bytes - bytes }
    // Stop reading for a client that has disconnected.
  } while (last.hasMore && remaining.messages > 0 && remaining.bytes > 0 && !isClientGone(ctx))
  return pages
}

/** Returns the filter for the granted events and the filters of the query. */
export const toFilter = (
  { events }: Access,
  { message_type, message_from }: FieldValues<typeof MESSAGE_FILTERS>,
): SubscriptionFilter => createFilter(events, message_type ?? null, message_from ?? null)

/**
 * Returns the bounds of a filter, restricted to events that the subscriber can read, and the end of the store, which
 * must not be sent to clients.
 */
const visibleBounds = async (
  store: MessageStore,
  filter: SubscriptionFilter,
  { readableEvents }: Access,
): Promise<{ bounds: Bounds; head: number }> => {
  const bounds = await store.bounds(filter)
  const head = bounds.head_db_id
  return {
    bounds: readableEvents === '*' ? bounds : restrictBounds(bounds, await store.bounds(createFilter(readableEvents))),
    head,
  }
}

/**
 * Resolves the cursor of a subscriber. At an edge, a cursor beyond the end of the copy can be valid: its client has received messages from
 * the core or another edge that this one does not have yet.
 */
export const resolveStart = async (
  request: CursorRequest,
  { store, upstream }: Pick<MessagesOptions, 'store' | 'upstream'>,
  filter: SubscriptionFilter,
  access: Access,
): Promise<{ start: ResolvedCursor; bounds: Bounds; head: number }> => {
  if (upstream !== null) await upstream.settled()
  const visible = await visibleBounds(store, filter, access)
  const start = resolveCursor(request, visible.bounds)
  if (upstream === null || request.kind !== 'after' || start.reset !== 'cursor_ahead') return { start, ...visible }
  const isValid = await upstream.mayReach(request.db_id, access.readableEvents === '*')
  // The copy may have caught up, or have been replaced, meanwhile.
  await upstream.settled()
  const { bounds, head } = await visibleBounds(store, filter, access)
  const limit = isValid ? { ...bounds, head_db_id: Number.MAX_SAFE_INTEGER } : bounds
  return { start: resolveCursor(request, limit), bounds, head }
}

const dbId = z.number().int().min(0)
const time = z.iso.datetime().describe('ISO 8601 in UTC.')

const EventSummarySchema = z.strictObject({
  event_id: EventId,
  messages: z.number().int(),
  first_db_id: dbId,
  last_db_id: dbId,
  first_at: time,
  last_at: time,
})

const EXAMPLE_LOG_ID = '6f0f1c1e-5a86-4c0a-8f0a-0f7a54cf0a51'
const EXAMPLE_TIME = '2026-11-22T10:00:00.123Z'

const MESSAGES_QUERY = {
  last_message_db_id: Cursor.optional().meta({
    description: 'The cursor: the page starts after it; 0 if absent, latest for the end.',
    example: 0,
  }),
  limit: limitField(500, 5_000).meta({ example: 2 }),
  before: dbIdField('Instead of a cursor: the newest messages before this db_id.'),
  ...MESSAGE_FILTERS,
}

/** An admitted request for a page of messages. */
interface PageRequest {
  readonly ctx: Context
  readonly access: Access
  readonly query: FieldValues<typeof MESSAGES_QUERY>
  readonly filter: SubscriptionFilter
  /** Called with the number of bytes that the response will hold. */
  readonly trackBytes: (bytes: number) => void
}

const respondAfter = async (request: PageRequest, { store, upstream, onReset }: MessagesOptions) => {
  const { ctx, access, filter, query } = request
  const cursorRequest = parseCursor(undefined, query.last_message_db_id)
  const { start, bounds } = await resolveStart(cursorRequest, { store, upstream }, filter, access)
  const { cursor, reset } = start
  if (reset !== null) onReset(reset)
  const pages = await readPages(request, (remaining, last) =>
    store.read(filter, last?.readThrough ?? cursor, remaining),
  )
  const messages = pages.flatMap((page) => page.messages)
  sendJsonTexts(ctx, messages.map(serializeDelivery), {
    last_message_db_id: messages.at(-1)?.db_id ?? cursor,
    has_more: pages.at(-1)!.hasMore,
    log_id: store.logId,
    ...(reset === null ? {} : { reset: { reason: reset, first_db_id: bounds.first_db_id } }),
  })
}

const respondBefore = async (request: PageRequest, { store }: MessagesOptions, before: number) => {
  const { ctx, filter, query } = request
  if (query.last_message_db_id !== undefined) throw invalidQuery('before and last_message_db_id cannot be combined.')
  const pages = await readPages(request, (remaining, last) =>
    store.readBefore(filter, last?.readThrough ?? before, remaining),
  )
  const messages = pages.reverse().flatMap((page) => page.messages)
  sendJsonTexts(ctx, messages.map(serializeDelivery), {
    last_message_db_id: messages.at(-1)?.db_id ?? Math.max(0, before - 1),
    has_more: pages[0]!.hasMore,
    log_id: store.logId,
  })
}

/** Routes for the list of events and the messages of an event. */
export const MESSAGE_ROUTES = [
  defineRoute({
    method: 'GET',
    path: '/api/events',
    access: 'read',
    tag: 'messages',
    summary: 'List the readable events by latest activity',
    description:
      'Events that the token does not open are left out. The next page starts before the last_db_id of the last event.',
    query: {
      limit: limitField(100, 1_000).meta({ example: 10 }),
      before: dbIdField('Only events with a smaller last_db_id than this.'),
    },
    responses: {
      200: {
        description: 'One page.',
        schema: successSchema(z.array(EventSummarySchema), { has_more: z.boolean(), log_id: z.string() }),
        example: {
          status: 'success',
          data: [
            {
              event_id: EXAMPLE_EVENT,
              messages: 1,
              first_db_id: 1,
              last_db_id: 1,
              first_at: EXAMPLE_TIME,
              last_at: EXAMPLE_TIME,
            },
          ],
          has_more: false,
          log_id: EXAMPLE_LOG_ID,
        },
      },
    },
    errors: [...STORAGE_ERRORS, 'invalid_query'],
    handler:
      ({ store }: MessagesOptions) =>
      async ({ ctx, access, query }) => {
        const events = await store.events(query.limit + 1, query.before ?? 0, access.events)
        const page = events.slice(0, query.limit)
        sendSuccess(ctx, 200, page.map(toSummary), { has_more: events.length > query.limit, log_id: store.logId })
      },
  }),
  defineRoute({
    method: 'GET',
    path: '/api/events/:event_id/messages',
    access: 'read',
    tag: 'messages',
    summary: 'List the messages of an event after a cursor, ascending',
    description: 'The list is empty for an event without messages. A page ends at its limit or at 8 MiB of bodies.',
    params: { event_id: EventIdField },
    query: MESSAGES_QUERY,
    responses: {
      200: {
        description: 'One page.',
        schema: successSchema(z.array(DeliveredMessageSchema), {
          last_message_db_id: dbId.describe('The next cursor.'),
          has_more: z.boolean(),
          log_id: z.string().describe('Identifies the database; a new database has a new id.'),
          reset: ResetSchema.optional(),
        }),
        example: {
          status: 'success',
          data: [{ ...EXAMPLE_MESSAGE, event_id: EXAMPLE_EVENT, received_at: EXAMPLE_TIME, db_id: 1 }],
          last_message_db_id: 1,
          has_more: false,
          log_id: EXAMPLE_LOG_ID,
        },
      },
    },
    errors: [...STORAGE_ERRORS, 'invalid_query', 'invalid_event_id'],
    handler:
      (options: MessagesOptions) =>
      async ({ ctx, access, query }) => {
        const filter = toFilter(access, query)
        const request = { ctx, access, query, filter, trackBytes: options.quotas.trackBodyBytes(ctx, access) }
        if (query.before === undefined) await respondAfter(request, options)
        else await respondBefore(request, options, query.before)
      },
  }),
]
