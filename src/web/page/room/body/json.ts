import { useMemo, useState } from 'preact/hooks'
import { escapeControlChars, escapeLine } from '../../shared/escape-control-chars.ts'
import { html, type View } from '../../shared/html.ts'
import { LosslessNumber, stringifyLosslessJson } from '../../shared/lossless-json.ts'
import { roomText as t } from '../messages.ts'
import { findColumns, parseJsonText } from '../model/text-kind.ts'
import { CopyButton, Preformatted } from './preformatted.ts'
import { BodyTable } from './table.ts'

/** Entries of an object or array shown at once. */
const PAGE = 30
const MAX_CHARACTERS = 2_000
/** Maximum number of values of a tree that is shown expanded. */
const SMALL = 24

type Inner = readonly (readonly [key: string, value: unknown])[]

const listMembers = (value: unknown): Inner | null => {
  if (typeof value !== 'object' || value === null || value instanceof LosslessNumber) return null
  return Array.isArray(value) ? value.map((inner, index) => [String(index), inner] as const) : Object.entries(value)
}

/** Counts the values in a value, stopping after `max`. Pure. */
const countValues = (value: unknown, max: number): number => {
  let size = 0
  const left: unknown[] = [value]
  while (left.length > 0 && size <= max) {
    size++
    const next = left.pop()
    if (typeof next !== 'object' || next === null || next instanceof LosslessNumber) continue
    const inner = Array.isArray(next) ? next : Object.values(next)
    left.push(...inner.slice(0, max + 1))
  }
  return size
}

interface LeafProps {
  readonly value: unknown
  /** Shows a string without quotation marks. */
  readonly bare?: boolean
}

const Leaf = ({ value, bare = false }: LeafProps): View => {
  const [whole, setWhole] = useState(false)
  if (typeof value !== 'string') {
    const text = value instanceof LosslessNumber ? value.text : String(value)
    return html`<span class="json-plain">${text}</span>`
  }
  const long = value.length > MAX_CHARACTERS
  const shown = long && !whole ? `${value.slice(0, MAX_CHARACTERS)}…` : value
  const quote = bare ? '' : '"'
  return html`<span class="json-text">${quote}${escapeControlChars(shown)}${quote}</span>${
    long &&
    html` <button type="button" class="more quiet" onClick=${() => setWhole(!whole)}>
        ${whole ? t('fold') : t('showAll', { n: value.length })}
      </button>`
  }`
}

const Inside = ({
  inner,
  list,
  depth,
}: {
  readonly inner: Inner
  readonly list: boolean
  readonly depth: number
}): View => {
  const [max, setMax] = useState(PAGE)
  return html`
    <ul class="json-inside">
      ${inner.slice(0, max).map(([key, value]) => html`<li><${Value} name=${key} listed=${list} value=${value} depth=${depth} /></li>`)}
      ${
        inner.length > max &&
        html`<li>
          <button type="button" class="more quiet" onClick=${() => setMax(max + PAGE)}>
            ${t('moreItems', { n: inner.length - max })}
          </button>
        </li>`
      }
    </ul>
  `
}

const Key = ({ name, listed }: { readonly name: string; readonly listed: boolean }): View =>
  listed ? html`<span class="json-index">${name}</span> ` : html`<span class="json-key">${escapeLine(name)}</span>: `

interface ValueProps {
  readonly name: string | null
  /** True for array elements, whose name is the index. */
  readonly listed: boolean
  readonly value: unknown
  /** Number of expanded levels. */
  readonly depth: number
}

const Value = ({ name, listed, value, depth }: ValueProps): View => {
  const inner = listMembers(value)
  const [open, setOpen] = useState(depth > 0)
  const key = name !== null && html`<${Key} name=${name} listed=${listed} />`
  if (inner === null) return html`${key}<${Text} value=${value} depth=${depth} />`
  const list = Array.isArray(value)
  if (inner.length === 0) return html`${key}<span class="json-plain">${list ? '[]' : '{}'}</span>`
  const size = t(list ? 'items' : 'fields', { n: inner.length })
  const columns = open ? findColumns(value) : null
  return html`
    <details open=${open} onToggle=${(event: Event) => setOpen((event.currentTarget as HTMLDetailsElement).open)}>
      <summary>${key}<span class="json-size">${list ? '[' : '{'} ${size} ${list ? ']' : '}'}</span></summary>
      ${columns !== null && html`<${BodyTable} columns=${columns} rows=${value} cell=${cell} />`}
      ${open && columns === null && html`<${Inside} inner=${inner} list=${list} depth=${depth - 1} />`}
    </details>
  `
}

/** A value in a table: collapsed if it has parts. */
const cell = (value: unknown): View =>
  listMembers(value) === null
    ? html`<${Leaf} value=${value} bare />`
    : html`<${Value} name=${null} listed=${false} value=${value} depth=${0} />`

/** A value without parts; a string that holds JSON or several lines is shown as such. */
const Text = ({ value, depth }: { readonly value: unknown; readonly depth: number }): View => {
  const json = useMemo(() => (typeof value === 'string' ? parseJsonText(value) : undefined), [value])
  // Its parts are collapsed: of a string, the size of a tree does not contain the values in it.
  if (json !== undefined)
    return html`<span class="json-size">JSON</span> <${Value} name=${null} listed=${false} value=${json} depth=${Math.min(depth, 1)} />`
  const hasLines = typeof value === 'string' && /\n./s.test(value)
  return hasLines ? html`<${Preformatted} text=${value} />` : html`<${Leaf} value=${value} />`
}

interface JsonProps {
  readonly value: unknown
  /** Shows the fields of an object without the line that collapses them. */
  readonly bare?: boolean
}

/** A value of parseLosslessJson as an expandable tree. */
export const Json = ({ value, bare = false }: JsonProps): View => {
  const depth = countValues(value, SMALL) <= SMALL ? 8 : 1
  const inner = bare ? listMembers(value) : null
  return html`
    <div class="json" dir="ltr">
      ${
        inner === null
          ? html`<${Value} name=${null} listed=${false} value=${value} depth=${depth} />`
          : html`<${Inside} inner=${inner} list=${Array.isArray(value)} depth=${depth} />`
      }
    </div>
  `
}

/** A value of a message with a button that copies it. */
export const JsonBlock = ({ value, text }: { readonly value: unknown; readonly text?: string }): View =>
  listMembers(value) === null
    ? html`<${Json} value=${value} />`
    : html`
        <div class="block">
          <${Json} value=${value} />
          <${CopyButton} text=${() => text ?? stringifyLosslessJson(value)} />
        </div>
      `
