import { setTimeout as sleep } from 'node:timers/promises'
import type { EventSourceMessage } from 'eventsource-parser'
import { type BackoffOptions, backoffDelay } from '../core/backoff.ts'
import { parseDbId, type ResetReason } from '../core/cursor.ts'
import type { EdgeState } from '../core/edge-state.ts'
import { GatewayError } from '../core/errors.ts'
import { noop } from '../core/noop.ts'
import { CopyProgress } from './copy-progress.ts'
import { CopyQueue } from './copy-queue.ts'
import type { FollowerOptions } from './follower-options.ts'
import { parseControlEvent, toMessageRecord } from './record.ts'
import { syncRevocations } from './revocation-sync.ts'
import { readSseEvents } from './sse-reader.ts'
import type { UpstreamStatus } from './status.ts'

const RETRY_MS: BackoffOptions = { minMs: 500, maxMs: 10_000 }
/** Interval of the reads of the core's state, in milliseconds: revocations follow within two of them. */
const POLL_MS = 1_000
/** A stream without even a heartbeat for this long is lost, in milliseconds. */
const SILENCE_MS = 60_000
/** How long a client whose cursor is ahead waits for the copy, in milliseconds. */
const CATCH_UP_MS = 2_000
/** The time at which the copy had all messages is stored this often, in milliseconds, so that it is known after a restart. */
const NOTE_LEVEL_MS = 60_000

/** Follows the stream of another gateway as any client does, with the greatest db_id of the copy as its cursor. */
export class Follower {
  readonly #options: FollowerOptions
  readonly #queue: CopyQueue
  readonly #progress: CopyProgress
  readonly #stop = new AbortController()
  #connection = new AbortController()
  #running: Promise<void> | null = null
  #logId = ''
  #head = 0
  /** The first `hello` of the current connection has arrived. */
  #connected = false
  /** A stream was requested in the current connection. */
  #streaming = false
  /** Everything that `hello` has announced has arrived. */
  #caughtUp = false
  #state: EdgeState | null = null
  #revocationsVersion = ''
  #pruned = ''
  /** `onLevel` was called in the current connection. */
  #announced = false
  #notedLevelAt = 0
  #reading: Promise<void> | null = null
  #nextReading: Promise<void> | null = null
  #restarting: Promise<void> = Promise.resolve()

