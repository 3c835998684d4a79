import { closeSync, existsSync, mkdirSync, openSync, realpathSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import Database from 'better-sqlite3'
import { errorChainText } from '../core/error-text.ts'
import { type DeliveryStatus, PublishError } from './errors.ts'
import type { EncodedMessage } from './message.ts'

/** "DSOB" in the header of the file; marks it as an outbox. */
const APPLICATION_ID = 0x44534f42
const SCHEMA_VERSION = 1
/**
 * Time for a previous agent that is exiting to release the file, in milliseconds. SQLite blocks the thread meanwhile.
 */
const TIMEOUT_MS = 200

const SCHEMA = `
  CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    body BLOB NOT NULL
  );
  CREATE TABLE refused (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    body BLOB NOT NULL,
    reason TEXT NOT NULL,
    refused_at TEXT NOT NULL
  );
`

/** A stored message without its body, as needed to restore the send order. */
export interface OutboxRow {
  readonly seq: number
  readonly event_id: string
  readonly bytes: number
}

export interface OutboxEntry {
  readonly seq: number
  readonly message: EncodedMessage
}

/**
 * A message that the broker will never accept. It is kept in the table `refused` for a human and no longer blocks
 * others.
 */
export interface RefusedRow {
  readonly seq: number
  readonly reason: string
}

export interface OutboxTransaction {
  readonly added: readonly OutboxEntry[]
  readonly confirmed: readonly number[]
  readonly refused: readonly RefusedRow[]
}

const sqliteCode = (error: unknown): string => String((error as { code?: unknown } | null)?.code ?? '')

const toOutboxError = (file: string, error: unknown): PublishError => {
  if (error instanceof PublishError) return error
  const code = sqliteCode(error)
  const text = `${file}: ${errorChainText(error)}`
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new PublishError('outbox_locked', `${file} is open in another agent.`, { cause: error })
  }
  if (code === 'SQLITE_NOTADB') return new PublishError('outbox_not_ours', text, { cause: error })
  if (code.startsWith('SQLITE_CORRUPT')) return new PublishError('outbox_corrupt', text, { cause: error })
  // After a full disk the rows are certainly not stored; after other errors they may be found after a crash.
  return new PublishError('outbox_unwritable', text, {
    cause: error,
    deliveryStatus: code === 'SQLITE_FULL' ? 'not_sent' : 'unknown',
  })
}

/** Bytes of the header of a WAL, and of that of each of its frames. */
const WAL_HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24

const fileIdentity = (file: string): string | null => {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? null : `${stat.dev}:${stat.ino}`
}

/** The exclusive lock keeps the index of the WAL in memory, so there is no third file. */
const fileIdentities = (file: string): string => `${fileIdentity(file)} ${fileIdentity(`${file}-wal`)}`

/** @throws PublishError outbox_not_ours or outbox_newer @returns true if the file contains no outbox yet */
const isEmpty = (db: Database.Database, file: string): boolean => {
  const application = db.pragma('application_id', { simple: true })
  const tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").pluck().all()
  if (application === APPLICATION_ID) {
    const version = db.pragma('user_version', { simple: true }) as number
    if (version > SCHEMA_VERSION) throw new PublishError('outbox_newer', `${file} has version ${version}.`)
    return !tables.includes('outbox')
  }
  if (application !== 0 || tables.length > 0) {
    throw new PublishError('outbox_not_ours', `${file} belongs to another application.`)
  }
  return true
}

/** Creates the schema under the rollback journal, so that the header identifies the file from its first commit on. */
const create = (db: Database.Database): void => {
  db.pragma('synchronous = FULL')
  db.exec('BEGIN EXCLUSIVE')
  db.exec(SCHEMA)
  db.pragma(`application_id = ${APPLICATION_ID}`)
  db.pragma(`user_version = ${SCHEMA_VERSION}`)
  db.exec('COMMIT')
}

/**
 * Sets the pragmas that durability depends on and verifies them: a WAL file reopens with synchronous = NORMAL, which
 * can lose rows in a power failure.
 */
const configure = (db: Database.Database, file: string): void => {
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.pragma('journal_size_limit = 16777216')
  const journal = db.pragma('journal_mode', { simple: true })
  const synchronous = db.pragma('synchronous', { simple: true })
  const locking = db.pragma('locking_mode', { simple: true })
  if (journal !== 'wal' || synchronous !== 2 || locking !== 'exclusive') {
    throw new PublishError('outbox_unwritable', `${file}: ${journal}, synchronous ${synchronous}, locking ${locking}.`)
  }
}

