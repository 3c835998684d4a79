import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler, sql } from 'kysely'
import type { Tables } from '../tables.ts'
import { SERVER_TIME } from './server/server-clock.ts'

/** A statement that the driver prepares once per connection. */
export interface Prepared {
  readonly name: string
  readonly text: string
}

// Kysely only builds and types the queries; they run on our own connections, which have timeouts and transactions.
export const db = new Kysely<Tables>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (instance) => new PostgresIntrospector(instance),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
})

export const HEAD_SQL = '(SELECT coalesce(max(last_db_id), 0) FROM event)'

// Based on the greatest db_id of each event, which is kept when retention deletes the row. A sequence also counts ids that never get a row.
export const SELECT_HEAD: Prepared = { name: 'head', text: `SELECT ${HEAD_SQL}::bigint AS head` }

/**
 * Inserts messages in the order of the batch and updates their events; RETURNING lists those that were stored. The ORDER BY makes the ids
 * increase in that order.
 */
export const INSERT_MESSAGES: Prepared = {
  name: 'store',
  text: `WITH offered AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[],
    $9::text[]) WITH ORDINALITY
    AS one (event_id, message_id, message_from, message_type, round_id, received_at, lacks, body, traceparent, place)
), stored AS (
  INSERT INTO message (event_id, message_id, message_from, message_type, round_id, received_at, lacks, body, traceparent)
  SELECT event_id, message_id, message_from, message_type, round_id, received_at, lacks, body, traceparent
  FROM offered ORDER BY place
  ON CONFLICT (event_id, message_id) DO NOTHING
  RETURNING db_id, event_id, message_id, received_at
), grown AS (
  INSERT INTO event (event_id, messages, first_db_id, last_db_id, pruned_db_id, first_at, last_at)
  SELECT event_id, count(*), min(db_id), max(db_id), 0, (array_agg(received_at ORDER BY db_id))[1], max(received_at)
  FROM stored GROUP BY event_id
  ON CONFLICT (event_id) DO UPDATE SET
    messages = event.messages + excluded.messages,
    -- 0 means that retention has emptied the event.
    first_db_id = CASE WHEN event.first_db_id = 0 THEN excluded.first_db_id ELSE event.first_db_id END,
    first_at = CASE WHEN event.first_db_id = 0 THEN excluded.first_at ELSE event.first_at END,
    last_db_id = excluded.last_db_id,
    last_at = greatest(event.last_at, excluded.last_at)
)
SELECT db_id, event_id, message_id FROM stored ORDER BY db_id`,
}

/** Existing messages with the given keys. */
export const FIND_MESSAGES: Prepared = {
  name: 'find',
  text: `SELECT message.event_id, message.message_id, db_id, body
FROM unnest($1::text[], $2::text[]) AS wanted (event_id, message_id)
JOIN message ON message.event_id = wanted.event_id AND message.message_id = wanted.message_id`,
}

/** Those of the given messages that are already quarantined. */
export const FIND_REJECTED: Prepared = {
  name: 'find_rejected',
  text: `SELECT DISTINCT rejected.sha256, rejected.reason, rejected.routing_key, rejected.properties
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS wanted (sha256, reason, routing_key, properties)
JOIN rejected ON rejected.sha256 = wanted.sha256 AND rejected.reason = wanted.reason
  AND rejected.routing_key = wanted.routing_key AND rejected.properties = wanted.properties`,
}

export const INSERT_REJECTED: Prepared = {
  name: 'reject',
  text: `INSERT INTO rejected
  (received_at, reason, detail, exchange, routing_key, headers, properties, body, body_bytes, sha256)
SELECT received_at, reason, detail, exchange, routing_key, headers, properties, body, body_bytes, sha256
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[],
  $9::bigint[], $10::text[])
  WITH ORDINALITY AS one (received_at, reason, detail, exchange, routing_key, headers, properties, body, body_bytes,
  sha256, place)
ORDER BY place`,
}

