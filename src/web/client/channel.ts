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
 * - own: has a connection for itself. Lock granted → leading; caught up with the leader (`#join`) → following.
 * - leading: has the lock and a connection, and relays its messages. Lock lost → own.
 * - following: has no connection; the leader relays messages. Lock granted → leading; a gap, another log_id or a silent
 *   leader (`#part`) → own.
 *
 * `suspend()`, `close()` or a permanent refusal → inactive.
 */
export class ChannelController implements Channel, ConnectionListener, TabPeer {
  readonly #world: ClientPlatform
  readonly #options: ChannelOptions
  readonly #address: StreamEndpoint
  readonly #timeout: HeartbeatTimeout
  readonly #line: StreamConnection
  #share: TabLeaderElection | null = null
  #joined = false
  /** Last status of the leader. */
  #standing: LeaderStatus | null = null
  /** The db_id up to which the leader has relayed everything. */
  #passedTo = 0
  #cursor: number | null
  #log: string | null
  #reset: Reset | null = null
  /** Messages delivered since the last `catching_up` began. */
  #messages = 0
  /** Time of the last status or message from the leader. */
  #passedAt = 0
  #active = false
  #closed = false
  #cancelCheck = (): void => undefined
  #checkedAt = 0
  /** Serialized status of the last `onState` call. */
  #told = ''
  #toldState: ChannelState | null = null

  constructor(world: ClientPlatform, target: string | URL | readonly string[], options: ChannelOptions) {
    const { lastMessageDbId, logId, heartbeatSeconds } = options
    this.#world = world
    this.#options = options
    this.#address = new StreamEndpoint(target, options, world)
    this.#timeout = new HeartbeatTimeout(heartbeatSeconds)
    this.#cursor = typeof lastMessageDbId === 'number' ? lastMessageDbId : null
    this.#log = logId ?? null
    this.#line = new StreamConnection(world, this.#address, this.#timeout, this)
  }

  get state(): ChannelState {
    return this.#joined ? this.#standing!.status.state : this.#line.state
  }

  get status(): ChannelStatus {
    const status = this.#joined ? { ...this.#standing!.status } : this.#line.status
    const lastEventAt = this.#joined ? Math.max(status.lastEventAt ?? 0, this.#passedAt) : status.lastEventAt
    return {
      ...status,
      lastEventAt,
      cursor: this.#cursor,
      progress: this.#progressOf(status),
      reset: this.#reset,
      idleTimeoutMs: this.idleTimeoutMs,
      connection: this.#joined ? 'following' : this.#share?.isLeader ? 'leading' : 'own',
    }
  }

