import { chownSync, existsSync, lstatSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import Database from 'better-sqlite3'
import { errorChainText } from '../../../core/error-text.ts'
import { GatewayError } from '../../../core/errors.ts'
import { createPrivateFile, publishDraft, resolveLink, syncPath } from '../durable-file.ts'
import { isCorrupt, storageError, withStorageErrors } from '../errors.ts'
import { assertDatabase, makeFolder } from '../file.ts'
import { APPLICATION_ID, BACKUP_APPLICATION_ID, readHeader } from '../header.ts'
import { rejectStaleWal } from './restore.ts'

/** Pages copied between two checks of the signal: 4 MB, a few milliseconds on an SSD. */
const STEP_PAGES = 1_024

export interface BackupOptions {
  /** Path of the database. A gateway can be running on it. */
  readonly from: string
  /** Path of the backup. Its directory must exist, the file must not. */
  readonly to: string
  readonly signal: AbortSignal
  /** Called with the bytes copied so far, and the total. */
  readonly onProgress: (done: number, total: number) => void
  /** Called once everything is copied, before the check of the copy, which reports no progress. */
  readonly onCheck: () => void
}

/** Size and content of a backup. */
export interface BackupResult {
  readonly bytes: number
  readonly log_id: string
  readonly messages: number
  /** Greatest db_id that the store had assigned. */
  readonly last_db_id: number
}

const writeError = (to: string, cause: unknown): GatewayError =>
  new GatewayError('backup_write_failed', `${to} cannot be written: ${errorChainText(cause)}.`, { cause })

const existsError = (to: string): GatewayError => new GatewayError('backup_exists', `${to} is there already.`)

/**
 * Copies a consistent snapshot of a database to a new file, while other processes keep writing to the database. The copy is checked,
 * durable, and complete once it has its name; an existing file is never overwritten. It has the log_id of its source until a gateway starts
 * on it (restore.ts).
 *
 * @throws GatewayError backup_exists, backup_write_failed, database_*, storage_*; if aborted, the reason of the signal. No file is left
 * then
 */
export const createBackup = async (options: BackupOptions): Promise<BackupResult> => {
  const from = resolve(resolveLink(options.from))
  const to = resolve(options.to)
  assertDatabase(from, { allowBackup: true, movedToo: true })
  rejectStaleWal(from)
  if (lstatSync(to, { throwIfNoEntry: false }) !== undefined) throw existsError(to)
  const draft = `${to}.${process.pid}.part`
  try {
    if (!createPrivateFile(draft)) throw new Error(`${draft} is there already`)
    const copied = await copy(from, draft, options)
    options.onCheck()
    const bytes = markAsBackup(draft, copied)
    options.signal.throwIfAborted()
    if (!publishDraft(draft, to)) throw existsError(to)
    return { ...copied, bytes }
  } catch (error) {
    if (error instanceof GatewayError || options.signal.aborted) throw error
    if (isCorrupt(error)) throw storageError(error)
    throw writeError(to, error)
  } finally {
    for (const file of [draft, `${draft}-journal`, `${draft}-wal`, `${draft}-shm`]) rmSync(file, { force: true })
  }
}

type CopiedContent = Omit<BackupResult, 'bytes'>

const copy = async (from: string, draft: string, { signal, onProgress }: BackupOptions): Promise<CopiedContent> => {
  const db = withStorageErrors(() => new Database(from, { readonly: true, fileMustExist: true, timeout: 5_000 }))
  try {
    // One read transaction for all steps: without it SQLite would start over at each commit of the gateway, and the copy would not be a
    // snapshot.
    const copied = withStorageErrors(() => {
      db.exec('BEGIN')
      return readContent(db)
    })
    const pageBytes = db.pragma('page_size', { simple: true }) as number
    const step = ({ totalPages, remainingPages }: Database.BackupMetadata): number => {
      signal.throwIfAborted()
      onProgress((totalPages - remainingPages) * pageBytes, totalPages * pageBytes)
      return STEP_PAGES
    }
    await db.backup(draft, { progress: step })
    return copied
  } finally {
    db.close()
  }
}

const CONTENT = `SELECT log_id,
  (SELECT coalesce(sum(messages), 0) FROM event) AS messages,
  coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'message'), 0) AS last_db_id FROM log`

const readContent = (db: Database.Database): CopiedContent => db.prepare(CONTENT).get() as CopiedContent

/** Turns the copy into a single file, marks it as a backup, checks it and makes it durable. @returns its size in bytes */
const markAsBackup = (draft: string, copied: CopiedContent): number => {
  const db = new Database(draft, { fileMustExist: true })
  try {
    // Without WAL mode the backup is a single file, and a WAL next to it cannot be its own.
    db.pragma('journal_mode = DELETE')
    db.pragma('synchronous = FULL')
    db.pragma(`application_id = ${BACKUP_APPLICATION_ID}`)
    const checkResult = db.pragma('quick_check(1)', { simple: true })
    if (checkResult !== 'ok') throw new GatewayError('database_corrupt', `The database is damaged: ${checkResult}.`)
    const content = readContent(db)
    // SQLite reports success even for a copy that it could not start.
    const isSame = content.log_id === copied.log_id && content.last_db_id === copied.last_db_id
    if (!isSame || content.messages !== copied.messages) throw new Error('the copy is not what was copied')
  } catch (error) {
    if (!isCorrupt(error)) throw error
    throw new GatewayError('database_corrupt', `The database is damaged: ${errorChainText(error)}.`, { cause: error })
  } finally {
    db.close()
  }
  return syncPath(draft)
}

/** A restored backup, and where the database that it has replaced is now; null if there was none. */
export interface RestoreResult extends BackupResult {
  readonly replaced: string | null
}

/** The files of a database, by the end of their names. */
const FILE_ENDS = ['', '-wal', '-shm', '-journal']

/**
 * Puts a copy of a backup, or of any database of this application, in the place of a database that no process uses. The old files stay under
 * another name. The copy is checked, and marked as a backup: the gateway that starts on it gives it a new identity (restore.ts).
 *
 * @param options.to path of the database; neither it nor its folder need exist
 * @param now the time in the name of the old files
 * @throws GatewayError storage_busy if a process uses the database, database_not_ours if it belongs to another application, storage_*, and the
 * errors of `createBackup`; the database is then unchanged
 */
export const restoreBackup = async (options: BackupOptions, now: Date): Promise<RestoreResult> => {
  const to = resolve(options.to)
  const draft = `${to}.${process.pid}.restored`
  if (resolve(resolveLink(options.from)) === to) {
    throw new GatewayError('backup_exists', `${to} is the database itself.`, { hint: 'Name the backup to restore.' })
  }
  assertUnused(to)
  makeFolder(dirname(to))
  const result = await createBackup({ ...options, to: draft })
  try {
    keepOwner(draft, existsSync(to) ? to : dirname(to))
    // A gateway may have been started while the backup was copied.
    assertUnused(to)
    const replaced = moveAway(to, `${to}.replaced-${now.toISOString().replaceAll(':', '-').replace(/\.\d+/, '')}`)
    if (!publishDraft(draft, to)) throw existsError(to)
    return { ...result, replaced }
  } finally {
    rmSync(draft, { force: true })
  }
}

/** @throws GatewayError storage_* or database_not_ours */
const assertUnused = (file: string): void => {
  const header = readHeader(file)
  // SQLite cannot lock a file whose header is damaged, and no gateway works on a backup before it has changed the header.
  if (header === null || !header.magic || header.applicationId === BACKUP_APPLICATION_ID) return
  if (header.applicationId !== APPLICATION_ID && !header.empty) {
    throw new GatewayError('database_not_ours', `${file} belongs to another application.`)
  }
  const db = withStorageErrors(() => new Database(file, { fileMustExist: true, timeout: 0 }))
  try {
    // In this mode the first access requires that no other connection is open.
    db.pragma('locking_mode = EXCLUSIVE')
    db.exec('BEGIN EXCLUSIVE; ROLLBACK')
  } catch (cause) {
    const error = storageError(cause)
    // A damaged database can be replaced: the lock is taken before the damage is met.
    if (error.code === 'database_corrupt') return
    if (error.code !== 'storage_busy') throw error
    throw new GatewayError('storage_busy', `A process has ${file} open.`, {
      cause,
      hint: 'Stop every gateway and every other program that uses the database, then restore again.',
    })
  } finally {
    db.close()
  }
}

/** Gives a file the owner of another one, since root may restore for the user of the gateway. */
const keepOwner = (file: string, model: string): void => {
  if (process.getuid?.() !== 0) return
  const { uid, gid } = statSync(model)
  chownSync(file, uid, gid)
}

/** Renames the files of a database. @returns the new name; null if there was no file */
const moveAway = (file: string, name: string): string | null => {
  const ends = FILE_ENDS.filter((end) => existsSync(file + end))
  for (const end of ends) renameSync(file + end, name + end)
  return ends.length === 0 ? null : name
}
