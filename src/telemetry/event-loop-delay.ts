import type { Histogram } from 'prom-client'

/** Often enough that a stall of a tenth of a second is seen, seldom enough to cost nothing. */
const SAMPLE_INTERVAL_MS = 100

/** Measures by how much the event loop is late: what it does at a time, everybody else waits for. */
export class EventLoopDelayMonitor {
  readonly #histogram: Histogram
  #timer: NodeJS.Timeout | undefined

  /** @param histogram of seconds */
  constructor(histogram: Histogram) {
    this.#histogram = histogram
  }

  start(): void {
    let due = performance.now() + SAMPLE_INTERVAL_MS
    this.#timer = setInterval(() => {
      const now = performance.now()
      this.#histogram.observe(Math.max(0, now - due) / 1_000)
      due = now + SAMPLE_INTERVAL_MS
    }, SAMPLE_INTERVAL_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
