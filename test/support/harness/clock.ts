interface Interval {
  readonly callback: () => void
  readonly everyMs: number
  nextAt: number
  unref(): Interval
}

/**
 * Takes setInterval and performance.now over, so that a test moves the clock instead of waiting. Everything else
 * about time stays real.
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

  /** How many intervals are set and not cleared. */
  get intervals(): number {
    return this.#intervals.size
  }

  /** Moves on, and calls what falls due on the way, in its order. */
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
