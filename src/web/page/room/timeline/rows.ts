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

/** The rows of a timeline: messages and heights. */
export interface Rows {
  entries: readonly Entry[]
  readonly heights: FenwickTree
  /** Offset of local time from UTC as getTimezoneOffset returns it, but in milliseconds; for day boundaries. */
  readonly offsetMs: number
  /** The db_ids after which messages are not loaded, ascending. */
  readonly gaps: readonly number[]
}

const usualHeight = ({ height, tone }: Entry): number =>
  height > 0 ? height : tone === 'notice' ? NOTICE_HEIGHT : DEFAULT_HEIGHT

/** Returns the last round before a row; null if there is none. */
const roundBefore = (entries: readonly Entry[], index: number): number | null => {
  for (let at = index - 1; at >= 0; at--) if (entries[at]!.round !== null) return entries[at]!.round
  return null
}

/** Returns the dividers above a row. Only rendered rows need them, of 100,000. */
export const dividersAbove = ({ entries, offsetMs, gaps }: Rows, index: number): number => {
  const entry = entries[index]!
  const previous = entries[index - 1]
  const toDay = ({ at }: Entry): number => Math.floor((at - offsetMs) / DAY_MS)
  let above = gaps.some((gap) => (previous?.id ?? 0) <= gap && gap < entry.id) ? GAP : 0
  if (entry.round !== null && entry.round !== roundBefore(entries, index)) above |= NEW_ROUND
  if (previous !== undefined && toDay(previous) !== toDay(entry)) above |= NEW_DAY
  return above
}

export const createRows = (entries: readonly Entry[], offsetMs: number, gaps: readonly number[] = []): Rows => {
  const heights = new Float64Array(entries.length)
  for (let index = 0; index < entries.length; index++) heights[index] = usualHeight(entries[index]!)
  return { entries, heights: new FenwickTree(heights), offsetMs, gaps }
}

/** Appends rows if `entries` begins with the current ones. @returns false if it does not */
export const appendRows = (rows: Rows, entries: readonly Entry[]): boolean => {
  const { length } = rows.entries
  if (length === 0 || entries[0] !== rows.entries[0] || entries[length - 1] !== rows.entries[length - 1]) return false
  rows.entries = entries
  for (const entry of entries.slice(length)) rows.heights.push(usualHeight(entry))
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
