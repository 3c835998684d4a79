import { ago, count } from '../shared/format.ts'
import { html, type View } from '../shared/html.ts'
import { healthText as t } from './messages.ts'
import type { HealthAnswer } from './report.ts'
import { workerStatusText } from './status-summary.ts'
import { bytes, formatCompact, formatOptional, seconds } from './units.ts'

interface Figure {
  readonly name: string
  readonly label: string
  readonly value: string
  readonly note: string
  readonly alarming?: boolean
}

const rate = (value: number | null): string =>
  formatOptional(value, (one) => t('perSecond', { rate: formatCompact(one) }))

const SINCE = { broker: 'lag_broker', publisher: 'lag_publisher', arrival: 'lag_arrival' } as const

const lagNote = (since: string | null): string => {
  const word = since === null ? undefined : SINCE[since as keyof typeof SINCE]
  return word === undefined ? t('lagNone') : t('lagNote', { since: t(word) })
}

const queueNote = ({ queue, mode }: HealthAnswer): string => {
  if (queue !== null) return t('queueNote', { n: queue.consumers ?? 0, dead: formatOptional(queue.dead, count) })
  return mode === 'embedded' ? t('queueNone') : t('queueUnknown')
}

const quarantineFigure = ({ quarantine }: HealthAnswer): Figure => {
  const figure = { name: 'quarantine', label: t('quarantine') }
  if (quarantine === null) return { ...figure, value: '–', note: t('quarantineUnknown') }
  const { rows, more, reasons } = quarantine
  const value = more ? t('atLeast', { n: rows }) : count(rows)
  const note = rows === 0 ? t('quarantineEmpty') : t('quarantineNote', { n: reasons.length })
  return { ...figure, value, note, alarming: rows > 0 }
}

/** Returns the tiles in display order. */
const listFigures = (report: HealthAnswer): Figure[] => {
  const { now, readers, database, totals } = report
  const { live, catching_up: behind, stalled } = readers
  return [
    {
      name: 'ingest',
      label: t('ingest'),
      value: rate(now.stored_per_second),
      note: t('ingestNote', { n: totals.stored }),
    },
    { name: 'lag', label: t('lag'), value: formatOptional(now.lag_seconds, seconds), note: lagNote(report.lag_since) },
    { name: 'queue', label: t('queue'), value: formatOptional(report.queue?.ready, count), note: queueNote(report) },
    {
      name: 'readers',
      label: t('readers'),
      value: count(live + behind + stalled),
      note: t('readersNote', { live, behind, stalled }),
      alarming: stalled > 0,
    },
    { name: 'delivered', label: t('delivered'), value: rate(now.delivered_per_second), note: t('deliveredNote') },
    quarantineFigure(report),
    {
      name: 'database',
      label: t('database'),
      value: formatOptional(database.bytes, bytes),
      note: t('databaseNote', {
        wal: formatOptional(database.wal_bytes, bytes),
        free: formatOptional(database.disk_free_bytes, bytes),
      }),
    },
    {
      name: 'loop',
      label: t('loop'),
      value: formatOptional(now.event_loop_delay_seconds, seconds),
      note: t('loopNote'),
    },
  ]
}

/** Tiles with the current metrics. */
export const StatTiles = ({ report }: { readonly report: HealthAnswer }): View => html`
  <section aria-label=${t('figures')}>
    <dl class="figures">
      ${listFigures(report).map(
        ({ name, label, value, note, alarming = false }) => html`
          <div class="panel" key=${name} data-figure=${name} data-alarming=${alarming ? '' : null}>
            <dt>${label}</dt>
            <dd class="figure number">${value}</dd>
            <dd class="faint note">${note}</dd>
          </div>
        `,
      )}
    </dl>
  </section>
`

/** Table of worker processes, if there are several. */
export const Workers = ({ report }: { readonly report: HealthAnswer }): View =>
  report.workers_expected === 1
    ? null
    : html`
        <section class="panel workers">
          <h2 id="workers-title">${t('workers')}</h2>
          <div class="wide" tabindex="0" role="region" aria-labelledby="workers-title">
            <table>
              <thead>
                <tr>
                  <th scope="col">${t('worker')}</th>
                  <th scope="col">${t('state')}</th>
                  <th scope="col">${t('readers')}</th>
                  <th scope="col">${t('loop')}</th>
                  <th scope="col">${t('memory')}</th>
                  <th scope="col">${t('process')}</th>
                  <th scope="col">${t('started')}</th>
                </tr>
              </thead>
              <tbody class="number">
                ${report.workers.map(
                  (worker) => html`
                    <tr key=${worker.pid}>
                      <th scope="row">${String(worker.worker)}</th>
                      <td class=${worker.ready === true ? null : 'problem'}>${workerStatusText(worker)}</td>
                      <td>${formatOptional(worker.readers, count)}</td>
                      <td>${formatOptional(worker.event_loop_delay_seconds, seconds)}</td>
                      <td>${formatOptional(worker.memory_bytes, bytes)}</td>
                      <td>${String(worker.pid)}</td>
                      <td>${worker.started_at === null ? '–' : ago(Date.parse(worker.started_at), Date.now())}</td>
                    </tr>
                  `,
                )}
              </tbody>
            </table>
          </div>
        </section>
      `
