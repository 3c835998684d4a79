import { z } from 'zod'

/** What a log, or the part of it that a reader may see, begins and ends with. All are db_ids; 0: none. */
export interface Bounds {
  /** The smallest db_id among the messages. */
  readonly first_db_id: number
  /** The greatest db_id among the messages. */
  readonly last_db_id: number
  /** The greatest db_id ever removed by retention. */
  readonly pruned_db_id: number
  /** The greatest db_id that the whole log ever gave out: no honest cursor lies beyond. */
  readonly head_db_id: number
}

/**
 * The bounds as a reader may know them who does not read everything: a cursor beyond all that it ever could have
 * been given is ahead, whatever others have written since. Were it the log's own end that decides, anybody could
 * find out by trying how much happens in events of others.
 *
 * @param readable the bounds of all events that the reader may read
 */
export const restrictBounds = (bounds: Bounds, readable: Bounds): Bounds => ({
  ...bounds,
  head_db_id: Math.max(readable.last_db_id, readable.pruned_db_id),
})

export type ResetReason = 'cursor_ahead' | 'cursor_invalid' | 'history_pruned'

/** Where a reader starts: everything with a db_id greater than `cursor`, after a `reset` if there is a reason. */
export interface ResolvedCursor {
  readonly cursor: number
  readonly reset: ResetReason | null
}

/** What a reader asked for. `invalid` is possible only in a Last-Event-ID, a malformed query being refused. */
export type CursorRequest =
  | { readonly kind: 'after'; readonly db_id: number; readonly resumed: boolean }
  | { readonly kind: 'latest' }
  | { readonly kind: 'invalid' }

/**
 * Reads a db_id from text.
 *
 * @returns a safe integer from 0 up, or null for anything else
 */
export const parseDbId = (text: string): number | null => {
  if (!/^\d{1,16}$/.test(text)) return null
  const id = Number(text)
  return Number.isSafeInteger(id) ? id : null
}

/** A db_id as the text of a query. */
export const DbId = z
  .string()
  .refine((text) => parseDbId(text) !== null, { error: 'must be a whole number from 0 up' })
  .transform(Number)
  .pipe(z.number().int().min(0))

/** A cursor as the text of a query. */
export const Cursor = z.union([z.literal('latest'), DbId], { error: 'must be a whole number from 0 up, or latest' })

/**
 * The first of the Last-Event-ID header, `last_message_db_id` in the query and 0 decides; the header wins, because
 * a browser reconnects to the original URL.
 *
 * @param header '' or undefined: there is none
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
      if (request.db_id > bounds.head_db_id) return { cursor: 0, reset: 'cursor_ahead' }
      // A plain 0 asks for what there is; a resumed cursor claims to have seen all before it.
      if (request.resumed && request.db_id < bounds.pruned_db_id) return { cursor: 0, reset: 'history_pruned' }
      return { cursor: request.db_id, reset: null }
  }
}
