import type { Client } from 'pg'
import { MAX_DB_ID } from '../scan.ts'
import type { RetentionLimits } from '../store.ts'
import { SERVER_TIME } from './server/server-clock.ts'

/** Messages deleted from one event. */
interface PrunedEvent {
  readonly event_id: string
  readonly removed: number
  readonly pruned_db_id: number
}

/** One of the first rows of the store. */
interface FirstMessage {
  readonly db_id: number
  readonly is_expired: boolean
  /** Its time is in the future. */
  readonly is_ahead: boolean
}

/** Rows per read, and rows that one call reads beyond the first read. */
const SCAN_ROWS = 1_000
const MAX_SCAN_ROWS = 10_000

// db_ids increase with the time of receipt, so the oldest messages are the first rows and no index on time is needed.
const FIRST = `SELECT db_id, received_at < $3 AS is_expired, received_at > ${SERVER_TIME} AS is_ahead
FROM message WHERE db_id > $1 ORDER BY db_id LIMIT $2`

const deleteSql = (selectSql: string): string => `WITH expired AS MATERIALIZED (${selectSql}), removed AS (
  DELETE FROM message USING expired WHERE message.db_id = expired.db_id RETURNING message.db_id, message.event_id
) SELECT event_id, count(*) AS removed, max(db_id) AS pruned_db_id FROM removed GROUP BY event_id`

const DELETE_OLDEST = deleteSql('SELECT db_id FROM message WHERE db_id <= $1')

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

// Looks only at the first rows, as for messages.
const DELETE_REJECTED = `DELETE FROM rejected WHERE received_at < $1
  AND rejected_id <= (SELECT max(rejected_id) FROM (SELECT rejected_id FROM rejected ORDER BY rejected_id LIMIT $2) AS oldest)`

/** Finds expired messages by the rule of the same class for SQLite. The clock of the server decides. */
export class ExpiredMessages {
  /** All messages up to this db_id had times in the future. */
  #ahead = 0

  /** @param before milliseconds since 1970. @returns db_id of the last of at most `limit` messages from the first on; 0 if none is expired */
  async find(client: Client, before: number, limit: number): Promise<number> {
    const head = await selectFirst(client, 0, Math.max(SCAN_ROWS, limit), before)
    const kept = head.findIndex(({ is_expired, is_ahead }) => !is_expired && !is_ahead)
    let old = head.slice(0, kept === -1 ? head.length : kept).findLastIndex(({ is_expired }) => is_expired) + 1
    if (old === 0 && kept === -1 && head.length >= SCAN_ROWS && (await this.#isOldAfter(client, head, before)))
      old = head.length
    return head[Math.min(old, limit) - 1]?.db_id ?? 0
  }

  /** Returns whether the first message with a time in the past is expired. It can take several calls to reach it. */
  async #isOldAfter(client: Client, head: readonly FirstMessage[], before: number): Promise<boolean> {
    this.#ahead = Math.max(this.#ahead, head.at(-1)!.db_id)
    const rows = await selectFirst(client, this.#ahead, MAX_SCAN_ROWS, before)
    const past = rows.findIndex(({ is_ahead }) => !is_ahead)
    this.#ahead = rows.slice(0, past === -1 ? rows.length : past).at(-1)?.db_id ?? this.#ahead
    return rows[past]?.is_expired ?? false
  }
}

const selectFirst = async (client: Client, after: number, limit: number, before: number): Promise<FirstMessage[]> =>
  (await client.query<FirstMessage>(FIRST, [after, limit, before])).rows

/**
 * Deletes the oldest messages that exceed a retention rule, at most `limit`, and updates the counts and bounds of their events. Also
 * deletes at most `limit` expired rows of the quarantine. Runs in the caller's transaction.
 *
 * @returns the number of messages and quarantined rows deleted
 */
export const pruneMessages = async (
  client: Client,
  retention: RetentionLimits,
  limit: number,
  expired: ExpiredMessages,
): Promise<number> => {
  const { receivedBefore, messagesPerEvent } = retention
  let prunedEvents: PrunedEvent[] = []
  let deletedRejected = 0
  if (receivedBefore !== null) {
    const last = await expired.find(client, receivedBefore, limit)
    if (last > 0) prunedEvents = (await client.query<PrunedEvent>(DELETE_OLDEST, [last])).rows
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
