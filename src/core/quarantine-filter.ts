import { ERRORS } from './errors.ts'

/** Filter for rows of the quarantine. A row must match all criteria; a criterion that is null matches every row. */
export interface QuarantineFilter {
  readonly ids: readonly number[] | null
  readonly reasons: readonly string[] | null
  /** A routing key in which `*` matches any characters. */
  readonly routingKey: string | null
  /** Received at or after this time, in milliseconds since 1970. */
  readonly since: number | null
}

export const MATCH_ALL: QuarantineFilter = { ids: null, reasons: null, routingKey: null, since: null }

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** Parses an age such as `12h`, or a date. @returns milliseconds since 1970, or null if the text is neither */
export const parseSince = (text: string, now: number): number | null => {
  const [, count, unit] = /^(\d{1,9})([smhdw])$/.exec(text) ?? []
  if (count !== undefined) return now - Number(count) * UNITS[unit!]!
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(time) ? null : time
}

/** Reasons of rows from 0.1.0 whose code was renamed in 0.2.0. Such rows keep their reason. */
const PREVIOUS_REASONS: readonly string[] = ['storage_refused']

/** Returns the first of these reasons that is neither a code of the catalogue nor a previous name of one. */
export const findUnknownReason = (reasons: readonly string[]): string | undefined =>
  reasons.find((reason) => !Object.hasOwn(ERRORS, reason) && !PREVIOUS_REASONS.includes(reason))
