interface Interval {
  readonly callback: () => void
  readonly everyMs: number
  nextAt: number
  unref(): Interval
}

/**
 * Replaces setInterval and performance.now, so that a test advances the clock instead of waiting. Other timers stay
 * real.
 */
export class Clock {
  readonly #real = { setInterval: globalThis.setInterval, clearInterval: globalThis.clearInterval }
  readonly #now = performance.now.bind(performance)
  readonly #intervals = new Set<Interval>()
  #offset = 0

  install(): this {
    performance.now = () => this.#now() + this.#offset
    globalThis.setInterval = ((callback: () => void, everyMs: number) => {
      const interval: Interval = { callback, everyMs, nextAt: performance.now() + everyMs, unref: () => interval }
      this.#intervals.add(interval)
      return interval
    }) as never
    globalThis.clearInterval = ((interval: Interval) => void this.#intervals.delete(interval)) as never
    return this
  }

  uninstall(): void {
    Object.assign(globalThis, this.#real)
    Reflect.deleteProperty(performance, 'now')
  }

  /** Number of active intervals. */
  get intervals(): number {
    return this.#intervals.size
  }

  /** Advances the clock and calls due intervals in order. */
  advance(ms: number): void {
    const end = performance.now() + ms
    for (;;) {
      const due = [...this.#intervals].sort((one, other) => one.nextAt - other.nextAt)[0]
      if (due === undefined || due.nextAt > end) break
      this.#offset += Math.max(0, due.nextAt - performance.now())
      due.nextAt += due.everyMs
      due.callback()
    }
    this.#offset += Math.max(0, end - performance.now())
  }
}
