import { MAX_DB_ID } from '../scan.ts'
import { MAX_SEARCH_MS, type SearchHit, type SearchPage, type SearchQuery, verifyHit } from '../search/search.ts'
import type { PageLimit } from '../store.ts'
import type { PostgresReader } from './reader.ts'

/** Bodies that one window of a scan returns at most, in bytes. */
const WINDOW_BYTES = 4 * 1024 * 1024

/** Limits of what is compared in PostgreSQL; the verification does the rest. */
const MAX_WORDS = 20
const MAX_CHARACTERS = 50

/** Forms of characters in JSON texts in addition to themselves and their numbers, as regular expressions. */
const OTHER_FORMS: Partial<Record<string, string>> = {
  // Ends the name of a field.
  ':': '"\\s*:',
  '/': '\\\\+/',
  '\\': '\\\\+',
  // The only characters whose lower case has a letter of ASCII.
  i: '\u0130|\\\\+u0130',
  k: '\u212a|\\\\+u212a',
}

/** Letters, digits and backslashes as numbers. Encoders do not write them, so a message with one always matches. */
const ODD_ESCAPES = '\\\\u00(?:3[0-9]|[46][1-9a-f]|[57][0-9ac])'

/** Numbers that JavaScript writes in another way: 1e3 as 1000, and 0.0000001 as 1e-7. */
const ODD_NUMBERS = '[[,:\\s]-?(?:[0-9]+(?:[.][0-9]+)?e|0[.]0{6}|[0-9.]{16})'

/** Matches the texts that a number can contain. */
const PART_OF_NUMBER = /^[-+]?\d*\.?\d*(e[-+]?\d*)?$/

const characterPattern = (character: string): string => {
  const other = OTHER_FORMS[character]
  if (other === undefined && /^[a-z0-9]$/.test(character)) return character
  // PostgreSQL folds the case of ASCII only, since the column has the collation C. U+0307 is a part of the lower case of U+0130.
  const isFolded = character >= '\u0080' && character !== character.toUpperCase()
  if (isFolded || /[\u0307\p{Cs}]/u.test(character)) return '.*'
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
  const escaped = units.map((unit) => `\\\\+u${unit.toString(16).padStart(4, '0')}`).join('')
  const literal = character.replace(/[^\w\u0080-\uffff]/, '\\$&')
  return `(?:${[literal, escaped, other].filter((form) => form !== undefined).join('|')})`
}

/** Returns a regular expression that the JSON text of every message with a word matches; null if every message does. */
const wordPattern = (word: string): string | null => {
  const pattern = Array.from(word).slice(0, MAX_CHARACTERS).map(characterPattern).join('')
  if (/^(\.\*)*$/.test(pattern)) return null
  const isNumber = PART_OF_NUMBER.test(word) || '-infinity'.includes(word)
  return [pattern, ODD_ESCAPES, ...(isNumber ? [ODD_NUMBERS] : [])].join('|')
}

/**
 * Returns regular expressions that the JSON text of every message with these terms matches, in any case. They may match other messages as
 * well. Each word has one, since the words of a phrase can be in two fields.
 */
const bodyPatterns = (terms: readonly string[]): string[] => {
  const words = new Set(terms.flatMap((term) => term.split(' ')))
  const patterns = [...words].toSorted((a, b) => b.length - a.length).map(wordPattern)
  return patterns.filter((pattern) => pattern !== null).slice(0, MAX_WORDS)
}

/**
 * Searches by a scan of the messages, newest first, in windows, until the page is full, the time is over or the search is
 * aborted. PostgreSQL compares the JSON texts with regular expressions; what it returns is verified here.
 */
export const scanMessages = async (
  reader: PostgresReader,
  query: SearchQuery,
  signal: AbortSignal,
): Promise<SearchPage> => {
  const patterns = bodyPatterns(query.terms)
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
    if (signal.aborted || performance.now() > deadline) return { hits, nextBefore: before, indexed: 1 }
  }
}
