/** A number that JavaScript would print differently, as it was written. */
export class LosslessNumber {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

const toNumber = (source: string): number | LosslessNumber => {
  const value = Number(source)
  return String(value) === source ? value : new LosslessNumber(source)
}

type SourceReviver = (key: string, value: unknown, context?: { readonly source?: string }) => unknown

const parseWithSource = JSON.parse as (text: string, reviver: SourceReviver) => unknown

/** False in browsers whose JSON.parse does not pass the source text of a number to the reviver (Firefox before 135, Safari before 18.4). */
const hasSourceText = parseWithSource('1.0', (_key, _value, context) => context?.source) === '1.0'

/** Returns the index after the string whose opening quote is at `from`. */
export const findStringEnd = (text: string, from: number): number => {
  let end = from
  for (;;) {
    end = text.indexOf('"', end + 1)
    if (end < 0) return text.length
    let slashes = 0
    while (text[end - 1 - slashes] === '\\') slashes++
    if (slashes % 2 === 0) return end + 1
  }
}

const BETWEEN_TOKENS = ' \t\n\r,:'
const LITERAL = /[^\s,\]}]+/y

/** Parses a text that is known to be valid JSON, so that it has only to follow its structure. */
const parseValid = (text: string): unknown => {
  let at = 0
  const peek = (): string => {
    while (BETWEEN_TOKENS.includes(text[at]!)) at++
    return text[at]!
  }
  const parseString = (): string => {
    const from = at
    at = findStringEnd(text, from)
    return JSON.parse(text.slice(from, at)) as string
  }
  const parseArray = (): unknown[] => {
    const array: unknown[] = []
    for (at++; peek() !== ']'; ) array.push(parseValue())
    at++
    return array
  }
  const parseObject = (): object => {
    const object = {}
    for (at++; peek() !== '}'; ) {
      const key = parseString()
      // An assignment to `__proto__` would set the prototype.
      Object.defineProperty(object, key, { value: parseValue(), configurable: true, enumerable: true, writable: true })
    }
    at++
    return object
  }
  const parseValue = (): unknown => {
    const first = peek()
    if (first === '"') return parseString()
    if (first === '[') return parseArray()
    if (first === '{') return parseObject()
    LITERAL.lastIndex = at
    const literal = LITERAL.exec(text)![0]
    at += literal.length
    return /[-\d]/.test(first) ? toNumber(literal) : JSON.parse(literal)
  }
  return parseValue()
}

/**
 * Parses JSON as JSON.parse does, except that a number which would be printed differently becomes a {@link LosslessNumber}.
 *
 * @returns the text itself if it is nested more deeply than the call stack allows
 * @throws SyntaxError
 */
export const parseLosslessJson = (text: string): unknown => {
  try {
    if (hasSourceText)
      return parseWithSource(text, (_key, value, context) =>
        typeof value === 'number' ? toNumber(context!.source!) : value,
      )
    JSON.parse(text)
    return parseValid(text)
  } catch (error) {
    if (error instanceof RangeError) return text
    throw error
  }
}

/** Returns whether a value of parseLosslessJson is an object: no array, and no number. */
export const isJsonObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof LosslessNumber)

/** Prints a value of parseLosslessJson over several lines, as JSON.stringify with an indent of two does. */
export const stringifyLosslessJson = (value: unknown, indent = ''): string => {
  if (value instanceof LosslessNumber) return value.text
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const inner = `${indent}  `
  const items = Array.isArray(value)
    ? value.map((item) => stringifyLosslessJson(item, inner))
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${stringifyLosslessJson(item, inner)}`)
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  return items.length === 0 ? `${open}${close}` : `${open}\n${inner}${items.join(`,\n${inner}`)}\n${indent}${close}`
}
