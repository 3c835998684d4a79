import type { StreamEndpoint } from './endpoint.ts'
import { RejectedError, type Rejection } from './errors.ts'
import type { HeartbeatTimeout } from './heartbeat-timeout.ts'
import { type ClientPlatform, EVENT_SOURCE_CLOSED, type Source } from './platform.ts'
import type { ChannelState, Hello, Reset, StateReason } from './types.ts'

/** Longest delay of a timer, in milliseconds: a longer one would end after 1 ms. */
const MAX_TIMER_MS = 2_147_483_647
const BACKOFF_MS = { minMs: 2_000, maxMs: 30_000 }
/** Time to process events that arrived while the tab was suspended, in milliseconds. */
const GRACE_MS = 2_000
/** Reconnect delay after these reasons: the gateway is available or about to return. */
const RECONNECT_AFTER_CLOSE_MS: Record<string, readonly [min: number, max: number]> = {
  shutdown: [1_000, 5_000],
  token_expired: [0, 500],
  max_age: [0, 500],
  log_changed: [0, 500],
}

/** The owner of a connection. */
export interface ConnectionListener {
  /** Cursor to resume from; null to begin where the address says. */
  readonly cursor: number | null
  /** @returns false if the database is not the one of the cursor; the connection then starts from the beginning */
  onHello(hello: Hello): boolean
  onReset(reason: Reset['reason'], first_db_id: number): void
  /** The stream has no messages between the db_id `prev` and this one. */
  onMessage(prev: number, db_id: number, text: string): void
  /** Everything up to this db_id has been received. */
  onCaughtUp(db_id: number): void
  onHeartbeat(): void
  /** The state or its reason has changed. */
  onState(): void
}

/**
 * One connection to the gateway, which reconnects from the listener's cursor. The reconnection of EventSource is not
 * used: it gives up after a refusal, sends a used ticket again, and does not detect a dead connection.
 *
 * - connecting: the stream is being opened. `hello` → catching_up.
 * - catching_up: stored messages are being received. `caught_up` → live.
 * - live: new messages are being received.
 * - waiting: a retry is scheduled, or `stop('waiting')` was called. Retry time, `retry()`, `network(true)`, `open()`
 *   → connecting.
 * - closed: permanently refused while connecting, or `stop('closed')` was called. Only `open()` → connecting.
 *
 * From connecting, catching_up and live: any loss (error, `closing`, heartbeat timeout, another log_id) → waiting;
 * `network(true)` without an event since `network(false)` → connecting.
 */
export class StreamConnection {
  state: ChannelState = 'connecting'
  /** The db_id up to which everything was received on this connection; null before `hello`. */
  at: number | null = null

  readonly #platform: ClientPlatform
  readonly #endpoint: StreamEndpoint
  readonly #timeout: HeartbeatTimeout
  readonly #listener: ConnectionListener
  #reason: StateReason | null = null
  #retryAt: number | null = null
  #failures = 0
  /** Reason code of the last loss. */
  #lastReason = ''
  #hello: Hello | null = null
  #resumedFrom: number | null = null
  #lastEventAt: number | null = null
  #heartbeatAt: number | null = null
  #source: Source | null = null
  /** Number of the current attempt; results of earlier ones are ignored. */
  #attempt = 0
  #cancelRetry = (): void => undefined
  /** Time of the last event by both clocks: the wall clock can be set, the monotonic one may stop during sleep. */
  #lastActivity = { clock: 0, wall: 0 }
  /** The grace period after a suspension was granted since the last event. */
  #hasGrace = false
  /** When the next attempt is due, by the monotonic clock. */
  #dueAt: number | null = null
  #offlineSince: number | null = null
  /** This connection has received `hello`. */
  #receivedHello = false

  constructor(
    platform: ClientPlatform,
    endpoint: StreamEndpoint,
    timeout: HeartbeatTimeout,
    listener: ConnectionListener,
  ) {
    this.#platform = platform
    this.#endpoint = endpoint
    this.#timeout = timeout
    this.#listener = listener
  }

  /** The connection's part of the channel status. */
  get status() {
    return {
      state: this.state,
      reason: this.#reason,
      retryAt: this.#retryAt,
      failures: this.#failures,
      hello: this.#hello,
      resumedFrom: this.#resumedFrom,
      lastEventAt: this.#lastEventAt,
      heartbeatAt: this.#heartbeatAt,
    }
  }

