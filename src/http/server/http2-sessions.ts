import type { ServerHttp2Session } from 'node:http2'

interface Usage {
  open: number
  /** Time of performance.now() when the last stream ended, or the session started. */
  since: number
  /** True once a request has arrived. */
  hasRequest: boolean
  closing: boolean
}

export interface SessionLimits {
  /** Timeout for the first request of a session, in milliseconds. */
  readonly handshakeTimeoutMs: number
  /** Maximum time that a session can stay without a request, in milliseconds. */
  readonly idleTimeoutMs: number
}

const SWEEP_INTERVAL_MS = 1_000

/**
 * Closes HTTP/2 sessions without requests. Frames alone do not keep a session alive: otherwise pings, or a head sent
 * byte by byte, would hold a connection for ever.
 *
 * A session passes through these states:
 *
 * - new: until its first request. Destroyed after `handshakeTimeoutMs`.
 * - active: while at least one request is open. It has no timeout.
 * - idle: without an open request. Closed gracefully after `idleTimeoutMs`; a new request makes it active again.
 * - closing: destroyed if it is still open, without a request, another `idleTimeoutMs` later.
 */
export class Http2SessionReaper {
  readonly #limits: SessionLimits
  readonly #usage = new Map<ServerHttp2Session, Usage>()
  #timer: NodeJS.Timeout | undefined

  constructor(limits: SessionLimits) {
    this.#limits = limits
  }

  readonly add = (session: ServerHttp2Session): void => {
    const usage: Usage = { open: 0, since: performance.now(), hasRequest: false, closing: false }
    this.#usage.set(session, usage)
    // Streams have their own timeouts, and a stream without traffic is not idle.
    session.setTimeout(0)
    session.on('stream', (stream) => {
      usage.open++
      usage.hasRequest = true
      stream.once('close', () => {
        usage.open--
        usage.since = performance.now()
      })
    })
    session.once('close', () => this.#usage.delete(session))
    this.#timer ??= setInterval(() => this.#sweep(performance.now()), SWEEP_INTERVAL_MS).unref()
  }

  #sweep(now: number): void {
    if (this.#usage.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
    for (const [session, usage] of this.#usage) {
      const { open, since, hasRequest, closing } = usage
      const timeoutMs = hasRequest ? this.#limits.idleTimeoutMs : this.#limits.handshakeTimeoutMs
      if (open > 0 || now - since < timeoutMs) continue
      // A peer that does not respond to the graceful close is disconnected.
      if (closing || !hasRequest) session.destroy()
      else session.close()
      usage.closing = true
      usage.since = now
    }
  }
}
