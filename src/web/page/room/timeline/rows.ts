import type { Entry } from '../model/entry.ts'
import { FenwickTree } from './fenwick-tree.ts'

/** What stands above a row: a bit each. */
export const NEW_ROUND = 1
export const NEW_DAY = 2

/** What a row is high before it was ever shown, in CSS pixels. */
const USUAL_HEIGHT = 104
const NOTICE_HEIGHT = 32
const DAY_MS = 86_400_000

/** The rows of a timeline: messages, what stands above each, and how high they are. */
export interface Rows {
  entries: readonly Entry[]
  readonly above: number[]
  readonly heights: FenwickTree
  /** Of local time behind UTC, which decides where a day begins. */
  readonly offsetMs: number
  /** The round and the day of the last row. */
  round: number | null
  day: number
}

const usualHeight = ({ height, tone }: Entry): number =>
  height > 0 ? height : tone === 'notice' ? NOTICE_HEIGHT : USUAL_HEIGHT

/** What stands above the row behind the last one. */
const aboveOf = (rows: Rows, entry: Entry): number => {
  let above = 0
  const day = Math.floor((entry.at - rows.offsetMs) / DAY_MS)
  if (entry.round !== null && entry.round !== rows.round) {
    rows.round = entry.round
    above |= NEW_ROUND
  }
  if (day !== rows.day && rows.above.length > 0) above |= NEW_DAY
  rows.day = day
  return above
}

export const rowsOf = (entries: readonly Entry[], offsetMs: number): Rows => {
  const heights = new FenwickTree(Float64Array.from(entries, usualHeight))
  const rows: Rows = { entries, above: [], heights, offsetMs, round: null, day: Number.NaN }
  for (const entry of entries) rows.above.push(aboveOf(rows, entry))
  return rows
}

/** @returns whether these are the same rows with others behind them; then they are added */
export const appendRows = (rows: Rows, entries: readonly Entry[]): boolean => {
  const { length } = rows.entries
  if (length === 0 || entries[0] !== rows.entries[0] || entries[length - 1] !== rows.entries[length - 1]) return false
  for (const entry of entries.slice(length)) {
    rows.above.push(aboveOf(rows, entry))
    rows.heights.push(usualHeight(entry))
  }
  rows.entries = entries
  return true
}

/** The index of the first row with this db_id or a greater one. */
export const lowerBound = ({ entries }: Pick<Rows, 'entries'>, id: number): number => {
  let [low, high] = [0, entries.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (entries[middle]!.id < id) low = middle + 1
    else high = middle
  }
  return low
}
