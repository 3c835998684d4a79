const DEFAULT_MS = 15_000
const MIN_MS = 500
const MAX_MS = 300_000
/** Tolerated delay of a heartbeat. */
const TOLERANCE_MS = 1_000

/**
 * Timeout of two heartbeat intervals. The interval is a setting of the gateway, so it is learned from the server
 * timestamps of the heartbeats; arrival times would include the time that the tab was suspended.
 */
export class HeartbeatTimeout {
  #intervalMs: number
  /** Server time of the last heartbeat on this connection. */
  #last = Number.NaN
  /** Shortest interval on this connection, since the gateway can skip heartbeats under load. */
  #shortest = Number.POSITIVE_INFINITY

  constructor(heartbeatSeconds: number | undefined) {
    this.#intervalMs = heartbeatSeconds === undefined ? DEFAULT_MS : heartbeatSeconds * 1_000
  }

  /** Milliseconds. */
  get ms(): number {
    return 2 * this.#intervalMs + TOLERANCE_MS
  }

  /** Called for each new connection, which may reach another gateway with another interval. */
  restart(): void {
    this.#last = Number.NaN
    this.#shortest = Number.POSITIVE_INFINITY
  }

  heartbeat(server_time: string): void {
    const time = Date.parse(server_time)
    const interval = time - this.#last
    this.#last = time
    // Also false for NaN. An interval outside the bounds means that the server clock was changed.
    if (!(interval >= MIN_MS && interval <= MAX_MS)) return
    this.#shortest = Math.min(this.#shortest, interval)
    this.#intervalMs = this.#shortest
  }

  /** Called on a timeout after `hello`. If no interval was learned, it may be longer than assumed, so it is doubled. */
  lost(): void {
    if (this.#shortest === Number.POSITIVE_INFINITY) this.#intervalMs = Math.min(MAX_MS, this.#intervalMs * 2)
  }
}
