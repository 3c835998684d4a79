import { useEffect, useState } from 'preact/hooks'
import { escapeControlChars } from '../../shared/escape-control-chars.ts'
import { html, type View } from '../../shared/html.ts'
import { Icon } from '../../shared/icons.ts'
import { copyText } from '../clipboard.ts'
import { roomText as t } from '../messages.ts'

const MAX_CHARACTERS = 3_000
const MAX_LINES = 15
/** Time for which a button shows the result of its click, in milliseconds. */
const RESULT_MS = 3_000

/** Truncates a text without splitting a character. Pure. */
export const truncateText = (text: string, characters: number, lines: number): string => {
  let end = -1
  for (let line = 0; line < lines; line++) {
    end = text.indexOf('\n', end + 1)
    if (end < 0) break
  }
  const short = text.slice(0, Math.min(characters, end < 0 ? text.length : end))
  // Drop half of a surrogate pair.
  return short.length < text.length ? short.replace(/[\ud800-\udbff]$/, '') : short
}

/** Button that copies a text, which is made only then. */
export const CopyButton = ({ text }: { readonly text: () => string }): View => {
  const [result, setResult] = useState<'copied' | 'notCopied' | null>(null)
  useEffect(() => {
    if (result === null) return
    const timer = setTimeout(() => setResult(null), RESULT_MS)
    return () => clearTimeout(timer)
  }, [result])
  const copy = async (): Promise<void> => setResult((await copyText(text())) ? 'copied' : 'notCopied')
  return html`
    <button type="button" class="quiet small copy" title=${t('copyText')} onClick=${copy}>
      <${Icon} name="copy" />
      ${result === null ? html`<span class="unseen">${t('copyText')}</span>` : html`<span role="status">${t(result)}</span>`}
    </button>
  `
}

const countLines = (text: string): number => {
  let lines = 1
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines++
  return lines
}

/** A text in a monospaced font with all its lines and spaces; collapsed if it is long. */
export const Preformatted = ({ text }: { readonly text: string }): View => {
  const [whole, setWhole] = useState(false)
  const own = text.replace(/\r?\n$/, '')
  const beginning = truncateText(own, MAX_CHARACTERS, MAX_LINES)
  const lines = countLines(own)
  const size = lines > MAX_LINES ? t('showAllLines', { n: lines }) : t('showAll', { n: own.length })
  return html`
    <div class="block">
      <pre class="block-text" dir="ltr">${escapeControlChars(whole ? own : beginning)}</pre>
      ${
        beginning.length < own.length &&
        html`<button type="button" class="more quiet" aria-expanded=${whole} onClick=${() => setWhole(!whole)}>
          ${whole ? t('fold') : `… ${size}`}
        </button>`
      }
      <${CopyButton} text=${() => text} />
    </div>
  `
}
