/** ISO 8601 with a date and a time; the zone is often missing. */
const TIME = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$/i

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
/** Maximum difference between two clocks, in milliseconds. */
const SKEW_MS = 2 * MINUTE_MS
/** A message that is older at its receipt was probably imported, in milliseconds. */
const DELAYED_MS = 6 * HOUR_MS
/** Zones differ by multiples of this; the rare quarter hours are not guessed. */
const ZONE_STEP_MS = 30 * MINUTE_MS
const MAX_AGE_MS = 10 * 366 * 24 * HOUR_MS

/**
 * Returns the time of a message by its `created_at`, in milliseconds since 1970; the time of receipt if it has none or
 * an impossible one. Pure except for the zone of the browser.
 *
 * DeepSOC writes times without a zone: those of its chat in UTC, all others in the zone of its database, which is UTC or
 * that of its server. The receipt tells which of them it is: the time is the latest possible one that is not after it.
 * For an old message, which was imported, DeepSOC's page assumes the zone of the browser, and so does this function.
 *
 * @param isChat the message belongs to DeepSOC's chat
 */
export const ownTime = (createdAt: unknown, receivedAt: number, isChat: boolean): number => {
  if (typeof createdAt !== 'string') return receivedAt
  const zone = TIME.exec(createdAt)
  if (zone === null) return receivedAt
  const text = createdAt.replace(' ', 'T')
  const own = zone[3] === undefined ? withoutZone(text, receivedAt, isChat) : Date.parse(text)
  const isPossible = own <= receivedAt + SKEW_MS && own >= receivedAt - MAX_AGE_MS
  return isPossible ? own : receivedAt
}

const withoutZone = (text: string, receivedAt: number, isChat: boolean): number => {
  const utc = Date.parse(`${text}Z`)
  if (isChat) return utc
  const local = Date.parse(text)
  const possible = [utc, local].filter((time) => time <= receivedAt + SKEW_MS)
  const latest = Math.max(...possible)
  if (latest >= receivedAt - DELAYED_MS) return latest
  if (possible.length > 0) return possible.includes(local) ? local : utc
  // The server is in a zone east of the browser's.
  return utc - Math.ceil((utc - receivedAt - SKEW_MS) / ZONE_STEP_MS) * ZONE_STEP_MS
}
