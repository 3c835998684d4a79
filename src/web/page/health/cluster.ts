import type { ClusterCheck, ClusterGateway, ClusterReport } from '../../../monitoring/cluster-report.ts'
import { escapeControlChars, escapeLine } from '../shared/escape-control-chars.ts'
import { count } from '../shared/format.ts'
import { html, type View } from '../shared/html.ts'
import { checkHint, checkName, checkText, clusterText as t } from './cluster-messages.ts'
import { formatCompact, seconds } from './units.ts'

const CheckItem = ({ check }: { readonly check: ClusterCheck }): View => {
  const hint = checkHint(check)
  return html`
    <li data-check=${check.check} data-level=${check.level}>
      <span class=${check.level === 'ok' ? 'faint' : 'problem'}>${t(`level_${check.level}`)}</span>
      <strong> ${checkName(check)}</strong> ${escapeControlChars(checkText(check))}
      ${hint !== '' && html`<p><span class="faint">${t('hint')}: </span>${escapeControlChars(hint)}</p>`}
    </li>
  `
}

const retention = ({ retention_days: days, retention_messages_per_event: messages }: ClusterGateway): string => {
  const parts = [
    ...(days === null ? [] : [t('days', { n: days })]),
    ...(messages === null ? [] : [t('perEvent', { n: messages })]),
  ]
  return parts.length === 0 ? t('unlimited') : parts.join(', ')
}

const CONSUMERS = { active: 'consumerActive', waiting: 'consumerWaiting', none: 'consumerNone' } as const

const Row = ({ one }: { readonly one: ClusterGateway }): View => {
  const state = one.live ? (one.ready ? 'stateReady' : 'stateFaulty') : 'stateGone'
  return html`
    <tr data-gateway=${one.gateway} data-live=${one.live ? '' : null}>
      <th scope="row">${escapeLine(one.gateway)}${one.own && html` <span class="faint">${t('own')}</span>`}</th>
      <td class=${one.ready ? null : 'problem'}>${t(state)}</td>
      <td>${one.consumer === null ? '–' : t(CONSUMERS[one.consumer])}</td>
      <td>${escapeLine(one.version)}</td>
      <td>${formatCompact(one.clock_offset_seconds)} s</td>
      <td>${retention(one)}</td>
      <td>${count(one.readers)}</td>
      <td>${seconds(one.last_seen_seconds)}</td>
    </tr>
  `
}

/** Checks and gateways of a cluster, if the store can serve several hosts. */
export const Cluster = ({ cluster }: { readonly cluster: ClusterReport }): View => {
  if (cluster.database === null && cluster.gateways.length === 1) return null
  return html`
    <section class="panel workers cluster" aria-labelledby="cluster-title" data-safe=${cluster.safe ? '' : null}>
      <h2 id="cluster-title">${t('title')}</h2>
      <p class=${cluster.safe ? null : 'problem'}>${t(cluster.safe ? 'safe' : 'unsafe')}</p>
      <ul class="checks">
        ${cluster.checks.map((check) => html`<${CheckItem} key=${check.check} check=${check} />`)}
      </ul>
      <div class="wide" tabindex="0" role="region" aria-label=${t('gateways')}>
        <table>
          <thead>
            <tr>
              <th scope="col">${t('gateway')}</th>
              <th scope="col">${t('state')}</th>
              <th scope="col">${t('consumer')}</th>
              <th scope="col">${t('version')}</th>
              <th scope="col">${t('clock')}</th>
              <th scope="col">${t('retention')}</th>
              <th scope="col">${t('readers')}</th>
              <th scope="col">${t('lastSeen')}</th>
            </tr>
          </thead>
          <tbody class="number">
            ${cluster.gateways.map((one) => html`<${Row} key=${`${one.gateway} ${one.live}`} one=${one} />`)}
          </tbody>
        </table>
      </div>
    </section>
  `
}
