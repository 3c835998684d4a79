import DOMPurify from 'dompurify'
import { Marked, type Tokens } from 'marked'
import { h } from 'preact'
import { escapeControlChars } from '../../shared/escape-control-chars.ts'
import { type Children, html, type View } from '../../shared/html.ts'
import { escapeHtml as escaped } from './escape-html.ts'
import { Preformatted } from './preformatted.ts'

/** Shows the address of a link as text: it must not be clickable, since agents often quote attackers. */
const withAddress = (shown: string, address: string): string =>
  shown === escaped(address) || shown === ''
    ? `<code>${escaped(address)}</code>`
    : `${shown} <code>${escaped(address)}</code>`

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }: Tokens.HTML | Tokens.Tag) => escaped(text),
    link({ href, tokens }: Tokens.Link) {
      return withAddress(this.parser.parseInline(tokens), href)
    },
    image: ({ href, text }: Tokens.Image) => withAddress(escaped(text), href),
    heading({ tokens, depth }: Tokens.Heading) {
      return `<h3 data-depth="${depth}">${this.parser.parseInline(tokens)}</h3>`
    },
    // Also a line break in the text, for what reads it without the elements.
    br: () => '<br>\n',
    // A heading without a text is none.
    tablecell({ tokens, header }: Tokens.TableCell) {
      const text = this.parser.parseInline(tokens)
      const name = header && text.trim() !== '' ? 'th' : 'td'
      return `<${name}>${text}</${name}>`
    },
    checkbox: ({ checked }: Tokens.Checkbox) => (checked ? '☑ ' : '☐ '),
  },
})

/** Elements that rendered Markdown can contain. */
export const MARKDOWN_TAGS = 'p br strong em del code pre ul ol li blockquote h3 hr table thead tbody tr th td'.split(
  ' ',
)

const KEPT = 200
const kept = new Map<string, DocumentFragment>()

const MAX_CHARACTERS = 100_000
/** Marks that are expensive to parse: nested, or scanned repeatedly for their end. */
const COSTLY = /[_[>~<]/g

/** Returns true if a text has so many Markdown characters that rendering it would take seconds or overflow the stack. */
export const isCostly = (text: string): boolean => {
  const costs = text.length > MAX_CHARACTERS ? Number.POSITIVE_INFINITY : (text.match(COSTLY)?.length ?? 0)
  return costs > 400 + text.length / 20
}

/** Renders Markdown to HTML without links, images or markup of the text itself. A costly text is shown unrendered. */
export const renderMarkdown = (text: string): string =>
  isCostly(text) ? `<pre>${escaped(text)}</pre>` : marked.parse(text, { async: false }).trim()

/** Renders Markdown to elements. The sanitizer is independent of the renderer, as a second line of defence. */
const renderFragment = (text: string): DocumentFragment => {
  const known = kept.get(text)
  if (known !== undefined) return known
  const made = DOMPurify.sanitize(renderMarkdown(text), {
    ALLOWED_TAGS: MARKDOWN_TAGS,
    ALLOWED_ATTR: ['data-depth', 'start'],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  })
  if (kept.size >= KEPT) kept.delete(kept.keys().next().value!)
  kept.set(text, made)
  return made
}

/** Renders sanitised nodes as they are, except code, which is shown as in other messages. */
const renderChildNodes = ({ childNodes }: Node): Children =>
  [...childNodes].map((node) => {
    if (!(node instanceof Element)) return node.textContent
    if (node.localName === 'pre') return html`<${Preformatted} text=${node.textContent.replace(/\n$/, '')} />`
    return h(
      node.localName,
      Object.fromEntries([...node.attributes].map(({ name, value }) => [name, value])),
      renderChildNodes(node),
    )
  })

/** A text as Markdown, with control characters made visible. Links are not clickable. */
export const Markdown = ({ text }: { readonly text: string }): View =>
  html`<div class="markdown" dir="auto">${renderChildNodes(renderFragment(escapeControlChars(text)))}</div>`