  /** Connects immediately. */
  open(): void {
    this.#drop()
    this.#markActivity()
    this.#timeout.restart()
    this.#receivedHello = false
    this.#reason = this.#retryAt = this.#dueAt = null
    this.#resumedFrom = this.#listener.cursor
    const attempt = this.#attempt
    this.#setState('connecting')
    // A callback of the page may have closed the channel.
    if (attempt === this.#attempt) void this.#connect(attempt)
  }

  /** Closes the connection until `open()`. @param state the state to report meanwhile */
  stop(state: 'closed' | 'waiting', reason: StateReason | null): void {
    this.#drop()
    this.#reason = reason
    this.#retryAt = this.#dueAt = null
    this.#setState(state)
  }

  /** Connects now if the state is `waiting`. */
  retry(): void {
    if (this.state === 'waiting') this.open()
  }

  /** Checks for a heartbeat timeout, and for a retry whose timer was throttled. */
  check(): void {
    if (this.#dueAt !== null && this.#platform.monotonicNow() >= this.#dueAt) this.open()
    if (!this.#isOpen) return
    const { clock, wall } = this.#lastActivity
    const silentMs = Math.max(this.#platform.monotonicNow() - clock, this.#platform.now() - wall)
    if (silentMs < this.#timeout.ms) return
    if (this.#receivedHello) this.#timeout.lost()
    this.#lose({ code: 'heartbeat_timeout' })
  }

  /** Called if machine or tab may have been suspended: retries now, and grants time to process buffered events. */
  onResume(): void {
    this.retry()
    if (this.#hasGrace) return
    this.#hasGrace = true
    const graceMs = GRACE_MS - this.#timeout.ms
    this.#lastActivity.clock = Math.max(this.#lastActivity.clock, this.#platform.monotonicNow() + graceMs)
    this.#lastActivity.wall = Math.max(this.#lastActivity.wall, this.#platform.now() + graceMs)
  }

  /** Handles `online` and `offline`. `offline` alone closes nothing: a gateway on this machine stays reachable. */
  network(online: boolean): void {
    if (!online) {
      this.#offlineSince ??= this.#platform.monotonicNow()
      return
    }
    const since = this.#offlineSince
    this.#offlineSince = null
    if (this.state === 'waiting' || (this.#isOpen && since !== null && this.#lastActivity.clock <= since)) this.open()
  }

  get #isOpen(): boolean {
    return this.state !== 'waiting' && this.state !== 'closed'
  }

  async #connect(attempt: number): Promise<void> {
    try {
      const url = await this.#endpoint.open(this.#listener.cursor)
      if (attempt === this.#attempt) this.#listen(url)
    } catch (error) {
      if (attempt === this.#attempt) this.#failed(error)
    }
  }

  #listen(url: string): void {
    const source = this.#platform.source(url)
    this.#source = source
    const on = (name: string, callback: (event: MessageEvent<string>) => void): void =>
      source.addEventListener(name, (event) => {
        if (source !== this.#source) return
        this.#markActivity()
        this.#lastEventAt = this.#lastActivity.wall
        callback(event)
      })
    on('hello', ({ data }) => this.#onHello(JSON.parse(data)))
    on('reset', ({ data }) => {
      const { reason, first_db_id } = JSON.parse(data)
      this.at = 0
      this.#listener.onReset(reason, first_db_id)
    })
    on('new_message', ({ data, lastEventId }) => {
      const prev = this.at!
      this.at = Number(lastEventId)
      this.#listener.onMessage(prev, this.at, data)
    })
    on('caught_up', () => {
      this.#failures = 0
      this.at = Math.max(this.at!, this.#hello!.last_db_id)
      this.#listener.onCaughtUp(this.at)
      this.#setState('live')
    })
    on('heartbeat', ({ data }) => {
      this.#heartbeatAt = this.#lastEventAt
      this.#timeout.heartbeat(JSON.parse(data).server_time)
      this.#listener.onHeartbeat()
    })
    on('closing', ({ data }) => this.#lose({ code: JSON.parse(data).reason }))
    source.addEventListener('error', () => {
      if (source !== this.#source) return
      if (!this.#receivedHello && source.readyState === EVENT_SOURCE_CLOSED) void this.#probe(this.#attempt)
      else this.#failed(null)
    })
  }

  #onHello(hello: Hello): void {
    this.#hello = hello
    this.#receivedHello = true
    // There are no messages between last_db_id and a cursor beyond it, so a tab that has all of them misses none.
    this.at = Math.min(hello.cursor, hello.last_db_id)
    const attempt = this.#attempt
    if (this.#listener.onHello(hello)) this.#setState('catching_up')
    else if (attempt === this.#attempt) this.#lose({ code: 'log_changed' })
  }

  async #probe(attempt: number): Promise<void> {
    this.#source?.close()
    try {
      const rejection = await this.#endpoint.probeRejection(this.#listener.cursor)
      if (attempt === this.#attempt)
        this.#onRejected(rejection ?? { reason: { code: 'connection_lost' }, permanent: false, waitMs: 0 })
    } catch (error) {
      if (attempt === this.#attempt) this.#failed(error)
    }
  }

  /** @param error null if the connection broke or could not be opened */
  #failed(error: unknown): void {
    if (error instanceof RejectedError) this.#onRejected(error.rejection)
    else if (!this.#platform.online()) this.#lose({ code: 'offline' })
    else if (this.#receivedHello) this.#lose({ code: 'connection_lost' })
    else this.#lose({ code: 'unreachable', ...(error !== null && { message: String(error) }) })
  }

  #onRejected({ reason, permanent, waitMs }: Rejection): void {
    if (permanent) this.stop('closed', reason)
    else this.#lose(reason, waitMs)
  }

  #lose(reason: StateReason, minDelayMs = 0): void {
    this.#drop()
    const { minMs, maxMs } = BACKOFF_MS
    const backoff = Math.min(maxMs, minMs * 2 ** this.#failures)
    // The same reason twice in a row, without catching up in between, gets the normal backoff.
    const isNewReason = this.#failures === 0 || this.#lastReason !== reason.code
    const [from, to] = (isNewReason && RECONNECT_AFTER_CLOSE_MS[reason.code]) || [backoff / 2, backoff]
    this.#lastReason = reason.code
    const delay = Math.min(Math.max(minDelayMs, from) + this.#platform.random() * (to - from), MAX_TIMER_MS)
    this.#failures++
    this.#reason = reason
    this.#retryAt = this.#platform.now() + delay
    this.#dueAt = this.#platform.monotonicNow() + delay
    this.#cancelRetry = this.#platform.setTimer(delay, () => this.open())
    this.#setState('waiting')
  }

  #drop(): void {
    this.#attempt++
    this.#cancelRetry()
    this.#source?.close()
    this.#source = null
    this.at = null
  }

  #markActivity(): void {
    this.#hasGrace = false
    this.#lastActivity = { clock: this.#platform.monotonicNow(), wall: this.#platform.now() }
  }

  #setState(state: ChannelState): void {
    this.state = state
    this.#listener.onState()
  }
}
