import type { MessageStore } from './store.ts'

/** Interval between retention runs, in milliseconds. */
const ROUND_MS = 60_000
/** Maximum messages deleted per transaction, so that appends are not blocked for long. */
const CHUNK = 1_000

export interface RetentionOptions {
  readonly log: MessageStore
  /** Maximum age of a message in milliseconds, or null if messages are kept regardless of age. */
  readonly maxAgeMs: number | null
  /** Number of newest messages to keep per event, or null if there is no limit. */
  readonly messagesPerEvent: number | null
  readonly onPruned: (messages: number) => void
  readonly onFault: (error: unknown) => void
}

/** Periodically deletes messages that exceed the age or the per-event limit, in chunks. A failed run is retried by the next one. */
export class RetentionJob {
  readonly #options: RetentionOptions
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | null = null
  #stopped = false

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  start(): void {
    const { maxAgeMs, messagesPerEvent } = this.#options
    if (maxAgeMs === null && messagesPerEvent === null) return
    const round = () => {
      this.#running ??= this.#round().finally(() => {
        this.#running = null
      })
    }
    this.#timer = setInterval(round, ROUND_MS)
    round()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#running
  }

  async #round(): Promise<void> {
    const { log, maxAgeMs, messagesPerEvent } = this.#options
    try {
      let removed: number
      do {
        const receivedBefore = maxAgeMs === null ? null : Date.now() - maxAgeMs
        removed = await log.prune({ receivedBefore, messagesPerEvent }, CHUNK)
        if (removed > 0) this.#options.onPruned(removed)
      } while (removed > 0 && !this.#stopped)
    } catch (error) {
      this.#options.onFault(error)
    }
  }
}
