import type Database from 'better-sqlite3'
import { GatewayError } from '../../../core/errors.ts'
import type { CopyState, MessageRecord, PrunedBound } from '../../store-copy.ts'
import { addToDelta, type EventDelta, upsertDeltas } from '../event-delta.ts'
import type { WriterSql } from '../writer-sql.ts'

/** A change of the copy that an edge keeps of the store of its core. */
export type CopyStep =
  /** Turns a store without messages into a copy, or empties the copy of other events. `followed`: the events, as JSON. */
  | { readonly do: 'open'; readonly followed: string }
  /** Deletes everything and takes this log_id. */
  | { readonly do: 'restart'; readonly logId: string }
  /** Stores messages with their db_ids, in ascending order. */
  | { readonly do: 'add'; readonly rows: readonly MessageRecord[] }
  /** Deletes the messages that the core has deleted. */
  | { readonly do: 'prune'; readonly bounds: readonly PrunedBound[] }
  /** Notes when the copy had all messages, in milliseconds since 1970. */
  | { readonly do: 'level'; readonly at: number }

const STATE = `SELECT log_id AS logId, level_at AS levelAt, followed,
  coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'message'), 0) AS head FROM log`

/** Inserts a row with its db_id. */
export const INSERT_RECORD = `INSERT INTO message
  (db_id, event_id, message_id, message_from, message_type, round_id, received_at, lacks, body, traceparent)
  VALUES (@db_id, @event_id, @message_id, @message_from, @message_type, @round_id, @received_at, @lacks, @body, @traceparent)`

/** The head also counts messages that the core deletes while they are on their way. */
const SET_HEAD = "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'message'"
const INSERT_HEAD = "INSERT INTO sqlite_sequence (name, seq) VALUES ('message', ?)"

const PRUNED = 'SELECT pruned_db_id FROM event WHERE event_id = ?'

/** Deletes what retention has deleted of an event. */
export const DELETE_PRUNED = 'DELETE FROM message WHERE event_id = @event_id AND db_id <= @pruned_db_id'

/** An event can have bounds without a message: all of them were deleted before the copy began. */
const SET_PRUNED = `INSERT INTO event (event_id, messages, first_db_id, last_db_id, pruned_db_id, first_at, last_at)
  VALUES (@event_id, 0, 0, @pruned_db_id, @pruned_db_id, 0, 0)
  ON CONFLICT (event_id) DO UPDATE SET
    messages = messages - @deleted,
    pruned_db_id = max(pruned_db_id, @pruned_db_id),
    last_db_id = max(last_db_id, @pruned_db_id),
    first_db_id = coalesce((SELECT min(db_id) FROM message WHERE message.event_id = @event_id), 0),
    first_at = coalesce((SELECT received_at FROM message WHERE message.event_id = @event_id ORDER BY db_id LIMIT 1), last_at)`

const readState = (db: Database.Database): CopyState & { readonly followed: string | null } =>
  db.prepare(STATE).get() as CopyState & { followed: string | null }

const empty = (db: Database.Database): void => {
  db.exec("DELETE FROM message; DELETE FROM event; DELETE FROM sqlite_sequence WHERE name = 'message'")
  db.exec('UPDATE log SET level_at = NULL')
}

const open = (db: Database.Database, followed: string): void => {
  const state = readState(db)
  if (state.followed === followed) return
  // Emptying a store of its own would delete messages that exist nowhere else.
  if (state.followed === null && state.head > 0) {
    throw new GatewayError('database_not_copy', `${db.name} is the store of a gateway that is not an edge.`)
  }
  empty(db)
  db.prepare('UPDATE log SET followed = ?').run(followed)
}

const addRows = (db: Database.Database, rows: readonly MessageRecord[], sql: WriterSql): void => {
  const insert = db.prepare(INSERT_RECORD)
  const findPruned = db.prepare(PRUNED).pluck()
  const prunedByEvent = new Map<string, number>()
  const deltas = new Map<string, EventDelta>()
  let head = readState(db).head
  for (const row of rows) {
    // It was stored before: after a reset the core sends its messages again.
    if (row.db_id <= head) continue
    head = row.db_id
    const { event_id } = row
    let pruned = prunedByEvent.get(event_id)
    if (pruned === undefined)
      prunedByEvent.set(event_id, (pruned = (findPruned.get(event_id) as number | undefined) ?? 0))
    if (row.db_id <= pruned) continue
    insert.run(row)
    addToDelta(deltas, row, row.db_id)
  }
  upsertDeltas(db.prepare(sql.upsertEvent), deltas)
  if (db.prepare(SET_HEAD).run(head).changes === 0) db.prepare(INSERT_HEAD).run(head)
}

const prune = (db: Database.Database, bounds: readonly PrunedBound[]): void => {
  const remove = db.prepare(DELETE_PRUNED)
  const set = db.prepare(SET_PRUNED)
  for (const bound of bounds) set.run({ ...bound, deleted: remove.run(bound).changes })
}

/** Performs one step, in the caller's transaction. @throws GatewayError database_not_copy */
export const performCopyStep = (db: Database.Database, step: CopyStep, sql: WriterSql): CopyState => {
  if (step.do === 'open') open(db, step.followed)
  else if (step.do === 'add') addRows(db, step.rows, sql)
  else if (step.do === 'prune') prune(db, step.bounds)
  else if (step.do === 'level') db.prepare('UPDATE log SET level_at = ?').run(step.at)
  else {
    empty(db)
    db.prepare('UPDATE log SET log_id = ?').run(step.logId)
  }
  return readState(db)
}

/** @throws GatewayError database_is_copy if the store is the copy of an edge, and `isEdge` is false */
export const assertOwnStore = (db: Database.Database, isEdge: boolean): void => {
  if (isEdge || readState(db).followed === null) return
  throw new GatewayError('database_is_copy', `${db.name} is the copy that an edge keeps of another gateway.`)
}
