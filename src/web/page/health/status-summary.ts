import type { ClusterFault, WorkerSummary } from '../../../monitoring/report.ts'
import { gatewayPath } from '../base-path.ts'
import { describeEdge } from '../edge/edge-status.ts'
import { errorText } from '../shared/api.ts'
import { componentName, errorHint, errorTitle } from '../shared/error-messages-zh.ts'
import { escapeControlChars, escapeLine } from '../shared/escape-control-chars.ts'
import { ago, clockTime, fullTime } from '../shared/format.ts'
import { html, type View } from '../shared/html.ts'
import { Icon } from '../shared/icons.ts'
import { healthText as t } from './messages.ts'
import type { HealthAnswer } from './report.ts'
import type { ReportState } from './use-report.ts'

const formatWorkers = (workers: readonly number[]): string => workers.join(', ')

const listSilentWorkers = ({ workers }: HealthAnswer): readonly number[] =>
  workers.filter(({ answers }) => !answers).map(({ worker }) => worker)

/** Returns messages about workers that do not respond or are not running. */
const workerProblems = (report: HealthAnswer): string[] => {
  const silent = listSilentWorkers(report)
  const { workers_expected: expected, workers } = report
  return [
    ...(silent.length === 0 ? [] : [t('silentWorkers', { n: silent.length, list: formatWorkers(silent) })]),
    ...(workers.length >= expected ? [] : [t('missingWorkers', { there: workers.length, expected })]),
  ]
}

const FaultItem = ({ fault, all }: { readonly fault: ClusterFault; readonly all: number }): View => {
  const since = Date.parse(fault.since)
  const hint = errorHint(fault.code, fault.hint)
  const title = errorTitle(fault.code)
  return html`
    <li class="fault" data-component=${fault.component} data-code=${fault.code}>
      <p class="fault-name">
        <strong>${componentName(fault.component)}</strong> <code>${fault.code}</code> ${title}
      </p>
      <p class="fault-text">${escapeControlChars(fault.message)}</p>
      <p><span class="faint">${t('hint')}: </span>${escapeControlChars(hint)}</p>
      <p class="faint">
        ${t('since', { time: fullTime(since), ago: ago(since, Date.now()) })}${
          all > 1 && ` · ${t('ofWorkers', { n: fault.workers.length, list: formatWorkers(fault.workers) })}`
        }
      </p>
    </li>
  `
}

/** Returns the text for screen readers, which changes only with the state. */
const ariaText = (report: HealthAnswer | null, problem: unknown): string => {
  if (problem !== null) return t('unreachable')
  if (report === null) return ''
  if (report.ready) return t('ready')
  const faults = report.faults.map(({ component, code }) => `${componentName(component)}: ${errorTitle(code) || code}`)
  return [t('notReady'), ...faults, ...workerProblems(report)].join('. ')
}

const modeText = ({ mode, upstream }: HealthAnswer): string => {
  if (upstream !== null) return escapeLine(describeEdge(upstream))
  return mode === 'embedded' ? t('modeEmbedded') : t('modeBroker')
}

const Facts = ({ report, at }: { readonly report: HealthAnswer; readonly at: number }): View => html`
  <dl class="facts">
    <div><dt>${t('mode')}</dt><dd>${modeText(report)}</dd></div>
    <div><dt>${t('version')}</dt><dd class="mono">${report.version}</dd></div>
    <div><dt>${t('api')}</dt><dd><a href=${gatewayPath('/docs')}>${t('apiLink')}</a></dd></div>
    <div><dt>${t('asOf')}</dt><dd><time class="number" datetime=${new Date(at).toISOString()}>${clockTime(at)}</time></dd></div>
  </dl>
`

/** Overall state, and the failed components if there are any. */
export const StatusSummary = ({ report, problem, at }: Omit<ReportState, 'refresh'>): View => {
  const gone = problem !== null
  const is = gone ? 'gone' : report === null ? 'unknown' : report.ready ? 'ready' : 'faulty'
  const headline = { gone: 'unreachable', unknown: 'loading', ready: 'ready', faulty: 'notReady' } as const
  const problems = report === null ? [] : workerProblems(report)
  return html`
    <section class="panel state" data-is=${is} aria-label=${t('state')}>
      <p class="headline"><${Icon} name=${is === 'ready' ? 'captain' : 'warn'} />${t(headline[is])}</p>
      <p class="unseen" role="status">${ariaText(report, problem)}</p>
      ${report !== null && html`<${Facts} report=${report} at=${at} />`}
      ${gone && html`<p class="problem">${escapeLine(errorText(problem))}</p>`}
      ${gone && report !== null && html`<p>${t('unreachableHow', { time: clockTime(at) })}</p>`}
      ${problems.map((text) => html`<p class="problem" key=${text}>${text}</p>`)}
      ${
        report !== null &&
        report.faults.length > 0 &&
        html`<h2>${t('faults')}</h2>
          <ul class="faults">
            ${report.faults.map(
              (fault) =>
                html`<${FaultItem} key=${`${fault.component} ${fault.code}`} fault=${fault} all=${report.workers.length} />`,
            )}
          </ul>`
      }
    </section>
  `
}

/** Returns the state of a worker as text. */
export const workerStatusText = ({ answers, ready }: WorkerSummary): string =>
  t(answers ? (ready === true ? 'stateReady' : 'stateFaulty') : 'stateSilent')
