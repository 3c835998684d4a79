import { type ConnectionListener, StreamConnection } from './connection.ts'
import { StreamEndpoint } from './endpoint.ts'
import { HeartbeatTimeout } from './heartbeat-timeout.ts'
import type { ClientPlatform } from './platform.ts'
import { type LeaderStatus, type RelayedMessage, TabLeaderElection, type TabPeer } from './tab-leader.ts'
import type { Channel, ChannelOptions, ChannelState, ChannelStatus, Hello, Progress, Reset } from './types.ts'

/** Interval at which a tab checks its connection and its leader, in milliseconds. */
const CHECK_MS = 2_000
/** A longer gap between two checks means that the tab or the machine was suspended. */
const SLEEP_THRESHOLD_MS = 10_000

/**
 * The channel of one tab. A message from the connection or the leader is delivered if its db_id is greater than the
 * cursor and no message can be missing in between; otherwise the tab opens its own connection.
 *
 * - inactive: `start()`, or `retry()` after a refusal → own. Final after `close()`.
 * - own: has a connection for itself. Lock granted → leading; caught up with the leader (`#follow`) → following.
 * - leading: has the lock and a connection, and relays its messages. Lock lost → own.
 * - following: has no connection; the leader relays messages. Lock granted → leading; a gap, another log_id or a silent
 *   leader (`#stopFollowing`) → own.
 *
 * `suspend()`, `close()` or a permanent refusal → inactive.
 */
export class ChannelController implements Channel, ConnectionListener, TabPeer {
  readonly #platform: ClientPlatform
  readonly #options: ChannelOptions
  readonly #endpoint: StreamEndpoint
  readonly #timeout: HeartbeatTimeout
  readonly #connection: StreamConnection
  #election: TabLeaderElection | null = null
  #isFollower = false
  /** Last status of the leader. */
  #leaderStatus: LeaderStatus | null = null
  /** The db_id up to which the leader has relayed everything. */
  #relayedTo = 0
  #cursor: number | null
  #logId: string | null
  #reset: Reset | null = null
  /** Messages delivered since the last `catching_up` began. */
  #messages = 0
  /** Time of the last status or message from the leader. */
  #relayedAt = 0
  #active = false
  #closed = false
  #cancelCheck = (): void => undefined
  #checkedAt = 0
  /** Serialized status of the last `onState` call. */
  #lastProgress = ''
  #lastState: ChannelState | null = null

  constructor(platform: ClientPlatform, target: string | URL | readonly string[], options: ChannelOptions) {
    const { lastMessageDbId, logId, heartbeatSeconds } = options
    this.#platform = platform
    this.#options = options
    this.#endpoint = new StreamEndpoint(target, options, platform)
    this.#timeout = new HeartbeatTimeout(heartbeatSeconds)
    this.#cursor = typeof lastMessageDbId === 'number' ? lastMessageDbId : null
    this.#logId = logId ?? null
    this.#connection = new StreamConnection(platform, this.#endpoint, this.#timeout, this)
  }

  get state(): ChannelState {
    return this.#isFollower ? this.#leaderStatus!.status.state : this.#connection.state
  }

  get status(): ChannelStatus {
    const status = this.#isFollower ? { ...this.#leaderStatus!.status } : this.#connection.status
    const lastEventAt = this.#isFollower ? Math.max(status.lastEventAt ?? 0, this.#relayedAt) : status.lastEventAt
    return {
      ...status,
      lastEventAt,
      cursor: this.#cursor,
      progress: this.#getProgress(status),
      reset: this.#reset,
      idleTimeoutMs: this.idleTimeoutMs,
      connection: this.#isFollower ? 'following' : this.#election?.isLeader ? 'leading' : 'own',
    }
  }

