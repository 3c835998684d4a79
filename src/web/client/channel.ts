import { type ConnectionListener, StreamConnection } from './connection.ts'
import { StreamEndpoint } from './endpoint.ts'
import { HeartbeatTimeout } from './heartbeat-timeout.ts'
import type { ClientPlatform } from './platform.ts'
import { type LeaderStatus, type RelayedMessage, TabLeaderElection, type TabPeer } from './tab-leader.ts'
import type { Channel, ChannelOptions, ChannelState, ChannelStatus, Hello, Progress, Reset } from './types.ts'

/** How often a tab looks after its line and its leader. */
const CHECK_MS = 2_000
/** A check that comes so long after the one before was held back, or tab or machine were asleep. */
const SLEEP_THRESHOLD_MS = 10_000

/**
 * One tab's channel. Whichever way a message comes, the tab's own cursor decides: it is delivered if its db_id is beyond the
 * cursor and nothing lies between the two; where something does, the tab's own line brings it.
 *
 * | leads | joined | the tab's own line |
 * | ----- | ------ | ------------------ |
 * | yes   | no     | open, for all tabs |
 * | no    | no     | open, until the tab has come as far as its leader |
 * | no    | yes    | closed: the leader passes everything on |
 */
export class ChannelController implements Channel, ConnectionListener, TabPeer {
  readonly #world: ClientPlatform
  readonly #options: ChannelOptions
  readonly #address: StreamEndpoint
  readonly #patience: HeartbeatTimeout
  readonly #line: StreamConnection
  #share: TabLeaderElection | null = null
  #joined = false
  /** Of the leader. */
  #standing: LeaderStatus | null = null
  /** The db_id up to which the leader has passed everything on. */
  #passedTo = 0
  #cursor: number | null
  #log: string | null
  #reset: Reset | null = null
  /** Delivered in this catching up. */
  #messages = 0
  /** When something was last passed on to this tab. */
  #passedAt = 0
  #active = false
  #closed = false
  #cancelCheck = (): void => undefined
  #checkedAt = 0
  /** What `onState` was last told. */
  #told = ''
  #toldState: ChannelState | null = null

  constructor(world: ClientPlatform, target: string | URL | readonly string[], options: ChannelOptions) {
    const { lastMessageDbId, logId, heartbeatSeconds } = options
    this.#world = world
    this.#options = options
    this.#address = new StreamEndpoint(target, options, world)
    this.#patience = new HeartbeatTimeout(heartbeatSeconds)
    this.#cursor = typeof lastMessageDbId === 'number' ? lastMessageDbId : null
    this.#log = logId ?? null
    this.#line = new StreamConnection(world, this.#address, this.#patience, this)
  }

  get state(): ChannelState {
    return this.#joined ? this.#standing!.status.state : this.#line.state
  }

  get status(): ChannelStatus {
    const status = this.#joined ? { ...this.#standing!.status } : this.#line.status
    const heardAt = this.#joined ? Math.max(status.heardAt ?? 0, this.#passedAt) : status.heardAt
    return {
      ...status,
      heardAt,
      cursor: this.#cursor,
      progress: this.#progressOf(status),
      reset: this.#reset,
      patienceMs: this.patienceMs,
      connection: this.#joined ? 'following' : this.#share?.isLeader ? 'leading' : 'own',
    }
  }

  /** Connects, now or again. */
  start(): void {
    if (this.#active || this.#closed) return
    this.#active = true
    this.#checkedAt = this.#world.now()
    this.#cancelCheck = this.#world.setTimer(CHECK_MS, () => this.#check())
    const name = this.#options.share === false ? null : this.#address.sharedName
    if (name !== null && this.#world.canShare) this.#share = new TabLeaderElection(this.#world, name, this)
    this.#line.open()
  }

  /** The browser is about to put the tab to sleep, or away. Another tab takes the lead meanwhile. */
  suspend(): void {
    if (!this.#active) return
    this.#retire()
    this.#line.stop('waiting', { code: 'frozen' })
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

  /** Timers may have been held back: whatever is due happens now. */
  check(): void {
    if (!this.#active) return
    this.#cancelCheck()
    this.#check()
  }

  /** The browser has found, or lost, a network. */
  network(online: boolean): void {
    if (this.#active && !this.#joined) this.#line.network(online)
  }

  // What the line says.

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

  // What the other tabs say.

  get patienceMs(): number {
    return this.#joined ? this.#standing!.status.patienceMs : this.#patience.ms
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

  /** Follows the leader, once nothing that it will pass on can be missed. */
  #join(): void {
    const { log, status } = this.#standing ?? {}
    if (!this.#share || this.#share.isLeader || this.#joined) return
    if (this.#line.state !== 'live' || status?.state !== 'live' || log !== this.#log) return
    // What a tab that hangs by now has said long ago is no promise.
    const isFresh = this.#world.now() - this.#passedAt < SLEEP_THRESHOLD_MS
    if (this.#passedTo > this.#cursor! || !isFresh) return
    this.#joined = true
    this.#line.stop('closed', null)
  }

  /** Leaves the leader. */
  #part(): void {
    this.#joined = false
    this.#line.open()
  }

  /** Ends everything but the line. */
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
      // A leader in the background wakes late by itself.
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

  /** A fault of the page is no fault of the channel. */
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
    const { why, retryAt, failures, hello, reset, connection } = status
    const news = JSON.stringify([state, why, retryAt, failures, hello, reset, connection])
    if (news === this.#told) return
    this.#told = news
    this.#toldState = state
    this.#call(() => this.#options.onState?.(state, status))
  }
}
