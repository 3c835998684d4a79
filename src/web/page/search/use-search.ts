import { useEffect, useState } from 'preact/hooks'
import type { SearchHit } from '../../../store/search/search.ts'
import type { MessageFilter } from '../room/model/filter.ts'
import { filterToQuery } from '../room/model/filter-url.ts'
import { type Answered, ApiError, api } from '../shared/api.ts'
import { filterParameters, isShown } from './hit-filter.ts'

export type FoundMessage = Answered<SearchHit, 'received_at'>

interface Answer {
  readonly data: readonly FoundMessage[]
  readonly next_before: number | null
  readonly indexed: number
}

export interface SearchResult {
  readonly is: 'searching' | 'found' | 'failed'
  readonly hits: readonly FoundMessage[]
  /** Where older hits begin; null if there are none. */
  readonly nextBefore: number | null
  readonly indexed: number
  readonly error: unknown
}

const EMPTY: SearchResult = { is: 'searching', hits: [], nextBefore: null, indexed: 1, error: null }

/** Time without typing after which the search starts, in milliseconds. */
const TYPING_MS = 300
const PAGE = 50
/** Maximum number of hits in one answer of the gateway. */
const MAX_PAGE = 200
/** Pages without a shown hit after which older hits are loaded only on request. */
const MAX_EMPTY_PAGES = 10
/** Length of a query that the gateway accepts. */
const MAX_QUERY = 256

/** Splits a query into the words and phrases that a hit contains. */
export const termsOf = (query: string): string[] =>
  [...query.matchAll(/"([^"]*)"?|([^\s"]+)/g)]
    .map(([, phrase, word = '']) => (phrase ?? word).trim().toLowerCase())
    .filter((term) => term !== '')

/** Returns whether the gateway accepts a query. */
export const isSearchable = (query: string): boolean =>
  query.length <= MAX_QUERY && termsOf(query).some((term) => term.split(/\s+/).some((word) => word.length > 1))

const load = async (
  { query, eventId, filter }: SearchRequest,
  before: number | null,
  signal: AbortSignal,
): Promise<Answer> => {
  const parameters = new URLSearchParams({ q: query, limit: String(PAGE), ...filterParameters(filter) })
  if (eventId !== null) parameters.set('event_id', eventId)
  let next = before
  for (let empty = 1; ; empty++) {
    if (next !== null) parameters.set('before', String(next))
    const answer = await api<Answer>(`/api/search?${parameters}`, { signal })
    const data = answer.data.filter((hit) => isShown(filter, hit))
    // A page without hits ended at the time limit of the gateway, or has only those that are filtered.
    if (data.length > 0 || answer.next_before === null || empty === MAX_EMPTY_PAGES) return { ...answer, data }
    next = answer.next_before
    parameters.set('limit', String(MAX_PAGE))
  }
}

/** A search over the messages of the gateway. */
export interface SearchRequest {
  /** An empty one searches nothing. */
  readonly query: string
  /** Searches only this event; null for all. */
  readonly eventId: string | null
  /** Filter of the room; its text and `attention` are not applied. */
  readonly filter: MessageFilter
}

/**
 * Searches the messages once the user pauses typing.
 *
 * @returns the result, null if nothing is searched or if the gateway has no search; and a function that loads older hits
 */
export const useSearch = (search: SearchRequest): [SearchResult | null, () => void] => {
  const { query, eventId, filter } = search
  const key = filterToQuery({ ...filter, text: query, attention: false })
  const [result, setResult] = useState<SearchResult | null>(null)
  const [from, setFrom] = useState<{ key: string; before: number } | null>(null)
  const before = from?.key === key ? from.before : null

  useEffect(() => {
    if (!isSearchable(query)) return setResult(null)
    const stop = new AbortController()
    const start = async (): Promise<void> => {
      setResult((last) => (before === null ? EMPTY : { ...(last ?? EMPTY), is: 'searching' }))
      try {
        const { data, next_before, indexed } = await load(search, before, stop.signal)
        setResult((last) => ({
          is: 'found',
          hits: before === null ? data : [...(last?.hits ?? []), ...data],
          nextBefore: next_before,
          indexed,
          error: null,
        }))
      } catch (error) {
        if (stop.signal.aborted) return
        const isOff = error instanceof ApiError && error.code === 'search_disabled'
        setResult((last) => (isOff ? null : { ...(last ?? EMPTY), is: 'failed', error }))
      }
    }
    const timer = setTimeout(start, before === null ? TYPING_MS : 0)
    return () => {
      clearTimeout(timer)
      stop.abort()
    }
  }, [key, eventId, before])

  const more = (): void => {
    if (result !== null && result.nextBefore !== null) setFrom({ key, before: result.nextBefore })
  }
  return [result, more]
}
