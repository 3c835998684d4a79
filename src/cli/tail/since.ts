import { type FollowOptions, follow } from './follow.ts'

/** Messages read at one position: replayed ones keep their time of receipt, so older ones can stand among newer ones. */
const WINDOW = 200
/** Concurrent publishers can be stored in another order than they were received, in milliseconds. */
const TOLERANCE_MS = 60_000
/** Ids between the bounds at which the search ends. */
const MAX_DISTANCE = 1_000

type Source = Omit<FollowOptions, 'start'>

/** Returns when the gateway received a message, in milliseconds since 1970. */
export const receivedAt = (data: string): number =>
  Date.parse((JSON.parse(data) as { received_at: string }).received_at)

/**
 * Reads up to `WINDOW` messages, and only until one of them is new.
 *
 * @returns the last db_id that was read, 0 if there is no message, and whether its message is new
 */
const probe = async (source: Source, start: FollowOptions['start'], time: number) => {
  let db_id = 0
  let count = 0
  for await (const item of follow({ ...source, start })) {
    if (item.kind === 'caught_up') break
    if (item.kind !== 'message') continue
    db_id = item.db_id
    if (receivedAt(item.data) >= time) return { db_id, isNew: true }
    if (++count === WINDOW) break
  }
  return { db_id, isNew: false }
}

/**
 * Finds a cursor in front of all messages received since a time, by bisection: db_ids rise with the time of receipt.
 *
 * @param source the stream of all messages of the events
 * @param since in milliseconds since 1970
 * @throws GatewayError as `follow`
 */
export const findCursor = async (source: Source, since: number): Promise<number> => {
  const time = since - TOLERANCE_MS
  const newest = await probe(source, ['tail', String(WINDOW)], time)
  if (!newest.isNew) return newest.db_id
  let older = 0
  let newer = newest.db_id
  while (newer - older > MAX_DISTANCE && !source.signal.aborted) {
    const middle = Math.floor((older + newer) / 2)
    const { db_id, isNew } = await probe(source, ['last_message_db_id', String(middle)], time)
    if (isNew || db_id === 0) newer = middle
    else older = Math.min(db_id, newer)
  }
  return older
}
