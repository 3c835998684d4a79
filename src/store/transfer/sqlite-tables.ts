import type Database from 'better-sqlite3'
import type { QuarantineRow } from '../../core/quarantine.ts'
import { withStorageErrors } from '../sqlite/errors.ts'
import { damagedBody, isBodyDamaged } from '../sqlite/verify.ts'
import type { PageLimit, Revocation } from '../store.ts'
import type { MessageRecord } from '../store-copy.ts'
import {
  type AssignedIds,
  EVENT_COLUMNS,
  type EventRecord,
  MESSAGE_COLUMNS,
  REJECTED_COLUMNS,
  type RejectedReason,
  type StoreTables,
} from './tables.ts'

const SELECT_MESSAGES = `SELECT ${MESSAGE_COLUMNS.join(', ')} FROM message WHERE db_id > ? ORDER BY db_id LIMIT ?`
const SELECT_REJECTED = `SELECT ${REJECTED_COLUMNS.join(', ')} FROM rejected WHERE rejected_id > ? ORDER BY rejected_id LIMIT ?`
const SELECT_REASONS = `SELECT rejected_id, reason, detail FROM rejected
  WHERE rejected_id > ? AND rejected_id <= ? ORDER BY rejected_id LIMIT ?`
const SELECT_EVENTS = `SELECT ${EVENT_COLUMNS.join(', ')} FROM event WHERE last_db_id > ? ORDER BY last_db_id LIMIT ?`
const SELECT_SEQUENCES = 'SELECT name, seq FROM sqlite_sequence'

/** The rows of a store in an SQLite file. */
export abstract class SqliteTables implements StoreTables {
  readonly where: string
  #db: Database.Database | null = null

  constructor(file: string) {
    this.where = file
  }

  protected get db(): Database.Database {
    if (this.#db === null) throw new Error('the file is not open')
    return this.#db
  }

  protected use(db: Database.Database): void {
    this.#db = db
  }

  protected closeDatabase(): void {
    this.#db?.close()
    this.#db = null
  }

  /** @throws GatewayError storage_* or database_corrupt */
  protected async run<Result>(work: (db: Database.Database) => Result): Promise<Result> {
    return withStorageErrors(() => work(this.db))
  }

  messages(after: number, limit: PageLimit): Promise<MessageRecord[]> {
    return this.run((db) => {
      const rows = takePage<MessageRecord>(db, SELECT_MESSAGES, after, limit)
      const damaged = rows.find(({ body }) => isBodyDamaged(body))
      if (damaged !== undefined) throw damagedBody(damaged.db_id)
      return rows
    })
  }

  rejected(after: number, limit: PageLimit): Promise<QuarantineRow[]> {
    return this.run((db) => takePage<QuarantineRow>(db, SELECT_REJECTED, after, limit))
  }

  reasons(after: number, through: number, limit: number): Promise<RejectedReason[]> {
    return this.run((db) => db.prepare(SELECT_REASONS).all(after, through, limit) as RejectedReason[])
  }

  events(after: number, limit: number): Promise<EventRecord[]> {
    return this.run((db) => db.prepare(SELECT_EVENTS).all(after, limit) as EventRecord[])
  }

  revocations(): Promise<Revocation[]> {
    return this.run((db) => db.prepare('SELECT * FROM revocation ORDER BY subject').all() as Revocation[])
  }

  assignedIds(): Promise<AssignedIds> {
    return this.run((db) => {
      const ids = new Map(db.prepare(SELECT_SEQUENCES).raw().all() as [string, number][])
      const message = ids.get('message') ?? 0
      return { message, rejected: ids.get('rejected') ?? 0, head: message }
    })
  }

  async close(): Promise<void> {
    this.closeDatabase()
  }
}

/** The loop closes the iterator before it returns: an open one would pin the WAL. */
const takePage = <Row extends { readonly body: string | Buffer }>(
  db: Database.Database,
  sql: string,
  after: number,
  limit: PageLimit,
): Row[] => {
  const rows: Row[] = []
  let bytes = 0
  for (const row of db.prepare(sql).iterate(after, limit.messages) as IterableIterator<Row>) {
    rows.push(row)
    bytes += row.body.length
    if (bytes >= limit.bytes) break
  }
  return rows
}
