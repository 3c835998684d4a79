import { useRef, useState } from 'preact/hooks'
import type { QuarantineCounts } from '../../../http/routes/health-report.ts'
import { errorText } from '../shared/api.ts'
import { errorHint } from '../shared/error-messages-zh.ts'
import { escapeControlChars, escapeLine } from '../shared/escape-control-chars.ts'
import { count } from '../shared/format.ts'
import { html, type View } from '../shared/html.ts'
import { DeleteDialog } from './delete-dialog.ts'
import { healthText as t } from './messages.ts'
import { Results } from './results.ts'
import { QuarantineTableRow } from './row.ts'
import { type QuarantineView, useQuarantine } from './use-quarantine.ts'

interface FilterProps {
  readonly counted: QuarantineCounts
  readonly chosen: string | null
  readonly onChoose: (reason: string | null) => void
}

const ReasonFilter = ({ counted, chosen, onChoose }: FilterProps): View => {
  const chip = (reason: string | null, label: string, rows: string): View => html`
    <button
      key=${reason ?? ''}
      type="button"
      class="chip"
      data-reason=${reason ?? ''}
      aria-pressed=${chosen === reason}
      onClick=${() => onChoose(reason)}
    >
      ${label} <span class="number">${rows}</span>
    </button>
  `
  const all = counted.more ? t('atLeast', { n: counted.rows }) : count(counted.rows)
  return html`
    <div class="chips" role="group" aria-label=${t('reasonFilter')}>
      ${chip(null, t('allReasons'), all)}
      ${counted.reasons.map(({ reason, rows }) => chip(reason, escapeLine(reason), count(rows)))}
    </div>
  `
}

const Bulk = ({ view, reason }: { readonly view: QuarantineView; readonly reason: string | null }): View =>
  view.bulk === null
    ? html`<button type="button" class="replay-all" onClick=${() => void view.replayAll()}>
        ${reason === null ? t('replayAll') : t('replayReason', { reason })}
      </button>`
    : html`<p class="bulk">
        <span role="status">${t('replaying', { done: view.bulk })}</span>
        <button type="button" onClick=${view.stop}>${t('stop')}</button>
      </p>`

/** List of quarantined messages with reason, origin and actions. */
export const QuarantineSection = ({
  counted,
  changed,
}: {
  readonly counted: QuarantineCounts | null
  readonly changed: () => void
}): View => {
  const [chosen, setChosen] = useState<string | null>(null)
  const [deletingId, setDeletingId] = useState<number | null>(null)
  const heading = useRef<HTMLHeadingElement>(null)
  // If no rows with the chosen reason are left, show all.
  const reason = counted?.reasons.some((one) => one.reason === chosen) ? chosen : null
  const view = useQuarantine(reason, counted, changed)
  const hint = counted?.reasons.find((one) => one.reason === reason)?.hint

  /** Runs an action on a row. If the row disappears, the next row gets the focus. */
  const act = async (id: number, work: () => Promise<void>): Promise<void> => {
    const at = view.rows.findIndex((row) => row.rejected_id === id)
    await work()
    requestAnimationFrame(() => {
      if (document.activeElement !== document.body && document.activeElement !== null) return
      const left = document.querySelectorAll<HTMLButtonElement>('.rejected .replay')
      const next = left[Math.min(at, left.length - 1)] ?? heading.current
      next?.focus()
    })
  }

  const answered = (yes: boolean): void => {
    const id = deletingId!
    setDeletingId(null)
    if (yes) void act(id, () => view.drop(id))
  }

  return html`
    <section class="quarantine" aria-labelledby="quarantine-title">
      <h2 id="quarantine-title" tabindex="-1" ref=${heading}>${t('quarantineTitle')}</h2>
      <p class="faint">${t('quarantineWhat')}</p>
      ${counted !== null && counted.rows > 0 && html`<${ReasonFilter} counted=${counted} chosen=${reason} onChoose=${setChosen} />`}
      ${hint !== undefined && reason !== null && html`<p><span class="faint">${t('hint')}: </span>${escapeControlChars(errorHint(reason, hint))}</p>`}
      ${(view.rows.length > 1 || view.bulk !== null) && html`<${Bulk} view=${view} reason=${reason} />`}
      <${Results} results=${view.results} />
      ${
        view.problem !== null &&
        html`<p class="problem" role="alert">
          ${escapeLine(errorText(view.problem))}${' '}
          <button type="button" class="small" onClick=${view.retry}>${t('retry')}</button>
        </p>`
      }
      ${counted?.rows === 0 && view.rows.length === 0 && html`<p class="panel nothing">${t('quarantineNothing')}</p>`}
      <ul class="rejected-list" aria-label=${t('rows')}>
        ${view.rows.map(
          (row) => html`
            <${QuarantineTableRow}
              key=${row.rejected_id}
              row=${row}
              busy=${view.busy.has(row.rejected_id)}
              onReplay=${(id: number) => void act(id, () => view.replay(id))}
              onDrop=${setDeletingId}
            />
          `,
        )}
      </ul>
      ${view.hasMore && html`<button type="button" class="more" onClick=${view.more}>${t('showMore')}</button>`}
      ${deletingId !== null && html`<${DeleteDialog} id=${deletingId} onAnswer=${answered} />`}
    </section>
  `
}
