import { existsSync, mkdirSync, statSync } from 'node:fs'
import { stat, statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import Database from 'better-sqlite3'
import { errorChainText } from '../../core/error-text.ts'
import { GatewayError } from '../../core/errors.ts'
import { readAsset } from '../../platform/assets.ts'
import { migrate, newerSchemaError, SCHEMA_VERSION } from '../migrations.ts'
import type { StorageSize } from '../store.ts'
import { APPLICATION_ID, BACKUP_APPLICATION_ID, readHeader } from './header.ts'
import { activateBackup } from './restore.ts'

export { APPLICATION_ID } from './header.ts'

/** SQLite waits this long for a lock, and blocks its thread meanwhile: short where that thread serves streams. */
const BUSY_TIMEOUT_MS = 100
/** What a thread may wait that does nothing but write. */
export const WRITER_BUSY_TIMEOUT_MS = 5_000

export interface SchemaInit {
  /** The text of schema.sql. */
  readonly schema: string
  readonly logId: string
  /** Milliseconds since 1970. */
  readonly now: number
}

/** Opens a file that is ours, which also takes back what a death has left half done. */
const hasTables = (file: string): boolean => {
  const db = new Database(file, { timeout: BUSY_TIMEOUT_MS })
  try {
    return db.prepare('SELECT 1 FROM sqlite_master LIMIT 1').get() !== undefined
  } finally {
    db.close()
  }
}

/** @returns true when the file must be given the schema first */
const mustCreate = (file: string): boolean => {
  const header = readHeader(file)
  if (header === null) return true
  const foreign = (why: string) => new GatewayError('database_not_ours', `${file} ${why}`)
  if (!header.magic) throw foreign('is not an SQLite database.')
  if (header.applicationId === APPLICATION_ID || header.applicationId === BACKUP_APPLICATION_ID) {
    if (header.userVersion > SCHEMA_VERSION) throw newerSchemaError(file, header.userVersion)
    return false
  }
  if (header.applicationId !== 0 || header.userVersion !== 0 || !header.empty) {
    throw foreign('belongs to another application.')
  }
  return true
}

/**
 * Sets the pragmas of one connection and reads back those on which the guarantees rest (L1): a WAL file
 * reopens at NORMAL, which may lose acknowledged commits on a power cut.
 */
export const applyPragmas = (db: Database.Database): void => {
  // Restored from a copy, or left between its making and this switch, a file of ours is none yet.
  if (!db.readonly) db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.pragma('temp_store = MEMORY')
  db.pragma('journal_size_limit = 67108864')
  // 32 MB: a page that many commits change is copied into the database once. Commits of 400 rows: p90 9 → 3 ms.
  db.pragma('wal_autocheckpoint = 8000')
  const synchronous = db.pragma('synchronous', { simple: true })
  const journal = db.pragma('journal_mode', { simple: true })
  if (synchronous !== 2 || journal !== 'wal') {
    throw new GatewayError('database_open_failed', `synchronous is ${synchronous}, journal_mode is ${journal}.`)
  }
}

const create = (file: string, maker: SchemaInit): void => {
  const db = new Database(file, { timeout: BUSY_TIMEOUT_MS })
  try {
    // Made under the rollback journal, so that the header in the file itself says whose it is from its first
    // commit on; only then does the file become a WAL file.
    db.pragma('journal_mode = DELETE')
    db.pragma('synchronous = FULL')
    db.pragma('auto_vacuum = INCREMENTAL')
    db.exec('BEGIN EXCLUSIVE')
    // Another process may have been quicker between the look and the lock.
    if (db.prepare('SELECT 1 FROM sqlite_master LIMIT 1').get() === undefined) {
      db.exec(maker.schema)
      db.prepare('INSERT INTO log (only_row, log_id, created_at) VALUES (1, ?, ?)').run(maker.logId, maker.now)
      db.pragma(`application_id = ${APPLICATION_ID}`)
      db.pragma(`user_version = ${SCHEMA_VERSION}`)
    }
    db.exec('COMMIT')
    db.pragma('journal_mode = WAL')
  } finally {
    db.close()
  }
}

/** Turns what SQLite throws at opening into an error with a hint. */
const openError = (file: string, error: unknown): GatewayError => {
  if (error instanceof GatewayError) return error
  const code = (error as { code?: string }).code ?? ''
  if (code.startsWith('SQLITE_BUSY')) {
    return new GatewayError('storage_busy', `${file} is locked: ${code}`, { cause: error })
  }
  const corrupt = code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB'
  return new GatewayError(
    corrupt ? 'database_corrupt' : 'database_open_failed',
    `${file} ${corrupt ? 'is damaged' : 'cannot be opened'}: ${errorChainText(error)}`,
    { cause: error },
  )
}

/** Not by mkdir's own recursion: it never ends where a file system takes no folders, such as /proc. */
const makeFolder = (folder: string): void => {
  if (existsSync(folder)) return
  makeFolder(dirname(folder))
  try {
    mkdirSync(folder)
  } catch (error) {
    // Another process may have been faster.
    if (!existsSync(folder)) throw error
  }
}

/**
 * Makes sure that the file is a database of this application and version, creating it when there is none, upgrading one
 * of an earlier version and taking over a restored backup, and that it is sound. A file that is refused is left untouched.
 *
 * @throws GatewayError database_not_ours, database_newer, database_corrupt, database_stale_wal, database_upgrade_failed,
 * database_open_failed, or storage_busy: then another process holds a lock, and the same call can succeed later
 */
export const ensureDatabase = (file: string, maker: SchemaInit): void => {
  try {
    makeFolder(dirname(resolve(file)))
    const isNew = mustCreate(file)
    activateBackup(file, maker)
    // A death within the very first commit leaves our header over a journal that takes everything back.
    if (isNew || !hasTables(file)) create(file, maker)
    // One within the take-over leaves our header over a journal that makes it a backup again.
    activateBackup(file, maker)
    const db = openConnection(file)
    try {
      const verdict = db.pragma('quick_check(1)', { simple: true })
      if (verdict !== 'ok') throw new GatewayError('database_corrupt', `${file}: ${verdict}`)
      migrate(db)
    } finally {
      db.close()
    }
  } catch (error) {
    throw openError(file, error)
  }
}

/**
 * Makes sure that the file is a database of this application and version, for those who only visit it: nothing is
 * made, and nothing is looked through. A backup that no gateway has started on must not be written to, since its ids
 * would be given out a second time.
 *
 * @throws GatewayError database_not_ours, database_newer, database_is_backup or database_open_failed
 */
export const assertDatabase = (file: string, { backupToo = false } = {}): void => {
  let missing: boolean
  try {
    missing = mustCreate(file)
  } catch (error) {
    throw openError(file, error)
  }
  if (missing) throw new GatewayError('database_open_failed', `There is no database at ${resolve(file)} yet.`)
  if (backupToo || readHeader(file)?.applicationId !== BACKUP_APPLICATION_ID) return
  throw new GatewayError('database_is_backup', `${resolve(file)} is a backup that no gateway has started on yet.`)
}

/** Opens a prepared file with the pragmas set and read back. */
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

/** Opens a prepared file for reading. @throws GatewayError database_open_failed or storage_busy */
export const openReader = (file: string): Database.Database => {
  try {
    return openConnection(file, { readonly: true })
  } catch (error) {
    throw openError(file, error)
  }
}

/** Which file a path means right now, as text; null when there is none. */
export const fileIdentity = (file: string): string | null => {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? null : `${stat.dev}:${stat.ino}`
}

const bytesOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  )

/** The sizes of a database file and its WAL, 0 where there is none, and what its file system has left for us. */
export const fileSizes = async (file: string): Promise<StorageSize> => {
  const [database, wal, disk] = await Promise.all([
    bytesOf(file),
    bytesOf(`${file}-wal`),
    statfs(dirname(resolve(file))).catch(() => null),
  ])
  return { database, wal, free: disk === null ? null : disk.bavail * disk.bsize }
}

/** The file is no longer the one that was opened: what is written into it would be lost with it. */
export const fileReplaced = (file: string): GatewayError =>
  new GatewayError('database_replaced', `${file} was removed or replaced.`)

/** The version of SQLite that better-sqlite3 carries. */
export const sqliteVersion = (): string => {
  const db = new Database(':memory:')
  try {
    return db.prepare('SELECT sqlite_version()').pluck().get() as string
  } finally {
    db.close()
  }
}

/** The text of schema.sql, which lies beside package.json. */
export const readSchema = (): string => readAsset('schema.sql').toString()
