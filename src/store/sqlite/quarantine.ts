import type Database from 'better-sqlite3'
import type { QuarantineEnvelope, QuarantineRow, ReplayRequest } from '../../core/quarantine.ts'
import type { RejectedFilter } from '../../core/quarantine-filter.ts'
import type { ReplayResult } from '../store.ts'
import { assertDatabase, openConnection } from './file.ts'
import { QuarantineReader } from './quarantine-reader.ts'
import { SqliteWriter, storageError } from './writer.ts'

type Awaitable<T> = T | Promise<T>

/** The quarantine of a database, for a visitor beside gateways that may run on it. Errors are GatewayErrors. */
export interface QuarantineAccess {
  close(): Awaitable<void>
  /** How many rows a filter lets through, and the greatest id among them; 0 where there are none. */
  count(filter: RejectedFilter): Awaitable<{ readonly rows: number; readonly last_rejected_id: number }>
  /** The newest rows below an id (0: from the newest), newest first, without their bodies. */
  newest(filter: RejectedFilter, before: number, limit: number): Awaitable<QuarantineEnvelope[]>
  /** Rows with their bodies behind an id, oldest first, as many as a page of memory takes; none: the end. */
  after(filter: RejectedFilter, after: number, through: number): Awaitable<QuarantineRow[]>
  /** The ids of rows behind an id, oldest first, at most `limit`. */
  idsAfter(filter: RejectedFilter, after: number, through: number, limit: number): Awaitable<number[]>
  /** Stores what the checks now accept and removes it from the quarantine, in one transaction. */
  replay(replays: readonly ReplayRequest[]): Awaitable<ReplayResult[]>
  /** Removes rows for good. @returns how many were there */
  drop(ids: readonly number[]): Awaitable<number>
}

/**
 * The quarantine of an SQLite file. Nothing here waits for a lock: a write that finds the database busy fails with
 * storage_busy, has changed nothing and may be tried again.
 */
export class SqliteQuarantine extends QuarantineReader implements QuarantineAccess {
  readonly #file: string
  readonly #db: Database.Database
  #writer: SqliteWriter | null = null

  /** @throws GatewayError database_* when there is no usable database */
  constructor(file: string) {
    assertDatabase(file)
    const db = open(file)
    super((sql) => db.prepare(sql))
    this.#file = file
    this.#db = db
  }

  close(): void {
    // The reader closes first: the last connection to close checkpoints the WAL, and it must be able to write.
    this.#db.close()
    this.#writer?.close()
  }

  /** Stores what the checks now accept and removes it from the quarantine, in one transaction. @throws GatewayError storage_* */
  replay(replays: readonly ReplayRequest[]): ReplayResult[] {
    return this.#writing().replay(replays)
  }

  /** Removes rows for good. @returns how many were there. @throws GatewayError storage_* */
  drop(ids: readonly number[]): number {
    return this.#writing().deleteRejected(ids)
  }

  #writing(): SqliteWriter {
    try {
      return (this.#writer ??= new SqliteWriter(this.#file))
    } catch (error) {
      throw storageError(error)
    }
  }
}

const open = (file: string): Database.Database => {
  try {
    return openConnection(file, { readonly: true })
  } catch (error) {
    throw storageError(error)
  }
}
