// Control characters, bidi controls and zero-width characters, with which one text can look like another. Joiners are
// kept, since emoji and some scripts need them, and so are the visible format characters of Arabic.
const UNSEEN = /(?![\t\n\u0600-\u0605\u06dd\u08e2]|\u200c|\u200d)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

const formatCodePoint = (char: string): string =>
  `⟨U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}⟩`

/** Makes control characters visible. Required for all text of agents that is displayed. */
export const escapeControlChars = (text: unknown): string =>
  String(text).replaceAll('\r\n', '\n').replace(UNSEEN, formatCodePoint)

/** Makes control characters and line breaks visible, for text on one line. */
export const escapeLine = (text: unknown): string => escapeControlChars(text).replaceAll('\n', '⏎')
