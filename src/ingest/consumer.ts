import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Channel } from 'rabbitmq-client'
import { type Delivery, interceptDeliveries } from '../amqp/deliveries.ts'
import { createPublishedByVerifier } from '../amqp/published-by.ts'
import type { AmqpConnection } from '../amqp/rabbitmq-client-patch.ts'
import { backoffDelay } from '../core/backoff.ts'
import type { LagReference } from '../core/lag-reference.ts'
import { noop } from '../core/noop.ts'
import type { Span, Tracer } from '../core/trace.ts'
import { createUuidV7Generator } from '../core/uuid.ts'
import type { AppendEntry, AppendResult, MessageStore } from '../store/store.ts'
import type { IngestBuffer } from './ingest-buffer.ts'
import { getPublishTime, type PublishTime } from './lag.ts'
import { endDeliverySpan, startDeliverySpan } from './spans.ts'
import { validateDelivery } from './validate-delivery.ts'

/**
 * Minimum interval between a commit of several messages and the next commit, in milliseconds. A single message is not followed by a delay.
 */
const MIN_COMMIT_INTERVAL_MS = 8
/** Commit immediately once this many deliveries are waiting. */
const FLUSH_AT_DELIVERIES = 100

/**
 * A batch that still cannot be committed this long after its first failure ends the consumer, in milliseconds: its deliveries return to the
 * queue in order, and another host can consume within 10 seconds of a silent cut, which is noticed after 4 to 6. Longer than the other hosts
 * need to notice the same fault and to stop consuming (2.2 seconds), so that the deliveries count towards a delivery limit once.
 */
const REQUEUE_AFTER_MS = 2_500

const BACKOFF_MS = { minMs: 100, maxMs: 5_000 }

export interface ConsumerOptions {
  /** Bounds the bytes of the deliveries in hand. */
  readonly buffer: IngestBuffer
  /** Commits a batch; resolves once it is durable. */
  readonly append: MessageStore['append']
  readonly queue: string
  readonly prefetch: number
  readonly maxMessageBytes: number
  /** Key of PUBLISHED_BY_HEADER; null if no delivery has a valid one. */
  readonly publishedByKey: Uint8Array | null
  /** Called after each commit. */
  readonly onCommitted: (entries: readonly AppendEntry[], outcomes: readonly AppendResult[]) => void
  /** Called after each commit with the time since its oldest message was published, in seconds. */
  readonly onLag: (seconds: number, since: LagReference) => void
  /** Called with the error when a commit fails, and with null when one succeeds. */
  readonly onStorageFault: (error: unknown) => void
  /** Starts spans; null if tracing is disabled. */
  readonly tracer: Tracer | null
}

interface PendingDelivery {
  readonly deliveryTag: number
  readonly entry: AppendEntry
  readonly publishedAt: PublishTime
  readonly span: Span | null
  /** Size of the body as it is held. */
  readonly bytes: number
}

/**
 * Consumes one queue on one channel. Deliveries accumulate while the previous commit runs; then they are committed together and
 * acknowledged with one frame (L1). If the store fails, nothing is acknowledged, and the same batch is retried, in order (I1). A consumer
 * lives as long as its channel, or until the store has failed for too long; the broker then redelivers what is not acknowledged.
 */
export class Consumer {
  readonly #options: ConsumerOptions
  readonly #connection: AmqpConnection
  readonly #channel: Channel
  readonly #makeId = createUuidV7Generator(randomBytes)
  readonly #verifyPublishedBy: ReturnType<typeof createPublishedByVerifier>
  #pending: PendingDelivery[] = []
  #running: Promise<void> | null = null
  #closed = false
  /** True once deliveries are left to be redelivered. */
  #discarded = false
  /** Time of performance.now() from which a small batch can be committed; 0 if immediately. */
  #notBefore = 0
  #stopping = false
  #wake: (() => void) | null = null
  readonly #storeFailed = Promise.withResolvers<void>()

  constructor(connection: AmqpConnection, channel: Channel, options: ConsumerOptions) {
    this.#connection = connection
    this.#channel = channel
    this.#options = options
    this.#verifyPublishedBy = createPublishedByVerifier(options.publishedByKey)
    channel.once('close', () => {
      this.#closed = true
      this.#discard()
    })
  }

  /** Resolves when the store has failed for too long. The consumer then holds no deliveries and takes none. */
  get storeFailed(): Promise<void> {
    return this.#storeFailed.promise
  }

  /** True if it holds no deliveries. */
  get idle(): boolean {
    return this.#running === null
  }

