import type Database from 'better-sqlite3'
import type { RetentionLimits } from '../store.ts'

interface PrunableMessage {
  readonly db_id: number
  readonly event_id: string
}

interface Row extends PrunableMessage {
  readonly received_at: number
}

/** Rows per read, and maximum rows that one call reads beyond the first read. */
const SCAN_ROWS = 1_000
const MAX_SCAN_ROWS = 10_000

// db_ids increase with the time of receipt, so the oldest messages are the first rows and no index on time is needed.
const FIRST = 'SELECT db_id, event_id, received_at FROM message WHERE db_id > @after ORDER BY db_id LIMIT @rows'

const SURPLUS_EVENT = 'SELECT event_id, messages FROM event WHERE messages > @keep LIMIT 1'

const OLDEST_OF_EVENT = 'SELECT db_id, event_id FROM message WHERE event_id = @event_id ORDER BY db_id LIMIT @limit'

const DELETE = 'DELETE FROM message WHERE db_id = @db_id'

const SHRINK_EVENT = `UPDATE event SET
  messages = messages - @removed,
  pruned_db_id = max(pruned_db_id, @pruned_db_id),
  first_db_id = coalesce((SELECT min(db_id) FROM message WHERE message.event_id = @event_id), 0),
  first_at = coalesce((SELECT received_at FROM message WHERE message.event_id = @event_id ORDER BY db_id LIMIT 1), last_at)
  WHERE event_id = @event_id`

// Looks only at the first rows, as for messages.
const DELETE_REJECTED = `DELETE FROM rejected WHERE received_at < @before
  AND rejected_id IN (SELECT rejected_id FROM rejected ORDER BY rejected_id LIMIT @limit)`

/**
 * Finds expired messages: those at the start of the store, up to the first that is not expired. A message with a time in the future was
 * received while the clock was ahead. It would block all later messages until that time, so it counts as expired as soon as a message after
 * it is expired: it was committed before that one.
 */
export class ExpiredMessages {
  /** All messages up to this db_id had times in the future. */
  #ahead = 0

  /** @param before milliseconds since 1970. @returns at most `limit` messages, in ascending order of db_id */
  find(db: Database.Database, before: number, limit: number, now: number): PrunableMessage[] {
    const scan = db.prepare(FIRST)
    const head = scan.all({ after: 0, rows: Math.max(SCAN_ROWS, limit) }) as Row[]
    let old = 0
    for (const [index, { received_at }] of head.entries()) {
      if (received_at < before) old = index + 1
      else if (received_at <= now) return head.slice(0, Math.min(old, limit))
    }
    if (old === 0 && head.length >= SCAN_ROWS && this.#isOldAfter(scan, head.at(-1)!.db_id, before, now))
      old = head.length
    return head.slice(0, Math.min(old, limit))
  }

  /** Returns whether the first message with a time in the past is expired. It can take several calls to reach it. */
  #isOldAfter(scan: Database.Statement, after: number, before: number, now: number): boolean {
    this.#ahead = Math.max(this.#ahead, after)
    for (let scanned = 0; scanned < MAX_SCAN_ROWS; scanned += SCAN_ROWS) {
      const rows = scan.all({ after: this.#ahead, rows: SCAN_ROWS }) as Row[]
      for (const { db_id, received_at } of rows) {
        if (received_at <= now) return received_at < before
        this.#ahead = db_id
      }
      if (rows.length < SCAN_ROWS) return false
    }
    return false
  }
}

/**
 * Deletes the oldest messages that exceed a retention rule, at most `limit`, and updates the counts and bounds of their events. Also
 * deletes at most `limit` expired rows of the quarantine. Runs in the caller's transaction.
 *
 * @param now milliseconds since 1970
 * @returns the number of messages and quarantined rows deleted
 */
export const pruneMessages = (
  db: Database.Database,
  retention: RetentionLimits,
  limit: number,
  oldest: ExpiredMessages,
  now: number,
): number => {
  const expired: PrunableMessage[] = []
  let deletedRejected = 0
  if (retention.receivedBefore !== null) {
    const before = retention.receivedBefore
    expired.push(...oldest.find(db, before, limit, now))
    deletedRejected = db.prepare(DELETE_REJECTED).run({ before, limit }).changes
  }
  if (retention.messagesPerEvent !== null && expired.length === 0) {
    const maxMessages = retention.messagesPerEvent
    const surplus = db.prepare(SURPLUS_EVENT).get({ keep: maxMessages }) as
      | { event_id: string; messages: number }
      | undefined
    if (surplus !== undefined) {
      const count = Math.min(limit, surplus.messages - maxMessages)
      expired.push(
        ...(db.prepare(OLDEST_OF_EVENT).all({ event_id: surplus.event_id, limit: count }) as PrunableMessage[]),
      )
    }
  }
  const remove = db.prepare(DELETE)
  const prunedEvents = new Map<string, { removed: number; pruned_db_id: number }>()
  for (const { db_id, event_id } of expired) {
    remove.run({ db_id })
    const event = prunedEvents.get(event_id) ?? { removed: 0, pruned_db_id: 0 }
    prunedEvents.set(event_id, { removed: event.removed + 1, pruned_db_id: Math.max(event.pruned_db_id, db_id) })
  }
  const shrink = db.prepare(SHRINK_EVENT)
  for (const [event_id, event] of prunedEvents) shrink.run({ event_id, ...event })
  return expired.length + deletedRejected
}
