import { escapeHtml } from '../body/escape-html.ts'
import { renderMarkdown } from '../body/markdown.ts'
import type { Entry } from '../model/entry.ts'
import { type Block, toBlocks } from './blocks.ts'
import {
  formatTimestamp,
  getReportTitle,
  listReportFacts,
  type ReportHead,
  toMessageLine,
  withSections,
} from './head.ts'
import { reportText as t } from './messages.ts'

const headHtml = (head: ReportHead, entries: readonly Entry[]): string => {
  const facts = listReportFacts(head, entries)
    .map(([label, fact]) => `<div><dt>${escapeHtml(label)}</dt><dd>${escapeHtml(fact)}</dd></div>`)
    .join('')
  const empty = entries.length === 0 ? `<p>${t('none')}</p>` : ''
  return `<header><h1 dir="auto">${escapeHtml(getReportTitle(head))}</h1><dl>${facts}</dl></header>${empty}`
}

const blockHtml = (block: Block): string => {
  if (block.as === 'item') {
    const title = block.title === '' ? [] : [`<strong>${escapeHtml(block.title)}</strong>`]
    const facts = block.facts.map((fact) => `<span>${escapeHtml(fact)}</span>`)
    return `<p class="item" dir="auto">${[...title, ...facts].join(' ')}</p>`
  }
  if (block.as === 'markdown') return `<div class="markdown" dir="auto">${renderMarkdown(block.text)}</div>`
  const text = escapeHtml(block.text)
  return block.as === 'code' ? `<pre dir="ltr">${text}</pre>` : `<p class="${block.as}" dir="auto">${text}</p>`
}

const messageHtml = (entry: Entry): string => {
  const { id, at, tone } = entry
  const { who, name, type, mark } = toMessageLine(entry)
  const part = (kind: string, text: string): string =>
    text === '' ? '' : ` <span class="${kind}">${escapeHtml(text)}</span>`
  const stamp = formatTimestamp(at)
  const time = stamp === '' ? '' : ` <time datetime="${new Date(at).toISOString()}">${stamp}</time>`
  const heading = `<h3>${part('who', who)}${part('name', name)}${part('mark', mark)}${part('type', type)}</h3>`
  const body = toBlocks(entry).map(blockHtml).join('')
  return `<article id="message-${id}" data-tone="${tone}">${heading}<p class="where">#${id}${time}</p>${body}</article>`
}

/** Yields a report as HTML, each piece complete in itself. All texts are escaped. */
export function* htmlPieces(head: ReportHead, entries: readonly Entry[]): Generator<string> {
  yield headHtml(head, entries)
  for (const [section, entry] of withSections(entries)) {
    yield `${section === null ? '' : `<h2>${escapeHtml(section)}</h2>`}${messageHtml(entry)}`
  }
}

/** Returns a text as a CSS string. All characters that could end it, or the style element, are escaped. Pure. */
export const cssString = (text: string): string =>
  `"${text.replace(/[^\p{L}\p{N} ._-]/gu, (char) => `\\${char.codePointAt(0)!.toString(16)} `)}"`

/** Returns the CSS rule for printed pages, with the event and the page number on each. */
export const pageRule = (head: ReportHead): string => {
  const small = 'font: 8pt system-ui, sans-serif; color: #555'
  const parts = [
    `@top-left { content: ${cssString(getReportTitle(head).slice(0, 80))}; ${small} }`,
    `@top-right { content: ${cssString(formatTimestamp(head.at))}; ${small} }`,
    `@bottom-left { content: ${cssString(head.name === '' ? '' : head.eventId.slice(0, 80))}; ${small} }`,
    `@bottom-right { content: counter(page) " / " counter(pages); ${small} }`,
  ]
  return `@page { margin: 18mm 15mm; ${parts.join(' ')} }`
}

interface HtmlFileOptions {
  readonly head: ReportHead
  /** Sanitised HTML. */
  readonly body: readonly BlobPart[]
  /** Style sheet without a style element of its own. */
  readonly style: string
  /** Random text that no message can know, so that only the file's own style element applies. */
  readonly nonce: string
  /** Language of the labels, as BCP 47. */
  readonly lang: string
}

/** Returns the parts of a self-contained HTML file. Its policy allows its style element, and nothing else. */
export const htmlFile = ({ head, body, style, nonce, lang }: HtmlFileOptions): readonly BlobPart[] => [
  `<!doctype html>
<html lang="${escapeHtml(lang)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'nonce-${nonce}'; base-uri 'none'; form-action 'none'">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(getReportTitle(head))}</title>
<style nonce="${nonce}">
${pageRule(head)}
${style.replaceAll('</', '<\\/')}
</style>
</head>
<body class="report-page">
<main class="report">
`,
  ...body,
  '\n</main>\n</body>\n</html>\n',
]
