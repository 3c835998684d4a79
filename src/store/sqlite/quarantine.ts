import type Database from 'better-sqlite3'
import type { QuarantineEnvelope, QuarantineRow, ReplayRequest } from '../../core/quarantine.ts'
import type { QuarantineFilter } from '../../core/quarantine-filter.ts'
import type { ReplayResult } from '../store.ts'
import { withStorageErrors } from './errors.ts'
import { assertDatabase, openConnection } from './file.ts'
import { QuarantineReader } from './quarantine-reader.ts'
import { SqliteWriter } from './writer.ts'
import { WRITER_SQL } from './writer-sql.ts'

type Awaitable<T> = T | Promise<T>

/** Quarantine access for CLI commands, safe while gateways use the database. Errors are GatewayErrors. */
export interface QuarantineAccess {
  close(): Awaitable<void>
  /** Returns the number of matching rows and the greatest rejected_id among them; 0 if there are none. */
  count(filter: QuarantineFilter): Awaitable<{ readonly rows: number; readonly last_rejected_id: number }>
  /** Returns the newest rows with `rejected_id < before`, newest first, without their bodies; `before` 0 starts at the newest row. */
  newest(filter: QuarantineFilter, before: number, limit: number): Awaitable<QuarantineEnvelope[]>
  /** Returns rows with their bodies with `after < rejected_id <= through`, oldest first, as many as fit into a page. Empty at the end. */
  after(filter: QuarantineFilter, after: number, through: number): Awaitable<QuarantineRow[]>
  /** Returns the ids with `after < rejected_id <= through`, oldest first, at most `limit`. */
  idsAfter(filter: QuarantineFilter, after: number, through: number, limit: number): Awaitable<number[]>
  /** Stores the messages that are now accepted and deletes their rows from the quarantine, in one transaction. */
  replay(replays: readonly ReplayRequest[]): Awaitable<ReplayResult[]>
  /** Deletes rows permanently. @returns the number of rows deleted */
  drop(ids: readonly number[]): Awaitable<number>
}

/**
 * Quarantine of an SQLite file. Nothing here waits for a lock: if the database is busy, a write fails with storage_busy, changes nothing
 * and can be retried.
 */
export class SqliteQuarantine extends QuarantineReader implements QuarantineAccess {
  readonly #file: string
  readonly #db: Database.Database
  #writer: SqliteWriter | null = null

  /** @throws GatewayError database_* if the database is not usable */
  constructor(file: string) {
    assertDatabase(file)
    const db = withStorageErrors(() => openConnection(file, { readonly: true }))
    super((sql) => db.prepare(sql))
    this.#file = file
    this.#db = db
  }

  close(): void {
    // Close the reader first: the last connection to close checkpoints the WAL, and it must be able to write.
    this.#db.close()
    this.#writer?.close()
  }

  /** @throws GatewayError storage_* */
  replay(replays: readonly ReplayRequest[]): ReplayResult[] {
    return this.#writing().replay(replays)
  }

  /** @throws GatewayError storage_* */
  drop(ids: readonly number[]): number {
    return this.#writing().deleteRejected(ids)
  }

  #writing(): SqliteWriter {
    return withStorageErrors(() => (this.#writer ??= new SqliteWriter(this.#file, WRITER_SQL)))
  }
}
