import { signOut, useCaller } from '../caller.ts'
import { ApiError } from '../shared/api.ts'
import { html, type View } from '../shared/html.ts'
import { sharedText } from '../shared/messages.ts'
import { Cluster } from './cluster.ts'
import { healthText as t } from './messages.ts'
import { Plots } from './plots.ts'
import { QuarantineSection } from './quarantine.ts'
import { StatTiles, Workers } from './stat-tiles.ts'
import { StatusSummary } from './status-summary.ts'
import { useReport } from './use-report.ts'

const Refused = (): View => {
  const caller = useCaller()
  return html`
    <section class="panel refused" role="alert">
      <h2>${t('refused')}</h2>
      <p>${t('refusedHow')}</p>
      ${caller?.session === true && html`<button type="button" class="primary" onClick=${signOut}>${sharedText('signOut')}</button>`}
    </section>
  `
}

/** Gateway health: failed components, metrics, the last hour, and the quarantine. */
export const HealthPage = (): View => {
  const { report, problem, at, refresh } = useReport()
  const refused = problem instanceof ApiError && problem.status === 403
  return html`
    <main class="narrow health" id="main" tabindex="-1">
      <h1>${t('title')}</h1>
      ${refused ? html`<${Refused} />` : html`<${StatusSummary} report=${report} problem=${problem} at=${at} />`}
      ${
        report !== null &&
        !refused &&
        html`
          <${StatTiles} report=${report} />
          <${Workers} report=${report} />
          <${Cluster} cluster=${report.cluster} />
          <${Plots} report=${report} />
          <${QuarantineSection} counted=${report.quarantine} changed=${refresh} />
        `
      }
    </main>
  `
}
