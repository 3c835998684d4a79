import type Database from 'better-sqlite3'
import { errorChainText } from '../../core/error-text.ts'
import { GatewayError } from '../../core/errors.ts'
import type { NewMessage, ValidationReason } from '../../core/message.ts'
import type { ReplayRequest } from '../../core/quarantine.ts'
import { conflictDetail, toRejection, UNSTORABLE_DETAIL } from '../rejections.ts'
import type {
  AppendEntry,
  AppendResult,
  DeliveryOrigin,
  FaultPoint,
  RejectedDelivery,
  ReplayResult,
  RetentionLimits,
  Revocation,
} from '../store.ts'
import type { CopyState } from '../store-copy.ts'
import { type CopyStep, performCopyStep } from './edge/copy-steps.ts'
import { isBusy, storageError, withStorageErrors } from './errors.ts'
import { addToDelta, type EventDelta, upsertDeltas } from './event-delta.ts'
import { openConnection } from './file.ts'
import { OpenFiles, saveCommitted } from './open-files.ts'
import { ExpiredMessages, pruneMessages } from './retention.ts'
import { damagedBody, dropPageCache, isBodyDamaged, verifyDatabase } from './verify.ts'
import type { WriterSql } from './writer-sql.ts'

type WriterOptions = { onStage?: ((stage: FaultPoint) => void) | undefined; busyTimeoutMs?: number }

/** SQLite error codes that are caused by one row, not by the store. */
const ROW_ERROR = /^SQLITE_(CONSTRAINT|MISMATCH|TOOBIG|RANGE)/

/** The only connection that writes. Synchronous; it runs in a worker thread (writer-thread.ts). */
export class SqliteWriter {
  readonly #file: string
  readonly #sql: WriterSql
  readonly #db: Database.Database
  readonly #files: OpenFiles
  /** What was saved after a file was lost; null while that is not complete. */
  #saved: string | null = null
  readonly #busyTimeoutMs: number
  readonly #onStage: ((stage: FaultPoint) => void) | undefined
  readonly #begin: Database.Statement
  readonly #commit: Database.Statement
  readonly #rollback: Database.Statement
  readonly #insertMessage: Database.Statement
  readonly #findMessage: Database.Statement
  readonly #upsertEvent: Database.Statement
  readonly #insertRejected: Database.Statement
  readonly #findRejected: Database.Statement
  readonly #deleteRejectedRow: Database.Statement
  readonly #updateReason: Database.Statement
  readonly #isRejected: Database.Statement
  readonly #probe: Database.Statement
  readonly #oldest = new ExpiredMessages()

  /** @param file a file prepared by ensureDatabase */
  constructor(file: string, sql: WriterSql, options: WriterOptions = {}) {
    this.#file = file
    this.#sql = sql
    this.#db = openConnection(file)
    this.#busyTimeoutMs = options.busyTimeoutMs ?? 0
    this.#files = new OpenFiles(file, this.#db)
    this.#onStage = options.onStage
    // IMMEDIATE: a deferred transaction that reads first fails at once if another process has written in the meantime.
    this.#begin = this.#db.prepare('BEGIN IMMEDIATE')
    this.#commit = this.#db.prepare('COMMIT')
    this.#rollback = this.#db.prepare('ROLLBACK')
    this.#insertMessage = this.#db.prepare(sql.insertMessage)
    this.#findMessage = this.#db.prepare(sql.findMessage)
    this.#upsertEvent = this.#db.prepare(sql.upsertEvent)
    this.#insertRejected = this.#db.prepare(sql.insertRejected)
    this.#findRejected = this.#db.prepare(sql.findRejected)
    this.#deleteRejectedRow = this.#db.prepare(sql.deleteRejected)
    this.#updateReason = this.#db.prepare(sql.updateReason)
    this.#isRejected = this.#db.prepare(sql.isRejected)
    this.#probe = this.#db.prepare(sql.probe)
  }

