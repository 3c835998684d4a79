import type { Entry } from '../model/entry.ts'
import { FenwickTree } from './fenwick-tree.ts'

/** Bits for the dividers above a row. */
export const NEW_ROUND = 1
export const NEW_DAY = 2
export const GAP = 4

/** Estimated height of a row that was never shown, in CSS pixels. */
const DEFAULT_HEIGHT = 104
const NOTICE_HEIGHT = 32
const DAY_MS = 86_400_000

/** The rows of a timeline: messages, dividers and heights. */
export interface Rows {
  entries: readonly Entry[]
  readonly above: number[]
  readonly heights: FenwickTree
  /** Offset of local time from UTC as getTimezoneOffset returns it, but in milliseconds; for day boundaries. */
  readonly offsetMs: number
  /** The db_ids after which messages are not loaded, ascending. */
  readonly gaps: readonly number[]
  /** The round and the day of the last row. */
  round: number | null
  day: number
}

const usualHeight = ({ height, tone }: Entry): number =>
  height > 0 ? height : tone === 'notice' ? NOTICE_HEIGHT : DEFAULT_HEIGHT

/** Returns the dividers above the row that is appended next. */
const aboveOf = (rows: Rows, entry: Entry): number => {
  const previous = rows.above.length === 0 ? 0 : rows.entries[rows.above.length - 1]!.id
  let above = rows.gaps.some((gap) => previous <= gap && gap < entry.id) ? GAP : 0
  const day = Math.floor((entry.at - rows.offsetMs) / DAY_MS)
  if (entry.round !== null && entry.round !== rows.round) {
    rows.round = entry.round
    above |= NEW_ROUND
  }
  if (day !== rows.day && rows.above.length > 0) above |= NEW_DAY
  rows.day = day
  return above
}

export const rowsOf = (entries: readonly Entry[], offsetMs: number, gaps: readonly number[] = []): Rows => {
  const heights = new FenwickTree(Float64Array.from(entries, usualHeight))
  const rows: Rows = { entries, above: [], heights, offsetMs, gaps, round: null, day: Number.NaN }
  for (const entry of entries) rows.above.push(aboveOf(rows, entry))
  return rows
}

/** Appends rows if `entries` begins with the current ones. @returns false if it does not */
export const appendRows = (rows: Rows, entries: readonly Entry[]): boolean => {
  const { length } = rows.entries
  if (length === 0 || entries[0] !== rows.entries[0] || entries[length - 1] !== rows.entries[length - 1]) return false
  rows.entries = entries
  for (const entry of entries.slice(length)) {
    rows.above.push(aboveOf(rows, entry))
    rows.heights.push(usualHeight(entry))
  }
  return true
}

/** Returns the index of the first row with this db_id or a greater one. */
export const lowerBound = ({ entries }: Pick<Rows, 'entries'>, id: number): number => {
  let [low, high] = [0, entries.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (entries[middle]!.id < id) low = middle + 1
    else high = middle
  }
  return low
}
