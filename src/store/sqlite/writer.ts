import type Database from 'better-sqlite3'
import { errorChainText } from '../../core/error-text.ts'
import { type ErrorCode, GatewayError } from '../../core/errors.ts'
import type { NewMessage } from '../../core/message.ts'
import type { ReplayRequest } from '../../core/quarantine.ts'
import { conflictDetail, toRejection, UNSTORABLE_DETAIL } from '../rejections.ts'
import type {
  AppendEntry,
  AppendResult,
  DeliveryOrigin,
  RejectedDelivery,
  ReplayResult,
  RetentionLimits,
  Revocation,
} from '../store.ts'
import { fileIdentity, fileReplaced, openConnection } from './file.ts'
import { DELETE_ROW, ROW_EXISTS, UPDATE_REASON } from './quarantine-queries.ts'
import * as queries from './queries.ts'
import { ExpiredMessages, pruneMessages } from './retention.ts'

/** Where a test may end the process: inside the transaction, or between the commit and its report. */
export type FaultPoint = 'in_transaction' | 'committed'

/** What a batch adds to an event. */
interface EventDelta {
  event_id: string
  messages: number
  first_db_id: number
  last_db_id: number
  first_at: number
  last_at: number
}

/** Codes of SQLite that blame the one row, not the store. */
const ROW_FAULT = /^SQLITE_(CONSTRAINT|MISMATCH|TOOBIG|RANGE)/

/** Turns what SQLite throws into an error of the catalogue. */
export const storageError = (error: unknown): GatewayError => {
  if (error instanceof GatewayError) return error
  const code = (error as { code?: string }).code ?? ''
  const busy = code.startsWith('SQLITE_BUSY')
  return new GatewayError(busy ? 'storage_busy' : 'storage_unavailable', `${code} ${errorChainText(error)}`.trim(), {
    cause: error,
  })
}

/** The one connection that writes. Synchronous; it runs in a thread of its own (sqlite-writer-thread.ts). */
export class SqliteWriter {
  readonly #file: string
  readonly #db: Database.Database
  readonly #identity: string | null
  readonly #patienceMs: number
  readonly #onStage: ((stage: FaultPoint) => void) | undefined
  readonly #begin: Database.Statement
  readonly #commit: Database.Statement
  readonly #rollback: Database.Statement
  readonly #insertMessage: Database.Statement
  readonly #findMessage: Database.Statement
  readonly #growEvent: Database.Statement
  readonly #insertRejected: Database.Statement
  readonly #findRejected: Database.Statement
  readonly #forgetRejected: Database.Statement
  readonly #keepRejected: Database.Statement
  readonly #isRejected: Database.Statement
  readonly #probe: Database.Statement
  readonly #oldest = new ExpiredMessages()

  /** @param file a file that prepareFile has been over */
  constructor(
    file: string,
    options: { onStage?: ((stage: FaultPoint) => void) | undefined; patienceMs?: number } = {},
  ) {
    const { onStage, patienceMs = 0 } = options
    this.#file = file
    this.#db = openConnection(file)
    this.#patienceMs = patienceMs
    this.#identity = fileIdentity(file)
    this.#onStage = onStage
    // IMMEDIATE: a deferred transaction that reads first fails at once when another process wrote meanwhile.
    this.#begin = this.#db.prepare('BEGIN IMMEDIATE')
    this.#commit = this.#db.prepare('COMMIT')
    this.#rollback = this.#db.prepare('ROLLBACK')
    this.#insertMessage = this.#db.prepare(queries.INSERT_MESSAGE)
    this.#findMessage = this.#db.prepare(queries.FIND_MESSAGE)
    this.#growEvent = this.#db.prepare(queries.UPSERT_EVENT)
    this.#insertRejected = this.#db.prepare(queries.INSERT_REJECTED)
    this.#findRejected = this.#db.prepare(queries.FIND_REJECTED)
    this.#forgetRejected = this.#db.prepare(DELETE_ROW)
    this.#keepRejected = this.#db.prepare(UPDATE_REASON)
    this.#isRejected = this.#db.prepare(ROW_EXISTS)
    this.#probe = this.#db.prepare(queries.PROBE)
  }

