import Database from 'better-sqlite3'
import { GatewayError } from '../../core/errors.ts'
import type { QuarantineRow } from '../../core/quarantine.ts'
import { SCHEMA_VERSION } from '../migrations.ts'
import { DELETE_PRUNED, INSERT_RECORD } from '../sqlite/edge/copy-steps.ts'
import { storageError } from '../sqlite/errors.ts'
import { createUnfinished, hasUnfinished, readSchema } from '../sqlite/file.ts'
import { APPLICATION_ID } from '../sqlite/header.ts'
import { DELETE_ROW, UPDATE_REASON } from '../sqlite/quarantine-queries.ts'
import type { Revocation } from '../store.ts'
import type { MessageRecord } from '../store-copy.ts'
import { SqliteTables } from './sqlite-tables.ts'
import {
  type AssignedIds,
  EVENT_COLUMNS,
  type EventRecord,
  REJECTED_COLUMNS,
  type RejectedReason,
  SELECT_IDENTITY,
  type StoreIdentity,
  type TransferTarget,
} from './tables.ts'

const insertSql = (table: string, columns: readonly string[]): string =>
  `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map((column) => `@${column}`).join(', ')})`

const INSERT_REJECTED = insertSql('rejected', REJECTED_COLUMNS)
const INSERT_EVENT = insertSql('event', EVENT_COLUMNS)
const INSERT_REVOCATION = insertSql('revocation', ['subject', 'issued_before', 'until'])
const COUNT_BY_EVENT = 'SELECT event_id, count(*) FROM message GROUP BY event_id'
const LAST_IDS = `SELECT coalesce((SELECT max(db_id) FROM message), 0) AS message,
  coalesce((SELECT max(rejected_id) FROM rejected), 0) AS rejected`

/** A new store in an SQLite file, as the target of a copy. */
export class SqliteTarget extends SqliteTables implements TransferTarget {
  #finished = false

  async open(): Promise<StoreIdentity | null> {
    if (!hasUnfinished(this.where)) return null
    const db = this.#openFile()
    return this.run(() => {
      const version = db.pragma('user_version', { simple: true })
      if (version === SCHEMA_VERSION) return db.prepare(SELECT_IDENTITY).get() as StoreIdentity
      throw new GatewayError('database_incomplete', `${this.where} was started by another version of the gateway.`, {
        hint: 'Delete the target, and start again.',
      })
    })
  }

  async create({ log_id, created_at }: StoreIdentity): Promise<void> {
    createUnfinished(this.where, { schema: readSchema(), logId: log_id, now: created_at })
    this.#openFile()
  }

  lastIds(): Promise<{ readonly message: number; readonly rejected: number }> {
    return this.run((db) => db.prepare(LAST_IDS).get() as { message: number; rejected: number })
  }

  async transaction<Result>(work: () => Promise<Result>): Promise<Result> {
    await this.run((db) => db.exec('BEGIN IMMEDIATE'))
    try {
      const result = await work()
      await this.run((db) => db.exec('COMMIT'))
      return result
    } catch (error) {
      if (this.db.inTransaction) this.db.exec('ROLLBACK')
      throw error
    }
  }

  addMessages(rows: readonly MessageRecord[]): Promise<void> {
    return this.#runEach(INSERT_RECORD, rows)
  }

  addRejected(rows: readonly QuarantineRow[]): Promise<void> {
    return this.#runEach(INSERT_REJECTED, rows)
  }

  addEvents(rows: readonly EventRecord[]): Promise<void> {
    return this.#runEach(INSERT_EVENT, rows)
  }

  addRevocations(rows: readonly Revocation[]): Promise<void> {
    return this.#runEach(INSERT_REVOCATION, rows)
  }

  deletePruned(events: readonly Pick<EventRecord, 'event_id' | 'pruned_db_id'>[]): Promise<Map<string, number>> {
    return this.run((db) => {
      const statement = db.prepare(DELETE_PRUNED)
      return new Map(events.map((event) => [event.event_id, statement.run(event).changes]))
    })
  }

  deleteRejected(ids: readonly number[]): Promise<void> {
    return this.#runEach(
      DELETE_ROW,
      ids.map((rejected_id) => ({ rejected_id })),
    )
  }

  updateReasons(rows: readonly RejectedReason[]): Promise<void> {
    return this.#runEach(UPDATE_REASON, rows)
  }

  clearEventsAndRevocations(): Promise<void> {
    return this.run((db) => void db.exec('DELETE FROM event; DELETE FROM revocation'))
  }

  countByEvent(): Promise<Map<string, number>> {
    return this.run((db) => new Map(db.prepare(COUNT_BY_EVENT).raw().all() as [string, number][]))
  }

  continueAfter({ message, rejected }: AssignedIds): Promise<void> {
    return this.run((db) => {
      db.exec('DELETE FROM sqlite_sequence')
      const insert = db.prepare('INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)')
      insert.run('message', message)
      insert.run('rejected', rejected)
    })
  }

  finish(): Promise<void> {
    return this.run((db) => {
      db.pragma(`application_id = ${APPLICATION_ID}`)
      this.#finished = true
    })
  }

  override async close(): Promise<void> {
    // Without the checkpoint, the file itself would not have the mark of `finish` yet.
    if (this.#finished) {
      await this.run((db) => {
        db.pragma('synchronous = FULL')
        db.pragma('wal_checkpoint(TRUNCATE)')
      })
      this.#finished = false
    }
    this.closeDatabase()
  }

  /** @throws GatewayError storage_busy if another process uses the file */
  #openFile(): Database.Database {
    const db = new Database(this.where, { fileMustExist: true, timeout: 0 })
    this.use(db)
    try {
      db.pragma('locking_mode = EXCLUSIVE')
      db.pragma('journal_mode = WAL')
      // A loss of power then costs the last transactions, but never one before them: the copy continues there.
      db.pragma('synchronous = NORMAL')
      db.pragma('temp_store = MEMORY')
      db.pragma('cache_size = -65536')
      db.pragma('wal_autocheckpoint = 8000')
      db.exec('BEGIN EXCLUSIVE; COMMIT')
      return db
    } catch (error) {
      throw storageError(error)
    }
  }

  #runEach(sql: string, rows: readonly object[]): Promise<void> {
    return this.run((db) => {
      const statement = db.prepare(sql)
      for (const row of rows) statement.run(row)
    })
  }
}
