import type { Context } from 'koa'
import * as z from 'zod'
import { GatewayError } from '../../core/errors.ts'
import { EventId } from '../../core/message.ts'
import { parseSearchTerms } from '../../core/search-text.ts'
import type { MessageSearch, SearchHit } from '../../store/search/search.ts'
import { successSchema } from '../api/schemas.ts'
import type { Access } from '../auth/authorize.ts'
import {
  dbIdField,
  EventsField,
  EXAMPLE_EVENT,
  invalidQuery,
  limitField,
  MESSAGE_FILTERS,
  timeField,
} from '../parameters.ts'
import type { Quotas } from '../quotas.ts'
import { sendSuccess } from '../responses.ts'
import { defineRoute, STORAGE_ERRORS } from '../route.ts'
import { SearchQueue } from '../search-queue.ts'
import { isClientGone } from '../server/sinks.ts'
import { toFilter } from './messages.ts'

const MAX_QUERY = 256

export interface SearchOptions {
  /** null if SEARCH=off. */
  readonly search: MessageSearch | null
  readonly quotas: Quotas
}

const SearchHitSchema = z.strictObject({
  event_id: EventId,
  db_id: z.number().int().min(1),
  message_from: z.string().nullable(),
  message_type: z.string().nullable(),
  received_at: z.iso.datetime().describe('ISO 8601 in UTC.'),
  snippet: z.string().describe('Plain text around the first match, on one line.'),
})

const toHit = ({ event_id, db_id, message_from, message_type, received_at, snippet }: SearchHit) => ({
  event_id,
  db_id,
  message_from,
  message_type,
  received_at: new Date(received_at).toISOString(),
  snippet,
})

/** Returns a signal that is aborted when the response is closed. */
const closeSignal = (ctx: Context): AbortSignal => {
  const controller = new AbortController()
  if (isClientGone(ctx)) controller.abort()
  ctx.res.once('close', () => controller.abort())
  return controller.signal
}

/** The share counts the messages of all events. Callers that may not read them only learn that the index is being built. */
const visibleShare = (indexed: number, { readableEvents }: Access): number =>
  readableEvents === '*' || indexed === 1 ? indexed : 0.5

/** Route for the search in all readable messages. */
export const SEARCH = defineRoute({
  method: 'GET',
  path: '/api/search',
  access: 'read',
  tag: 'messages',
  summary: 'Search the readable messages, newest first',
  description:
    'A hit contains every word of q, in any case and at any place, and every phrase in double quotes; a word has at least two characters. All values are searched, and the names of fields below the top. A page ends at its limit or after half a second, so it can be empty although there is more; the next one starts before next_before.',
  query: {
    q: z
      .string({ error: 'is missing' })
      .max(MAX_QUERY, { error: `must have at most ${MAX_QUERY} characters` })
      .meta({
        description: 'Words and "phrases".',
        example: 'same address',
      }),
    event_id: EventsField.optional().meta({
      description: 'Only messages of this event; can be repeated. Absent or *: all that the caller can read.',
      explode: true,
      example: [EXAMPLE_EVENT],
    }),
    ...MESSAGE_FILTERS,
    since: timeField('Only messages received at this time or later.'),
    until: timeField('Only messages received before this time.'),
    before: dbIdField('Only messages with a smaller db_id than this.'),
    limit: limitField(50, 200).meta({ example: 10 }),
  },
  responses: {
    200: {
      description: 'One page.',
      schema: successSchema(z.array(SearchHitSchema), {
        next_before: z.number().int().nullable().describe('`before` of the next page; null if there is none.'),
        indexed: z
          .number()
          .min(0)
          .max(1)
          .describe(
            'Share of the messages that can be found; below 1 while the index is built. Always 0.5 then for callers that cannot read all events.',
          ),
      }),
      example: {
        status: 'success',
        data: [
          {
            event_id: EXAMPLE_EVENT,
            db_id: 1,
            message_from: '_captain',
            message_type: 'llm_response',
            received_at: '2026-11-22T10:00:00.123Z',
            snippet: 'text: Two hosts speak to the same address every 60 seconds. _captain llm_response',
          },
        ],
        next_before: null,
        indexed: 1,
      },
    },
  },
  errors: [
    ...STORAGE_ERRORS,
    'invalid_query',
    'invalid_event_id',
    'too_many_events',
    'search_disabled',
    'request_aborted',
  ],
  handler: ({ search, quotas }: SearchOptions) => {
    const queue = search && new SearchQueue(search)
    return async ({ ctx, access, query }) => {
      if (queue === null) throw new GatewayError('search_disabled', 'This gateway has no search.')
      const terms = parseSearchTerms(query.q)
      if (terms === null) throw invalidQuery('q must have a word of at least 2 characters, and at most 20 words.')
      const { since = null, until = null, before = null, limit } = query
      const caller = { owner: quotas.getOwner(ctx, access), signal: closeSignal(ctx) }
      const page = await queue.search({ terms, filter: toFilter(access, query), since, until, before, limit }, caller)
      // The search may have waited for a while.
      access.requireValid()
      sendSuccess(ctx, 200, page.hits.map(toHit), {
        next_before: page.nextBefore,
        indexed: visibleShare(page.indexed, access),
      })
    }
  },
})
