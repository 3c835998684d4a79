/**
 * Text search in messages: what of a message is searched, how a query is read, and the grams by which an index finds
 * candidates. A hit is always verified with `matchesTerms`, so an index may return too many messages, but never too few.
 */

/** Characters of a message that are searched: as many as the default of MAX_MESSAGE_BYTES. */
const MAX_TEXT = 1_048_576
const MAX_TERMS = 20
/** Minimum length of a term that an index can find; shorter ones are only verified. */
const MIN_TERM = 2
/** Maximum number of grams of one term that are looked up: the verification does the rest. */
const MAX_GRAMS = 24
/** In front of the gram of an event; a private character, so that no text has it. */
const EVENT_MARK = '\ue000'

const SEPARATORS = /[\s\p{Cc}]+/gu
const LONG_DIGITS = /\d{16,}/g
// Only from the first backslash of a run, since trying each one is quadratic.
const ESCAPE = /(?<!\\)\\+u([0-9a-fA-F]{4})/g

/** JSON in a string, as Python writes it, has its characters escaped once more. Only those beyond ASCII are decoded: `C:\u0041` can be a path. */
const decodeInnerEscapes = (text: string): string =>
  text.includes('\\u')
    ? text.replace(ESCAPE, (all, code: string) => {
        const unit = Number.parseInt(code, 16)
        return unit < 0x80 ? all : String.fromCharCode(unit)
      })
    : text

const textOfJson = (body: string): string => {
  let text = ''
  const add = (value: unknown): void => {
    if (typeof value === 'string' || typeof value === 'number') text += ` ${value}`
    else if (Array.isArray(value)) for (const item of value) add(item)
    else if (typeof value === 'object' && value !== null) {
      for (const [key, member] of Object.entries(value)) {
        text += ` ${key}:`
        add(member)
      }
    }
  }
  // The content first, so that it fills the snippet.
  const { message_content, content, ...envelope } = JSON.parse(body) as Record<string, unknown>
  for (const value of [message_content, content, ...Object.values(envelope)]) add(value)
  // JSON.parse rounds them.
  return [text, ...(body.match(LONG_DIGITS) ?? [])].join(' ')
}

/**
 * Returns what is searched of a published body: all values and the names of nested fields, with single spaces between
 * words. The names of the top fields would match in every message.
 */
export const searchableText = (body: string): string => {
  let text: string
  try {
    text = textOfJson(body)
  } catch {
    // Nested too deeply for a recursive function.
    text = body
  }
  return decodeInnerEscapes(text.slice(0, MAX_TEXT)).replace(SEPARATORS, ' ').trim()
}

/** Folds the case. */
export const foldText = (text: string): string => text.toLowerCase()

/**
 * Parses a query into folded terms, each of which a hit contains: words, or phrases in double quotes.
 *
 * @returns null if no term has at least MIN_TERM characters, or if there are more than 20
 */
export const parseSearchTerms = (query: string): string[] | null => {
  const terms = new Set<string>()
  for (const [, phrase, word = ''] of query.matchAll(/"([^"]*)"?|([^\s"]+)/g)) {
    const term = foldText((phrase ?? word).replace(SEPARATORS, ' ').trim())
    if (term !== '') terms.add(term)
  }
  return [...terms].some((term) => longestWord(term) >= MIN_TERM) && terms.size <= MAX_TERMS ? [...terms] : null
}

const longestWord = (term: string): number => Math.max(...term.split(' ').map((word) => word.length))

export const matchesTerms = (folded: string, terms: readonly string[]): boolean =>
  terms.every((term) => folded.includes(term))

/**
 * Returns the grams of a folded text, separated by spaces: all runs of three characters within a word, and the last two
 * characters of a word. A run of two characters is thus always the start of a gram.
 */
export const extractGrams = (folded: string): string => {
  let grams = ''
  let run = 0
  for (let at = 0; at < folded.length; at++) {
    if (folded[at] === ' ') {
      run = 0
      continue
    }
    run++
    if (run >= 3) grams += `${folded[at - 2]}${folded[at - 1]}${folded[at]} `
    if (run >= 2 && (at + 1 === folded.length || folded[at + 1] === ' ')) grams += `${folded[at - 1]}${folded[at]} `
  }
  return grams
}

/** Returns the gram of all messages of an event. */
export const eventGram = (eventId: string): string => EVENT_MARK + encodeURIComponent(eventId)

const quote = (gram: string): string => `"${gram.replaceAll('"', '""')}"`

const gramsOfWord = (word: string): string[] => {
  if (word.length < MIN_TERM) return []
  if (word.length === MIN_TERM) return [`${quote(word)} *`]
  const last = word.length - 3
  const step = Math.max(1, Math.ceil(last / MAX_GRAMS))
  const starts = Array.from({ length: Math.floor(last / step) + 1 }, (_, index) => index * step)
  return [...new Set([...starts, last])].map((start) => quote(word.slice(start, start + 3)))
}

/**
 * Returns the query of FTS5 that finds every message with these terms, of these events or of all. Words of two characters only select among
 * all events: FTS5 merges the lists of a prefix before the first candidate, so the time of a search would tell of other events.
 */
export const gramQuery = (terms: readonly string[], events: readonly string[] | '*'): string => {
  const words = terms.flatMap((term) => term.split(' '))
  const grams = words.filter((word) => events === '*' || word.length > MIN_TERM).flatMap(gramsOfWord)
  const parts = [...new Set(grams)]
  if (events !== '*') parts.unshift(`(${events.map((event) => quote(eventGram(event))).join(' OR ')})`)
  return parts.join(' AND ')
}

/** Characters of a snippet before and after the start of the first match. */
const BEFORE = 60
const AFTER = 160

/** Returns the surroundings of the first match of a term, as plain text on one line. */
export const extractSnippet = (text: string, terms: readonly string[]): string => {
  const folded = foldText(text)
  // The case of a few letters changes the length, and with it all positions.
  const shown = folded.length === text.length ? text : folded
  const at = Math.min(...terms.map((term) => folded.indexOf(term)).filter((index) => index >= 0))
  const from = Math.max(0, at - BEFORE)
  const to = Math.min(shown.length, at + AFTER)
  return `${from > 0 ? '…' : ''}${shown.slice(from, to).toWellFormed().trim()}${to < shown.length ? '…' : ''}`
}
