import { noop } from '../../core/noop.ts'
import type { QuarantineRow } from '../../core/quarantine.ts'
import { commitTransaction } from '../postgres/commit.ts'
import { createUnfinishedSchema, finishSchema, hasUnfinishedSchema } from '../postgres/schema.ts'
import { bigintArray, bytesArray, escapeNul, textArray, toNullable, unescapeNul } from '../postgres/values.ts'
import { connectionLockSql } from '../postgres/writer.ts'
import { readSchema } from '../sqlite/file.ts'
import type { Revocation } from '../store.ts'
import type { MessageRecord } from '../store-copy.ts'
import { HEAD_EVENT_ID, PostgresTables } from './postgres-tables.ts'
import {
  type AssignedIds,
  EVENT_COLUMNS,
  type EventRecord,
  MESSAGE_COLUMNS,
  REJECTED_COLUMNS,
  type RejectedReason,
  type StoreIdentity,
  type TransferTarget,
} from './tables.ts'

/** `unnest` of one array per column. */
const unnestSql = (types: readonly string[]): string =>
  `unnest(${types.map((type, index) => `$${index + 1}::${type}[]`).join(', ')})`

const insertSql = (table: string, columns: readonly string[], types: readonly string[], overriding = ''): string =>
  `INSERT INTO ${table} (${columns.join(', ')}) ${overriding} SELECT * FROM ${unnestSql(types)}`

const OVERRIDING = 'OVERRIDING SYSTEM VALUE'
const MESSAGE_TYPES = ['bigint', 'text', 'text', 'text', 'text', 'bigint', 'bigint', 'bigint', 'text', 'text']
const REJECTED_TYPES = [
  ...['bigint', 'bigint', 'text', 'text', 'text', 'text', 'text', 'text', 'bytea', 'bigint', 'text'],
]
const EVENT_TYPES = ['text', 'bigint', 'bigint', 'bigint', 'bigint', 'bigint', 'bigint']
const REVOCATION_TYPES = ['text', 'bigint', 'bigint']

const INSERT_MESSAGES = insertSql('message', MESSAGE_COLUMNS, MESSAGE_TYPES, OVERRIDING)
const INSERT_REJECTED = insertSql('rejected', REJECTED_COLUMNS, REJECTED_TYPES, OVERRIDING)
const INSERT_EVENTS = insertSql('event', EVENT_COLUMNS, EVENT_TYPES)
const INSERT_REVOCATIONS = insertSql('revocation', ['subject', 'issued_before', 'until'], REVOCATION_TYPES)

const DELETE_PRUNED = `WITH deleted AS (
  DELETE FROM message USING ${unnestSql(['text', 'bigint'])} AS pruned (event_id, pruned_db_id)
  WHERE message.event_id = pruned.event_id AND message.db_id <= pruned.pruned_db_id RETURNING message.event_id
) SELECT event_id, count(*)::bigint AS messages FROM deleted GROUP BY event_id`

const UPDATE_REASONS = `UPDATE rejected SET reason = changed.reason, detail = changed.detail
FROM ${unnestSql(['bigint', 'text', 'text'])} AS changed (rejected_id, reason, detail)
WHERE rejected.rejected_id = changed.rejected_id`

const LAST_IDS = `SELECT coalesce((SELECT max(db_id) FROM message), 0)::bigint AS message,
coalesce((SELECT max(rejected_id) FROM rejected), 0)::bigint AS rejected`

const COUNT_BY_EVENT = 'SELECT event_id, count(*)::bigint AS messages FROM message GROUP BY event_id'

const setSequenceSql = (table: string, id: string): string =>
  `SELECT setval(pg_get_serial_sequence('${table}', '${id}'), greatest($1::bigint, 1), $1::bigint > 0)`

const INSERT_HEAD = `INSERT INTO event (event_id, messages, first_db_id, last_db_id, pruned_db_id, first_at, last_at)
SELECT '${HEAD_EVENT_ID}', 0, 0, $1::bigint, 0, 0, 0 WHERE $1::bigint > coalesce((SELECT max(last_db_id) FROM event), 0)`

type EventCount = { event_id: string; messages: number }

const toMap = (rows: readonly EventCount[]): Map<string, number> =>
  new Map(rows.map(({ event_id, messages }) => [unescapeNul(event_id), messages]))

/** A new store in a schema of PostgreSQL, as the target of a copy. */
export class PostgresTarget extends PostgresTables implements TransferTarget {
  async open(): Promise<StoreIdentity | null> {
    await this.connect()
    const { schema } = this.address
    if (!(await this.run((client) => hasUnfinishedSchema(client, schema)))) return null
    await this.query(connectionLockSql(schema))
    return this.identity()
  }

