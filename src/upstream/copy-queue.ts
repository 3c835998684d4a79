import { noop } from '../core/noop.ts'
import type { CopyState, MessageRecord, StoreCopy } from '../store/store-copy.ts'

/** Limits of one transaction. */
const MAX_ROWS = 2_000
/** Bytes of bodies that wait for the store; beyond them nothing more is read from the core. */
const MAX_BYTES = 4 * 1024 * 1024

/**
 * Stores messages in the order in which they are pushed. What arrives during a commit shares the next one, so a single message is committed
 * at once, and the first copy in batches.
 */
export class CopyQueue {
  readonly #copy: StoreCopy
  readonly #onStored: (state: CopyState, messages: number) => void
  readonly #waiting = new Set<{ readonly db_id: number; readonly end: () => void }>()
  #rows: MessageRecord[] = []
  #bytes = 0
  #committing: Promise<void> | null = null

  /** @param onStored called after each commit */
  constructor(copy: StoreCopy, onStored: (state: CopyState, messages: number) => void) {
    this.#copy = copy
    this.#onStored = onStored
  }

  /** Waits while too much is held. @throws GatewayError storage_* */
  async push(row: MessageRecord): Promise<void> {
    this.#rows.push(row)
    this.#bytes += row.body.length
    if (this.#bytes >= MAX_BYTES || this.#rows.length >= MAX_ROWS) await this.drain()
  }

  /** Stores what was pushed, without waiting for it. @param onFault called with the error if that fails */
  flush(onFault: (error: unknown) => void): void {
    if (this.#committing === null && this.#rows.length > 0) this.#start().catch(onFault)
  }

  /** Resolves when everything is stored. @throws GatewayError storage_* */
  async drain(): Promise<void> {
    while (this.#committing !== null || this.#rows.length > 0) await (this.#committing ?? this.#start())
  }

  /** Drops what is not being stored yet. Never rejects. */
  async clear(): Promise<void> {
    this.#rows = []
    this.#bytes = 0
    await this.#committing?.catch(noop)
  }

  /** Resolves when the messages up to a db_id are stored, or after `ms`. */
  reached(db_id: number, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(entry)
        resolve()
      }
      const entry = { db_id, end }
      const timer = setTimeout(end, ms)
      this.#waiting.add(entry)
    })
  }

  #start(): Promise<void> {
    this.#committing = this.#commit().finally(() => {
      this.#committing = null
    })
    return this.#committing
  }

  async #commit(): Promise<void> {
    while (this.#rows.length > 0) {
      const rows = this.#rows.splice(0, MAX_ROWS)
      this.#bytes = 0
      const state = await this.#copy.add(rows)
      this.#onStored(state, rows.length)
      for (const { db_id, end } of this.#waiting) if (db_id <= state.head) end()
    }
  }
}
