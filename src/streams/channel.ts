import { filterKey, type SubscriptionFilter } from '../core/subscription-filter.ts'
import { ReplayBuffer, type ReplayMemory } from './replay-buffer.ts'

/** Subscribers served per event-loop iteration. */
const BROADCAST_SLICE = 256

/**
 * After a broadcast, the channel pauses for the duration of the broadcast times this factor. Messages that arrive meanwhile share the next
 * broadcast, so the busier a channel is, the fewer writes a message costs. A channel with ten subscribers pauses for 0.2 ms, one with a
 * thousand for 20 ms, and none uses more than a third of a core.
 */
const PAUSE_FACTOR = 2
/** Maximum pause between two broadcasts, in milliseconds. */
const MAX_PAUSE_MS = 50

/** A channel without new messages frees its replay buffer after this many milliseconds. */
const IDLE_BUFFER_TTL_MS = 10_000
/** A busy channel frees it after this many milliseconds, since retention may have deleted messages of it. */
const MAX_BUFFER_AGE_MS = 60_000

/** The part of a subscriber that a channel uses. */
interface Member {
  /** Index in the channel's list, maintained by the channel. */
  index: number
  /** Sends the new messages if no write is pending. */
  sendPending(): void
}

/** All subscribers of one filter, and the newest SSE events for it, encoded once for all of them. */
export class StreamChannel {
  readonly key: string
  readonly filter: SubscriptionFilter
  readonly buffer: ReplayBuffer
  readonly #subscribers: Member[] = []
  /** Number of removals. A removal moves the last subscriber into the gap, so a broadcast during which one happens is repeated. */
  #departures = 0
  /** Number of subscribers whose sink is full. */
  #blocked = 0
  #broadcasting = false
  #rerun = false
  #notBefore = 0
  #lastFrameAt = 0
  /** When the buffer got its first event. */
  #bufferedAt = 0

  /** @param from the replay buffer starts after this db_id */
  constructor(filter: SubscriptionFilter, from: number, memory: ReplayMemory) {
    this.filter = filter
    this.key = filterKey(filter)
    this.buffer = new ReplayBuffer(from, undefined, memory)
  }

  get size(): number {
    return this.#subscribers.length
  }

  add(subscriber: Member): void {
    subscriber.index = this.#subscribers.length
    this.#subscribers.push(subscriber)
  }

  remove(subscriber: Member): void {
    const last = this.#subscribers.pop()
    if (last !== undefined && last !== subscriber) {
      this.#subscribers[subscriber.index] = last
      last.index = subscriber.index
    }
    this.#departures++
  }

  /** Called when the sink of a subscriber becomes full or writable again. */
  setBlocked(blocked: boolean): void {
    this.#blocked += blocked ? 1 : -1
  }

  /** True if every subscriber is blocked. Nothing is encoded or buffered then; subscribers catch up from the store. */
  get allBlocked(): boolean {
    return this.#blocked >= this.#subscribers.length
  }

  append(db_id: number, frame: Buffer): void {
    this.#lastFrameAt = performance.now()
    if (this.buffer.frames === 0) this.#bufferedAt = this.#lastFrameAt
    this.buffer.append(db_id, frame)
  }

  /** Sends the new messages to every writable subscriber, now or after the pause that follows the last broadcast. */
  scheduleBroadcast(): void {
    this.#rerun = true
    if (this.#broadcasting) return
    this.#broadcasting = true
    const pauseMs = this.#notBefore - performance.now()
    if (pauseMs > 1) setTimeout(() => this.#broadcast(), pauseMs)
    else this.#broadcast()
  }

  /** Called periodically: frees the replay buffer if the channel is idle or the buffer is old. */
  trim(now: number): void {
    const isIdle = !this.#broadcasting && now - this.#lastFrameAt > IDLE_BUFFER_TTL_MS
    const isOld = now - this.#bufferedAt > MAX_BUFFER_AGE_MS
    if (this.buffer.frames > 0 && (isIdle || isOld)) this.buffer.clear()
  }

  #broadcast(): void {
    this.#rerun = false
    const departures = this.#departures
    let at = 0
    let elapsedMs = 0
    const slice = (): void => {
      const startedAt = performance.now()
      const end = at + BROADCAST_SLICE
      // A subscriber that leaves during the broadcast shortens the list.
      for (; at < end && at < this.#subscribers.length; at++) this.#subscribers[at]!.sendPending()
      const now = performance.now()
      elapsedMs += now - startedAt
      if (at < this.#subscribers.length) {
        setImmediate(slice)
        return
      }
      this.#broadcasting = false
      this.#notBefore = now + Math.min(elapsedMs * PAUSE_FACTOR, MAX_PAUSE_MS)
      if (this.#rerun || this.#departures !== departures) this.scheduleBroadcast()
      // Many channels may hold a different one; subscribers that were blocked read it from the store.
      else this.buffer.releaseLarge()
    }
    slice()
  }
}
