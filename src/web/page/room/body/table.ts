import { useState } from 'preact/hooks'
import { escapeLine } from '../../shared/escape-control-chars.ts'
import { html, type View } from '../../shared/html.ts'
import { roomText as t } from '../messages.ts'

/** Rows shown at once. */
const PAGE = 30

interface TableProps {
  readonly columns: readonly string[]
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly cell: (value: unknown) => View
}

/** Objects with like keys as a table; it scrolls if it is wider than the message. */
export const BodyTable = ({ columns, rows, cell }: TableProps): View => {
  const [max, setMax] = useState(PAGE)
  return html`
    <div class="table-box" role="group" aria-label=${t('items', { n: rows.length })} tabindex="0">
      <table>
        <thead>
          <tr>${columns.map((name) => html`<th scope="col">${escapeLine(name)}</th>`)}</tr>
        </thead>
        <tbody>
          ${rows
            .slice(0, max)
            .map(
              (row) =>
                html`<tr>${columns.map((name) => html`<td>${Object.hasOwn(row, name) && cell(row[name])}</td>`)}</tr>`,
            )}
        </tbody>
      </table>
    </div>
    ${
      rows.length > max &&
      html`<button type="button" class="more quiet" onClick=${() => setMax(max + PAGE)}>
        ${t('moreItems', { n: rows.length - max })}
      </button>`
    }
  `
}
