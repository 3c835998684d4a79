import type { MessageStore } from './store.ts'

/** Between two rounds, in milliseconds. */
const ROUND_MS = 60_000
/** Messages removed in one transaction, so that no append waits long behind it. */
const CHUNK = 1_000

export interface RetentionOptions {
  readonly log: MessageStore
  /** Milliseconds; null: keep messages of any age. */
  readonly maxAgeMs: number | null
  readonly messagesPerEvent: number | null
  readonly onPruned: (messages: number) => void
  readonly onFault: (error: unknown) => void
}

/** Removes what is too old or too many, a chunk at a time. A round that fails is made up for by the next. */
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
