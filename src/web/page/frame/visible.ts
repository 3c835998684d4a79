// Terminal escapes, and marks that turn the direction of writing and so make one text look like another.
const UNSEEN = /(?![\t\n])[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

const nameOf = (char: string): string => `⟨U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`

/** A text with its control characters made visible. Everything that agents wrote passes here on its way to the eye. */
export const visible = (text: unknown): string => String(text).replaceAll('\r\n', '\n').replace(UNSEEN, nameOf)

/** The same in one line, for names. */
export const visibleLine = (text: unknown): string => visible(text).replaceAll('\n', '⏎')