/** Creates an empty file that only its owner can access, unless there is a file already. SQLite gives its WAL the same permissions. */
const createPrivateFile = (file: string): void => {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  try {
    closeSync(openSync(file, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    // A symbolic link can lead to a file that does not exist yet.
    if (!existsSync(file)) closeSync(openSync(file, 'a', 0o600))
  }
}

/** Warns of an existing outbox to which other users have access. Windows has no such permissions. */
const warnIfShared = (file: string): void => {
  const isShared = (path: string) => ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o077) !== 0
  const shared = process.getuid === undefined ? [] : [file, `${file}-wal`].filter(isShared)
  if (shared.length > 0) process.emitWarning(`Other users have access to the outbox: chmod go= ${shared.join(' ')}`)
}

const open = (file: string): Database.Database => {
  createPrivateFile(file)
  warnIfShared(file)
  const db = new Database(file, { timeout: TIMEOUT_MS })
  try {
    // The lock is held from the first access until the process ends, even by a crash, and keeps other processes out.
    db.pragma('locking_mode = EXCLUSIVE')
    if (isEmpty(db, file)) create(db)
    configure(db, file)
    // SQLite takes the lock only at the first write.
    db.exec('BEGIN IMMEDIATE; COMMIT')
    const checkResult = db.pragma('quick_check(1)', { simple: true })
    if (checkResult !== 'ok') throw new PublishError('outbox_corrupt', `${file}: ${checkResult}`)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/**
 * The SQLite file of an outbox. Every method is synchronous; a change is durable once `commit` has returned. The file
 * must never be opened except through SQLite: closing any other handle to it would release the process's lock.
 */
export class OutboxFile {
  readonly file: string
  readonly #db: Database.Database
  readonly #identities: string
  readonly #walFrames: Database.Statement
  readonly #frameBytes: number
  readonly #insert: Database.Statement
  readonly #delete: Database.Statement
  readonly #read: Database.Statement
  readonly #insertRefused: Database.Statement
  readonly #apply: (change: OutboxTransaction) => void

  /** @throws PublishError outbox_locked, outbox_not_ours, outbox_newer, outbox_corrupt or outbox_unwritable */
  constructor(path: string) {
    const file = resolve(path)
    try {
      this.#db = open(file)
      // SQLite follows a symbolic link, so the WAL is beside the file that it leads to.
      this.file = realpathSync(file)
    } catch (error) {
      throw toOutboxError(file, error)
    }
    const db = this.#db
    this.#walFrames = db.prepare('PRAGMA wal_checkpoint(NOOP)').raw()
    this.#frameBytes = FRAME_HEADER_BYTES + (db.pragma('page_size', { simple: true }) as number)
    this.#identities = fileIdentities(this.file)
    this.#insert = db.prepare(
      'INSERT INTO outbox (seq, event_id, message_id, routing_key, body) VALUES (?, ?, ?, ?, ?)',
    )
    this.#delete = db.prepare('DELETE FROM outbox WHERE seq = ?')
    this.#read = db.prepare('SELECT message_id, routing_key, body FROM outbox WHERE seq = ?')
    this.#insertRefused = db.prepare(
      `INSERT INTO refused (event_id, message_id, routing_key, body, reason, refused_at)
       SELECT event_id, message_id, routing_key, body, ?, ? FROM outbox WHERE seq = ?`,
    )
    this.#apply = db.transaction((change: OutboxTransaction) => {
      for (const { seq, reason } of change.refused) {
        this.#insertRefused.run(reason, new Date().toISOString(), seq)
        this.#delete.run(seq)
      }
      for (const seq of change.confirmed) this.#delete.run(seq)
      for (const { seq, message } of change.added) {
        this.#insert.run(seq, message.event_id, message.message_id, message.routingKey, message.body)
      }
    }).immediate
  }

  /** All waiting messages, in send order. */
  queuedRows(): OutboxRow[] {
    return this.#db.prepare('SELECT seq, event_id, length(body) AS bytes FROM outbox ORDER BY seq').all() as OutboxRow[]
  }

  /** @throws PublishError outbox_corrupt or outbox_unwritable */
  read(seq: number): { message_id: string; routingKey: string; body: Buffer } {
    try {
      const row = this.#read.get(seq) as { message_id: string; routing_key: string; body: Buffer | string } | undefined
      if (row === undefined) throw new PublishError('outbox_corrupt', `${this.file} has lost message ${seq}.`)
      return { message_id: row.message_id, routingKey: row.routing_key, body: Buffer.from(row.body as string) }
    } catch (error) {
      throw toOutboxError(this.file, error)
    }
  }

  /**
   * Commits a change as a whole or not at all. The change is durable once this returns.
   *
   * @throws PublishError outbox_replaced, outbox_corrupt or outbox_unwritable
   */
  commit(change: OutboxTransaction): void {
    this.#assertFilesIntact('not_sent')
    try {
      this.#apply(change)
    } catch (error) {
      if (sqliteCode(error) !== 'SQLITE_FULL') throw toOutboxError(this.file, error)
      this.#checkpointAndApply(change)
    }
    // A file lost since the first check may have taken the commit with it.
    this.#assertFilesIntact('unknown')
  }

  close(): void {
    this.#db.close()
  }

  /** SQLite writes into removed files, and beyond the end of a truncated WAL, without an error. */
  #assertFilesIntact(deliveryStatus: DeliveryStatus): void {
    const [, frames] = this.#walFrames.get() as [busy: number, frames: number, checkpointed: number]
    const minWalBytes = frames > 0 ? WAL_HEADER_BYTES + frames * this.#frameBytes : 0
    const wal = statSync(`${this.file}-wal`, { throwIfNoEntry: false })
    if (fileIdentities(this.file) === this.#identities && (wal?.size ?? 0) >= minWalBytes) return
    // The connection still has the lost WAL open, and a copy of its content in the outbox survives the process.
    const [outbox, walFile] = this.#identities.split(' ')
    if (fileIdentity(this.file) === outbox && fileIdentity(`${this.file}-wal`) !== walFile) {
      this.#db.pragma('wal_checkpoint(FULL)')
    }
    const text = `${this.file} or its -wal was removed, replaced or truncated.`
    throw new PublishError('outbox_replaced', text, { deliveryStatus })
  }

  /** Checkpoints the WAL first, so that its space is reused and a full disk does not have to extend it. */
  #checkpointAndApply(change: OutboxTransaction): void {
    try {
      this.#db.pragma('wal_checkpoint(RESTART)')
      this.#apply(change)
    } catch (error) {
      throw toOutboxError(this.file, error)
    }
  }
}
