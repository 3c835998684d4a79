import { setTimeout as sleep } from 'node:timers/promises'
import { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import type { PageLimit } from '../store.ts'
import {
  digestRows,
  EVENT_COLUMNS,
  type EventRecord,
  MESSAGE_COLUMNS,
  REJECTED_COLUMNS,
  type TransferSource,
  type TransferTarget,
} from './tables.ts'

/** Rows of one transaction, and about how many bytes of bodies. */
const PAGE: PageLimit = { messages: 2_000, bytes: 8_000_000 }
/** Rows without bodies that are compared at once. */
const COMPARED_ROWS = 10_000
/** Interval at which a source that gateways still use is checked, in milliseconds. */
const POLL_MS = 300

const REASON_COLUMNS = ['rejected_id', 'reason', 'detail'] as const
const REVOCATION_COLUMNS = ['subject', 'issued_before', 'until'] as const

export interface TransferOptions {
  readonly source: TransferSource
  readonly target: TransferTarget
  readonly signal: AbortSignal
  /** Called after each page with the rows copied, and the rows of the source; `following` once all that was there is copied. */
  readonly onProgress: (done: number, total: number, following: boolean) => void
  /** Called once if all rows are copied and a gateway still uses the source. */
  readonly onCaughtUp: () => void
}

/** Content of a moved store, and the time for which it was unavailable. */
export interface TransferResult {
  readonly log_id: string
  readonly messages: number
  readonly events: number
  readonly quarantined: number
  /** The last db_id that the store has assigned. */
  readonly last_db_id: number
  /** Milliseconds from the exclusion of the source's gateways to the end. */
  readonly stopped_ms: number
}

/** Copies a store while gateways use it, and moves it once they have stopped. */
class Transfer {
  readonly #options: TransferOptions
  readonly #source: TransferSource
  readonly #target: TransferTarget
  #last = { message: 0, rejected: 0 }
  /** Messages in the target, by event. */
  #counts = new Map<string, number>()
  #done = 0
  #total = 0

  constructor(options: TransferOptions) {
    this.#options = options
    this.#source = options.source
    this.#target = options.target
  }

  async run(): Promise<TransferResult> {
    const log_id = await this.#open()
    this.#last = await this.#target.lastIds()
    this.#total = await this.#source.countRows()
    // An earlier attempt has verified what it has copied, page by page.
    this.#counts = await this.#target.countByEvent()
    this.#done = sum(this.#counts.values())
    await this.#copy(false)
    // Counted again here, so that the gateways are not stopped for it.
    this.#counts = await this.#target.countByEvent()
    await this.#target.transaction(() => this.#deletePruned())
    await this.#waitForLock()
    const lockedAt = performance.now()
    await this.#copy(true)
    const result = await this.#target.transaction(() => this.#finish())
    await this.#target.close()
    return { log_id, ...result, stopped_ms: Math.round(performance.now() - lockedAt) }
  }

  /** @returns the log_id */
  async #open(): Promise<string> {
    const { moved, ...identity } = await this.#source.open()
    const found = await this.#target.open()
    // An attempt that ended between its last two steps has marked the source already.
    if (found === null && moved) {
      throw new GatewayError('database_moved', `${this.#source.where} was migrated to another database.`)
    }
    if (found === null) await this.#target.create(identity)
    else if (found.log_id !== identity.log_id) {
      throw new GatewayError('database_target_used', `${this.#target.where} contains a part of another store.`)
    }
    return identity.log_id
  }

  async #waitForLock(): Promise<void> {
    const { signal, onCaughtUp } = this.#options
    for (let first = true; !(await this.#source.tryLock()); first = false) {
      if (first) onCaughtUp()
      await this.#copy(true)
      await sleep(POLL_MS, undefined, { signal })
    }
  }

  /** Copies all rows that are not copied yet. The next page is read while one is written. */
  async #copy(following: boolean): Promise<void> {
    const target = this.#target
    this.#last.message = await this.#copyPages(following, this.#last.message, MESSAGE_COLUMNS, 'db_id', {
      read: (from, after, limit) => from.messages(after, limit),
      write: async (rows) => {
        await target.addMessages(rows)
        for (const { event_id } of rows) this.#counts.set(event_id, (this.#counts.get(event_id) ?? 0) + 1)
      },
    })
    this.#last.rejected = await this.#copyPages(following, this.#last.rejected, REJECTED_COLUMNS, 'rejected_id', {
      read: (from, after, limit) => from.rejected(after, limit),
      write: (rows) => target.addRejected(rows),
    })
  }

  async #copyPages<Id extends string, Row extends Readonly<Record<Id, number>>>(
    following: boolean,
    from: number,
    columns: readonly string[],
    id: Id,
    { read, write }: PageCopy<Row>,
  ): Promise<number> {
    const { signal, onProgress } = this.#options
    let last = from
    let next = read(this.#source, last, PAGE)
    for (;;) {
      const rows = await next
      if (rows.length === 0) return last
      signal.throwIfAborted()
      const after = last
      last = rows.at(-1)![id]
      next = read(this.#source, last, PAGE)
      // Its error is thrown by the next turn.
      next.catch(noop)
      await this.#target.transaction(async () => {
        await write(rows)
        const copied = await read(this.#target, after, { messages: rows.length + 1, bytes: Number.POSITIVE_INFINITY })
        this.#assertSame('rows', digestRows(rows, columns), digestRows(copied, columns))
      })
      this.#done += rows.length
      this.#total = Math.max(this.#total, this.#done)
      onProgress(this.#done, this.#total, following)
    }
  }

  /** Deletes what retention has deleted from the source since it was copied. */
  async #deletePruned(): Promise<void> {
    for await (const events of this.#eventPages()) {
      const pruned = events.filter(({ pruned_db_id }) => pruned_db_id > 0)
      if (pruned.length === 0) continue
      for (const [event_id, deleted] of await this.#target.deletePruned(pruned))
        this.#counts.set(event_id, (this.#counts.get(event_id) ?? 0) - deleted)
    }
  }

  /** The last steps, in one transaction of the target. No gateway uses either store. */
  async #finish(): Promise<Omit<TransferResult, 'log_id' | 'stopped_ms'>> {
    const source = this.#source
    const target = this.#target
    await this.#deletePruned()
    const quarantined = await this.#alignQuarantine()
    await target.clearEventsAndRevocations()
    const { messages, events } = await this.#copyEvents()
    const revocations = await source.revocations()
    await target.addRevocations(revocations)
    const copied = await target.revocations()
    this.#assertSame('revocations', digestRows(revocations, REVOCATION_COLUMNS), digestRows(copied, REVOCATION_COLUMNS))
    const ids = await source.assignedIds()
    await target.continueAfter(ids)
    const { message, rejected, head } = await target.assignedIds()
    this.#assertSame('sequences', `${ids.message} ${ids.rejected}`, `${message} ${rejected}`)
    this.#assertSame('greatest db_ids', 'enough', head >= ids.head ? 'enough' : 'too small')
    // In this order no two stores with the same log_id are in use, even if the process is killed in between.
    await source.retire()
    await target.finish()
    return { messages, events, quarantined, last_db_id: ids.message }
  }

  async #copyEvents(): Promise<{ readonly messages: number; readonly events: number }> {
    const total = { messages: 0, events: 0 }
    let after = 0
    for await (const rows of this.#eventPages()) {
      await this.#target.addEvents(rows)
      const copied = await this.#target.events(after, COMPARED_ROWS)
      this.#assertSame('events', digestRows(rows, EVENT_COLUMNS), digestRows(copied, EVENT_COLUMNS))
      after = rows.at(-1)!.last_db_id
      for (const { event_id, messages } of rows) {
        this.#assertSame(`messages of ${JSON.stringify(event_id)}`, messages, this.#counts.get(event_id) ?? 0)
        total.messages += messages
      }
      total.events += rows.length
    }
    this.#assertSame('messages', total.messages, sum(this.#counts.values()))
    return total
  }

  /** Applies what was replayed or deleted since a row was copied. @returns the number of quarantined rows */
  async #alignQuarantine(): Promise<number> {
    let count = 0
    for (let after = 0; ; ) {
      const rows = await this.#source.reasons(after, Number.MAX_SAFE_INTEGER, COMPARED_ROWS)
      const through = rows.length < COMPARED_ROWS ? Number.MAX_SAFE_INTEGER : rows.at(-1)!.rejected_id
      const wanted = new Map(rows.map((row) => [row.rejected_id, row]))
      const copied = await this.#target.reasons(after, through, Number.MAX_SAFE_INTEGER)
      const gone = copied.filter(({ rejected_id }) => !wanted.has(rejected_id))
      const changed = copied.flatMap((row) => {
        const now = wanted.get(row.rejected_id)
        return now !== undefined && (now.reason !== row.reason || now.detail !== row.detail) ? [now] : []
      })
      if (gone.length > 0) await this.#target.deleteRejected(gone.map(({ rejected_id }) => rejected_id))
      if (changed.length > 0) await this.#target.updateReasons(changed)
      const aligned = await this.#target.reasons(after, through, Number.MAX_SAFE_INTEGER)
      this.#assertSame('quarantine', digestRows(rows, REASON_COLUMNS), digestRows(aligned, REASON_COLUMNS))
      count += rows.length
      if (through === Number.MAX_SAFE_INTEGER) return count
      after = through
    }
  }

  async *#eventPages(): AsyncGenerator<EventRecord[]> {
    for (let after = 0; ; ) {
      const rows = await this.#source.events(after, COMPARED_ROWS)
      if (rows.length === 0) return
      yield rows
      after = rows.at(-1)!.last_db_id
    }
  }

  #assertSame(what: string, expected: string | number, found: string | number): void {
    if (expected === found) return
    const { where } = this.#target
    throw new GatewayError('database_copy_differs', `The ${what} in ${where} are ${found}, not ${expected}.`)
  }
}

/** How the pages of one table are read and written. */
interface PageCopy<Row> {
  readonly read: (from: TransferSource | TransferTarget, after: number, limit: PageLimit) => Promise<Row[]>
  readonly write: (rows: readonly Row[]) => Promise<void>
}

const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0)

/**
 * Moves a store to another database with its ids and its log_id, so that clients resume with the cursors they had. Gateways can use the
 * source until everything is copied; the move ends once they have stopped. The source is marked as moved then.
 *
 * @throws GatewayError database_target_used, database_copy_differs, database_*, storage_*; if aborted, the reason of the signal. The next call
 * with the same source and target then continues
 */
export const transferStore = async (options: TransferOptions): Promise<TransferResult> => {
  const transfer = new Transfer(options)
  try {
    return await transfer.run()
  } finally {
    await options.target.close()
    await options.source.close()
  }
}
