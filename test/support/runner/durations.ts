import { readFileSync, writeFileSync } from 'node:fs'

const FILE = new URL('../../durations.json', import.meta.url)
/** Shorter runs are not recorded. */
const MIN_SECONDS = 10

type Durations = Record<string, number>

const recorded = JSON.parse(readFileSync(FILE, 'utf8')) as Durations

/** Last recorded durations of the runs, in seconds. */
export const getRecordedSeconds = (name: string): number => recorded[name] ?? MIN_SECONDS / 2

/** Records durations, in milliseconds, and overwrites those of earlier runs. */
export const recordDurations = (measured: ReadonlyMap<string, number>): void => {
  const all = { ...recorded }
  for (const [name, ms] of measured) all[name] = Math.round(ms / 1000)
  const long = Object.entries(all).filter(([, seconds]) => seconds >= MIN_SECONDS)
  const sorted = Object.fromEntries(long.sort(([one], [other]) => (one < other ? -1 : 1)))
  writeFileSync(FILE, `${JSON.stringify(sorted, null, 2)}\n`)
}
