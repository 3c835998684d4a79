import { clockMinute, clockTime, shortDay } from '../format.ts'

const MINUTE_S = 60
const DAY_S = 86_400

/** Replaces labels that repeat the one before with an empty one. Pure. */
export const distinct = (labels: readonly string[]): string[] =>
  labels.map((label, index) => (label === labels[index - 1] ? '' : label))

/**
 * Returns the labels of times on an axis: only as precise as needed to tell them apart, with the day where it changes, or on all if a
 * time of day could be there twice.
 *
 * @param splits seconds since 1970, ascending
 * @param step distance between two of them in seconds
 */
export const timeLabels = (splits: readonly number[], step: number): string[] => {
  const days = splits.map((at) => shortDay(at * 1000))
  const isFar = (splits.at(-1) ?? 0) - (splits[0] ?? 0) >= DAY_S
  const clock = step < MINUTE_S ? clockTime : clockMinute
  const labels = splits.map((at, index) => {
    if (step >= DAY_S) return days[index]!
    const time = clock(at * 1000)
    const isNewDay = days[index] !== (days[index - 1] ?? days.at(-1))
    return isFar || isNewDay ? `${days[index]} ${time}` : time
  })
  return distinct(labels)
}
