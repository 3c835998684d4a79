import type { Client } from 'pg'
import { MAX_DB_ID } from '../scan.ts'
import type { RetentionLimits } from '../store.ts'

/** Messages deleted from one event. */
interface PrunedEvent {
  readonly event_id: string
  readonly removed: number
  readonly pruned_db_id: number
}

const deleteSql = (selectSql: string): string => `WITH expired AS MATERIALIZED (${selectSql}), removed AS (
  DELETE FROM message USING expired WHERE message.db_id = expired.db_id RETURNING message.db_id, message.event_id
) SELECT event_id, count(*) AS removed, max(db_id) AS pruned_db_id FROM removed GROUP BY event_id`

// db_ids increase with the time of receipt, so the oldest messages are the first rows and no index on time is needed.
const DELETE_OLDEST = deleteSql(
  'SELECT db_id FROM (SELECT db_id, received_at FROM message ORDER BY db_id LIMIT $1) AS oldest WHERE received_at < $2',
)

const DELETE_OF_EVENT = deleteSql(
  `SELECT db_id FROM message WHERE (event_id, db_id) > ($2, 0::bigint) AND (event_id, db_id) < ($2, ${MAX_DB_ID}) ORDER BY event_id, db_id LIMIT $1`,
)

const SURPLUS_EVENT = 'SELECT event_id, messages FROM event WHERE messages > $1 LIMIT 1'

const SHRINK_EVENTS = `UPDATE event SET
  messages = messages - shrunk.removed,
  pruned_db_id = greatest(event.pruned_db_id, shrunk.pruned_db_id),
  first_db_id = coalesce(oldest.db_id, 0),
  first_at = coalesce(oldest.received_at, event.last_at)
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS shrunk (event_id, removed, pruned_db_id)
LEFT JOIN LATERAL (
  SELECT db_id, received_at FROM message
  WHERE (message.event_id, message.db_id) > (shrunk.event_id, 0::bigint)
    AND (message.event_id, message.db_id) < (shrunk.event_id, ${MAX_DB_ID})
  ORDER BY message.event_id, message.db_id LIMIT 1
) AS oldest ON true
WHERE event.event_id = shrunk.event_id`

const DELETE_REJECTED =
  'DELETE FROM rejected WHERE rejected_id IN (SELECT rejected_id FROM rejected WHERE received_at < $1 LIMIT $2)'

/**
 * Deletes the oldest messages that exceed a retention rule, at most `limit`, and updates the counts and bounds of their events. Also
 * deletes at most `limit` expired rows of the quarantine. Runs in the caller's transaction.
 *
 * @returns the number of messages and quarantined rows deleted
 */
export const pruneMessages = async (client: Client, retention: RetentionLimits, limit: number): Promise<number> => {
  const { receivedBefore, messagesPerEvent } = retention
  let prunedEvents: PrunedEvent[] = []
  let deletedRejected = 0
  if (receivedBefore !== null) {
    prunedEvents = (await client.query<PrunedEvent>(DELETE_OLDEST, [limit, receivedBefore])).rows
    deletedRejected = (await client.query(DELETE_REJECTED, [receivedBefore, limit])).rowCount ?? 0
  }
  if (messagesPerEvent !== null && prunedEvents.length === 0) {
    const { rows } = await client.query<{ event_id: string; messages: number }>(SURPLUS_EVENT, [messagesPerEvent])
    const surplus = rows[0]
    if (surplus !== undefined) {
      const count = Math.min(limit, surplus.messages - messagesPerEvent)
      prunedEvents = (await client.query<PrunedEvent>(DELETE_OF_EVENT, [count, surplus.event_id])).rows
    }
  }
  if (prunedEvents.length > 0) {
    const column = (getValue: (event: PrunedEvent) => unknown) => prunedEvents.map(getValue)
    const values = [
      column((event) => event.event_id),
      column((event) => event.removed),
      column((event) => event.pruned_db_id),
    ]
    await client.query(SHRINK_EVENTS, values)
  }
  return prunedEvents.reduce((sum, { removed }) => sum + removed, deletedRejected)
}