  async start(): Promise<void> {
    const { queue, prefetch, maxMessageBytes } = this.#options
    await this.#channel.basicQos({ prefetchCount: prefetch })
    interceptDeliveries(this.#connection, this.#channel, maxMessageBytes, (delivery) => this.#onDelivery(delivery))
    // No-op: deliveries are intercepted before the library dispatches them.
    await this.#channel.basicConsume({ queue }, noop)
  }

  /**
   * Ignores further deliveries, then commits and acknowledges the pending ones. Does not send basic.cancel: a delivery that crosses it
   * would be requeued after its successor. The ignored deliveries are requeued in order when the channel closes.
   */
  async stop(): Promise<void> {
    this.#stopping = true
    while (this.#running !== null) await this.#running
  }

  /** Ends the consumer while the store fails. Its deliveries return to the queue when the channel closes. */
  async requeue(): Promise<void> {
    this.#discard()
    while (this.#running !== null) await this.#running
  }

  #onDelivery(delivery: Delivery): void {
    if (this.#discarded || this.#stopping) return
    const now = Date.now()
    const { maxMessageBytes: limit, tracer, queue } = this.#options
    const span = tracer === null ? null : startDeliverySpan(tracer, delivery, queue, now)
    const traceparent = span?.traceparent ?? delivery.properties.headers?.traceparent
    const entry = validateDelivery(delivery, {
      limit,
      now,
      makeId: this.#makeId,
      traceparent,
      verifyPublishedBy: this.#verifyPublishedBy,
    })
    // A decompressed body can be a thousand times as long as the one that was delivered.
    const bytes = Math.max(delivery.body.length, entry.kind === 'message' ? entry.message.body.length : 0)
    this.#options.buffer.add(bytes)
    this.#pending.push({
      deliveryTag: delivery.deliveryTag,
      entry,
      publishedAt: getPublishTime(delivery.properties, now),
      span,
      bytes,
    })
    this.#running ??= this.#run()
  }

  async #run(): Promise<void> {
    // Wait for the other deliveries of the same socket read, so that they join the first batch.
    await new Promise(setImmediate)
    while (this.#pending.length > 0) {
      await this.#waitForBatch()
      const batch = this.#pending
      this.#pending = []
      this.#notBefore = batch.length > 1 ? performance.now() + MIN_COMMIT_INTERVAL_MS : 0
      const entries = batch.map((delivery) => delivery.entry)
      const outcomes = await this.#commit(entries)
      this.#release(batch)
      if (outcomes === null) break
      if (this.#options.tracer !== null) {
        for (const [index, { span, entry }] of batch.entries()) endDeliverySpan(span, entry, outcomes[index]!)
      }
      this.#options.onCommitted(entries, outcomes)
      this.#reportLag(batch)
      if (!this.#closed) this.#channel.basicAck({ deliveryTag: batch.at(-1)!.deliveryTag, multiple: true })
    }
    this.#running = null
  }

  /**
   * Waits, so that messages in quick succession share one commit. A commit costs the machine the same for one message as for ten, and at
   * 1,000 msg/s there would be 600 commits a second.
   */
  async #waitForBatch(): Promise<void> {
    const pauseMs = this.#notBefore - performance.now()
    if (pauseMs > 1 && this.#pending.length < FLUSH_AT_DELIVERIES && !this.#stopping) await delay(pauseMs)
  }

  #reportLag(batch: readonly PendingDelivery[]): void {
    let oldest = batch[0]!.publishedAt
    for (const { publishedAt } of batch) if (publishedAt.at < oldest.at) oldest = publishedAt
    this.#options.onLag(Math.max(0, Date.now() - oldest.at) / 1_000, oldest.since)
  }

  /** Retries until the batch is committed. @returns null if the consumer has ended, since the broker then redelivers the batch */
  async #commit(entries: readonly AppendEntry[]): Promise<AppendResult[] | null> {
    let endsAt = Number.POSITIVE_INFINITY
    for (let attempt = 0; !this.#discarded; attempt++) {
      if (this.#connection.stale) {
        this.#discard()
        break
      }
      setExclusiveUntil(entries, this.#connection.staleAt)
      try {
        const outcomes = await this.#options.append(entries)
        this.#options.onStorageFault(null)
        return outcomes
      } catch (error) {
        this.#options.onStorageFault(error)
      }
      const now = performance.now()
      endsAt = this.#stopping ? Number.POSITIVE_INFINITY : Math.min(endsAt, now + REQUEUE_AFTER_MS)
      if (now < endsAt) await this.#backoff(attempt, endsAt - now)
      else {
        this.#discard()
        this.#storeFailed.resolve()
      }
    }
    return null
  }

  /** Leaves the deliveries in hand to be redelivered, except those of a commit in progress that still succeeds. */
  #discard(): void {
    this.#discarded = true
    this.#release(this.#pending)
    this.#pending = []
    this.#wake?.()
  }

  #release(deliveries: readonly PendingDelivery[]): void {
    for (const { bytes } of deliveries) this.#options.buffer.remove(bytes)
  }

  async #backoff(attempt: number, maxMs: number): Promise<void> {
    const delayMs = Math.min(maxMs, backoffDelay(attempt, BACKOFF_MS, Math.random()))
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delayMs)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** Set at each attempt, since a commit that waits long on a connection that works gives no reason to look for copies. */
const setExclusiveUntil = (entries: readonly AppendEntry[], time: number): void => {
  for (const entry of entries) {
    const origin = entry.kind === 'message' ? entry.origin : entry.rejection.origin
    if (origin !== null && origin.exclusive_until > 0) origin.exclusive_until = time
  }
}
