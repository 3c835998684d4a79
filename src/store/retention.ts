import type { MessageStore } from './store.ts'

/** Interval between retention runs, in milliseconds. */
const RUN_INTERVAL_MS = 60_000
/** Time without deletion by age after the clock has jumped, in milliseconds: enough for an operator to set it right. */
const CLOCK_PAUSE_MS = 24 * 60 * 60 * 1_000
/** The clock has jumped if it gains this much on the monotonic clock between two runs, in milliseconds. */
const JUMP_MS = 5 * 60_000
/** Maximum messages deleted per transaction, so that appends are not blocked for long. */
const CHUNK = 1_000

export interface RetentionOptions {
  readonly store: MessageStore
  /** Maximum age of a message in milliseconds, or null if messages are kept regardless of age. */
  readonly maxAgeMs: number | null
  /** Number of newest messages to keep per event, or null if there is no limit. */
  readonly messagesPerEvent: number | null
  readonly onPruned: (messages: number) => void
  /** Called with the reason why nothing is deleted by age for a day. */
  readonly onClockJump: (reason: string) => void
  readonly onFault: (error: unknown) => void
  /** Milliseconds since 1970. Default: the clock of the store if it has one, since it decides for all hosts, else that of this host. */
  readonly now?: () => number
  /** Milliseconds of a clock that cannot be set. Default: the monotonic clock. */
  readonly monotonicNow?: () => number
}

/**
 * Periodically deletes messages that exceed the age or the per-event limit, in chunks. A failed run is retried by the next one.
 * After the clock has jumped forward, nothing is deleted by age for a day: a wrong clock makes new messages look old.
 */
export class RetentionJob {
  readonly #options: RetentionOptions
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | null = null
  #stopped = false
  /** Wall clock minus monotonic clock at the last run; null before the first one. */
  #clockOffset: number | null = null
  /** Monotonic time until which nothing is deleted by age. */
  #pausedUntil = Number.NEGATIVE_INFINITY

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  start(): void {
    const { maxAgeMs, messagesPerEvent } = this.#options
    if (maxAgeMs === null && messagesPerEvent === null) return
    const run = () => {
      this.#running ??= this.#prune().finally(() => {
        this.#running = null
      })
    }
    this.#timer = setInterval(run, RUN_INTERVAL_MS)
    run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#running
  }

  async #prune(): Promise<void> {
    const { store, maxAgeMs, messagesPerEvent, monotonicNow = () => performance.now() } = this.#options
    try {
      // Once for the whole run, which can be long: a later time has not been checked.
      const now = this.#options.now?.() ?? store.now?.() ?? Date.now()
      if (maxAgeMs !== null) await this.#checkClock(maxAgeMs, now, monotonicNow())
      const byAge = maxAgeMs !== null && monotonicNow() >= this.#pausedUntil
      const receivedBefore = byAge ? now - maxAgeMs : null
      let deleted: number
      do {
        deleted = await store.prune({ receivedBefore, messagesPerEvent }, CHUNK)
        if (deleted > 0) this.#options.onPruned(deleted)
      } while (deleted > 0 && !this.#stopped)
    } catch (error) {
      this.#options.onFault(error)
    }
  }

  async #checkClock(maxAgeMs: number, now: number, monotonicNow: number): Promise<void> {
    const offset = now - monotonicNow
    const before = this.#clockOffset
    if (before === null) await this.#checkFirstClock(maxAgeMs, now, monotonicNow)
    else if (offset - before > JUMP_MS) {
      const minutes = Math.round((offset - before) / 60_000)
      this.#pauseAgeLimit(monotonicNow, `the clock has jumped forward by ${minutes} minutes`)
    }
    // Only now: if the check has failed, the next run repeats it.
    this.#clockOffset = offset
  }

  /** At the start, only the store tells what time it was: a clock by which even its newest message has expired may be wrong. */
  async #checkFirstClock(maxAgeMs: number, now: number, monotonicNow: number): Promise<void> {
    const [newest] = await this.#options.store.events(1, 0)
    if (newest !== undefined && newest.last_at < now - maxAgeMs) {
      this.#pauseAgeLimit(
        monotonicNow,
        `by the clock, the newest message is from ${new Date(newest.last_at).toISOString()}`,
      )
    }
  }

  #pauseAgeLimit(monotonicNow: number, reason: string): void {
    this.#pausedUntil = monotonicNow + CLOCK_PAUSE_MS
    this.#options.onClockJump(reason)
  }
}
