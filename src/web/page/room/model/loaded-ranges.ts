import { lowerBound } from '../timeline/rows.ts'
import type { Entry } from './entry.ts'

/** A range of db_ids of which all messages of the event are loaded, both ends included. */
export interface LoadedRange {
  readonly first: number
  readonly last: number
}

/** Adds a range, and joins it with those that it overlaps. Ascending. Pure. */
export const addRange = (ranges: readonly LoadedRange[], added: LoadedRange): readonly LoadedRange[] => {
  const isApart = ({ first, last }: LoadedRange): boolean => last < added.first || first > added.last
  const joined = [added, ...ranges.filter((range) => !isApart(range))]
  const first = Math.min(...joined.map((range) => range.first))
  const last = Math.max(...joined.map((range) => range.last))
  return [...ranges.filter(isApart), { first, last }].sort((a, b) => a.first - b.first)
}

/**
 * Returns the db_ids after which messages are not loaded; 0 for the beginning of the event. Empty if only messages before all
 * loaded ones are missing. Pure.
 */
export const findGaps = (ranges: readonly LoadedRange[]): readonly number[] => {
  if (ranges.length < 2) return []
  const between = ranges.slice(0, -1).map(({ last }) => last)
  return ranges[0]!.first > 0 ? [0, ...between] : between
}

/** Inserts messages by their db_id, both ascending. Pure. @returns all of them, and those that were missing */
export const insertEntries = (
  entries: readonly Entry[],
  page: readonly Entry[],
): { readonly all: readonly Entry[]; readonly fresh: readonly Entry[] } => {
  if (page.length === 0) return { all: entries, fresh: [] }
  const low = lowerBound({ entries }, page[0]!.id)
  const high = lowerBound({ entries }, page.at(-1)!.id + 1)
  const known = entries.slice(low, high)
  const knownIds = new Set(known.map(({ id }) => id))
  const fresh = page.filter(({ id }) => !knownIds.has(id))
  const middle = known.length === 0 ? fresh : [...known, ...fresh].sort((a, b) => a.id - b.id)
  return { all: entries.slice(0, low).concat(middle, entries.slice(high)), fresh }
}
