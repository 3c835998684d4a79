import { encodeHeartbeatEvent } from '../core/sse.ts'
import type { Subscriber } from './subscriber.ts'

const TICK_MS = 500

export interface StreamTimersOptions {
  readonly heartbeatMs: number
  /** A subscriber is closed as too slow if its client accepts no data for this long, in milliseconds. */
  readonly stallMs: number
  /** Maximum age of a stream in milliseconds, shortened by up to a fifth at random; 0 disables the limit. */
  readonly maxAgeMs: number
  readonly onTooSlow: (subscriber: Subscriber) => void
  readonly onMaxAge: (subscriber: Subscriber) => void
  /** Called when the token of a subscriber has expired. */
  readonly onExpired: (subscriber: Subscriber) => void
  /** Called on every tick. */
  readonly onTick: (now: number) => void
}

interface Stall {
  progress: number
  since: number
}

/**
 * One timer for all streams: heartbeats, stalls, ages and expiry of tokens. Subscribers are spread over as many slots as there are ticks
 * per heartbeat interval, so that ten thousand heartbeats are never sent at once.
 */
export class StreamTimers {
  readonly #options: StreamTimersOptions
  readonly #slots: Set<Subscriber>[]
  readonly #slotBySubscriber = new Map<Subscriber, Set<Subscriber>>()
  readonly #stalls = new Map<Subscriber, Stall>()
  readonly #deadlines = new Map<Subscriber, number>()
  /** Expiry of tokens, in milliseconds since 1970. */
  readonly #expiries = new Map<Subscriber, number>()
  readonly #toRetry = new Set<Subscriber>()
  #slotIndex = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: StreamTimersOptions) {
    this.#options = options
    const slots = Math.max(1, Math.round(options.heartbeatMs / TICK_MS))
    this.#slots = Array.from({ length: slots }, () => new Set())
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(performance.now()), TICK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** @param expiresAt expiry of its token in milliseconds since 1970; null if it never expires */
  add(subscriber: Subscriber, expiresAt: number | null): void {
    const slot = this.#slots[Math.floor(Math.random() * this.#slots.length)]!
    slot.add(subscriber)
    this.#slotBySubscriber.set(subscriber, slot)
    const { maxAgeMs } = this.#options
    if (expiresAt !== null) this.#expiries.set(subscriber, expiresAt)
    if (maxAgeMs > 0) this.#deadlines.set(subscriber, performance.now() + maxAgeMs * (1 - Math.random() / 5))
  }

  remove(subscriber: Subscriber): void {
    this.#slotBySubscriber.get(subscriber)?.delete(subscriber)
    this.#slotBySubscriber.delete(subscriber)
    this.#stalls.delete(subscriber)
    this.#deadlines.delete(subscriber)
    this.#expiries.delete(subscriber)
    this.#toRetry.delete(subscriber)
  }

  /** Calls `sendPending` of the subscriber once on the next tick, regardless of the number of calls until then. */
  retryOnTick(subscriber: Subscriber): void {
    this.#toRetry.add(subscriber)
  }

  /** Called when a write of the subscriber remains pending, and when it completes. */
  blocked(subscriber: Subscriber, blocked: boolean): void {
    if (!blocked) this.#stalls.delete(subscriber)
    else this.#stalls.set(subscriber, { progress: subscriber.sink.progress, since: performance.now() })
  }

  /** Number of subscribers with a write that remains pending. */
  get stalled(): number {
    return this.#stalls.size
  }

  #tick(now: number): void {
    this.#slotIndex = (this.#slotIndex + 1) % this.#slots.length
    const heartbeat = encodeHeartbeatEvent(new Date().toISOString())
    for (const subscriber of this.#slots[this.#slotIndex]!) subscriber.heartbeat(heartbeat)
    for (const [subscriber, stall] of this.#stalls) {
      const progress = subscriber.sink.progress
      if (progress !== stall.progress) this.#stalls.set(subscriber, { progress, since: now })
      else if (now - stall.since >= this.#options.stallMs) this.#options.onTooSlow(subscriber)
    }
    for (const [subscriber, deadline] of this.#deadlines) if (now >= deadline) this.#options.onMaxAge(subscriber)
    const time = Date.now()
    for (const [subscriber, expiry] of this.#expiries) if (time >= expiry) this.#options.onExpired(subscriber)
    const toRetry = [...this.#toRetry]
    this.#toRetry.clear()
    for (const subscriber of toRetry) subscriber.sendPending()
    this.#options.onTick(now)
  }
}
