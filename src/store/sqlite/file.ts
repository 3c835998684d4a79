import { existsSync, mkdirSync } from 'node:fs'
import { stat, statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import Database from 'better-sqlite3'
import { errorChainText } from '../../core/error-text.ts'
import { GatewayError } from '../../core/errors.ts'
import { readAsset } from '../../platform/assets.ts'
import { migrate, newerSchemaError, SCHEMA_VERSION } from '../migrations.ts'
import type { StorageSize } from '../store.ts'
import { activateBackup } from './backup/restore.ts'
import { createPrivateFile } from './durable-file.ts'
import { isBusy, isCorrupt } from './errors.ts'
import {
  APPLICATION_ID,
  BACKUP_APPLICATION_ID,
  MOVED_APPLICATION_ID,
  readHeader,
  UNFINISHED_APPLICATION_ID,
} from './header.ts'

export { APPLICATION_ID } from './header.ts'

/** SQLite's lock timeout in milliseconds. It blocks its thread meanwhile, so it is short in a thread that serves streams. */
const BUSY_TIMEOUT_MS = 100
/** Lock timeout of a thread that only writes, in milliseconds. */
export const WRITER_BUSY_TIMEOUT_MS = 5_000

export interface SchemaInit {
  /** The text of schema.sql. */
  readonly schema: string
  readonly logId: string
  /** Milliseconds since 1970. */
  readonly now: number
}

/** Returns whether one of our files has tables. Opening it also rolls back what a crash left unfinished. */
const hasTables = (file: string): boolean => {
  const db = new Database(file, { timeout: BUSY_TIMEOUT_MS })
  try {
    return db.prepare('SELECT 1 FROM sqlite_master LIMIT 1').get() !== undefined
  } finally {
    db.close()
  }
}

/**
 * @returns true if the schema must be created first
 * @throws GatewayError database_not_ours, database_newer, database_moved or database_incomplete
 */
const mustCreate = (file: string, movedToo = false): boolean => {
  const header = readHeader(file)
  if (header === null) return true
  const notOurs = (reason: string) => new GatewayError('database_not_ours', `${file} ${reason}`)
  if (!header.magic) throw notOurs('is not an SQLite database.')
  const { applicationId } = header
  if (applicationId === UNFINISHED_APPLICATION_ID) {
    throw new GatewayError('database_incomplete', `${file} is the target of a migration that has not finished.`)
  }
  const isMoved = applicationId === MOVED_APPLICATION_ID
  if (isMoved && !movedToo) throw new GatewayError('database_moved', `${file} was migrated to another database.`)
  if (applicationId === APPLICATION_ID || applicationId === BACKUP_APPLICATION_ID || isMoved) {
    if (header.userVersion > SCHEMA_VERSION) throw newerSchemaError(file, header.userVersion)
    return false
  }
  if (header.applicationId !== 0 || header.userVersion !== 0 || !header.empty) {
    throw notOurs('belongs to another application.')
  }
  return true
}

/**
 * Sets the pragmas of one connection and reads back those that the guarantees depend on (L1): a WAL file reopens with NORMAL, which can
 * lose acknowledged commits on a power failure.
 */
const applyPragmas = (db: Database.Database): void => {
  // A file is not in WAL mode yet if it was restored from a copy, or if a crash interrupted its creation before this switch.
  if (!db.readonly) db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.pragma('temp_store = MEMORY')
  db.pragma('journal_size_limit = 67108864')
  // 32 MB: a page that many commits change is then copied into the database once. Commits of 400 rows: p90 9 → 3 ms.
  db.pragma('wal_autocheckpoint = 8000')
  const synchronous = db.pragma('synchronous', { simple: true })
  const journal = db.pragma('journal_mode', { simple: true })
  if (synchronous !== 2 || journal !== 'wal') {
    throw new GatewayError('database_open_failed', `synchronous is ${synchronous}, journal_mode is ${journal}.`)
  }
}

const create = (file: string, init: SchemaInit, applicationId = APPLICATION_ID): void => {
  createPrivateFile(file)
  const db = new Database(file, { timeout: BUSY_TIMEOUT_MS })
  try {
    // Created with the rollback journal, so that the header in the file identifies its owner from the first commit on; only then is it
    // switched to WAL.
    db.pragma('journal_mode = DELETE')
    db.pragma('synchronous = FULL')
    db.pragma('auto_vacuum = INCREMENTAL')
    db.exec('BEGIN EXCLUSIVE')
    // Another process may have created the tables between the check and the lock.
    if (db.prepare('SELECT 1 FROM sqlite_master LIMIT 1').get() === undefined) {
      db.exec(init.schema)
      db.prepare('INSERT INTO log (only_row, log_id, created_at) VALUES (1, ?, ?)').run(init.logId, init.now)
      db.pragma(`application_id = ${applicationId}`)
      db.pragma(`user_version = ${SCHEMA_VERSION}`)
    }
    db.exec('COMMIT')
    db.pragma('journal_mode = WAL')
  } finally {
    db.close()
  }
}

/** Converts an error of SQLite at opening to an error with a hint. */
const openError = (file: string, error: unknown): GatewayError => {
  if (error instanceof GatewayError) return error
  if (isBusy(error)) {
    return new GatewayError('storage_busy', `${file} is locked: ${(error as { code: string }).code}`, { cause: error })
  }
  const corrupt = isCorrupt(error)
  return new GatewayError(
    corrupt ? 'database_corrupt' : 'database_open_failed',
    `${file} ${corrupt ? 'is damaged' : 'cannot be opened'}: ${errorChainText(error)}`,
    { cause: error },
  )
}

/**
 * Creates a directory and its parents, for its owner only. mkdir's `recursive` never returns on a file system without support for directories, such as /proc.
 */
export const makeFolder = (folder: string): void => {
  if (existsSync(folder)) return
  makeFolder(dirname(folder))
  try {
    mkdirSync(folder, 0o700)
  } catch (error) {
    // Another process may have created it in the meantime.
    if (!existsSync(folder)) throw error
  }
}

/**
 * Makes sure that the file is a sound database of this application and version: creates it if it is missing, upgrades one of an earlier
 * version and activates a restored backup. If the file is not usable, it is left unchanged.
 *
 * @throws GatewayError database_not_ours, database_newer, database_moved, database_incomplete, database_corrupt, database_stale_wal,
 * database_upgrade_failed, database_open_failed, or storage_busy if another process holds a lock: the same call can succeed later
 */
export const ensureDatabase = (file: string, init: SchemaInit): void => {
  try {
    makeFolder(dirname(resolve(file)))
    const isNew = mustCreate(file)
    activateBackup(file, init)
    // A crash during the first commit can leave our header with a journal that rolls everything back.
    if (isNew || !hasTables(file)) create(file, init)
    // A crash during the activation can leave our header with a journal that turns the file into a backup again.
    activateBackup(file, init)
    const db = openConnection(file)
    try {
      const checkResult = db.pragma('quick_check(1)', { simple: true })
      if (checkResult !== 'ok') throw new GatewayError('database_corrupt', `${file}: ${checkResult}`)
      migrate(db)
    } finally {
      db.close()
    }
  } catch (error) {
    throw openError(file, error)
  }
}

/**
 * Returns whether an earlier call of createUnfinished has created a database there; false if there is none.
 *
 * @throws GatewayError database_target_used if it is a store, or like ensureDatabase
 */
export const hasUnfinished = (file: string): boolean => {
  try {
    if (readHeader(file)?.applicationId === UNFINISHED_APPLICATION_ID) return hasTables(file)
    if (mustCreate(file, true)) return false
  } catch (error) {
    throw openError(file, error)
  }
  throw new GatewayError('database_target_used', `${file} contains a store already.`)
}

/** Creates a database on which no gateway starts until it has APPLICATION_ID. @throws GatewayError like ensureDatabase */
export const createUnfinished = (file: string, init: SchemaInit): void => {
  try {
    makeFolder(dirname(resolve(file)))
    create(file, init, UNFINISHED_APPLICATION_ID)
  } catch (error) {
    throw openError(file, error)
  }
}

/**
 * Checks that the file is a database of this application and version, without creating it or checking its integrity; for CLI commands. A
 * backup that no gateway has started on must not be written to, since its ids would be assigned a second time.
 *
 * @param options.allowBackup accepts such a backup
 * @param options.movedToo accepts a store that was moved to another database
 * @throws GatewayError database_not_ours, database_newer, database_is_backup, database_moved, database_incomplete or database_open_failed
 */
export const assertDatabase = (file: string, { allowBackup = false, movedToo = false } = {}): void => {
  let missing: boolean
  try {
    missing = mustCreate(file, movedToo)
  } catch (error) {
    throw openError(file, error)
  }
  if (missing) throw new GatewayError('database_open_failed', `There is no database at ${resolve(file)} yet.`)
  if (allowBackup || readHeader(file)?.applicationId !== BACKUP_APPLICATION_ID) return
  throw new GatewayError('database_is_backup', `${resolve(file)} is a backup that no gateway has started on yet.`)
}

/** Opens an existing database, sets its pragmas and reads them back. */
export const openConnection = (file: string, options: { readonly?: boolean } = {}): Database.Database => {
  const db = new Database(file, { ...options, fileMustExist: true, timeout: BUSY_TIMEOUT_MS })
  try {
    applyPragmas(db)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Opens an existing database read-only. @throws GatewayError database_open_failed or storage_busy */
export const openReader = (file: string): Database.Database => {
  try {
    return openConnection(file, { readonly: true })
  } catch (error) {
    throw openError(file, error)
  }
}

const fileSize = (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  )

/** Returns the sizes of a database file and its WAL, 0 if missing, and the free space of the file system. */
export const fileSizes = async (file: string): Promise<StorageSize> => {
  const [database, wal, disk] = await Promise.all([
    fileSize(file),
    fileSize(`${file}-wal`),
    statfs(dirname(resolve(file))).catch(() => null),
  ])
  return { database, wal, free: disk === null ? null : disk.bavail * disk.bsize }
}

/** Returns the version of SQLite that better-sqlite3 includes. */
export const sqliteVersion = (): string => {
  const db = new Database(':memory:')
  try {
    return db.prepare('SELECT sqlite_version()').pluck().get() as string
  } finally {
    db.close()
  }
}

/** Returns the text of schema.sql, which is next to package.json. */
export const readSchema = (): string => readAsset('schema.sql').toString()
