import { Marked, type Tokens } from 'marked'
import { isCostly } from '../body/markdown.ts'

/** Marks that have a meaning anywhere in a line. */
const MARKS = /[\\`*[\]<>|~$]/g
/** Marks that have a meaning only at the beginning of a line. */
const LINE_MARKS = /^([ \t]*)([#+=-]|\d+(?=[.)]))/gm

const isWord = (char = ''): boolean => /[\p{L}\p{N}]/u.test(char)

const escapeInline = (text: string): string =>
  text
    .replace(MARKS, '\\$&')
    // Within a word it is no mark, as in message_type.
    .replaceAll('_', (mark, at: number, all: string) => (isWord(all[at - 1]) && isWord(all[at + 1]) ? mark : '\\_'))
    // Addresses would become links.
    .replaceAll('://', '\\://')
    .replace(/\bwww\./gi, (match) => `${match.slice(0, -1)}\\.`)
    .replace(/([\w.+-])@(?=\w)/g, '$1\\@')

const escapeLineStarts = (text: string): string =>
  text.replace(LINE_MARKS, (_all, blank: string, mark: string) =>
    /\d/.test(mark) ? `${blank}${mark}\\` : `${blank}\\${mark}`,
  )

/** Escapes a text of one or more lines, so that Markdown shows it as it is: no markup, no links. Pure. */
export const escapeMarkdown = (text: string): string =>
  escapeLineStarts(escapeInline(text.replace(/&(?=#?\w+;)/g, '\\&')))

/** Returns the longest run of backticks in a text. */
const longestRun = (text: string): number =>
  (text.match(/`+/g) ?? []).reduce((longest, { length }) => Math.max(longest, length), 0)

/** Returns a text as a code block, which no content can end. Pure. */
export const codeBlock = (text: string, language = ''): string => {
  const fence = '`'.repeat(Math.max(3, longestRun(text) + 1))
  return `${fence}${language}\n${text}\n${fence}\n\n`
}

/** Returns a text as inline code, which no content can end. Pure. */
export const codeSpan = (text: string): string => {
  const fence = '`'.repeat(longestRun(text) + 1)
  // One blank at both ends is no part of the code, and keeps backticks apart from the fence.
  const pad = /^[` ]|[` ]$|^$/.test(text) ? ' ' : ''
  return `${fence}${pad}${text.replaceAll('\n', ' ')}${pad}${fence}`
}

const indented = (text: string, width: number): string => text.replaceAll(/\n(?!\n|$)/g, `\n${' '.repeat(width)}`)

const withAddress = (shown: string, address: string): string => [shown, codeSpan(address)].filter(Boolean).join(' ')

const cells = (texts: readonly string[]): string => `| ${texts.join(' | ')} |\n`

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    space: () => '',
    def: () => '',
    hr: () => '***\n\n',
    br: () => '  \n',
    html: ({ text, block }: Tokens.HTML | Tokens.Tag) => (block ? `${lines(text.trim())}\n\n` : escapeMarkdown(text)),
    code: ({ text, lang = '' }: Tokens.Code) => codeBlock(text, /^[\w+-]{1,20}$/.test(lang) ? lang : ''),
    codespan: ({ text }: Tokens.Codespan) => codeSpan(text).replaceAll('|', '\\|'),
    link({ href, tokens }: Tokens.Link) {
      const shown = this.parser.parseInline(tokens)
      return withAddress(shown === escapeMarkdown(href) ? '' : shown, href)
    },
    image: ({ href, text }: Tokens.Image) => withAddress(escapeMarkdown(text), href),
    checkbox: ({ checked }: Tokens.Checkbox) => (checked ? '☑ ' : '☐ '),
    blockquote({ tokens }: Tokens.Blockquote) {
      return `${this.parser.parse(tokens).trimEnd().replaceAll(/^/gm, '> ')}\n\n`
    },
    heading({ tokens, depth }: Tokens.Heading) {
      // Levels 1 to 3 are those of the report.
      return `${'#'.repeat(Math.min(6, depth + 3))} ${this.parser.parseInline(tokens)}\n\n`
    },
    list({ ordered, start, items }: Tokens.List) {
      const listed = items.map((one, index) => {
        const marker = ordered ? `${Number(start) + index}. ` : '- '
        return marker + indented(this.parser.parse(one.tokens).trimEnd(), marker.length)
      })
      return `${listed.join('\n')}\n\n`
    },
    paragraph({ tokens }: Tokens.Paragraph) {
      return `${this.parser.parseInline(tokens)}\n\n`
    },
    table({ header, rows }: Tokens.Table) {
      const row = (all: readonly Tokens.TableCell[]): string =>
        cells(all.map(({ tokens }) => this.parser.parseInline(tokens)))
      return `${row(header)}${cells(header.map(() => '---'))}${rows.map(row).join('')}\n`
    },
    strong({ tokens }: Tokens.Strong) {
      return `**${this.parser.parseInline(tokens)}**`
    },
    em({ tokens }: Tokens.Em) {
      return `*${this.parser.parseInline(tokens)}*`
    },
    del({ tokens }: Tokens.Del) {
      return `~~${this.parser.parseInline(tokens)}~~`
    },
    text(token: Tokens.Text | Tokens.Escape) {
      if ('tokens' in token && token.tokens) return `${this.parser.parseInline(token.tokens)}\n`
      // An entity of the text stays one: it is the character that the text shows.
      return escapeLineStarts(escapeInline(token.text))
    },
  },
})

/** Returns a text with its line breaks. */
const lines = (text: string): string => escapeMarkdown(text).replaceAll('\n', '  \n')

/** Returns a plain text as Markdown. One with indented lines, such as a log, becomes a code block. Pure. */
export const plainMarkdown = (text: string): string =>
  /^[ \t]+\S/m.test(text) ? codeBlock(text) : `${lines(text.trim())}\n\n`

/**
 * Returns Markdown of an agent with its formatting, but without HTML and with the addresses of links and images as code:
 * the file can be opened in a program that shows HTML and loads images. Pure.
 */
export const safeMarkdown = (text: string): string =>
  isCostly(text) ? codeBlock(text) : marked.parse(text, { async: false })