/** Bounds of the given events, or of all events for `*`, and the greatest db_id of the store. */
export const selectBounds = (events: readonly string[] | '*') => {
  const query = db
    .selectFrom('event')
    .select([
      sql<number>`coalesce(min(nullif(first_db_id, 0)), 0)::bigint`.as('first_db_id'),
      sql<number>`coalesce(max(CASE WHEN messages = 0 THEN 0 ELSE last_db_id END), 0)::bigint`.as('last_db_id'),
      sql<number>`coalesce(max(pruned_db_id), 0)::bigint`.as('pruned_db_id'),
      sql<number>`${sql.raw(HEAD_SQL)}::bigint`.as('head_db_id'),
    ])
  return (events === '*' ? query : query.where(sql<boolean>`event_id = ANY(${events}::text[])`)).compile()
}

/** Event list, of the given events or of all. */
export const listEvents = (eventIds: readonly string[] | '*', limit: number, before: number) => {
  const query = db
    .selectFrom('event')
    .select(['event_id', 'messages', 'first_db_id', 'last_db_id', 'first_at', 'last_at'])
    .where('last_db_id', '<', before)
    .where('messages', '>', 0)
    .orderBy('last_db_id', 'desc')
    .limit(limit)
  return (eventIds === '*' ? query : query.where(sql<boolean>`event_id = ANY(${eventIds}::text[])`)).compile()
}

const amongEvents = (events: readonly string[] | '*') =>
  events === '*' ? sql<boolean>`true` : sql<boolean>`event_id = ANY(${events}::text[])`

/** Number of messages of the events, and a text that changes whenever retention deletes some. */
export const selectFollowTotals = (events: readonly string[] | '*') =>
  db
    .selectFrom('event')
    .select([
      sql<number>`coalesce(sum(messages), 0)::bigint`.as('total'),
      sql<string>`concat(count(*) FILTER (WHERE pruned_db_id > 0), ' ', coalesce(sum(pruned_db_id), 0))`.as('pruned'),
    ])
    .where(amongEvents(events))
    .compile()

/** Events of which messages were deleted, by event_id. */
export const listPruned = (events: readonly string[] | '*', after: string, limit: number) =>
  db
    .selectFrom('event')
    .select(['event_id', 'pruned_db_id'])
    .where('pruned_db_id', '>', 0)
    .where('event_id', '>', after)
    .where(amongEvents(events))
    .orderBy('event_id')
    .limit(limit)
    .compile()

/** If the subject already has a revocation, the later of each time applies. NULL means never, so it is the latest. */
export const upsertRevocation = (subject: string, issued_before: number, until: number | null) =>
  db
    .insertInto('revocation')
    .values({ subject, issued_before, until })
    .onConflict((conflict) =>
      conflict.column('subject').doUpdateSet({
        issued_before: sql`greatest(revocation.issued_before, excluded.issued_before)`,
        until: sql`CASE WHEN revocation.until IS NULL OR excluded.until IS NULL THEN NULL
          ELSE greatest(revocation.until, excluded.until) END`,
      }),
    )
    .returningAll()
    .compile()

export const deleteRevocation = (subject: string) =>
  db.deleteFrom('revocation').where('subject', '=', subject).compile()

export const deleteExpiredRevocations = (now: number) => db.deleteFrom('revocation').where('until', '<', now).compile()

export const REVOCATIONS = db.selectFrom('revocation').selectAll().orderBy('subject').compile()

/** Identity and state of the server. */
export interface ServerState {
  /** The log_id that is in the database now, or null if there is none. */
  readonly log_id: string | null
  /** Schema version. */
  readonly version: number
  /** Milliseconds since 1970. */
  readonly now: number
  /** True if a commit of this user waits for a synchronous standby. */
  readonly waits_for_standby: boolean
}

/** The state without a row, as after the tables were emptied. */
export const NO_STATE: ServerState = { log_id: null, version: 0, now: 0, waits_for_standby: false }

/** Selects a ServerState. $1: whether to look for waiting commits, which costs more. */
export const SELECT_STATE = `SELECT log_id, version, ${SERVER_TIME} AS now,
CASE WHEN $1::boolean THEN EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep') ELSE false END AS waits_for_standby
FROM log, header`

export const PROBE_WRITE = db.updateTable('log').set({ created_at: sql`created_at` }).compile()

export const SIZE = `SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint AS bytes FROM pg_class
WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace`
