import { existsSync } from 'node:fs'
import Database from 'better-sqlite3'
import { GatewayError } from '../../../core/errors.ts'
import { APPLICATION_ID, BACKUP_APPLICATION_ID, readHeader } from '../header.ts'

/** Lock timeout in milliseconds, while another worker activates the backup and checks all of it. */
const TIMEOUT_MS = 600_000

/** Ids skipped per millisecond: hundreds of times more than any gateway stores. */
const IDS_PER_MS = 1_000
/** Minimum number of ids to skip, since the clock of the restoring machine can be behind. */
const MIN_IDS = 1_000_000_000
/** Maximum age of a backup in milliseconds: 30 years. If it is older, the clock is wrong. */
const MAX_GAP_MS = 30 * 365 * 86_400_000

export interface NewIdentity {
  readonly logId: string
  /** Milliseconds since 1970. */
  readonly now: number
}

/**
 * Returns how many db_ids a restored store skips. Between its last message and its loss, the old store assigned ids that clients hold as
 * cursors. If they were assigned again, a client would skip new messages as already received.
 *
 * @param lastAt when the last message of the backup was stored, in milliseconds since 1970
 */
export const idGap = (lastAt: number, now: number): number =>
  MIN_IDS + Math.min(MAX_GAP_MS, Math.max(0, now - lastAt)) * IDS_PER_MS

const isBackup = (db: Database.Database): boolean =>
  db.pragma('application_id', { simple: true }) === BACKUP_APPLICATION_ID

/**
 * Throws if there is a WAL next to a fresh backup. Such a WAL belongs to the file that was there before, and SQLite would write its pages
 * into this one.
 *
 * @throws GatewayError database_stale_wal
 */
export const rejectStaleWal = (file: string): void => {
  if (!existsSync(`${file}-wal`)) return
  // Another process has activated the backup since its header was read.
  if (readHeader(file)?.applicationId !== BACKUP_APPLICATION_ID) return
  throw new GatewayError('database_stale_wal', `${file} is a backup, and ${file}-wal is of another database.`)
}

/**
 * Turns a restored backup into a separate store, in one commit, before it is used for anything else. It gets a new log_id, and its ids
 * continue after all that the old store can have assigned. Any other file is left unchanged.
 *
 * @throws GatewayError database_corrupt or database_stale_wal; the file is then unchanged
 */
export const activateBackup = (file: string, { logId, now }: NewIdentity): void => {
  if (readHeader(file)?.applicationId !== BACKUP_APPLICATION_ID) return
  rejectStaleWal(file)
  const db = new Database(file, { fileMustExist: true, timeout: TIMEOUT_MS })
  try {
    db.pragma('synchronous = FULL')
    // Another worker may have activated it between the check and the lock.
    db.transaction(() => {
      if (isBackup(db)) assignIdentity(db, file, logId, now)
    }).exclusive()
    db.pragma('journal_mode = WAL')
  } finally {
    db.close()
  }
}

const assignIdentity = (db: Database.Database, file: string, logId: string, now: number): void => {
  const checkResult = db.pragma('quick_check(1)', { simple: true })
  if (checkResult !== 'ok') throw new GatewayError('database_corrupt', `${file}: ${checkResult}`)
  const { head, lastAt } = db
    .prepare(
      `SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'message'), 0) AS head,
        coalesce((SELECT received_at FROM message ORDER BY db_id DESC LIMIT 1), (SELECT max(last_at) FROM event),
          (SELECT created_at FROM log)) AS lastAt`,
    )
    .get() as { head: number; lastAt: number }
  db.prepare("DELETE FROM sqlite_sequence WHERE name = 'message'").run()
  db.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES ('message', ?)").run(head + idGap(lastAt, now))
  db.prepare('UPDATE log SET log_id = ?, created_at = ?, followed = NULL, level_at = NULL').run(logId, now)
  db.pragma(`application_id = ${APPLICATION_ID}`)
}
