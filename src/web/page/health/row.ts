import { useState } from 'preact/hooks'
import { errorTitle } from '../shared/error-messages-zh.ts'
import { escapeLine } from '../shared/escape-control-chars.ts'
import { ago, fullTime } from '../shared/format.ts'
import { html, type View } from '../shared/html.ts'
import { healthText as t } from './messages.ts'
import type { QuarantineLine } from './report.ts'
import { RowBody } from './row-body.ts'
import { bytes } from './units.ts'

interface QuarantineTableRowProps {
  readonly row: QuarantineLine
  readonly busy: boolean
  readonly onReplay: (id: number) => void
  readonly onDrop: (id: number) => void
}

/** One quarantined message. */
export const QuarantineTableRow = ({ row, busy, onReplay, onDrop }: QuarantineTableRowProps): View => {
  const [open, setOpen] = useState(false)
  const { rejected_id: id, reason } = row
  const received = Date.parse(row.received_at)
  const sheet = `rejected-${id}`
  return html`
    <li class="rejected" data-id=${String(id)} aria-busy=${busy}>
      <div class="rejected-head">
        <p>
          <span class="faint number">#${String(id)}</span> <code class="reason">${escapeLine(reason)}</code> ${errorTitle(reason)}
        </p>
        <p class="faint number">
          <time datetime=${row.received_at} title=${fullTime(received)}>${ago(received, Date.now())}</time> · ${bytes(row.body_bytes)}
        </p>
      </div>
      <p class="detail">${escapeLine(row.detail)}</p>
      <p class="key mono">${escapeLine(row.routing_key)}</p>
      <div class="rejected-actions">
        <button
          type="button"
          class="quiet"
          aria-expanded=${open}
          aria-controls=${sheet}
          aria-label=${`${t(open ? 'hide' : 'show')} · ${t('detailsOf', { id: String(id), reason: escapeLine(reason) })}`}
          onClick=${() => setOpen(!open)}
        >
          ${t(open ? 'hide' : 'show')}
        </button>
        <button type="button" class="replay" disabled=${busy} aria-label=${t('replayNamed', { id: String(id) })} onClick=${() => onReplay(id)}>
          ${t('replay')}
        </button>
        <button type="button" class="drop" disabled=${busy} aria-label=${t('dropNamed', { id: String(id) })} onClick=${() => onDrop(id)}>
          ${t('drop')}
        </button>
      </div>
      <div class="rejected-sheet" id=${sheet}>${open && html`<${RowBody} id=${id} />`}</div>
    </li>
  `
}
