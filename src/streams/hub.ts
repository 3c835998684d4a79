import { isDamage } from '../core/error-catalogue/groups.ts'
import type { ClosingReason } from '../core/sse.ts'
import { filterKey, type SubscriptionFilter } from '../core/subscription-filter.ts'
import type { ChangeNotifier } from '../store/change-notifier.ts'
import type { MessageStore } from '../store/store.ts'
import { StreamChannel } from './channel.ts'
import { HistoryCache } from './history-cache.ts'
import type { ReplayMemory } from './replay-buffer.ts'
import { StreamTimers } from './stream-timers.ts'
import {
  type SendCounters,
  type StreamSink,
  Subscriber,
  type SubscriberContext,
  type SubscriberState,
} from './subscriber.ts'
import { Tailer } from './tailer.ts'

/** A stream is closed if its client accepts no data for this long, in milliseconds. */
const STALL_TIMEOUT_MS = 30_000
/** Maximum reconnection delay at shutdown relative to the minimum, so that clients do not return all at once. */
const SHUTDOWN_RETRY_SPREAD = 1.5
/** Range of the reconnection delays of streams that need damaged rows, in milliseconds: a repair takes minutes at least. */
const DAMAGE_RETRY_MS = { minMs: 15_000, maxMs: 30_000 }
/** Range of the reconnection delays of streams that can continue on another host, in milliseconds. */
const MOVE_RETRY_MS = { minMs: 100, maxMs: 3_000 }

export interface HubOptions {
  readonly store: MessageStore
  readonly changes: ChangeNotifier
  readonly heartbeatMs: number
  /** Maximum age of a stream in milliseconds; 0 disables the limit. */
  readonly maxAgeMs: number
  /** Minimum reconnection delay at shutdown, in milliseconds. */
  readonly shutdownRetryMs: number
  readonly stallMs?: number
  /** Called with the error when a read of the store fails, and with null when one succeeds. */
  readonly onFault: (error: unknown) => void
  /** Called when the server ends a stream. */
  readonly onClosing: (reason: ClosingReason) => void
}

export interface Subscription {
  readonly filter: SubscriptionFilter
  readonly sink: StreamSink
  readonly cursor: number
  /** Last db_id in `hello`: `caught_up` is sent once everything up to it has been sent. */
  readonly caughtUpAt: number
  /** A db_id that the store is known to have reached. */
  readonly head: number
  readonly preamble: Buffer
  /** The token that authorized the subscriber; null if none was required. */
  readonly token?: StreamToken | null
}

/** Claims of a token that determine when its stream ends. Times are in milliseconds since 1970. */
export interface StreamToken {
  readonly subject: string | null
  /** The token's id if the stream was opened by a session, otherwise null. */
  readonly session: string | null
  readonly issuedAt: number | null
  readonly expiresAt: number
}

/** Statistics of the hub: current channels, and totals since its start. */
export interface HubStats extends Readonly<SendCounters> {
  /** Filters with at least one subscriber. */
  readonly channels: number
  /** Pages of history that were read from the store and encoded; all others came from the cache. */
  readonly pageReads: number
}

/** All streams of one process: channels, their subscribers, the tailer and the timers. */
export class StreamHub {
  readonly #options: HubOptions
  readonly #channels = new Map<string, SubscriberContext>()
  readonly #subscribers = new Set<Subscriber>()
  readonly #tokens = new Map<Subscriber, StreamToken>()
  readonly #counters: SendCounters = { messages: 0, bytes: 0, pages: 0 }
  readonly #pages: HistoryCache
  readonly #memory: ReplayMemory = { bytes: 0 }
  readonly #tailer: Tailer
  readonly #timers: StreamTimers
  #stopping = false

