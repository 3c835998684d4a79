import { useState } from 'preact/hooks'
import { escapeControlChars, escapeLine } from '../../shared/escape-control-chars.ts'
import { html, type View } from '../../shared/html.ts'
import { LosslessNumber } from '../../shared/lossless-json.ts'
import { roomText as t } from '../messages.ts'

/** Entries of an object or array shown at once. */
const PAGE = 30
const MAX_CHARACTERS = 2_000
/** Maximum number of values of a tree that is shown expanded. */
const SMALL = 24

type Inner = readonly (readonly [key: string, value: unknown])[]

const innerOf = (value: unknown): Inner | null => {
  if (typeof value !== 'object' || value === null || value instanceof LosslessNumber) return null
  return Array.isArray(value) ? value.map((inner, index) => [String(index), inner] as const) : Object.entries(value)
}

/** Counts the values in a value, stopping after `max`. Pure. */
const sizeOf = (value: unknown, max: number): number => {
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

const Leaf = ({ value }: { readonly value: unknown }): View => {
  const [whole, setWhole] = useState(false)
  if (typeof value !== 'string') {
    const text = value instanceof LosslessNumber ? value.text : String(value)
    return html`<span class="json-plain">${text}</span>`
  }
  const long = value.length > MAX_CHARACTERS
  const shown = long && !whole ? `${value.slice(0, MAX_CHARACTERS)}…` : value
  return html`<span class="json-text">"${escapeControlChars(shown)}"</span>${
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
  const [max, setMost] = useState(PAGE)
  return html`
    <ul class="json-inside">
      ${inner.slice(0, max).map(([key, value]) => html`<li><${Value} name=${key} listed=${list} value=${value} depth=${depth} /></li>`)}
      ${
        inner.length > max &&
        html`<li>
          <button type="button" class="more quiet" onClick=${() => setMost(max + PAGE)}>
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
  const inner = innerOf(value)
  const [open, setOpen] = useState(depth > 0)
  const key = name !== null && html`<${Key} name=${name} listed=${listed} />`
  if (inner === null) return html`${key}<${Leaf} value=${value} />`
  const list = Array.isArray(value)
  if (inner.length === 0) return html`${key}<span class="json-plain">${list ? '[]' : '{}'}</span>`
  const size = t(list ? 'items' : 'fields', { n: inner.length })
  return html`
    <details open=${open} onToggle=${(event: Event) => setOpen((event.currentTarget as HTMLDetailsElement).open)}>
      <summary>${key}<span class="json-size">${list ? '[' : '{'} ${size} ${list ? ']' : '}'}</span></summary>
      ${open && html`<${Inside} inner=${inner} list=${list} depth=${depth - 1} />`}
    </details>
  `
}

interface JsonProps {
  readonly value: unknown
  /** Shows the fields of an object without the line that collapses them. */
  readonly bare?: boolean
}

/** A value of parseLosslessJson as an expandable tree. */
export const Json = ({ value, bare = false }: JsonProps): View => {
  const depth = sizeOf(value, SMALL) <= SMALL ? 8 : 1
  const inner = bare ? innerOf(value) : null
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
