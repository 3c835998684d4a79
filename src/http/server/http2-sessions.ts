import type { ServerHttp2Session } from 'node:http2'

interface Usage {
  open: number
  /** When the last stream ended, or the session began; on performance.now()'s clock. */
  since: number
  /** A first request came. */
  hasRequest: boolean
  closing: boolean
}

export interface SessionLimits {
  /** Milliseconds within which a session's first request must have come. */
  readonly firstMs: number
  /** Milliseconds that a session may stay without a request. */
  readonly idleMs: number
}

const LOOK_MS = 1_000

/**
 * Ends HTTP/2 sessions that ask for nothing. Frames alone keep none alive: pings and half a head, byte by byte, would
 * otherwise hold a connection for ever.
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
    // Streams have clocks of their own, and a quiet one is no idle one.
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
    this.#timer ??= setInterval(() => this.#look(performance.now()), LOOK_MS).unref()
  }

  #look(now: number): void {
    if (this.#usage.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
    for (const [session, usage] of this.#usage) {
      const { open, since, hasRequest, closing } = usage
      const patience = hasRequest ? this.#limits.idleMs : this.#limits.firstMs
      if (open > 0 || now - since < patience) continue
      // A peer that does not even take the farewell is cut off.
      if (closing || !hasRequest) session.destroy()
      else session.close()
      usage.closing = true
      usage.since = now
    }
  }
}
