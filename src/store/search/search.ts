import { extractSnippet, foldText, matchesTerms, searchableText } from '../../core/search-text.ts'
import { matchesFilter, type SubscriptionFilter } from '../../core/subscription-filter.ts'

/** A search. Times are in milliseconds since 1970. */
export interface SearchQuery {
  /** As returned by parseSearchTerms; a hit contains all of them. */
  readonly terms: readonly string[]
  readonly filter: SubscriptionFilter
  /** Only messages received at this time or later; null for all. */
  readonly since: number | null
  /** Only messages received before this time; null for all. */
  readonly until: number | null
  /** Only messages with a smaller db_id; null for all. */
  readonly before: number | null
  /** Maximum number of hits. */
  readonly limit: number
}

/** A message that was found. */
export interface SearchHit {
  readonly db_id: number
  readonly event_id: string
  readonly message_from: string | null
  readonly message_type: string | null
  /** Milliseconds since 1970. */
  readonly received_at: number
  /** Plain text around the first match. */
  readonly snippet: string
}

export interface SearchPage {
  /** Newest first. */
  readonly hits: SearchHit[]
  /** The search continues with messages before this db_id, or is complete if it is null. A page can end early, even without a hit. */
  readonly nextBefore: number | null
  /** Share of the stored messages that can be found, from 0 to 1; below 1 while an index is built. */
  readonly indexed: number
}

/** State of the index. */
export interface SearchStatus {
  /** Messages in the index. */
  readonly messages: number
  /** Stored messages that are not in the index yet. */
  readonly pending: number
  /** Size of the index in bytes. */
  readonly bytes: number
}

/** Searches the messages of a store. */
export interface MessageSearch {
  start(): void
  stop(): Promise<void>
  /** Maximum number of searches that may run at the same time. */
  readonly maxConcurrent: number
  /**
   * @param signal ends the search early, with a page that nobody needs
   * @throws GatewayError storage_* or database_*
   */
  search(query: SearchQuery, signal: AbortSignal): Promise<SearchPage>
  /** null if there is no index, or if it has not been opened yet. */
  readonly status: SearchStatus | null
}

/** Maximum time that one call searches, in milliseconds; the next page continues. */
export const MAX_SEARCH_MS = 500

/** Returns the hit if a row matches a search, else null. Its event must be one of the filter already. */
export const verifyHit = (
  {
    db_id,
    event_id,
    message_from,
    message_type,
    received_at,
    body,
  }: Omit<SearchHit, 'snippet'> & { readonly body: string },
  { terms, filter, since, until }: SearchQuery,
): SearchHit | null => {
  if (!matchesFilter(filter, { message_from, message_type })) return null
  if (received_at < (since ?? 0) || received_at >= (until ?? Number.POSITIVE_INFINITY)) return null
  const text = searchableText(body)
  if (!matchesTerms(foldText(text), terms)) return null
  return { db_id, event_id, message_from, message_type, received_at, snippet: extractSnippet(text, terms) }
}
