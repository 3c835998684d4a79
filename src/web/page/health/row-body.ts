import { useEffect, useState } from 'preact/hooks'
import { apiText, errorText } from '../shared/api.ts'
import { escapeControlChars, escapeLine } from '../shared/escape-control-chars.ts'
import { html, type View } from '../shared/html.ts'
import { parseLosslessJson, stringifyLosslessJson } from '../shared/lossless-json.ts'
import { healthText as t } from './messages.ts'
import type { QuarantineLine } from './report.ts'
import { bytes } from './units.ts'

interface Whole extends QuarantineLine {
  readonly headers: unknown
  readonly properties: unknown
  readonly body?: string
  readonly body_base64?: string
  readonly shown_bytes: number
}

const PRINTABLE = /[\x20-\x7e\n\t]/

/** Formats binary data: printable ASCII unchanged, all other bytes as \xNN. */
const bytesText = (base64: string): string =>
  Array.from(atob(base64), (char) =>
    PRINTABLE.test(char) ? char : `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  ).join('')

const isEmpty = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0

const Json = ({ label, value }: { readonly label: string; readonly value: unknown }): View =>
  isEmpty(value)
    ? null
    : html`<div><dt>${label}</dt><dd><pre>${escapeControlChars(stringifyLosslessJson(value))}</pre></dd></div>`

const bodyLabel = ({ shown_bytes, body_bytes }: Whole): string =>
  shown_bytes < body_bytes
    ? t('bodyCut', { shown: bytes(shown_bytes), size: bytes(body_bytes) })
    : t('body', { size: bytes(body_bytes) })

const Sheet = ({ row }: { readonly row: Whole }): View => html`
  <dl class="sheet">
    <div><dt>${t('exchange')}</dt><dd class="mono">${escapeLine(row.exchange)}</dd></div>
    <div><dt>${t('routingKey')}</dt><dd class="mono">${escapeLine(row.routing_key)}</dd></div>
    <${Json} label=${t('headers')} value=${row.headers} />
    <${Json} label=${t('properties')} value=${row.properties} />
    <div><dt>${t('sha256')}</dt><dd class="mono">${row.sha256}</dd></div>
    <div>
      <dt>${bodyLabel(row)}${row.body === undefined && html` <span class="faint">(${t('bodyBytes')})</span>`}</dt>
      <dd><pre class="body" tabindex="0" aria-label=${bodyLabel(row)}>${
        row.body === undefined ? bytesText(row.body_base64 ?? '') : escapeControlChars(row.body)
      }</pre></dd>
    </div>
  </dl>
`

/** All fields of a row, loaded when it is expanded. */
export const RowBody = ({ id }: { readonly id: number }): View => {
  const [row, setRow] = useState<Whole | null>(null)
  const [problem, setProblem] = useState('')
  useEffect(() => {
    const leaving = new AbortController()
    apiText(`/api/rejected/${id}`, { signal: leaving.signal }).then(
      (text) => setRow((parseLosslessJson(text) as { data: Whole }).data),
      (error: unknown) => leaving.signal.aborted || setProblem(errorText(error)),
    )
    return () => leaving.abort()
  }, [id])
  if (problem !== '') return html`<p class="problem" role="alert">${escapeLine(problem)}</p>`
  return row === null ? html`<p class="faint">…</p>` : html`<${Sheet} row=${row} />`
}
