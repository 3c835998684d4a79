import * as z from 'zod'

/** Bounds of a store, or of the part that a client may read. All are db_ids; 0 if there is none. */
export interface Bounds {
  /** The smallest db_id among the messages. */
  readonly first_db_id: number
  /** The greatest db_id among the messages. */
  readonly last_db_id: number
  /** The greatest db_id ever deleted by retention. */
  readonly pruned_db_id: number
  /** The greatest db_id that the whole store ever assigned; a valid cursor is never greater. */
  readonly head_db_id: number
}

/**
 * Restricts the bounds for a client that may not read everything: a cursor that is greater than any db_id it could have received is ahead,
 * regardless of messages in other events. Otherwise a client could find out by trial how active the events of others are.
 *
 * @param readable the bounds of all events that the client may read
 */
export const restrictBounds = (bounds: Bounds, readable: Bounds): Bounds => ({
  ...bounds,
  head_db_id: Math.max(readable.last_db_id, readable.pruned_db_id),
})

/** Reasons for which a cursor is invalid. */
export const RESET_REASONS = ['cursor_ahead', 'cursor_invalid', 'history_pruned'] as const

export type ResetReason = (typeof RESET_REASONS)[number]

/** Start of a stream: everything with a db_id greater than `cursor`, after a `reset` if there is a reason. */
export interface ResolvedCursor {
  readonly cursor: number
  readonly reset: ResetReason | null
}

/** The requested cursor. `invalid` can only come from a Last-Event-ID, since a malformed query is rejected. */
export type CursorRequest =
  | { readonly kind: 'after'; readonly db_id: number; readonly resumed: boolean }
  | { readonly kind: 'latest' }
  | { readonly kind: 'invalid' }

/**
 * Parses a db_id.
 *
 * @returns a safe integer from 0 up, or null if the text is not one
 */
export const parseDbId = (text: string): number | null => {
  if (!/^\d{1,16}$/.test(text)) return null
  const id = Number(text)
  return Number.isSafeInteger(id) ? id : null
}

/** Schema of a db_id in a query. */
export const DbId = z
  .string()
  .refine((text) => parseDbId(text) !== null, { error: 'must be a whole number from 0 up' })
  .transform(Number)
  .pipe(z.number().int().min(0))

/** Schema of a cursor in a query. */
export const Cursor = z.union([z.literal('latest'), DbId], { error: 'must be a whole number from 0 up, or latest' })

/**
 * Parses the requested cursor from the Last-Event-ID header, otherwise from `last_message_db_id` in the query, otherwise 0. The header has
 * precedence because a browser reconnects to the original URL.
 *
 * @param header undefined or empty if there is none
 */
export const parseCursor = (header: string | undefined, query: z.output<typeof Cursor> | undefined): CursorRequest => {
  if (header === undefined || header === '') {
    if (query === 'latest') return { kind: 'latest' }
    return { kind: 'after', db_id: query ?? 0, resumed: query !== undefined && query > 0 }
  }
  const db_id = parseDbId(header)
  return db_id === null ? { kind: 'invalid' } : { kind: 'after', db_id, resumed: true }
}

/** Resolves a requested cursor within the bounds, or returns the reason of a reset. Pure. */
export const resolveCursor = (request: CursorRequest, bounds: Bounds): ResolvedCursor => {
  switch (request.kind) {
    case 'invalid':
      return { cursor: 0, reset: 'cursor_invalid' }
    case 'latest':
      return { cursor: Math.max(bounds.last_db_id, bounds.pruned_db_id), reset: null }
    case 'after':
      // The copy of an edge can have bounds beyond its head: its core has deleted messages that it never had.
      if (request.db_id > Math.max(bounds.head_db_id, bounds.pruned_db_id)) return { cursor: 0, reset: 'cursor_ahead' }
      // A plain 0 requests everything that exists; a resumed cursor means that the client has received everything before it.
      if (request.resumed && request.db_id < bounds.pruned_db_id) return { cursor: 0, reset: 'history_pruned' }
      return { cursor: request.db_id, reset: null }
  }
}
