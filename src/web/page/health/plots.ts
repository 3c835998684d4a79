import { useMemo } from 'preact/hooks'
import type { Sample, Samples } from '../../../monitoring/samples.ts'
import { fullTime } from '../shared/format.ts'
import { html, type View } from '../shared/html.ts'
import { Plot } from '../shared/plot/plot.ts'
import type { PlotSeries } from '../shared/plot/plot-options.ts'
import { healthText as t } from './messages.ts'
import type { HealthAnswer } from './report.ts'
import { formatCompact } from './units.ts'

interface Line {
  readonly label: string
  readonly colour: string
  readonly from: keyof Sample
  /** Factor that converts a value to the unit of the plot. */
  readonly times?: number
}

interface Drawing {
  readonly name: string
  readonly title: string
  readonly lines: readonly Line[]
}

const MIB = 1 / 1_048_576
const HOUR_S = 3_600

const drawings = (broker: boolean): Drawing[] => [
  {
    name: 'messages',
    title: t('plotMessages'),
    lines: [
      { label: t('plotStored'), colour: '--accent', from: 'stored_per_second' },
      { label: t('plotRejected'), colour: '--bad', from: 'rejected_per_second' },
    ],
  },
  {
    name: 'delivered',
    title: t('plotDelivered'),
    lines: [{ label: t('delivered'), colour: '--accent', from: 'delivered_per_second' }],
  },
  {
    name: 'lag',
    title: t('plotLag'),
    lines: [
      { label: t('lag'), colour: '--accent', from: 'lag_seconds', times: 1_000 },
      { label: t('plotLoop'), colour: '--warn', from: 'event_loop_delay_seconds', times: 1_000 },
    ],
  },
  ...(broker
    ? [
        {
          name: 'queue',
          title: t('plotQueue'),
          lines: [{ label: t('plotWaiting'), colour: '--accent', from: 'queue_ready' as const }],
        },
      ]
    : []),
  {
    name: 'readers',
    title: t('plotReaders'),
    lines: [
      { label: t('plotAll'), colour: '--accent', from: 'readers' },
      { label: t('plotStalled'), colour: '--bad', from: 'readers_stalled' },
    ],
  },
  { name: 'wal', title: t('plotWal'), lines: [{ label: 'WAL', colour: '--accent', from: 'wal_bytes', times: MIB }] },
]

/** Times of the last hour with their samples; gaps are not drawn. */
interface Axis {
  readonly times: readonly number[]
  /** Index of the sample at each time; null if there is none. */
  readonly sampleAt: readonly (number | null)[]
}

const toAxis = ({ at }: Samples, everyMs: number): Axis => {
  const last = at.at(-1) ?? 0
  const times: number[] = []
  const sampleAt: (number | null)[] = []
  const put = (ms: number, sample: number | null): void => {
    times.push(ms / 1_000)
    sampleAt.push(sample)
  }
  if (at.length > 0 && at[0]! > last - HOUR_S * 1_000) put(last - HOUR_S * 1_000, null)
  for (const [index, ms] of at.entries()) {
    const before = index === 0 ? null : at[index - 1]!
    // Samples are missing: add a gap instead of a line across it.
    if (before !== null && ms - before > everyMs * 2.5) put(before + everyMs, null)
    put(ms, index)
  }
  return { times, sampleAt }
}

const getLineValues = (samples: Samples, { sampleAt }: Axis, { from, times = 1 }: Line): (number | null)[] =>
  sampleAt.map((index) => {
    const value = index === null ? null : (samples[from][index] ?? null)
    return value === null ? null : value * times
  })

const shortest = (value: number): string => formatCompact(value)

const Drawn = ({
  drawing,
  samples,
  axis,
}: {
  readonly drawing: Drawing
  readonly samples: Samples
  readonly axis: Axis
}): View => {
  const series: PlotSeries[] = useMemo(
    () =>
      drawing.lines.map((line) => ({
        label: line.label,
        colour: line.colour,
        values: getLineValues(samples, axis, line),
      })),
    [axis, drawing.title],
  )
  const all = series[0]!.values.filter((value) => value !== null)
  const label = t('plotIs', {
    what: drawing.title,
    now: all.length === 0 ? '–' : formatCompact(all.at(-1)!),
    max: all.length === 0 ? '–' : formatCompact(Math.max(...all)),
  })
  return html`
    <div class="panel" data-plot=${drawing.name}>
      <h3>${drawing.title}</h3>
      <ul class="legend">
        ${drawing.lines.map(
          ({ label, colour }) =>
            html`<li key=${colour}><span class="swatch" data-colour=${colour.slice(2)}></span>${label}</li>`,
        )}
      </ul>
      <${Plot} times=${axis.times} series=${series} label=${label} format=${shortest} height=${130} />
    </div>
  `
}

/** Plots of the last hour, as far as there are samples. */
export const Plots = ({ report }: { readonly report: HealthAnswer }): View => {
  const { samples, sample_seconds: every, sampled_since, mode } = report
  const axis = useMemo(() => toAxis(samples, every * 1_000), [samples])
  const since = Date.parse(sampled_since)
  const isWhole = since <= (samples.at.at(-1) ?? 0) - HOUR_S * 1_000
  return html`
    <section aria-labelledby="plots-title">
      <h2 id="plots-title">${t('lastHour')}</h2>
      <p class="faint">
        ${
          samples.at.length === 0
            ? t('noSamples', { every })
            : t(isWhole ? 'sampled' : 'sampledSince', { every, time: fullTime(since) })
        }
      </p>
      ${
        samples.at.length > 0 &&
        html`<div class="plots">
          ${drawings(mode !== 'embedded').map(
            (drawing) => html`<${Drawn} key=${drawing.name} drawing=${drawing} samples=${samples} axis=${axis} />`,
          )}
        </div>`
      }
    </section>
  `
}