  /** Connects, also after `suspend()`. */
  start(): void {
    if (this.#active || this.#closed) return
    this.#active = true
    this.#checkedAt = this.#world.now()
    this.#cancelCheck = this.#world.setTimer(CHECK_MS, () => this.#check())
    const name = this.#options.share === false ? null : this.#address.sharedName
    if (name !== null && this.#world.canShare) this.#share = new TabLeaderElection(this.#world, name, this)
    this.#line.open()
  }

  /** Called before the browser freezes or hides the page. Another tab becomes leader meanwhile. */
  suspend(): void {
    if (!this.#active) return
    this.#retire()
    this.#line.stop('waiting', { code: 'tab_frozen' })
  }

  close(): void {
    if (this.#closed) return
    this.#retire()
    this.#closed = true
    this.#line.stop('closed', { code: 'closed' })
  }

  retry(): void {
    if (this.#joined) this.#share?.ask(true)
    else if (this.#active) this.#line.retry()
    else {
      this.#address.resetAuthFailures()
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
    if (this.#active && !this.#joined) this.#line.network(online)
  }

  // Callbacks of the connection
  get cursor(): number | null {
    return this.#cursor
  }

  onHello(hello: Hello): boolean {
    const changed = this.#log !== null && this.#log !== hello.log_id
    this.#log = hello.log_id
    this.#cursor ??= hello.cursor
    if (changed) this.onReset('log_changed', hello.first_db_id)
    return !changed
  }

  onReset(reason: Reset['reason'], first_db_id: number): void {
    const reset = { reason, first_db_id, at: this.#world.now() }
    this.#share?.reset(this.#log!, reset)
    this.#begin(reset)
  }

  onMessage(prev: number, db_id: number, text: string): void {
    this.#share?.relay(this.#log!, prev, db_id, text)
    this.#deliver(db_id, text)
    this.#join()
  }

  onCaughtUp(db_id: number): void {
    this.#cursor = Math.max(this.#cursor!, db_id)
    this.#share?.ask()
  }

  onHeartbeat(): void {
    this.#share?.broadcastStatus()
  }

  onState(): void {
    const refused = this.#active && !this.#joined && this.#line.state === 'closed'
    if (refused) this.#retire()
    this.#share?.broadcastStatus()
    this.#tell()
  }

  // Callbacks of the tab election
  get idleTimeoutMs(): number {
    return this.#joined ? this.#standing!.status.idleTimeoutMs : this.#timeout.ms
  }

  get standing(): Omit<LeaderStatus, 'kind' | 'leader'> {
    return { log: this.#log, at: this.#line.at, status: this.status }
  }

  onLead(leads: boolean): void {
    if (leads && this.#joined) this.#part()
    else this.onState()
  }

  onStanding(standing: LeaderStatus): void {
    const { log, at } = standing
    this.#standing = standing
    this.#passedTo = at ?? this.#passedTo
    this.#passedAt = this.#world.now()
    if (!this.#joined) this.#join()
    else if (log !== this.#log || (at !== null && at > this.#cursor!)) this.#part()
    else this.#tell()
  }

  onPassed({ log, prev, id, text }: RelayedMessage): void {
    this.#passedTo = id
    this.#passedAt = this.#world.now()
    if (!this.#joined) return
    if (log !== this.#log || prev > this.#cursor!) this.#part()
    else this.#deliver(id, text)
  }

  onPassedReset(log: string, reset: Reset): void {
    this.#passedTo = 0
    if (!this.#joined) return
    this.#log = log
    this.#begin(reset)
    this.#tell()
  }

  onSilence(): void {
    if (this.#joined) this.#part()
  }

  onAsked(retry: boolean): void {
    if (retry) this.#line.retry()
    this.#line.check()
  }

  /** Follows the leader if none of the messages that it will relay can be missed. */
  #join(): void {
    const { log, status } = this.#standing ?? {}
    if (!this.#share || this.#share.isLeader || this.#joined) return
    if (this.#line.state !== 'live' || status?.state !== 'live' || log !== this.#log) return
    // An old status is not enough: the leader may hang by now.
    const isFresh = this.#world.now() - this.#passedAt < SLEEP_THRESHOLD_MS
    if (this.#passedTo > this.#cursor! || !isFresh) return
    this.#joined = true
    this.#line.stop('closed', null)
  }

  /** Stops following the leader and opens a connection. */
  #part(): void {
    this.#joined = false
    this.#line.open()
  }

  /** Stops everything except the connection. */
  #retire(): void {
    this.#active = this.#joined = false
    this.#standing = null
    this.#cancelCheck()
    this.#share?.close()
    this.#share = null
  }

  #check(): void {
    this.#cancelCheck = this.#world.setTimer(CHECK_MS, () => this.#check())
    const wall = this.#world.now()
    const napped = wall - this.#checkedAt > SLEEP_THRESHOLD_MS
    this.#checkedAt = wall
    if (this.#joined) {
      const { retryAt } = this.#standing!.status
      // The timers of a leader in the background are throttled.
      if (napped || (retryAt !== null && wall > retryAt + CHECK_MS)) this.#share?.ask()
    } else {
      if (napped) this.#line.onResume()
      this.#line.check()
      if (this.#line.state === 'live') this.#share?.ask()
    }
    this.#share?.check()
  }

  #begin(reset: Reset): void {
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
      this.#world.report(error)
    }
  }

  #progressOf({ state, hello }: Pick<ChannelStatus, 'state' | 'hello'>): Progress | null {
    if (state !== 'catching_up' || hello === null) return null
    return { from: hello.cursor, at: this.#cursor!, to: hello.last_db_id, messages: this.#messages }
  }

  #tell(): void {
    const { state } = this
    if (state === 'catching_up' && this.#toldState !== state) this.#messages = 0
    const { status } = this
    const { reason, retryAt, failures, hello, reset, connection } = status
    const news = JSON.stringify([state, reason, retryAt, failures, hello, reset, connection])
    if (news === this.#told) return
    this.#told = news
    this.#toldState = state
    this.#call(() => this.#options.onState?.(state, status))
  }
}
