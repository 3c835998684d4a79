import { useState } from 'preact/hooks'
import { escapeControlChars } from '../../shared/escape-control-chars.ts'
import { html, type View } from '../../shared/html.ts'
import { roomText as t } from '../messages.ts'
import { endOfCode, isPreformatted, parseJsonText } from '../model/text-kind.ts'
import { JsonBlock } from './json.ts'
import { Markdown } from './markdown.ts'
import { Preformatted, truncateText } from './preformatted.ts'

const MAX_CHARACTERS = 3_000
const MAX_LINES = 40

interface LongTextProps {
  readonly text: string
  readonly markdown?: boolean
}

/** A text by its kind: JSON, lines as they are, Markdown, or plain text; collapsed if it is long. */
export const LongText = ({ text, markdown = false }: LongTextProps): View => {
  const json = parseJsonText(text)
  if (json !== undefined) return html`<${JsonBlock} value=${json} text=${text} />`
  return isPreformatted(text)
    ? html`<${Preformatted} text=${text} />`
    : html`<${Prose} text=${text} markdown=${markdown} />`
}

const Prose = ({ text, markdown }: Required<LongTextProps>): View => {
  const [whole, setWhole] = useState(false)
  const { length } = truncateText(text, MAX_CHARACTERS, MAX_LINES)
  const beginning = text.slice(0, markdown ? endOfCode(text, length) : length)
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