  /** Connects, also after `suspend()`. */
  start(): void {
    if (this.#active || this.#closed) return
    this.#active = true
    this.#checkedAt = this.#platform.now()
    this.#cancelCheck = this.#platform.setTimer(CHECK_MS, () => this.#check())
    const name = this.#options.share === false ? null : this.#endpoint.sharedName
    if (name !== null && this.#platform.canShare) this.#election = new TabLeaderElection(this.#platform, name, this)
    this.#connection.open()
  }

  /** Called before the browser freezes or hides the page. Another tab becomes leader meanwhile. */
  suspend(): void {
    if (!this.#active) return
    this.#retire()
    this.#connection.stop('waiting', { code: 'tab_frozen' })
  }

  close(): void {
    if (this.#closed) return
    this.#retire()
    this.#closed = true
    this.#connection.stop('closed', { code: 'closed' })
  }

  retry(): void {
    if (this.#isFollower) this.#election?.requestStatus(true)
    else if (this.#active) this.#connection.retry()
    else {
      this.#endpoint.resetAuthFailures()
      this.start()
    }
  }

  /** Runs the periodic check now, since the browser may have throttled timers. */
  check(): void {
    if (!this.#active) return
    this.#cancelCheck()
    this.#check()
  }

  /** Handles the browser's `online` and `offline` events. */
  network(online: boolean): void {
    if (this.#active && !this.#isFollower) this.#connection.network(online)
  }

  // Callbacks of the connection
  get cursor(): number | null {
    return this.#cursor
  }

  onHello(hello: Hello): boolean {
    const changed = this.#logId !== null && this.#logId !== hello.log_id
    this.#logId = hello.log_id
    this.#cursor ??= hello.cursor
    if (changed) this.onReset('log_changed', hello.first_db_id)
    return !changed
  }

  onReset(reason: Reset['reason'], first_db_id: number): void {
    const reset = { reason, first_db_id, at: this.#platform.now() }
    this.#election?.reset(this.#logId!, reset)
    this.#startConnection(reset)
  }

  onMessage(prev: number, db_id: number, text: string): void {
    this.#election?.relay(this.#logId!, prev, db_id, text)
    this.#deliver(db_id, text)
    this.#follow()
  }

  onCaughtUp(db_id: number): void {
    this.#cursor = Math.max(this.#cursor!, db_id)
    this.#election?.requestStatus()
  }

  onHeartbeat(): void {
    this.#election?.broadcastStatus()
  }

  onState(): void {
    const rejected = this.#active && !this.#isFollower && this.#connection.state === 'closed'
    if (rejected) this.#retire()
    this.#election?.broadcastStatus()
    this.#notifyState()
  }

  // Callbacks of the tab election
  get idleTimeoutMs(): number {
    return this.#isFollower ? this.#leaderStatus!.status.idleTimeoutMs : this.#timeout.ms
  }

  get ownStatus(): Omit<LeaderStatus, 'kind' | 'leader'> {
    return { log: this.#logId, at: this.#connection.at, status: this.status }
  }

  onLead(leads: boolean): void {
    if (leads && this.#isFollower) this.#stopFollowing()
    else this.onState()
  }

  onLeaderStatus(leaderStatus: LeaderStatus): void {
    const { log, at } = leaderStatus
    this.#leaderStatus = leaderStatus
    this.#relayedTo = at ?? this.#relayedTo
    this.#relayedAt = this.#platform.now()
    if (!this.#isFollower) this.#follow()
    else if (log !== this.#logId || (at !== null && at > this.#cursor!)) this.#stopFollowing()
    else this.#notifyState()
  }

  onRelayed({ log, prev, id, text }: RelayedMessage): void {
    this.#relayedTo = id
    this.#relayedAt = this.#platform.now()
    if (!this.#isFollower) return
    if (log !== this.#logId || prev > this.#cursor!) this.#stopFollowing()
    else this.#deliver(id, text)
  }

  onRelayedReset(log: string, reset: Reset): void {
    this.#relayedTo = 0
    if (!this.#isFollower) return
    this.#logId = log
    this.#startConnection(reset)
    this.#notifyState()
  }

  onLeaderTimeout(): void {
    if (this.#isFollower) this.#stopFollowing()
  }

  onStatusRequested(retry: boolean): void {
    if (retry) this.#connection.retry()
    this.#connection.check()
  }

  /** Follows the leader if none of the messages that it will relay can be missed. */
  #follow(): void {
    const { log, status } = this.#leaderStatus ?? {}
    if (!this.#election || this.#election.isLeader || this.#isFollower) return
    if (this.#connection.state !== 'live' || status?.state !== 'live' || log !== this.#logId) return
    // An old status is not enough: the leader may hang by now.
    const isFresh = this.#platform.now() - this.#relayedAt < SLEEP_THRESHOLD_MS
    if (this.#relayedTo > this.#cursor! || !isFresh) return
    this.#isFollower = true
    this.#connection.stop('closed', null)
  }

  /** Stops following the leader and opens a connection. */
  #stopFollowing(): void {
    this.#isFollower = false
    this.#connection.open()
  }

  /** Stops everything except the connection. */
  #retire(): void {
    this.#active = this.#isFollower = false
    this.#leaderStatus = null
    this.#cancelCheck()
    this.#election?.close()
    this.#election = null
  }

  #check(): void {
    this.#cancelCheck = this.#platform.setTimer(CHECK_MS, () => this.#check())
    const now = this.#platform.now()
    const hasSlept = now - this.#checkedAt > SLEEP_THRESHOLD_MS
    this.#checkedAt = now
    if (this.#isFollower) {
      const { retryAt } = this.#leaderStatus!.status
      // The timers of a leader in the background are throttled.
      if (hasSlept || (retryAt !== null && now > retryAt + CHECK_MS)) this.#election?.requestStatus()
    } else {
      if (hasSlept) this.#connection.onResume()
      this.#connection.check()
      if (this.#connection.state === 'live') this.#election?.requestStatus()
    }
    this.#election?.check()
  }

  #startConnection(reset: Reset): void {
    this.#reset = reset
    this.#cursor = 0
    this.#call(() => this.#options.onReset?.(reset))
  }

  #deliver(id: number, text: string): void {
    if (id <= this.#cursor!) return
    this.#cursor = id
    this.#messages++
    this.#call(() => this.#options.onMessage(JSON.parse(text), text))
  }

  /** Runs a callback of the page; its errors are reported and do not affect the channel. */
  #call(callback: () => void): void {
    try {
      callback()
    } catch (error) {
      this.#platform.report(error)
    }
  }

  #getProgress({ state, hello }: Pick<ChannelStatus, 'state' | 'hello'>): Progress | null {
    if (state !== 'catching_up' || hello === null) return null
    return { from: hello.cursor, at: this.#cursor!, to: hello.last_db_id, messages: this.#messages }
  }

  #notifyState(): void {
    const { state } = this
    if (state === 'catching_up' && this.#lastState !== state) this.#messages = 0
    const { status } = this
    const { reason, retryAt, failures, hello, reset, connection } = status
    const news = JSON.stringify([state, reason, retryAt, failures, hello, reset, connection])
    if (news === this.#lastProgress) return
    this.#lastProgress = news
    this.#lastState = state
    this.#call(() => this.#options.onState?.(state, status))
  }
}
