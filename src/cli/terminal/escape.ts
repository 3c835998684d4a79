/**
 * Characters that control a terminal or change how text is displayed: C0 and C1 controls, bidi controls, line and
 * paragraph separators, invisible marks and tags, lone surrogates.
 */
const UNSAFE =
  /[\p{Cc}\p{Cs}\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\x1b': '\\x1b' }

const escapeChar = (char: string): string => {
  const short = SHORT[char]
  if (short !== undefined) return short
  const code = char.codePointAt(0)!
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\u{${code.toString(16)}}`
}

/** Escapes text for one line of a terminal, line breaks included. */
export const escapeForTerminal = (text: string): string => text.replace(UNSAFE, escapeChar)

/** Escapes text of several lines; line breaks and tabs are kept. */
const visibleLines = (text: string): string =>
  text.replace(UNSAFE, (char) => (char === '\n' || char === '\t' ? char : escapeChar(char)))

/** Escapes JSON text with `\u` sequences, so that its value does not change. */
export const visibleJson = (json: string): string =>
  json.replace(UNSAFE, (char) => {
    // The only control characters that JSON allows outside of strings.
    if (char === '\n' || char === '\r' || char === '\t') return char
    const units = Array.from({ length: char.length }, (_, index) => char.charCodeAt(index))
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
  })

/** Decodes bytes as UTF-8, with invalid bytes as `\xNN` and control characters escaped. */
export const visibleBytes = (bytes: Uint8Array): string => {
  let text = ''
  let rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  while (rest.length > 0) {
    const valid = validPrefix(rest)
    if (valid > 0) text += visibleLines(decoder.decode(rest.subarray(0, valid)))
    if (valid < rest.length) text += `\\x${rest[valid]!.toString(16).padStart(2, '0')}`
    rest = rest.subarray(valid + 1)
  }
  return text
}

/** Returns the length of the longest prefix that is valid UTF-8, in bytes. */
const validPrefix = (bytes: Buffer): number => {
  let at = 0
  while (at < bytes.length) {
    const size = characterSize(bytes, at)
    if (size === 0) return at
    at += size
  }
  return at
}

/** Returns the length of the UTF-8 character at an index (ranges of RFC 3629), or 0 if it is invalid. */
const characterSize = (bytes: Buffer, at: number): number => {
  const first = bytes[at]!
  const second = bytes[at + 1] ?? 0
  const isContinuation = (offset: number) => ((bytes[at + offset] ?? 0) & 0xc0) === 0x80
  if (first < 0x80) return 1
  if (first >= 0xc2 && first <= 0xdf) return isContinuation(1) ? 2 : 0
  if (first >= 0xe0 && first <= 0xef) {
    const fits = (first !== 0xe0 || second >= 0xa0) && (first !== 0xed || second <= 0x9f)
    return fits && isContinuation(1) && isContinuation(2) ? 3 : 0
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const fits = (first !== 0xf0 || second >= 0x90) && (first !== 0xf4 || second <= 0x8f)
    return fits && isContinuation(1) && isContinuation(2) && isContinuation(3) ? 4 : 0
  }
  return 0
}

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u
const ZERO_WIDTH = /\p{Mn}|\p{Me}|\u200c|\u200d/u

const getCharWidth = (char: string): number =>
  char >= ' ' && char <= '~' ? 1 : ZERO_WIDTH.test(char) ? 0 : WIDE.test(char) ? 2 : 1

/** Returns the terminal columns that escaped text occupies. */
export const getDisplayWidth = (text: string): number => {
  let width = 0
  for (const char of text) width += getCharWidth(char)
  return width
}

/** Truncates escaped text to a number of columns, with an ellipsis. */
export const truncate = (text: string, columns: number): string => {
  // Avoids scanning all of a long text.
  const head = text.length > columns * 4 ? text.slice(0, columns * 4) : text
  if (head.length === text.length && getDisplayWidth(text) <= columns) return text
  let width = 0
  let prefix = ''
  for (const char of head) {
    width += getCharWidth(char)
    if (width > columns - 1) break
    prefix += char
  }
  return `${prefix}…`
}

/** Splits escaped text into lines of at most this many columns, at spaces if there are any. */
export const wrap = (text: string, columns: number): string[] => {
  const lines: string[] = []
  let line = ''
  let width = 0
  /** Index after the last space behind a word, in `line`; 0 if there is none. */
  let breakAt = 0
  let hasWord = false
  for (const char of text) {
    const charWidth = getCharWidth(char)
    if (width + charWidth > columns && line !== '') {
      const end = char === ' ' || breakAt === 0 ? line.length : breakAt
      lines.push(line.slice(0, end).trimEnd())
      line = line.slice(end)
      width = getDisplayWidth(line)
      breakAt = 0
      if (char === ' ') continue
    }
    line += char
    width += charWidth
    if (char !== ' ') hasWord = true
    else if (hasWord) breakAt = line.length
  }
  lines.push(line)
  return lines
}

/** Pads escaped text to a number of columns. */
export const pad = (text: string, columns: number): string =>
  text + ' '.repeat(Math.max(0, columns - getDisplayWidth(text)))