  constructor(options: HubOptions) {
    this.#options = options
    this.#pages = new HistoryCache(options.store)
    this.#tailer = new Tailer(options)
    this.#timers = new StreamTimers({
      heartbeatMs: options.heartbeatMs,
      maxAgeMs: options.maxAgeMs,
      stallMs: options.stallMs ?? STALL_TIMEOUT_MS,
      onTooSlow: (subscriber) => this.#end(subscriber, 'too_slow'),
      onMaxAge: (subscriber) => this.#end(subscriber, 'max_age'),
      onExpired: (subscriber) => this.#end(subscriber, 'token_expired'),
      onTick: (now) => {
        for (const { channel } of this.#channels.values()) channel.trim(now)
      },
    })
  }

  get subscribers(): number {
    return this.#subscribers.size
  }

  get channels(): number {
    return this.#channels.size
  }

  /** Number of subscribers whose socket is full. */
  get stalled(): number {
    return this.#timers.stalled
  }

  get stats(): HubStats {
    return { channels: this.channels, pageReads: this.#pages.misses, ...this.#counters }
  }

  /** Counts the subscribers by state. O(subscribers); intended for occasional calls such as metrics. */
  subscribersByState(): Record<SubscriberState, number> {
    const counts = { live: 0, catching_up: 0, stalled: 0 }
    for (const subscriber of this.#subscribers) counts[subscriber.state]++
    return counts
  }

  async start(): Promise<void> {
    await this.#tailer.start()
    this.#timers.start()
  }

  /** Ends every stream with `closing` and a random `retry:`. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const subscriber of [...this.#subscribers]) this.#endAtShutdown(subscriber)
    this.#timers.stop()
    await this.#tailer.stop()
  }

  /** Ends every stream, so that its client reconnects to a host that can read the store. */
  moveAll(): void {
    for (const subscriber of [...this.#subscribers]) this.#endAfter(subscriber, 'database_unreachable', MOVE_RETRY_MS)
  }

  /**
   * Ends every stream after the store was replaced by another one, or lacks messages that subscribers expect: their clients return with
   * their cursors, and get the `reset` that is due.
   */
  restart(): void {
    for (const subscriber of [...this.#subscribers]) this.#endAfter(subscriber, 'upstream_reset', MOVE_RETRY_MS)
    this.#pages.clear()
    this.#tailer.restart()
  }

  /** Ends the streams whose cursor is greater than this db_id. */
  endBeyond(db_id: number): void {
    for (const subscriber of [...this.#subscribers])
      if (subscriber.cursor > db_id) this.#endAfter(subscriber, 'upstream_reset', MOVE_RETRY_MS)
  }

  /** Must be called after this process has deleted messages; what others delete is not sent any more a minute later. */
  clearHistoryCache(): void {
    this.#pages.clear()
  }

  /**
   * Adds a subscriber. The caller has checked that its sink is still open (S2).
   *
   * @returns a function that must be called once the sink is closed
   */
  subscribe(subscription: Subscription): () => void {
    const context = this.#getContext(subscription.filter, subscription.head)
    const subscriber = new Subscriber(subscription, context)
    context.channel.add(subscriber)
    const { token = null } = subscription
    if (token !== null) this.#tokens.set(subscriber, token)
    this.#timers.add(subscriber, token?.expiresAt ?? null)
    this.#subscribers.add(subscriber)
    // Its request came before the stop, which would otherwise wait for this connection until the deadline.
    if (this.#stopping) this.#endAtShutdown(subscriber)
    else subscriber.sendPending()
    return () => this.#remove(subscriber)
  }

  /** Ends the streams whose token matches. Their clients can return with a new token. */
  closeWhere(matches: (token: StreamToken) => boolean): void {
    for (const [subscriber, token] of this.#tokens) if (matches(token)) this.#end(subscriber, 'token_expired')
  }

  /** Returns the object shared by all subscribers of a channel: anything held per subscriber is held ten thousand times. */
  #getContext(filter: SubscriptionFilter, head: number): SubscriberContext {
    const key = filterKey(filter)
    const existing = this.#channels.get(key)
    if (existing !== undefined) return existing
    const channel = this.#tailer.add((from) => new StreamChannel(filter, from, this.#memory), head)
    const context: SubscriberContext = {
      channel,
      counters: this.#counters,
      tailPosition: () => this.#tailer.position,
      history: (cursor) => this.#pages.pageAfter(filter, cursor),
      onBlocked: (subscriber, blocked) => {
        channel.setBlocked(blocked)
        this.#timers.blocked(subscriber, blocked)
      },
      onFault: (subscriber, error) => {
        this.#options.onFault(error)
        if (isDamage(error)) this.#endAfter(subscriber, 'database_corrupt', DAMAGE_RETRY_MS)
        else this.#timers.retryOnTick(subscriber)
      },
    }
    this.#channels.set(key, context)
    // The tailer does not read while there are no channels, so let it fetch what was stored since `head`.
    this.#tailer.notify()
    return context
  }

  #endAtShutdown(subscriber: Subscriber): void {
    const { shutdownRetryMs: minMs } = this.#options
    this.#endAfter(subscriber, 'shutdown', { minMs, maxMs: minMs * SHUTDOWN_RETRY_SPREAD })
  }

  /** Ends a stream; its client reconnects after a random delay. */
  #endAfter(subscriber: Subscriber, reason: ClosingReason, { minMs, maxMs }: typeof DAMAGE_RETRY_MS): void {
    this.#end(subscriber, reason, minMs + Math.random() * (maxMs - minMs))
  }

  #end(subscriber: Subscriber, reason: ClosingReason, retryMs: number | null = null): void {
    this.#options.onClosing(reason)
    subscriber.close(reason, retryMs)
    this.#remove(subscriber)
  }

  #remove(subscriber: Subscriber): void {
    if (!this.#subscribers.delete(subscriber)) return
    this.#tokens.delete(subscriber)
    const { channel } = subscriber
    subscriber.onSinkClosed()
    this.#timers.remove(subscriber)
    channel.remove(subscriber)
    if (channel.size > 0) return
    this.#channels.delete(channel.key)
    channel.buffer.clear()
    this.#tailer.remove(channel)
  }
}
