import { readable } from './plot.ts'
import { median } from './stats.ts'
import type { Lookup, Sample, Series } from './types.ts'

/** What one target came to. `ratio` is the median over the runs, null where it could not be measured. */
export interface Verdict {
  readonly what: string
  readonly bound: 'at most' | 'at least'
  readonly target: number
  readonly unit: string
  readonly ratio: number | null
  readonly runs: readonly number[]
  readonly met: boolean | null
}

/** One row of a table: the medians of a peer at a point. */
export interface Row {
  readonly point: string
  readonly peer: string
  readonly values: Readonly<Record<string, number>>
  readonly note?: string
}

export const lookupIn =
  (samples: readonly Sample[]): Lookup =>
  (peer, point, key) =>
    samples.find((sample) => sample.peer === peer && sample.point === point)?.values[key]

/** Medians over the runs, in the order in which points and peers first came. */
export const computeMedians = (runs: readonly (readonly Sample[])[]): Row[] => {
  const rows = new Map<string, Sample[]>()
  for (const sample of runs.flat()) {
    const key = `${sample.point}\n${sample.peer}`
    rows.set(key, [...(rows.get(key) ?? []), sample])
  }
  return [...rows.values()].map((samples) => {
    const { point, peer, note } = samples[0]!
    const keys = new Set(samples.flatMap(({ values }) => Object.keys(values)))
    const values: Record<string, number> = {}
    for (const key of keys) {
      const found = samples.map((sample) => sample.values[key]).filter((value) => value !== undefined)
      values[key] = median(found)!
    }
    return { point, peer, values, ...(note !== undefined && { note }) }
  })
}

/**
 * The ratio of each run, and whether their median reaches the target.
 *
 * @param judged false: the numbers were too small to say anything, so nothing is said
 */
export const computeVerdicts = (series: Series, runs: readonly (readonly Sample[])[], judged: boolean): Verdict[] =>
  series.targets.map(({ what, bound, value, unit = '×', of }) => {
    const ratios = (judged ? runs : []).map((samples) => of(lookupIn(samples))).filter((ratio) => ratio !== undefined)
    const middle = median(ratios)
    const met = middle === undefined ? null : bound === 'at most' ? middle <= value : middle >= value
    return { what, bound, target: value, unit, ratio: middle ?? null, runs: ratios, met }
  })

/** A Markdown table; `right` aligns columns to the right. */
export const markdownTable = (
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly boolean[],
): string => {
  const widths = head.map((text, index) => Math.max(3, text.length, ...rows.map((row) => row[index]!.length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (right[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join(' | ')} |`
  const rule = `| ${widths.map((width, i) => (right[i] ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width))).join(' | ')} |`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

/** The figures of a series as a Markdown table. */
export const figuresTable = (series: Series, rows: readonly Row[]): string =>
  markdownTable(
    ['', 'peer', ...series.columns.map(({ label }) => label)],
    rows.map(({ point, peer, values, note }) => [
      point,
      note === undefined ? peer : `${peer} (${note})`,
      ...series.columns.map(({ key, digits }) => (values[key] === undefined ? '' : readable(values[key], digits))),
    ]),
    [false, false, ...series.columns.map(() => true)],
  )

const verdictWord = (met: boolean | null): string => (met === null ? 'not measured' : met ? 'met' : 'missed')

/** The targets with their ratios as a Markdown table. */
export const verdictsTable = (verdicts: readonly Verdict[]): string =>
  markdownTable(
    ['target', 'to reach', 'reached', 'runs', ''],
    verdicts.map(({ what, bound, target, unit, ratio, runs, met }) => [
      what,
      `${bound === 'at most' ? '≤' : '≥'} ${target} ${unit}`,
      ratio === null ? '–' : `${readable(ratio, 2)} ${unit}`,
      runs.map((one) => readable(one, 2)).join(' '),
      verdictWord(met),
    ]),
    [false, true, true, false, false],
  )
