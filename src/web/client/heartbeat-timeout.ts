const USUAL_MS = 15_000
const MIN_MS = 500
const MAX_MS = 300_000
/** What a heartbeat may be late by. */
const TOLERANCE_MS = 1_000

/**
 * For how long a line may be silent: two heartbeats. How often they come is the gateway's setting, so it is learned from
 * their own times: those of their arrival tell of this browser's naps as well.
 */
export class HeartbeatTimeout {
  #intervalMs: number
  /** The server's time of the last heartbeat on this connection. */
  #last = Number.NaN
  /** The shortest interval on this connection: under load a heartbeat may be left out. */
  #shortest = Number.POSITIVE_INFINITY

  constructor(heartbeatSeconds: number | undefined) {
    this.#intervalMs = heartbeatSeconds === undefined ? USUAL_MS : heartbeatSeconds * 1_000
  }

  /** Milliseconds. */
  get ms(): number {
    return 2 * this.#intervalMs + TOLERANCE_MS
  }

  /** A new connection: another gateway may stand behind it, with another setting. */
  restart(): void {
    this.#last = Number.NaN
    this.#shortest = Number.POSITIVE_INFINITY
  }

  heartbeat(server_time: string): void {
    const time = Date.parse(server_time)
    const interval = time - this.#last
    this.#last = time
    // Also false for what is no number; a server's clock that was set gives nothing to learn from.
    if (!(interval >= MIN_MS && interval <= MAX_MS)) return
    this.#shortest = Math.min(this.#shortest, interval)
    this.#intervalMs = this.#shortest
  }

  /** A connection that had spoken fell silent: if its heartbeats were never learned, they may be rarer than thought. */
  lost(): void {
    if (this.#shortest === Number.POSITIVE_INFINITY) this.#intervalMs = Math.min(MAX_MS, this.#intervalMs * 2)
  }
}
