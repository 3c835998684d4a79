/** A number that JavaScript would round, as it was written. */
export class LosslessNumber {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

const NUMBER = /-?\d[\d.eE+-]*/y
const NUL = '\\u0000'

/** The index behind the string whose opening quote is at `from`. */
const stringEnd = (text: string, from: number): number => {
  let end = from
  for (;;) {
    end = text.indexOf('"', end + 1)
    if (end < 0) return text.length
    let slashes = 0
    while (text[end - 1 - slashes] === '\\') slashes++
    if (slashes % 2 === 0) return end + 1
  }
}

const isKey = (text: string, end: number): boolean => /^\s*:/.test(text.slice(end, end + 100))

/** Numbers that would be rounded become strings that begin with NUL; values that began with it get a second one. */
const mark = (text: string): string => {
  let marked = ''
  let done = 0
  const put = (upTo: number, instead: string, next: number): void => {
    marked += text.slice(done, upTo) + instead
    done = next
  }
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!
    if (char === '"') {
      const end = stringEnd(text, at)
      if (text.startsWith(NUL, at + 1) && !isKey(text, end)) put(at + 1, NUL, at + 1)
      at = end - 1
    } else if (char === '-' || (char >= '0' && char <= '9')) {
      NUMBER.lastIndex = at
      const token = NUMBER.exec(text)?.[0] ?? char
      if (String(Number(token)) !== token) put(at, `"${NUL}${token}"`, at + token.length)
      at += token.length - 1
    }
  }
  return done === 0 ? text : marked + text.slice(done)
}

const unmark = (_key: string, value: unknown): unknown => {
  if (typeof value !== 'string' || value[0] !== '\0') return value
  return value[1] === '\0' ? value.slice(1) : new LosslessNumber(value.slice(1))
}

/**
 * JSON.parse, but a number that it would round comes as {@link LosslessNumber}. Pure.
 *
 * @returns the text itself, where its nesting is deeper than a reader's stack
 * @throws SyntaxError
 */
export const parseExact = (text: string): unknown => {
  const marked = mark(text)
  if (marked === text) return JSON.parse(text)
  try {
    return JSON.parse(marked, unmark)
  } catch (error) {
    if (error instanceof RangeError) return text
    throw error
  }
}

/** The texts of the elements of the array behind `"data":`, which an answer of messages begins with. Pure. */
export function* elementTexts(answer: string): Generator<string> {
  let at = answer.indexOf('[') + 1
  if (at === 0) return
  let depth = 0
  let from = at
  for (; at < answer.length; at++) {
    const char = answer[at]!
    if (char === '"') at = stringEnd(answer, at) - 1
    else if (char === '{' || char === '[') depth++
    else if (char === '}' || (char === ']' && depth > 0)) depth--
    else if (depth === 0 && (char === ',' || char === ']')) {
      if (at > from) yield answer.slice(from, at)
      if (char === ']') return
      from = at + 1
    }
  }
}

/** What stands behind the array of an answer of messages: the next cursor and the like. */
export const answerTail = (answer: string): Record<string, unknown> => {
  const end = answer.lastIndexOf(']')
  return JSON.parse(`{"data":[${answer.slice(end)}`) as Record<string, unknown>
}