  /**
   * Commits a batch in one transaction, durable when it returns (L1, L5).
   *
   * @throws GatewayError storage_busy, storage_unavailable, database_corrupt or database_replaced; nothing of the batch is then stored
   */
  append(entries: readonly AppendEntry[]): AppendResult[] {
    return this.#transaction(() => {
      const deltas = new Map<string, EventDelta>()
      const outcomes = entries.map((entry) =>
        entry.kind === 'message' ? this.#store(entry.message, entry.origin, deltas) : this.#reject(entry.rejection),
      )
      upsertDeltas(this.#upsertEvent, deltas)
      return outcomes
    })
  }

  /**
   * Replays quarantined messages: a row is deleted in the same transaction that stores its message. A row that still cannot be accepted
   * stays, with its new reason (L5).
   *
   * @throws GatewayError like append; nothing has then changed
   */
  replay(replays: readonly ReplayRequest[]): ReplayResult[] {
    return this.#transaction(() => {
      const deltas = new Map<string, EventDelta>()
      const outcomes = replays.map((replay) => this.#replayOne(replay, deltas))
      upsertDeltas(this.#upsertEvent, deltas)
      return outcomes
    })
  }

  /** Deletes rows of the quarantine. @returns the number of rows deleted. @throws GatewayError like append */
  deleteRejected(ids: readonly number[]): number {
    return this.#transaction(() =>
      ids.reduce((sum, rejected_id) => sum + this.#deleteRejectedRow.run({ rejected_id }).changes, 0),
    )
  }

  /** Deletes messages by the retention rules, at most `limit`. @returns the number deleted */
  prune(retention: RetentionLimits, limit: number): number {
    const deleted = this.#transaction(() => pruneMessages(this.#db, retention, limit, this.#oldest, Date.now()))
    if (deleted > 0) this.#releaseSpace()
    return deleted
  }

  #releaseSpace(): void {
    try {
      this.#db.pragma('incremental_vacuum(256)')
    } catch (error) {
      // The messages are gone, whoever holds the lock; a later call releases their space.
      if (!isBusy(error)) throw storageError(error)
    }
  }

  /** Stores a revocation and deletes expired ones. @throws GatewayError like append */
  revoke(revocation: Revocation, now: number): Revocation {
    return this.#transaction(() => {
      this.#db.prepare(this.#sql.deleteExpiredRevocations).run({ now })
      return this.#db.prepare(this.#sql.upsertRevocation).get(revocation) as Revocation
    })
  }

  /** Removes a revocation. @returns whether there was one. @throws GatewayError like append */
  removeRevocation(subject: string): boolean {
    return this.#transaction(() => this.#db.prepare(this.#sql.deleteRevocation).run({ subject }).changes > 0)
  }

  /** Commits a write that changes nothing, to check whether writing works. @throws GatewayError like append */
  probe(): void {
    this.#transaction(() => this.#probe.run())
  }

  /** Reads the whole database. @throws GatewayError database_corrupt or another error of the store */
  verify(): void {
    withStorageErrors(() => {
      verifyDatabase(this.#file)
      dropPageCache(this.#db)
    })
  }

  /** Changes the copy of an edge, in one transaction. @throws GatewayError like append, database_not_copy */
  copy(step: CopyStep): CopyState {
    return this.#transaction(() => performCopyStep(this.#db, step, this.#sql))
  }

  close(): void {
    this.#db.close()
  }

  #transaction<Result>(run: () => Result): Result {
    try {
      this.#assertFilesIntact()
      this.#beginWithRetry()
      const result = run()
      this.#onStage?.('in_transaction')
      this.#commit.run()
      // A file lost since the first check has taken the commit with it.
      this.#assertFilesIntact()
      this.#onStage?.('committed')
      return result
    } catch (error) {
      // On a full disk SQLite has already rolled back.
      if (this.#db.inTransaction) this.#rollback.run()
      throw storageError(error)
    }
  }

  /** @throws GatewayError database_replaced after saving what is committed */
  #assertFilesIntact(): void {
    const change = this.#files.findChange()
    if (change === null) {
      this.#saved = null
      return
    }
    let report = this.#saved
    if (report === null) {
      const saved = saveCommitted(this.#file, this.#db, change)
      report = saved.report
      if (saved.complete) this.#saved = report
    }
    throw new GatewayError('database_replaced', `${this.#file}${change.suffix} was ${change.kind}. ${report}`)
  }

  /** Waits for the lock in short attempts: SQLite's own wait is native code, which delays even the exit of the process. */
  #beginWithRetry(): void {
    const deadline = Date.now() + this.#busyTimeoutMs
    while (true) {
      try {
        this.#begin.run()
        return
      } catch (error) {
        if (!isBusy(error) || Date.now() >= deadline) throw error
      }
    }
  }

  #store(message: NewMessage, origin: DeliveryOrigin | null, deltas: Map<string, EventDelta>): AppendResult {
    let inserted: Database.RunResult
    try {
      const m = message
      inserted = this.#insertMessage.run(
        m.event_id,
        m.message_id,
        m.message_from,
        m.message_type,
        m.round_id,
        m.received_at,
        m.lacks,
        m.body,
        m.traceparent,
      )
    } catch (error) {
      const code = (error as { code?: string }).code
      const isRowError = code === undefined ? error instanceof RangeError : ROW_ERROR.test(code)
      if (!isRowError || !this.#db.inTransaction) throw error
      if (origin !== null) this.#reject(toRejection(message, origin, 'message_unstorable', errorChainText(error)))
      return { kind: 'refused', db_id: 0 }
    }
    // Decided by `changes` (L3): after a conflict, lastInsertRowid still refers to an older row.
    if (inserted.changes === 1) {
      const db_id = Number(inserted.lastInsertRowid)
      addToDelta(deltas, message, db_id)
      return { kind: 'stored', db_id }
    }
    const stored = this.#findMessage.get({ event_id: message.event_id, message_id: message.message_id }) as {
      db_id: number
      body: string
    }
    if (isBodyDamaged(stored.body)) throw damagedBody(stored.db_id)
    if (stored.body === message.body) return { kind: 'duplicate', db_id: stored.db_id }
    if (origin !== null) {
      this.#reject(toRejection(message, origin, 'message_conflict', conflictDetail(stored.db_id)))
    }
    return { kind: 'conflict', db_id: stored.db_id }
  }

  #replayOne({ rejected_id, result }: ReplayRequest, deltas: Map<string, EventDelta>): ReplayResult {
    const updateReason = (reason: ValidationReason, detail: string): ReplayResult => {
      const exists = this.#updateReason.run({ rejected_id, reason, detail }).changes === 1
      return exists ? { kind: 'kept', reason, detail } : { kind: 'gone' }
    }
    if ('error' in result) return updateReason(result.error.reason, result.error.detail)
    // Another process has replayed or deleted the row since it was read, so it must not be stored again.
    if (this.#isRejected.get({ rejected_id }) === undefined) return { kind: 'gone' }
    const { kind, db_id } = this.#store(result.message, null, deltas)
    if (kind === 'conflict') return updateReason('message_conflict', conflictDetail(db_id))
    if (kind !== 'stored' && kind !== 'duplicate') return updateReason('message_unstorable', UNSTORABLE_DETAIL)
    this.#deleteRejectedRow.run({ rejected_id })
    return { kind, db_id, message: result.message }
  }

  #reject(rejection: RejectedDelivery): AppendResult {
    const { origin, ...rest } = rejection
    const { exclusive_until, ...from } = origin
    const { sha256, reason } = rest
    const { routing_key, properties } = from
    const isDuplicate =
      Date.now() > exclusive_until && this.#findRejected.get({ sha256, reason, routing_key, properties }) !== undefined
    if (!isDuplicate) this.#insertRejected.run({ ...rest, ...from })
    return { kind: 'rejected', db_id: 0 }
  }
}