  async create({ log_id, created_at }: StoreIdentity): Promise<void> {
    const init = { schema: readSchema(), logId: log_id, now: created_at }
    const { schema } = this.address
    await this.transaction(() => this.run((client) => createUnfinishedSchema(client, schema, init)))
    await this.query(connectionLockSql(schema))
  }

  async lastIds(): Promise<{ readonly message: number; readonly rejected: number }> {
    return (await this.query<{ message: number; rejected: number }>(LAST_IDS))[0]!
  }

  async transaction<Result>(work: () => Promise<Result>): Promise<Result> {
    await this.query('BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE')
    try {
      const result = await work()
      await this.run(commitTransaction)
      return result
    } catch (error) {
      await this.query('ROLLBACK').catch(noop)
      throw error
    }
  }

  async addMessages(rows: readonly MessageRecord[]): Promise<void> {
    await this.query(INSERT_MESSAGES, [
      bigintArray(rows.map((row) => row.db_id)),
      textArray(rows.map((row) => escapeNul(row.event_id))),
      textArray(rows.map((row) => escapeNul(row.message_id))),
      textArray(rows.map((row) => toNullable(row.message_from))),
      textArray(rows.map((row) => toNullable(row.message_type))),
      bigintArray(rows.map((row) => row.round_id)),
      bigintArray(rows.map((row) => row.received_at)),
      bigintArray(rows.map((row) => row.lacks)),
      textArray(rows.map((row) => row.body)),
      textArray(rows.map((row) => row.traceparent)),
    ])
  }

  async addRejected(rows: readonly QuarantineRow[]): Promise<void> {
    const texts = (getText: (row: QuarantineRow) => string) => textArray(rows.map((row) => escapeNul(getText(row))))
    await this.query(INSERT_REJECTED, [
      bigintArray(rows.map((row) => row.rejected_id)),
      bigintArray(rows.map((row) => row.received_at)),
      texts((row) => row.reason),
      texts((row) => row.detail),
      texts((row) => row.exchange),
      texts((row) => row.routing_key),
      texts((row) => row.headers),
      texts((row) => row.properties),
      bytesArray(rows.map((row) => row.body)),
      bigintArray(rows.map((row) => row.body_bytes)),
      texts((row) => row.sha256),
    ])
  }

  async addEvents(rows: readonly EventRecord[]): Promise<void> {
    const [, ...numbers] = EVENT_COLUMNS
    await this.query(INSERT_EVENTS, [
      textArray(rows.map((row) => escapeNul(row.event_id))),
      ...numbers.map((column) => bigintArray(rows.map((row) => row[column]))),
    ])
  }

  async addRevocations(rows: readonly Revocation[]): Promise<void> {
    await this.query(INSERT_REVOCATIONS, [
      textArray(rows.map((row) => escapeNul(row.subject))),
      bigintArray(rows.map((row) => row.issued_before)),
      bigintArray(rows.map((row) => row.until)),
    ])
  }

  async deletePruned(events: readonly Pick<EventRecord, 'event_id' | 'pruned_db_id'>[]): Promise<Map<string, number>> {
    const values = [
      textArray(events.map((event) => escapeNul(event.event_id))),
      bigintArray(events.map((event) => event.pruned_db_id)),
    ]
    return toMap(await this.query<EventCount>(DELETE_PRUNED, values))
  }

  async deleteRejected(ids: readonly number[]): Promise<void> {
    await this.query('DELETE FROM rejected WHERE rejected_id = ANY($1::bigint[])', [bigintArray(ids)])
  }

  async updateReasons(rows: readonly RejectedReason[]): Promise<void> {
    await this.query(UPDATE_REASONS, [
      bigintArray(rows.map((row) => row.rejected_id)),
      textArray(rows.map((row) => escapeNul(row.reason))),
      textArray(rows.map((row) => escapeNul(row.detail))),
    ])
  }

  async clearEventsAndRevocations(): Promise<void> {
    await this.query('DELETE FROM event')
    await this.query('DELETE FROM revocation')
  }

  async countByEvent(): Promise<Map<string, number>> {
    return toMap(await this.query<EventCount>(COUNT_BY_EVENT))
  }

  async continueAfter({ message, rejected, head }: AssignedIds): Promise<void> {
    await this.query(setSequenceSql('message', 'db_id'), [message])
    await this.query(setSequenceSql('rejected', 'rejected_id'), [rejected])
    await this.query(INSERT_HEAD, [head])
  }

  finish(): Promise<void> {
    return this.run(finishSchema)
  }
}
