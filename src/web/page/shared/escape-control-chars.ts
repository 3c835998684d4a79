// Terminal escapes, marks that turn the direction of writing, and what takes no place at all: with them one text looks
// like another. Joiners stay, since emoji and some scripts are written with them, and so do Arabic's visible signs.
const UNSEEN = /(?![\t\n\u0600-\u0605\u06dd\u08e2]|\u200c|\u200d)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

const nameOf = (char: string): string => `⟨U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}⟩`

/** A text with its control characters made visible. Everything that agents wrote passes here on its way to the eye. */
export const escapeControlChars = (text: unknown): string =>
  String(text).replaceAll('\r\n', '\n').replace(UNSEEN, nameOf)

/** The same in one line, for names. */
export const escapeLine = (text: unknown): string => escapeControlChars(text).replaceAll('\n', '⏎')
