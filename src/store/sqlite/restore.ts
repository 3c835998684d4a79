import { existsSync } from 'node:fs'
import Database from 'better-sqlite3'
import { GatewayError } from '../../core/errors.ts'
import { APPLICATION_ID, BACKUP_APPLICATION_ID, readHeader } from './header.ts'

/** Of several workers one takes a backup over, and looks through all of it; the others wait so long, in milliseconds. */
const TIMEOUT_MS = 600_000

/** More messages than any gateway stores in a millisecond, hundreds of times over. */
const IDS_PER_MS = 1_000
/** So many ids are passed over in any case: the clock of the machine that restores may be behind. */
const MIN_IDS = 1_000_000_000
/** A clock that says more is wrong: 30 years of milliseconds. */
const LONGEST_MS = 30 * 365 * 86_400_000

export interface NewIdentity {
  readonly logId: string
  /** Milliseconds since 1970. */
  readonly now: number
}

/**
 * How many db_ids a restored log leaves out. Between its last message and its loss the old log gave out ids that
 * readers hold as cursors; were they given out again, a reader would take new messages for ones that it has seen.
 *
 * @param lastAt when the last message of the backup was stored, in milliseconds since 1970
 */
export const idGap = (lastAt: number, now: number): number =>
  MIN_IDS + Math.min(LONGEST_MS, Math.max(0, now - lastAt)) * IDS_PER_MS

const isBackup = (db: Database.Database): boolean =>
  db.pragma('application_id', { simple: true }) === BACKUP_APPLICATION_ID

/**
 * Beside a fresh backup there is no WAL. One that lies there belongs to the file that was here before, and SQLite would
 * write its pages into this one.
 *
 * @throws GatewayError database_stale_wal
 */
export const rejectStaleWal = (file: string): void => {
  if (!existsSync(`${file}-wal`)) return
  // Taken over by another process since its header was read.
  if (readHeader(file)?.applicationId !== BACKUP_APPLICATION_ID) return
  throw new GatewayError('database_stale_wal', `${file} is a backup, and ${file}-wal is of another database.`)
}

/**
 * Makes a restored backup a log of its own, in one commit, before anything else is done with it: with a new log_id,
 * and with ids that continue beyond all that the old log can have given out. Any other file is left alone.
 *
 * @throws GatewayError database_corrupt or database_stale_wal; the file is then as it was
 */
export const activateBackup = (file: string, { logId, now }: NewIdentity): void => {
  if (readHeader(file)?.applicationId !== BACKUP_APPLICATION_ID) return
  rejectStaleWal(file)
  const db = new Database(file, { fileMustExist: true, timeout: TIMEOUT_MS })
  try {
    db.pragma('synchronous = FULL')
    // Another worker may have been quicker between the look and the lock.
    db.transaction(() => {
      if (isBackup(db)) assignIdentity(db, file, logId, now)
    }).exclusive()
    db.pragma('journal_mode = WAL')
  } finally {
    db.close()
  }
}

const assignIdentity = (db: Database.Database, file: string, logId: string, now: number): void => {
  const verdict = db.pragma('quick_check(1)', { simple: true })
  if (verdict !== 'ok') throw new GatewayError('database_corrupt', `${file}: ${verdict}`)
  const { head, lastAt } = db
    .prepare(
      `SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'message'), 0) AS head,
        coalesce((SELECT received_at FROM message ORDER BY db_id DESC LIMIT 1), (SELECT max(last_at) FROM event),
          (SELECT created_at FROM log)) AS lastAt`,
    )
    .get() as { head: number; lastAt: number }
  db.prepare("DELETE FROM sqlite_sequence WHERE name = 'message'").run()
  db.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES ('message', ?)").run(head + idGap(lastAt, now))
  db.prepare('UPDATE log SET log_id = ?, created_at = ?').run(logId, now)
  db.pragma(`application_id = ${APPLICATION_ID}`)
}