  constructor(options: FollowerOptions) {
    this.#options = options
    this.#progress = new CopyProgress(options)
    this.#queue = new CopyQueue(options.copy, ({ head }, messages) => {
      this.#head = head
      this.#progress.onHead(head)
      options.onStored(messages)
    })
  }

  get status(): UpstreamStatus {
    return this.#progress.status(this.#connected)
  }

  get #isConnected(): boolean {
    return this.#connected && !this.#connection.signal.aborted
  }

  /** True if the copy has had all messages once. */
  get isComplete(): boolean {
    return this.#progress.isComplete
  }

  get isLevel(): boolean {
    return this.#isConnected && this.#progress.isLevel
  }

  /** @throws GatewayError database_not_copy or storage_* */
  async start(): Promise<void> {
    const { logId, head, levelAt } = await this.#options.copy.open(this.#options.events)
    this.#logId = logId
    this.#head = head
    this.#progress.begin(head, levelAt)
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    this.#connection.abort()
    await this.#running
    await this.#queue.drain().catch(noop)
  }

  settled(): Promise<void> {
    return this.#restarting
  }

  /** Reads the state of the core, beginning after this call. Never rejects. */
  async refresh(): Promise<void> {
    if (!this.#isConnected) return
    if (this.#reading === null) return this.#startReading().catch(noop)
    this.#nextReading ??= this.#reading.catch(noop).then(() => {
      this.#nextReading = null
      return this.#startReading()
    })
    await this.#nextReading.catch(noop)
  }

  async mayReach(cursor: number, readsAll: boolean): Promise<boolean> {
    await this.refresh()
    const state = this.#state
    if (!this.#isConnected || state === null) return true
    if (readsAll) return cursor > this.#head && (cursor <= state.head_db_id || !state.level)
    // Whether the core has assigned the id must not depend on messages that the client cannot read.
    if (this.#head < state.last_db_id)
      await this.#queue.reached(state.last_db_id, this.#options.catchUpMs ?? CATCH_UP_MS)
    return this.#head < state.last_db_id || !state.level
  }

  async #run(): Promise<void> {
    const { onConnection, retryMs = RETRY_MS } = this.#options
    let failures = 0
    while (!this.#stop.signal.aborted) {
      this.#connection = new AbortController()
      const { signal } = this.#connection
      try {
        await this.#follow(signal)
      } catch (thrown) {
        const error: unknown = signal.aborted && signal.reason instanceof GatewayError ? signal.reason : thrown
        if (!this.#stop.signal.aborted) {
          onConnection(
            error instanceof GatewayError ? error : new GatewayError('internal', String(error), { cause: error }),
          )
        }
      }
      this.#connection.abort()
      if (this.#connected) failures = 0
      this.#connected = false
      this.#progress.onConnection()
      await this.#reading?.catch(noop)
      await this.#queue.clear()
      await sleep(backoffDelay(failures, retryMs, Math.random()), null, { signal: this.#stop.signal }).catch(noop)
      failures++
    }
  }

  /** One connection: returns after `closing`, or if the stream must start over. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { connection } = this.#options
    this.#caughtUp = false
    this.#streaming = false
    this.#announced = false
    this.#progress.onConnection()
    // Before the stream: its cursor belongs to the store with this log_id.
    await this.#startReading()
    this.#streaming = true
    const body = await connection.stream(this.#head, signal)
    const fail = (error: unknown): void => this.#connection.abort(error)
    const onSilence = () =>
      fail(new GatewayError('upstream_unreachable', `nothing received for ${SILENCE_MS / 1_000} s`))
    void this.#poll(signal).catch(noop)
    for await (const events of readSseEvents(body, { silenceMs: SILENCE_MS, onSilence })) {
      for (const event of events) if (await this.#handle(event)) return
      signal.throwIfAborted()
      this.#queue.flush(fail)
    }
    await this.#queue.drain()
    signal.throwIfAborted()
    throw new GatewayError('upstream_unreachable', 'The stream ended unexpectedly.')
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const { pollMs = POLL_MS } = this.#options
    while (!signal.aborted) {
      await sleep(pollMs, null, { signal }).catch(noop)
      if (!signal.aborted) await (this.#reading ?? this.#startReading())
    }
  }

  /** @returns true if the connection must end */
  async #handle(event: EventSourceMessage): Promise<boolean> {
    switch (event.event) {
      case 'hello':
        return this.#onHello(parseControlEvent(event))
      case 'new_message': {
        const db_id = parseDbId(event.id ?? '')
        if (db_id === null) throw new GatewayError('upstream_incompatible', 'The core sent a message without a db_id.')
        await this.#queue.push(toMessageRecord(event.data, db_id))
        return false
      }
      case 'reset':
        await this.#queue.drain()
        await this.#onReset(String(parseControlEvent(event).reason) as ResetReason)
        return false
      case 'caught_up':
        await this.#queue.drain()
        this.#caughtUp = true
        await this.refresh()
        return false
      case 'closing':
        await this.#queue.drain()
        return true
      default:
        return false
    }
  }

  async #onHello({ log_id }: Readonly<Record<string, unknown>>): Promise<boolean> {
    if (log_id !== this.#logId) {
      await this.#restart(String(log_id), null)
      return true
    }
    this.#connected = true
    this.#options.onConnection(null)
    return false
  }

  /** The core continues from its first message. */
  async #onReset(reason: ResetReason): Promise<void> {
    if (reason !== 'history_pruned') return this.#restart(this.#logId, reason)
    // Before the clients return: they must find the bounds behind which messages are missing.
    await this.#takePruned()
    this.#options.onReset(reason)
  }

  /** Starts the copy over. Clients must not see a state in between. */
  #restart(logId: string, reason: ResetReason | null): Promise<void> {
    const restart = async (): Promise<void> => {
      await this.#queue.clear()
      const { head } = await this.#options.copy.restart(logId)
      this.#logId = logId
      this.#head = head
      this.#pruned = ''
      this.#notedLevelAt = 0
      this.#announced = false
      this.#progress.begin(head, null)
      this.#options.onReset(reason)
    }
    const restarting = restart()
    this.#restarting = restarting.catch(noop)
    return restarting
  }

  #startReading(): Promise<void> {
    const connection = this.#connection
    const reading = this.#readState()
    // The stream of a core that has just died still looks open.
    reading.catch((error: unknown) => connection.abort(error))
    this.#reading = reading.finally(() => {
      this.#reading = null
    })
    return this.#reading
  }

  async #readState(): Promise<void> {
    const { connection, revocations } = this.#options
    const { signal } = this.#connection
    const readAt = Date.now()
    const state = await connection.state(this.#head, this.#revocationsVersion, signal)
    if (state.log_id !== this.#logId) {
      // The cursor of the stream belongs to the previous store.
      if (this.#streaming) this.#connection.abort()
      return this.#restart(state.log_id, null)
    }
    if (state.revocations !== undefined) {
      await syncRevocations(revocations, state.revocations, Date.now())
      this.#revocationsVersion = state.revocations_version
    }
    if (state.pruned !== this.#pruned) await this.#takePruned()
    this.#pruned = state.pruned
    this.#state = state
    this.#progress.onState(state, this.#caughtUp && state.level, readAt)
    if (!state.level) this.#announced = false
    if (!this.#connected || !this.#progress.isLevel) return
    if (!this.#announced) this.#options.onLevel(Math.max(this.#head, state.head_db_id))
    this.#announced = true
    if (readAt - this.#notedLevelAt < NOTE_LEVEL_MS) return
    this.#notedLevelAt = readAt
    await this.#options.copy.noteLevel(readAt)
  }

  /** Takes over what retention has deleted at the core. */
  async #takePruned(): Promise<void> {
    const { connection, copy, onPruned } = this.#options
    let after = ''
    for (;;) {
      const page = await connection.pruned(after, this.#connection.signal)
      if (page.length === 0) return
      await copy.prune(page)
      after = page.at(-1)!.event_id
      onPruned()
    }
  }
}
