import { MAX_DB_ID } from '../scan.ts'
import { MAX_SEARCH_MS, type SearchHit, type SearchPage, type SearchQuery, verifyHit } from '../search/search.ts'
import type { PageLimit } from '../store.ts'
import type { PostgresReader } from './reader.ts'

/** Bodies that one window of a scan returns at most, in bytes. */
const WINDOW_BYTES = 4 * 1024 * 1024

/** Characters that a JSON encoder can escape by a name, or as Go's and Gson's do, by a number. */
const ESCAPABLE = /["\\/<>&'=+\s]/

/** A LIKE pattern for a character as it is, and one for its escape. */
const characterPatterns = (character: string): readonly [raw: string, escaped: string] => {
  if (ESCAPABLE.test(character)) return ['%', '%']
  if (character < '\u0080') {
    const literal = character.replace(/[%_]/, '\\$&')
    return [literal, literal]
  }
  // ILIKE compares only ASCII regardless of case, since the column has the collation C.
  if (!/[\p{Lo}\p{N}]/u.test(character)) return ['%', '%']
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
  return [character, units.map((unit) => `%u${unit.toString(16).padStart(4, '0')}`).join('')]
}

/**
 * Returns ILIKE patterns of which the JSON text of every message with a term matches at least one. They may match other
 * messages as well. Empty if the term cannot be expressed.
 */
const likePatterns = (term: string): string[] => {
  const characters = Array.from(term, characterPatterns)
  const patterns = [0, 1].map((form) => `%${characters.map((pair) => pair[form]).join('')}%`)
  return patterns.some((pattern) => /^%+$/.test(pattern)) ? [] : [...new Set(patterns)]
}

/**
 * Searches by a scan of the messages, newest first, in windows, until the page is full or the time is over. PostgreSQL
 * compares the JSON texts with patterns; what it returns is verified here.
 */
export const scanMessages = async (reader: PostgresReader, query: SearchQuery): Promise<SearchPage> => {
  const patterns = query.terms.map(likePatterns).filter((alternatives) => alternatives.length > 0)
  const limit: PageLimit = { messages: query.limit + 1, bytes: WINDOW_BYTES }
  const deadline = performance.now() + MAX_SEARCH_MS
  const hits: SearchHit[] = []
  let before = query.before ?? MAX_DB_ID
  if (query.filter.events.length === 0) return { hits, nextBefore: null, indexed: 1 }
  while (true) {
    const { messages, hasMore, readThrough } = await reader.searchBefore(query.filter, before, limit, patterns)
    for (const message of messages.reverse()) {
      const hit = verifyHit(message, query)
      if (hit !== null) hits.push(hit)
      if (hits.length > query.limit) {
        return { hits: hits.slice(0, query.limit), nextBefore: hits[query.limit - 1]!.db_id, indexed: 1 }
      }
    }
    if (!hasMore) return { hits, nextBefore: null, indexed: 1 }
    before = readThrough
    if (performance.now() > deadline) return { hits, nextBefore: before, indexed: 1 }
  }
}
