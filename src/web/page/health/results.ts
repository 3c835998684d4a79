import type { ReplayOutcome } from '../../../http/routes/quarantine.ts'
import { errorText } from '../shared/api.ts'
import { escapeLine } from '../shared/escape-control-chars.ts'
import { html, type View } from '../shared/html.ts'
import { roomPath } from '../shared/router.ts'
import { healthText as t } from './messages.ts'
import type { Result } from './use-quarantine.ts'

const outcomeText = (outcome: ReplayOutcome): string => {
  const { kind } = outcome
  const id = String(outcome.rejected_id)
  switch (kind) {
    case 'stored':
    case 'duplicate':
      return t(kind, { id, db: String(outcome.db_id) })
    case 'kept':
      return t('kept', { id, reason: escapeLine(outcome.reason), detail: escapeLine(outcome.detail) })
    case 'gone':
      return t('gone', { id })
  }
}

const describeResult = (result: Result): string => {
  switch (result.is) {
    case 'replayed':
      return outcomeText(result.outcome)
    case 'dropped':
      return t('dropped', { id: String(result.id) })
    case 'failed': {
      const why = escapeLine(errorText(result.error))
      return result.id === null ? why : t('failed', { id: String(result.id), why })
    }
    case 'bulk':
      return t(result.stopped ? 'bulkStopped' : 'bulkDone', result.tally)
  }
}

const isGood = (result: Result): boolean =>
  result.is === 'dropped' ||
  (result.is === 'replayed' && (result.outcome.kind === 'stored' || result.outcome.kind === 'duplicate')) ||
  (result.is === 'bulk' && result.tally.kept === 0 && !result.stopped)

const getEventId = (result: Result): string | undefined =>
  result.is === 'replayed' ? result.outcome.event_id : undefined

const Item = ({ result }: { readonly result: Result }): View => {
  const event = getEventId(result)
  return html`
    <li data-good=${isGood(result) ? '' : null}>
      ${describeResult(result)}${event !== undefined && html` <a href=${roomPath(event)}>${escapeLine(event)}</a>`}
    </li>
  `
}

/** Results of the last actions, as a live region for screen readers. */
export const Results = ({ results }: { readonly results: readonly Result[] }): View => html`
  <div class="results" role="log" aria-label=${t('results')}>
    ${results.length > 0 && html`<ul>${results.map((result) => html`<${Item} key=${result.key} result=${result} />`)}</ul>`}
  </div>
`
