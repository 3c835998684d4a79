import { noop } from '../../core/noop.ts'
import type { QuarantineRow } from '../../core/quarantine.ts'
import { ConnectionFactory } from '../postgres/connect.ts'
import { postgresError } from '../postgres/errors.ts'
import { HEAD_SQL, REVOCATIONS } from '../postgres/queries.ts'
import { queryRows } from '../postgres/reader.ts'
import { describePostgres, type PostgresAddress } from '../postgres/url.ts'
import { fromNullable, unescapeNul } from '../postgres/values.ts'
import type { PageLimit, Revocation } from '../store.ts'
import type { MessageRecord } from '../store-copy.ts'
import {
  type AssignedIds,
  EVENT_COLUMNS,
  type EventRecord,
  MESSAGE_COLUMNS,
  REJECTED_COLUMNS,
  type RejectedReason,
  SELECT_IDENTITY,
  type StoreIdentity,
  type StoreTables,
} from './tables.ts'

/** A connection of the factory; the driver belongs to postgres/. */
type PostgresClient = Awaited<ReturnType<ConnectionFactory['open']>>

/** Lock timeout in milliseconds: another gateway can be creating the tables. */
const LOCK_TIMEOUT_MS = 5_000

/**
 * `event_id` of a row of `event` that belongs to no event, since theirs have at least one character. It keeps the greatest db_id that
 * clients can hold if no message has it: SQLite also counts ids of duplicates, and those that a restore skipped.
 */
export const HEAD_EVENT_ID = ''

/** Rows after $1 in ascending order of `id`: at most $2, and until their bodies reach $3 bytes. */
const pageSql = (table: string, id: string, columns: readonly string[]): string => `SELECT ${columns.join(', ')} FROM (
  SELECT *, sum(octet_length(body)) OVER (ORDER BY ${id} ROWS UNBOUNDED PRECEDING) - octet_length(body) AS before FROM (
    SELECT ${columns.join(', ')} FROM ${table} WHERE ${id} > $1 ORDER BY ${id} LIMIT $2) AS page
) AS sized WHERE before < $3 ORDER BY ${id}`

const SELECT_MESSAGES = pageSql('message', 'db_id', MESSAGE_COLUMNS)
const SELECT_REJECTED = pageSql('rejected', 'rejected_id', REJECTED_COLUMNS)
const SELECT_REASONS = `SELECT rejected_id, reason, detail FROM rejected
WHERE rejected_id > $1 AND rejected_id <= $2 ORDER BY rejected_id LIMIT $3`
const SELECT_EVENTS = `SELECT ${EVENT_COLUMNS.join(', ')} FROM event
WHERE last_db_id > $1 AND event_id <> '${HEAD_EVENT_ID}' ORDER BY last_db_id LIMIT $2`

const sequenceSql = (table: string, id: string): string =>
  `coalesce(pg_sequence_last_value(pg_get_serial_sequence('${table}', '${id}')::regclass), 0)::bigint`

const SELECT_ASSIGNED_IDS = `SELECT ${sequenceSql('message', 'db_id')} AS message,
${sequenceSql('rejected', 'rejected_id')} AS rejected, ${HEAD_SQL}::bigint AS head`

/** Larger than the bodies of any page; PostgreSQL has no infinite number in every version. */
const MAX_BYTES = 1e15

const toMessage = (row: MessageRecord): MessageRecord => ({
  ...row,
  event_id: unescapeNul(row.event_id),
  message_id: unescapeNul(row.message_id),
  message_from: fromNullable(row.message_from),
  message_type: fromNullable(row.message_type),
})

const toRejected = (row: QuarantineRow): QuarantineRow => ({
  ...row,
  reason: unescapeNul(row.reason),
  detail: unescapeNul(row.detail),
  exchange: unescapeNul(row.exchange),
  routing_key: unescapeNul(row.routing_key),
  headers: unescapeNul(row.headers),
  properties: unescapeNul(row.properties),
})

/** The rows of a store in a schema of PostgreSQL, on one connection. */
export abstract class PostgresTables implements StoreTables {
  readonly where: string
  protected readonly address: PostgresAddress
  readonly #onWarning: (text: string) => void
  #client: PostgresClient | null = null

  constructor(address: PostgresAddress, onWarning: (text: string) => void) {
    this.address = address
    this.where = describePostgres(address)
    this.#onWarning = onWarning
  }

  protected get client(): PostgresClient {
    if (this.#client === null) throw new Error('the database is not open')
    return this.#client
  }

  /** @throws GatewayError database_* */
  protected async connect(): Promise<PostgresClient> {
    const connector = new ConnectionFactory(this.address, { lockTimeoutMs: LOCK_TIMEOUT_MS }, this.#onWarning)
    this.#client = await connector.open()
    // A transaction waits for the other database, and a statement can read all rows.
    await this.#client.query('SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0')
    return this.#client
  }

  /** @throws GatewayError storage_* or database_* */
  protected async query<Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return this.run(async (client) => (await client.query(text, [...values])).rows as Row[])
  }

  /** @throws GatewayError storage_* or database_* */
  protected async run<Result>(work: (client: PostgresClient) => Promise<Result>): Promise<Result> {
    try {
      return await work(this.client)
    } catch (error) {
      throw postgresError(error)
    }
  }

  protected async identity(): Promise<StoreIdentity> {
    return (await this.query<StoreIdentity>(SELECT_IDENTITY))[0]!
  }

  async messages(after: number, { messages, bytes }: PageLimit): Promise<MessageRecord[]> {
    const values = [after, messages, Math.min(bytes, MAX_BYTES)]
    return (await this.query<MessageRecord>(SELECT_MESSAGES, values)).map(toMessage)
  }

  async rejected(after: number, { messages, bytes }: PageLimit): Promise<QuarantineRow[]> {
    const values = [after, messages, Math.min(bytes, MAX_BYTES)]
    return (await this.query<QuarantineRow>(SELECT_REJECTED, values)).map(toRejected)
  }

  async reasons(after: number, through: number, limit: number): Promise<RejectedReason[]> {
    const rows = await this.query<RejectedReason>(SELECT_REASONS, [after, through, limit])
    return rows.map((row) => ({ ...row, reason: unescapeNul(row.reason), detail: unescapeNul(row.detail) }))
  }

  async events(after: number, limit: number): Promise<EventRecord[]> {
    const rows = await this.query<EventRecord>(SELECT_EVENTS, [after, limit])
    return rows.map((row) => ({ ...row, event_id: unescapeNul(row.event_id) }))
  }

  async revocations(): Promise<Revocation[]> {
    const rows = await this.run((client) => queryRows<Revocation>(client, REVOCATIONS))
    return rows.map((row) => ({ ...row, subject: unescapeNul(row.subject) }))
  }

  async assignedIds(): Promise<AssignedIds> {
    return (await this.query<AssignedIds>(SELECT_ASSIGNED_IDS))[0]!
  }

  async close(): Promise<void> {
    // Not awaited: a dead connection never confirms that it is closed.
    this.#client?.end().catch(noop)
    this.#client = null
  }
}
