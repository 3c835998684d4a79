import { readFileSync, writeFileSync } from 'node:fs'
import { readable } from './plot.ts'
import { markdownTable, type Verdict } from './report.ts'

/** The ratios to which `--check` compares a run; `--save` writes them. */
const FILE = new URL('../ratios.json', import.meta.url)

/** A ratio moves by this share between two runs of the same code. */
const NOISE = 0.15

interface SavedRatio {
  /** The median of `runs`. */
  readonly ratio: number
  readonly runs: readonly number[]
  /** Day of the runs, YYYY-MM-DD. */
  readonly date: string
}

/** Saved ratios by the text of their target. */
type SavedRatios = Record<string, SavedRatio>

const readSaved = (): SavedRatios => JSON.parse(readFileSync(FILE, 'utf8')) as SavedRatios

/** Replaces the saved ratios of these targets. */
export const saveRatios = (verdicts: readonly Verdict[], date: string): void => {
  const saved = readSaved()
  for (const { what, ratio, runs } of verdicts) {
    if (ratio !== null) saved[what] = { ratio: round(ratio), runs: runs.map(round), date }
  }
  const text = JSON.stringify(saved, null, 2).replace(/\[[^\]]*\]/g, (runs) =>
    runs.replace(/\s+/g, ' ').replace(/ ?([[\]]) ?/g, '$1'),
  )
  writeFileSync(FILE, `${text}\n`)
}

/** Three digits, so that a diff shows what changed. */
const round = (value: number): number => Number(value.toPrecision(3))

/** Says whether a ratio lies outside the saved runs by more than chance. */
export const movement = (
  bound: Verdict['bound'],
  now: number,
  runs: readonly number[],
): 'better' | 'worse' | 'as before' => {
  const isHigher = now > Math.max(...runs) * (1 + NOISE)
  if (!isHigher && now >= Math.min(...runs) * (1 - NOISE)) return 'as before'
  return isHigher === (bound === 'at most') ? 'worse' : 'better'
}

/** Compares the ratios of a run with the saved ones: a table, and what moved. */
export const checkText = (verdicts: readonly Verdict[]): string => {
  const saved = readSaved()
  const rows = verdicts.map(({ what, bound, ratio, unit }) => {
    const before = saved[what]
    const [then, now] = [
      before === undefined ? '–' : `${readable(before.ratio, 2)} ${unit}`,
      ratio === null ? '–' : `${readable(ratio, 2)} ${unit}`,
    ]
    if (before === undefined || ratio === null)
      return [what, then, now, '', before === undefined ? 'not saved' : 'not measured']
    const change = Math.round((ratio / before.ratio - 1) * 100)
    return [what, then, now, `${change > 0 ? '+' : ''}${change} %`, movement(bound, ratio, before.runs)]
  })
  const moved = rows
    .filter((row) => row[4] === 'worse' || row[4] === 'better')
    .map((row) => `${row[4]}: ${row[0]}, ${row[1]} → ${row[2]} (${row[3]})`)
  const head = ['ratio', 'saved', 'now', 'change', '']
  return [
    markdownTable(head, rows, [false, true, true, true, false]),
    moved.length === 0 ? 'Nothing moved by more than chance.' : moved.join('\n'),
  ].join('\n\n')
}
