import { useEffect, useRef, useState } from 'preact/hooks'
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

/** What a search has found so far. */
interface Found {
  readonly hits: readonly FoundMessage[]
  /** Where older hits begin; null if there are none. */
  readonly nextBefore: number | null
  /** Share of the stored messages that can be found, from 0 to 1. */
  readonly indexed: number
}

export interface SearchResult extends Found {
  readonly is: 'searching' | 'found' | 'failed'
  readonly error: unknown
}

const EMPTY: SearchResult = { is: 'searching', hits: [], nextBefore: null, indexed: 1, error: null }

/** Time without typing after which the search starts, in milliseconds. */
const TYPING_MS = 300
/** First and longest pause before the search is repeated while the index is built, in milliseconds; each one is twice as long. */
const REPEAT_MS = 2_000
const MAX_REPEAT_MS = 60_000
/** Hits that are loaded at once, if there are as many. */
const PAGE = 50
/** Maximum number of hits in one answer of the gateway. */
const MAX_PAGE = 200
/** Answers after which older hits are loaded only on request, even if they had fewer hits than a page. */
const MAX_ANSWERS = 10
/** Length of a query that the gateway accepts. */
const MAX_QUERY = 256

/** Splits a query into the words and phrases that a hit contains. */
export const splitIntoTerms = (query: string): string[] =>
  [...query.matchAll(/"([^"]*)"?|([^\s"]+)/g)]
    .map(([, phrase, word = '']) => (phrase ?? word).trim().toLowerCase())
    .filter((term) => term !== '')

/** Returns whether the gateway accepts a query. */
export const isSearchable = (query: string): boolean =>
  query.length <= MAX_QUERY && splitIntoTerms(query).some((term) => term.split(/\s+/).some((word) => word.length > 1))

/** A search over the messages of the gateway. */
export interface SearchRequest {
  /** An empty one searches nothing. */
  readonly query: string
  /** Searches only this event; null for all. */
  readonly eventId: string | null
  /** Filter of the room; its text and `attention` are not applied. */
  readonly filter: MessageFilter
}

/** Searches downwards from a db_id, or from the newest message. Yields all hits so far after each answer. */
async function* find(search: SearchRequest, before: number | null, signal: AbortSignal): AsyncGenerator<Found> {
  const { query, eventId, filter } = search
  const parameters = new URLSearchParams({ q: query, limit: String(PAGE), ...filterParameters(filter) })
  if (eventId !== null) parameters.set('event_id', eventId)
  let found: Found = { hits: [], nextBefore: before, indexed: 1 }
  do {
    if (found.nextBefore !== null) parameters.set('before', String(found.nextBefore))
    const { data, next_before, indexed } = await api<Answer>(`/api/search?${parameters}`, { signal })
    found = {
      hits: [...found.hits, ...data.filter((hit) => isShown(filter, hit))],
      nextBefore: next_before,
      // The newest messages are indexed last, so a later answer does not make up for an earlier one.
      indexed: Math.min(found.indexed, indexed),
    }
    yield found
    // The answer ended at the time limit of the gateway, or some of its hits are not shown.
    parameters.set('limit', String(MAX_PAGE))
  } while (found.nextBefore !== null)
}

/** Searches until there is a page of hits. Yields all hits so far after each answer. */
async function* findPage(
  search: SearchRequest,
  before: number | null,
  signal: AbortSignal,
): AsyncGenerator<SearchResult> {
  let answers = 0
  for await (const found of find(search, before, signal)) {
    answers += 1
    const isDone = found.nextBefore === null || found.hits.length >= PAGE || answers === MAX_ANSWERS
    yield { ...found, is: isDone ? 'found' : 'searching', error: null }
    if (isDone) return
  }
}

/** Searches again what a result covers. */
const findAgain = async (search: SearchRequest, last: Found, signal: AbortSignal): Promise<SearchResult> => {
  let again: Found = last
  for await (const found of find(search, null, signal)) {
    again = found
    const isCovered = found.nextBefore !== null && last.nextBefore !== null && found.nextBefore <= last.nextBefore
    if (isCovered || found.hits.length >= Math.max(PAGE, last.hits.length)) break
  }
  return { ...again, is: 'found', error: null }
}

/**
 * Searches the messages once the user pauses typing, and repeats the search while the index is built.
 *
 * @returns the result, null if nothing is searched or if the gateway has no search; and a function that loads older hits, or retries a failed search
 */
export const useSearch = (search: SearchRequest): [SearchResult | null, () => void] => {
  const { query, eventId, filter } = search
  const key = `${eventId ?? ''}${filterToQuery({ ...filter, text: query, attention: false })}`
  const [state, setState] = useState<{ readonly key: string; readonly result: SearchResult } | null>(null)
  const [attempt, setAttempt] = useState(0)
  const continued = useRef<typeof state>(null)

  useEffect(() => {
    const newer = continued.current?.key === key ? continued.current.result : EMPTY
    continued.current = null
    if (!isSearchable(query)) return setState(null)
    const stop = new AbortController()
    let last = newer
    const show = (result: SearchResult): void => {
      last = result
      if (!stop.signal.aborted) setState({ key, result })
    }
    const start = async (): Promise<void> => {
      show({ ...newer, is: 'searching', error: null })
      try {
        for await (const found of findPage(search, newer.nextBefore, stop.signal)) {
          const indexed = Math.min(newer.indexed, found.indexed)
          show({ ...found, hits: [...newer.hits, ...found.hits], indexed })
        }
        for (let pause = REPEAT_MS; last.indexed < 1; pause = Math.min(2 * pause, MAX_REPEAT_MS)) {
          await new Promise((resolve) => setTimeout(resolve, pause))
          show(await findAgain(search, last, stop.signal))
        }
      } catch (error) {
        if (stop.signal.aborted) return
        if (error instanceof ApiError && error.code === 'search_disabled') setState(null)
        else show({ ...last, is: 'failed', error })
      }
    }
    const timer = setTimeout(start, newer === EMPTY ? TYPING_MS : 0)
    return () => {
      clearTimeout(timer)
      stop.abort()
    }
  }, [key, attempt])

  const isCurrent = state?.key === key
  const more = (): void => {
    if (!isCurrent) return
    continued.current = state.result.nextBefore === null ? null : state
    setAttempt(attempt + 1)
  }
  // Hits of the last search stay until the next one starts, so that nothing flickers while the user types.
  return [state === null || isCurrent ? (state?.result ?? null) : { ...state.result, is: 'searching' }, more]
}
