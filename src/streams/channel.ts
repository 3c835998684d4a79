import { filterKey, type SubscriptionFilter } from '../core/subscription-filter.ts'
import { ReplayBuffer } from './replay-buffer.ts'

/** Subscribers served in one go before the event loop has its turn. */
const BROADCAST_SLICE = 256

/**
 * After a pass over its subscribers a channel rests as long as the pass took times this: what arrives
 * meanwhile shares the next pass, so the busier the channel, the fewer writes a message costs. A room of ten rests
 * 0.2 ms, one of a thousand 20 ms, and never takes more than a third of a core.
 */
const PAUSE_FACTOR = 2
/** Nobody waits longer than this for company, in milliseconds. */
const MAX_PAUSE_MS = 50

/** A quiet channel gives its slab back after this many milliseconds. */
const IDLE_BUFFER_TTL_MS = 10_000

/** What a channel needs of its subscribers. */
interface Member {
  /** Index in the channel's list; the channel keeps it. */
  index: number
  /** Sends what is new, if the sink is free. */
  sendPending(): void
}

/** All subscribers of one selection, and the newest frames of it, encoded once for all of them. */
export class StreamChannel {
  readonly key: string
  readonly selection: SubscriptionFilter
  readonly slab: ReplayBuffer
  readonly #subscribers: Member[] = []
  /** Counts departures: a pass that sees one looks again, since the last subscriber moves into the gap. */
  #departures = 0
  /** Subscribers whose sink is full. */
  #blocked = 0
  #passing = false
  #again = false
  #notBefore = 0
  #lastFrameAt = 0

  /** @param from the slab begins behind this db_id */
  constructor(selection: SubscriptionFilter, from: number) {
    this.selection = selection
    this.key = filterKey(selection)
    this.slab = new ReplayBuffer(from)
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

  /** A subscriber's sink is full, or has room again. */
  setBlocked(blocked: boolean): void {
    this.#blocked += blocked ? 1 : -1
  }

  /** True while nobody in here could take anything: then nothing is encoded or kept, as the log has it. */
  get allBlocked(): boolean {
    return this.#blocked >= this.#subscribers.length
  }

  append(db_id: number, frame: Buffer): void {
    this.slab.append(db_id, frame)
    this.#lastFrameAt = performance.now()
  }

  /** Lets every subscriber that can write take what is new, now or as soon as the last pass has rested. */
  scheduleBroadcast(): void {
    this.#again = true
    if (this.#passing) return
    this.#passing = true
    const rest = this.#notBefore - performance.now()
    if (rest > 1) setTimeout(() => this.#pass(), rest)
    else this.#pass()
  }

  /** Called now and then: memory for frames that everyone has is given back. */
  trim(now: number): void {
    if (this.slab.bytes > 0 && !this.#passing && now - this.#lastFrameAt > IDLE_BUFFER_TTL_MS) this.slab.clear()
  }

  #pass(): void {
    this.#again = false
    const departures = this.#departures
    let at = 0
    let spent = 0
    const slice = (): void => {
      const startedAt = performance.now()
      const end = at + BROADCAST_SLICE
      // A subscriber that leaves during the pass shortens the list under this loop.
      for (; at < end && at < this.#subscribers.length; at++) this.#subscribers[at]!.sendPending()
      const now = performance.now()
      spent += now - startedAt
      if (at < this.#subscribers.length) {
        setImmediate(slice)
        return
      }
      this.#passing = false
      this.#notBefore = now + Math.min(spent * PAUSE_FACTOR, MAX_PAUSE_MS)
      if (this.#again || this.#departures !== departures) this.scheduleBroadcast()
    }
    slice()
  }
}
