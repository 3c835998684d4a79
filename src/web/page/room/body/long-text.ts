import { useState } from 'preact/hooks'
import { escapeControlChars } from '../../shared/escape-control-chars.ts'
import { html, type View } from '../../shared/html.ts'
import { roomText as t } from '../messages.ts'
import { Markdown } from './markdown.ts'

const MAX_CHARACTERS = 3_000
const MAX_LINES = 40

/** Truncates a text without splitting a character. Pure. */
const beginningOf = (text: string, characters: number, lines: number): string => {
  let end = -1
  for (let line = 0; line < lines; line++) {
    end = text.indexOf('\n', end + 1)
    if (end < 0) break
  }
  const short = text.slice(0, Math.min(characters, end < 0 ? text.length : end))
  // Drop half of a surrogate pair.
  return short.length < text.length ? short.replace(/[\ud800-\udbff]$/, '') : short
}

/** Plain text or Markdown; long text is collapsed. */
export const LongText = ({ text, markdown = false }: { readonly text: string; readonly markdown?: boolean }): View => {
  const [whole, setWhole] = useState(false)
  const beginning = beginningOf(text, MAX_CHARACTERS, MAX_LINES)
  const cut = beginning.length < text.length
  const shown = whole ? text : beginning
  return html`
    ${markdown ? html`<${Markdown} text=${shown} />` : html`<p class="text" dir="auto">${escapeControlChars(shown)}</p>`}
    ${
      cut &&
      html`<button type="button" class="more quiet" aria-expanded=${whole} onClick=${() => setWhole(!whole)}>
        ${whole ? t('fold') : `… ${t('showAll', { n: text.length })}`}
      </button>`
    }
  `
}
