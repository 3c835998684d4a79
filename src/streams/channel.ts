import { type Selection, selectionKey } from '../core/subscription-filter.ts'
import { Slab } from './replay-buffer.ts'
import type { Subscriber } from './subscriber.ts'

/** Subscribers served in one go before the event loop has its turn. */
const SLICE = 256

/**
 * After a pass over its subscribers a channel rests as long as the pass took times this: what arrives
 * meanwhile shares the next pass, so the busier the channel, the fewer writes a message costs. A room of ten rests
 * 0.2 ms, one of a thousand 20 ms, and never takes more than a third of a core.
 */
const REST = 2
/** Nobody waits longer than this for company, in milliseconds. */
const MOST_REST_MS = 50

/** A quiet channel gives its slab back after this many milliseconds. */
const QUIET_MS = 10_000

/** All subscribers of one selection, and the newest frames of it, encoded once for all of them. */
export class Channel {
  readonly key: string
  readonly selection: Selection
  readonly slab: Slab
  readonly #subscribers: Subscriber[] = []
  /** Counts departures: a pass that sees one looks again, since the last subscriber moves into the gap. */
  #departures = 0
  /** Subscribers whose sink is full. */
  #blocked = 0
  #passing = false
  #again = false
  #notBefore = 0
  #lastFrameAt = 0

  /** @param from the slab begins behind this db_id */
  constructor(selection: Selection, from: number) {
    this.selection = selection
    this.key = selectionKey(selection)
    this.slab = new Slab(from)
  }

  get size(): number {
    return this.#subscribers.length
  }

  get subscribers(): readonly Subscriber[] {
    return this.#subscribers
  }

  add(subscriber: Subscriber): void {
    subscriber.place = this.#subscribers.length
    this.#subscribers.push(subscriber)
  }

  remove(subscriber: Subscriber): void {
    const last = this.#subscribers.pop()
    if (last !== undefined && last !== subscriber) {
      this.#subscribers[subscriber.place] = last
      last.place = subscriber.place
    }
    this.#departures++
  }

  /** A subscriber's sink is full, or has room again. */
  block(blocked: boolean): void {
    this.#blocked += blocked ? 1 : -1
  }

  /** True while nobody in here could take anything: then nothing is encoded or kept, as the log has it. */
  get isDeaf(): boolean {
    return this.#blocked >= this.#subscribers.length
  }

  append(db_id: number, frame: Buffer): void {
    this.slab.append(db_id, frame)
    this.#lastFrameAt = performance.now()
  }

  /** Lets every subscriber that can write take what is new, now or as soon as the last pass has rested. */
  flush(): void {
    this.#again = true
    if (this.#passing) return
    this.#passing = true
    const rest = this.#notBefore - performance.now()
    if (rest > 1) setTimeout(() => this.#pass(), rest)
    else this.#pass()
  }

  /** Called now and then: memory for frames that everyone has is given back. */
  trim(now: number): void {
    if (this.slab.bytes > 0 && !this.#passing && now - this.#lastFrameAt > QUIET_MS) this.slab.clear()
  }

  #pass(): void {
    this.#again = false
    const departures = this.#departures
    let at = 0
    let spent = 0
    const slice = (): void => {
      const begun = performance.now()
      const end = at + SLICE
      // A subscriber that leaves during the pass shortens the list under this loop.
      for (; at < end && at < this.#subscribers.length; at++) this.#subscribers[at]!.pump()
      const now = performance.now()
      spent += now - begun
      if (at < this.#subscribers.length) {
        setImmediate(slice)
        return
      }
      this.#passing = false
      this.#notBefore = now + Math.min(spent * REST, MOST_REST_MS)
      if (this.#again || this.#departures !== departures) this.flush()
    }
    slice()
  }
}
