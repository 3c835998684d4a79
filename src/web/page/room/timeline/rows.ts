import type { Entry } from '../model/entry.ts'
import { Heights } from './heights.ts'

/** What stands above a row: a bit each. */
export const NEW_ROUND = 1
export const NEW_DAY = 2

/** What a row is high before it was ever shown, in CSS pixels. */
const USUAL_HEIGHT = 104
const NOTICE_HEIGHT = 32
const DAY_MS = 86_400_000

/** The rows of a timeline: messages, what stands above each, and how high they are. */
export interface Rows {
  readonly entries: readonly Entry[]
  readonly above: Uint8Array
  readonly heights: Heights
}

/** @param offsetMs of local time behind UTC, which decides where a day begins */
export const rowsOf = (entries: readonly Entry[], offsetMs: number): Rows => {
  const above = new Uint8Array(entries.length)
  const heights = new Float64Array(entries.length)
  let round: number | null = null
  let day = Number.NaN
  for (const [index, entry] of entries.entries()) {
    const { at, height, tone } = entry
    const today = Math.floor((at - offsetMs) / DAY_MS)
    if (entry.round !== null && entry.round !== round) {
      round = entry.round
      above[index]! |= NEW_ROUND
    }
    if (today !== day && index > 0) above[index]! |= NEW_DAY
    day = today
    heights[index] = height > 0 ? height : tone === 'notice' ? NOTICE_HEIGHT : USUAL_HEIGHT
  }
  return { entries, above, heights: new Heights(heights) }
}

/** The index of the first row with this db_id or a greater one. */
export const indexFrom = ({ entries }: Pick<Rows, 'entries'>, id: number): number => {
  let [low, high] = [0, entries.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (entries[middle]!.id < id) low = middle + 1
    else high = middle
  }
  return low
}
