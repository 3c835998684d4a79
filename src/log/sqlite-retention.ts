import type Database from 'better-sqlite3'
import type { Retention } from './log.ts'

interface Doomed {
  readonly db_id: number
  readonly event_id: string
}

// db_ids rise with the time of receipt, so the oldest messages are the first rows: no index on time is needed.
const OLDEST = `SELECT db_id, event_id FROM
  (SELECT db_id, event_id, received_at FROM message ORDER BY db_id LIMIT @limit) WHERE received_at < @before`

const SURPLUS_EVENT = 'SELECT event_id, messages FROM event WHERE messages > @keep LIMIT 1'

const OLDEST_OF_EVENT = 'SELECT db_id, event_id FROM message WHERE event_id = @event_id ORDER BY db_id LIMIT @limit'

const DELETE = 'DELETE FROM message WHERE db_id = @db_id'

const SHRINK_EVENT = `UPDATE event SET
  messages = messages - @removed,
  pruned_db_id = max(pruned_db_id, @pruned_db_id),
  first_db_id = coalesce((SELECT min(db_id) FROM message WHERE message.event_id = @event_id), 0),
  first_at = coalesce((SELECT received_at FROM message WHERE message.event_id = @event_id ORDER BY db_id LIMIT 1), last_at)
  WHERE event_id = @event_id`

const FORGET_REJECTED =
  'DELETE FROM rejected WHERE rejected_id IN (SELECT rejected_id FROM rejected WHERE received_at < @before LIMIT @limit)'

/**
 * Removes the oldest messages that a retention rule names, at most `limit` in all, and keeps the counts and
 * bounds of their events true. Runs inside the caller's transaction.
 *
 * @returns how many messages and rejections it removed
 */
export const pruneMessages = (db: Database.Database, retention: Retention, limit: number): number => {
  const doomed: Doomed[] = []
  let forgotten = 0
  if (retention.receivedBefore !== null) {
    const before = retention.receivedBefore
    doomed.push(...(db.prepare(OLDEST).all({ limit, before }) as Doomed[]))
    forgotten = db.prepare(FORGET_REJECTED).run({ before, limit }).changes
  }
  if (retention.messagesPerEvent !== null && doomed.length === 0) {
    const keep = retention.messagesPerEvent
    const surplus = db.prepare(SURPLUS_EVENT).get({ keep }) as { event_id: string; messages: number } | undefined
    if (surplus !== undefined) {
      const count = Math.min(limit, surplus.messages - keep)
      doomed.push(...(db.prepare(OLDEST_OF_EVENT).all({ event_id: surplus.event_id, limit: count }) as Doomed[]))
    }
  }
  const remove = db.prepare(DELETE)
  const shrunk = new Map<string, { removed: number; pruned_db_id: number }>()
  for (const { db_id, event_id } of doomed) {
    remove.run({ db_id })
    const event = shrunk.get(event_id) ?? { removed: 0, pruned_db_id: 0 }
    shrunk.set(event_id, { removed: event.removed + 1, pruned_db_id: Math.max(event.pruned_db_id, db_id) })
  }
  const shrink = db.prepare(SHRINK_EVENT)
  for (const [event_id, event] of shrunk) shrink.run({ event_id, ...event })
  return doomed.length + forgotten
}
