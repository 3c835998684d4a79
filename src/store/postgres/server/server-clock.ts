import type { Client } from 'pg'

/** SQL for the time of the server, in milliseconds since 1970. */
export const SERVER_TIME = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint'

/** A larger difference between the clocks of this host and of the server is reported, in milliseconds. */
const MAX_OFFSET_MS = 5_000

/** The time of the server, which decides for all hosts, extrapolated with a clock that cannot be set. */
export class ServerClock {
  readonly #onWarning: (text: string) => void
  /** Time of the server minus monotonic time; null before the first reading. */
  #offset: number | null = null
  #hasWarned = false

  constructor(onWarning: (text: string) => void) {
    this.#onWarning = onWarning
  }

  /** Returns milliseconds since 1970. */
  now(): number {
    return this.#offset === null ? Date.now() : Math.round(performance.now() + this.#offset)
  }

  /**
   * Notes a reading of the server's clock.
   *
   * @param serverNow milliseconds since 1970
   * @param askedAt time of performance.now() before the request
   */
  sync(serverNow: number, askedAt: number): void {
    const uncertainty = (performance.now() - askedAt) / 2
    this.#offset = serverNow - askedAt - uncertainty
    const aheadMs = Date.now() - this.now()
    const isOff = Math.abs(aheadMs) - uncertainty > MAX_OFFSET_MS
    if (isOff && !this.#hasWarned) {
      const seconds = Math.round(Math.abs(aheadMs) / 1_000)
      const direction = aheadMs > 0 ? 'ahead of' : 'behind'
      this.#onWarning(
        `the clocks of this host and of PostgreSQL differ: this one is ${seconds} seconds ${direction} the other, which decides about retention and revocations. Synchronize both`,
      )
    }
    this.#hasWarned = isOff
  }
}

/** Milliseconds to add to times of this host, per connection. */
const corrections = new WeakMap<Client, number>()

/** Notes the time of the server that a connection has just reported. */
export const noteServerTime = (client: Client, serverNow: number): void => {
  const offset = serverNow - Date.now()
  corrections.set(client, Math.abs(offset) > MAX_OFFSET_MS ? offset : 0)
}

/** Converts a recent time of this host to the server's clock, if the clocks differ by more than seconds. */
export const toServerTime = (client: Client, hostTime: number): number => hostTime + (corrections.get(client) ?? 0)