  /**
   * Commits a batch in one transaction, durable when it returns (L1, L5).
   *
   * @throws GatewayError storage_busy, storage_unavailable or database_replaced; then nothing of it is stored
   */
  append(entries: readonly AppendEntry[]): AppendResult[] {
    return this.#transaction(() => {
      const growth = new Map<string, EventDelta>()
      const outcomes = entries.map((entry) =>
        entry.kind === 'message' ? this.#store(entry.message, entry.origin, growth) : this.#reject(entry.rejection),
      )
      for (const grown of growth.values()) this.#growEvent.run(grown)
      return outcomes
    })
  }

  /**
   * Takes messages out of the quarantine: a row goes in the very transaction that stores its message, and one that
   * still cannot be accepted stays with its present reason (L5).
   *
   * @throws GatewayError like append; then nothing has changed
   */
  replay(replays: readonly ReplayRequest[]): ReplayResult[] {
    return this.#transaction(() => {
      const growth = new Map<string, EventDelta>()
      const outcomes = replays.map((replay) => this.#replayOne(replay, growth))
      for (const grown of growth.values()) this.#growEvent.run(grown)
      return outcomes
    })
  }

  /** Removes rows of the quarantine. @returns how many were there. @throws GatewayError like append */
  deleteRejected(ids: readonly number[]): number {
    return this.#transaction(() =>
      ids.reduce((sum, rejected_id) => sum + this.#forgetRejected.run({ rejected_id }).changes, 0),
    )
  }

  /** Removes what retention says, at most `limit` messages. @returns how many */
  prune(retention: RetentionLimits, limit: number): number {
    const removed = this.#transaction(() => pruneMessages(this.#db, retention, limit, this.#oldest, Date.now()))
    if (removed > 0) this.#db.pragma('incremental_vacuum(256)')
    return removed
  }

  /** Stores a revocation, and forgets those that are over. @throws GatewayError like append */
  revoke(revocation: Revocation, now: number): Revocation {
    return this.#transaction(() => {
      this.#db.prepare(queries.FORGET_REVOCATIONS).run({ now })
      return this.#db.prepare(queries.REVOKE).get(revocation) as Revocation
    })
  }

  /** @returns whether there was one. @throws GatewayError like append */
  unrevoke(subject: string): boolean {
    return this.#transaction(() => this.#db.prepare(queries.UNREVOKE).run({ subject }).changes > 0)
  }

  /** Commits a write that changes nothing, to see whether writing works. @throws GatewayError like append */
  probe(): void {
    this.#transaction(() => this.#probe.run())
  }

  close(): void {
    this.#db.close()
  }

  #transaction<Result>(work: () => Result): Result {
    try {
      // Writes into a removed file succeed and are lost: no commit without a look.
      if (fileIdentity(this.#file) !== this.#identity) throw fileReplaced(this.#file)
      this.#beginPatiently()
      const result = work()
      this.#onStage?.('in_transaction')
      this.#commit.run()
      this.#onStage?.('committed')
      return result
    } catch (error) {
      // A full disk ends the transaction by itself.
      if (this.#db.inTransaction) this.#rollback.run()
      throw storageError(error)
    }
  }

  /** Waits for the lock in short tries: SQLite's own wait is native code, which even the end of the process waits for. */
  #beginPatiently(): void {
    const until = Date.now() + this.#patienceMs
    while (true) {
      try {
        this.#begin.run()
        return
      } catch (error) {
        const busy = (error as { code?: string }).code?.startsWith('SQLITE_BUSY') === true
        if (!busy || Date.now() >= until) throw error
      }
    }
  }

  #store(message: NewMessage, origin: DeliveryOrigin | null, growth: Map<string, EventDelta>): AppendResult {
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
      const blamesRow = code === undefined ? error instanceof RangeError : ROW_FAULT.test(code)
      if (!blamesRow || !this.#db.inTransaction) throw error
      if (origin !== null) this.#reject(toRejection(message, origin, 'message_unstorable', errorChainText(error)))
      return { kind: 'refused', db_id: 0 }
    }
    // `changes` decides (L3): a conflict leaves lastInsertRowid at an older row.
    if (inserted.changes === 1) {
      const db_id = Number(inserted.lastInsertRowid)
      addToDelta(growth, message, db_id)
      return { kind: 'stored', db_id }
    }
    const standing = this.#findMessage.get({ event_id: message.event_id, message_id: message.message_id }) as {
      db_id: number
      body: string
    }
    if (standing.body === message.body) return { kind: 'duplicate', db_id: standing.db_id }
    if (origin !== null) {
      this.#reject(toRejection(message, origin, 'message_conflict', conflictDetail(standing.db_id)))
    }
    return { kind: 'conflict', db_id: standing.db_id }
  }

  #replayOne({ rejected_id, checked }: ReplayRequest, growth: Map<string, EventDelta>): ReplayResult {
    const keep = (reason: ErrorCode, detail: string): ReplayResult => {
      const there = this.#keepRejected.run({ rejected_id, reason, detail }).changes === 1
      return there ? { kind: 'kept', reason, detail } : { kind: 'gone' }
    }
    if ('refusal' in checked) return keep(checked.refusal.reason, checked.refusal.detail)
    // Replayed or dropped by somebody else since it was read: it must not come back.
    if (this.#isRejected.get({ rejected_id }) === undefined) return { kind: 'gone' }
    const { kind, db_id } = this.#store(checked.message, null, growth)
    if (kind === 'conflict') return keep('message_conflict', conflictDetail(db_id))
    if (kind !== 'stored' && kind !== 'duplicate') return keep('message_unstorable', UNSTORABLE_DETAIL)
    this.#forgetRejected.run({ rejected_id })
    return { kind, db_id, message: checked.message }
  }

  #reject(rejection: RejectedDelivery): AppendResult {
    const { origin, ...rest } = rejection
    const { redelivered, ...from } = origin
    const { sha256, reason } = rest
    const { routing_key, properties } = from
    const known = redelivered && this.#findRejected.get({ sha256, reason, routing_key, properties }) !== undefined
    if (!known) this.#insertRejected.run({ ...rest, ...from })
    return { kind: 'rejected', db_id: 0 }
  }
}

const addToDelta = (growth: Map<string, EventDelta>, message: NewMessage, db_id: number): void => {
  const grown = growth.get(message.event_id)
  if (grown === undefined) {
    growth.set(message.event_id, {
      event_id: message.event_id,
      messages: 1,
      first_db_id: db_id,
      last_db_id: db_id,
      first_at: message.received_at,
      last_at: message.received_at,
    })
    return
  }
  grown.messages++
  grown.last_db_id = db_id
  grown.last_at = Math.max(grown.last_at, message.received_at)
}
