import { resolve } from 'node:path'
import Database from 'better-sqlite3'
import { GatewayError } from '../../core/errors.ts'
import { SCHEMA_VERSION } from '../migrations.ts'
import { assertOwnStore } from '../sqlite/edge/copy-steps.ts'
import { isBusy, storageError } from '../sqlite/errors.ts'
import { assertDatabase } from '../sqlite/file.ts'
import { MOVED_APPLICATION_ID, readHeader } from '../sqlite/header.ts'
import { SqliteTables } from './sqlite-tables.ts'
import { SELECT_IDENTITY, type StoreIdentity, type TransferSource } from './tables.ts'

/** Lock timeout of a read in milliseconds, while a gateway recovers or checkpoints the WAL. */
const BUSY_TIMEOUT_MS = 5_000

/** A store in an SQLite file, as the source of a copy. */
export class SqliteSource extends SqliteTables implements TransferSource {
  async open(): Promise<StoreIdentity & { readonly moved: boolean }> {
    assertDatabase(this.where, { movedToo: true })
    // Read before the file is open: closing another handle of it would drop the locks of this process.
    const header = readHeader(this.where)
    if (header?.userVersion !== SCHEMA_VERSION) {
      throw new GatewayError('database_newer', `${this.where} has schema version ${header?.userVersion}.`, {
        hint: 'Start this version of the gateway on it once, which upgrades it.',
      })
    }
    this.#openReader()
    // A store moved from it would have the log_id of the core, and assign ids that the core assigns too.
    await this.run((db) => assertOwnStore(db, false))
    const identity = await this.run((db) => db.prepare(SELECT_IDENTITY).get() as StoreIdentity)
    return { ...identity, moved: header.applicationId === MOVED_APPLICATION_ID }
  }

  countRows(): Promise<number> {
    const sql = 'SELECT (SELECT coalesce(sum(messages), 0) FROM event) + (SELECT count(*) FROM rejected)'
    return this.run((db) => db.prepare(sql).pluck().get() as number)
  }

  async tryLock(): Promise<boolean> {
    // A connection in WAL mode holds a shared lock as long as it is open, so the exclusive one shows that no other process has one.
    this.closeDatabase()
    const db = new Database(this.where, { fileMustExist: true, timeout: 0 })
    try {
      db.pragma('locking_mode = EXCLUSIVE')
      db.exec('BEGIN EXCLUSIVE; COMMIT')
      db.pragma('synchronous = FULL')
      this.use(db)
      return true
    } catch (error) {
      db.close()
      this.#openReader()
      if (isBusy(error)) return false
      throw storageError(error)
    }
  }

  retire(): Promise<void> {
    return this.run((db) => {
      // With a WAL the mark would be missing in the file itself until a checkpoint.
      db.pragma('journal_mode = DELETE')
      db.pragma(`application_id = ${MOVED_APPLICATION_ID}`)
    })
  }

  #openReader(): void {
    this.use(new Database(resolve(this.where), { readonly: true, fileMustExist: true, timeout: BUSY_TIMEOUT_MS }))
  }
}
