import { lstatSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import Database from 'better-sqlite3'
import { errorChainText } from '../../core/error-text.ts'
import { GatewayError } from '../../core/errors.ts'
import { createPrivateFile, publishDraft, syncPath } from './durable-file.ts'
import { isCorrupt, storageError } from './errors.ts'
import { assertDatabase } from './file.ts'
import { BACKUP_APPLICATION_ID } from './header.ts'
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
  const from = resolve(options.from)
  const to = resolve(options.to)
  assertDatabase(from, { backupToo: true })
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
  const db = reading(() => new Database(from, { readonly: true, fileMustExist: true, timeout: 5_000 }))
  try {
    // One read transaction for all steps: without it SQLite would start over at each commit of the gateway, and the copy would not be a
    // snapshot.
    const copied = reading(() => {
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

const reading = <Result>(read: () => Result): Result => {
  try {
    return read()
  } catch (error) {
    throw storageError(error)
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
