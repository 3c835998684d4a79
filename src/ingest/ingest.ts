import { setTimeout as delay } from 'node:timers/promises'
import type { Channel } from 'rabbitmq-client'
import type { BrokerAddress } from '../amqp/address.ts'
import { rejectOnClose } from '../amqp/channel-close.ts'
import type { OpenConnection, ReconnectingConnection } from '../amqp/connection.ts'
import { createDeliveryFrameLoop } from '../amqp/deliveries.ts'
import type { AmqpConnection } from '../amqp/rabbitmq-client-patch.ts'
import { noop } from '../core/noop.ts'
import type { HealthRegistry } from '../monitoring/health.ts'
import { BindingWatch } from './binding-watch.ts'
import { createComponentConnection } from './connection.ts'
import { Consumer, type ConsumerOptions } from './consumer.ts'
import { ExchangeWatch } from './exchange-watch.ts'
import { IngestBuffer } from './ingest-buffer.ts'
import { deadLetterQueue, declareDeadLetters, declareTopology, type QueueStats, type Topology } from './topology.ts'

/**
 * RabbitMQ does not notify consumers when an exchange or a binding is deleted, so the topology is declared again at this interval, in
 * milliseconds. A round takes 1.5 ms of CPU time here and at the broker.
 */
const REDECLARE_MS = 1_000
/** Dead letters are consumed one at a time: a crash then counts as a delivery attempt of one of them, not of a whole prefetch. */
const DEAD_LETTER_PREFETCH = 1

interface ConsumeOptions extends Pick<OpenConnection, 'stopping' | 'ready'> {
  readonly connection: AmqpConnection
  /** Rejects when the connection or the control channel fails. */
  readonly failed: Promise<never>
}

/** Interval between checks of a store that has failed, in milliseconds. */
const STORE_CHECK_MS = 1_000
/** Time within which a consumer without deliveries ends once the store has failed, in milliseconds. */
const IDLE_CHECK_MS = 200

export interface IngestOptions extends Omit<ConsumerOptions, 'queue' | 'buffer'> {
  readonly address: BrokerAddress
  readonly topology: Topology
  readonly health: HealthRegistry
  /** RABBITMQ_HEARTBEAT_SECONDS. */
  readonly heartbeatSeconds: number
  /** INGEST_BUFFER_BYTES. */
  readonly bufferBytes: number
  /** Called with a warning for the operator, once per cause. */
  readonly onWarning: (text: string) => void
  /** Rejects while the store cannot commit. */
  readonly checkStore: () => Promise<void>
  /** Called after a deleted exchange is declared and bound again. */
  readonly onExchangeDeleted: () => void
  /** Called with the number of bindings that were deleted and are declared again. */
  readonly onBindingsDeleted: (deletions: number) => void
  /** Called with the cause, once per connection at most, if deletions of the exchange or of bindings cannot be detected. */
  readonly onWatchUnavailable: (what: 'exchange' | 'bindings', error: unknown) => void
}

/** Declares the topology, and consumes the queue and its dead-letter queue into the store. */
export class IngestService {
  readonly #options: IngestOptions
  readonly #connection: ReconnectingConnection
  readonly #buffer: IngestBuffer
  readonly #exchangeWatch: ExchangeWatch
  readonly #bindingWatch: BindingWatch
  /** True if the exchange was deleted before the last declaration. */
  #exchangeDeleted = false
  #queue: QueueStats | null = null
  /** False if the dead-letter queue of an earlier version exists, or the user may not declare the parking-lot queue. */
  #parks = true
  #warned = false
  /** True from a failed commit to the next one that succeeds. */
  #storeFailed = false
  #consuming = false
  #receivedAt: number | null = null

  /** @throws GatewayError amqp_client_incompatible */
  constructor(options: IngestOptions) {
    this.#options = options
    this.#buffer = new IngestBuffer(options.bufferBytes)
    const { topology, onWatchUnavailable } = options
    this.#exchangeWatch = new ExchangeWatch({
      topology,
      onUnavailable: (error) => onWatchUnavailable('exchange', error),
    })
    this.#bindingWatch = new BindingWatch({
      topology,
      onUnavailable: (error) => onWatchUnavailable('bindings', error),
    })
    this.#connection = createComponentConnection({
      address: options.address,
      component: 'consumer',
      health: options.health,
      heartbeatSeconds: options.heartbeatSeconds,
      readFrames: createDeliveryFrameLoop(() => this.#buffer.full),
      use: (open) => this.#use(open),
    })
  }

  /** Statistics of the queue, about a second old; null if there is no connection. */
  get queue(): QueueStats | null {
    return this.#queue
  }

  /** True if it is a consumer of the queue, the active one or one that would take over. */
  get consuming(): boolean {
    return this.#consuming
  }

  /** Time of performance.now() at which a message of the queue was last stored; null if none was. */
  get receivedAt(): number | null {
    return this.#receivedAt
  }

  /** True if another worker or host consumes the queue, about a second ago, and this one does not. */
  get othersConsume(): boolean {
    return !this.#consuming && this.#queue !== null && this.#queue.consumers > 0
  }

  start(): void {
    this.#connection.start()
  }

  /** Stops consuming, commits and acknowledges the pending deliveries, then closes the connection. */
  async stop(): Promise<void> {
    await this.#connection.stop()
  }

  async #use({ connection, lost, stopping, ready }: OpenConnection): Promise<void> {
    this.#parks = await Promise.race([this.#canPark(connection), lost])
    const control = await connection.acquire({ emitErrorsFromChannel: true })
    const ended = rejectOnClose(control)
    await Promise.race([this.#declare(connection, control), ended, lost])
    await Promise.race([this.#bindingWatch.start(connection), ended, lost])
    const failed = Promise.race([lost, ended])
    // It can reject while nothing awaits it.
    failed.catch(noop)
    const over = new AbortController()
    // A failure closes the channel; this event ends `#use` with the cause.
    const redeclaring = this.#redeclare(connection, control, over.signal).catch((error: unknown) => {
      control.emit('error', error)
    })
    try {
      for (let stopped = false; !stopped; ) {
        stopped =
          (await Promise.race([this.#storeWorks(ready, over.signal), stopping.then(() => 'stopped'), failed])) ===
          'stopped'
        if (!stopped) stopped = await this.#consumeUntilStoreFails({ connection, stopping, failed, ready })
      }
    } finally {
      over.abort()
      this.#queue = null
      this.#consuming = false
    }
    await redeclaring
    await Promise.all([control.close(), this.#exchangeWatch.close(), this.#bindingWatch.close()])
  }

  /** Resolves once the store can commit: a delivery that cannot be stored would only return to the queue. */
  async #storeWorks(ready: () => void, over: AbortSignal): Promise<void> {
    while (this.#storeFailed && !over.aborted) {
      try {
        await this.#options.checkStore()
        this.#storeFailed = false
        return
      } catch (error) {
        if (over.aborted) return
        this.#options.onStorageFault(error)
        // The connection works; the store is another component.
        ready()
      }
      await delay(STORE_CHECK_MS, undefined, { signal: over }).catch(noop)
    }
  }

  /** @returns true after `stopping`, false if the store has failed. @throws what ended a channel */
  async #consumeUntilStoreFails({ connection, stopping, failed, ready }: ConsumeOptions): Promise<boolean> {
    const { topology, prefetch } = this.#options
    this.#consuming = true
    const live = await this.#consume(connection, topology.queue, prefetch)
    const dead = await this.#consume(connection, deadLetterQueue(topology), DEAD_LETTER_PREFETCH)
    const consumers = [live.consumer, dead.consumer]
    ready()
    const storeFailed = Promise.race([live.consumer.storeFailed, dead.consumer.storeFailed])
    const over = new AbortController()
    const stopped = await Promise.race([
      stopping.then(() => true),
      storeFailed.then(() => false),
      this.#failsWhileIdle(consumers, over.signal).then(() => false),
      failed,
      live.ended,
      dead.ended,
    ]).finally(() => over.abort())
    await Promise.all(consumers.map((consumer) => (stopped ? consumer.stop() : consumer.requeue())))
    await Promise.all([live.channel.close(), dead.channel.close()])
    this.#consuming = false
    return stopped
  }

  /**
   * Resolves when the store has failed while no delivery is in hand. With several workers or hosts, the deliveries that one of them returns
   * would otherwise be delivered to the next, and each time counts towards a delivery limit.
   */
  async #failsWhileIdle(consumers: readonly Consumer[], over: AbortSignal): Promise<void> {
    for (;;) {
      await delay(IDLE_CHECK_MS, undefined, { signal: over }).catch(noop)
      if (over.aborted) return
      if (!this.#options.health.isFailed('store_write') || !consumers.every(({ idle }) => idle)) continue
      this.#storeFailed = true
      return
    }
  }

  async #redeclare(connection: AmqpConnection, control: Channel, over: AbortSignal): Promise<void> {
    for (;;) {
      await delay(REDECLARE_MS, undefined, { signal: over }).catch(noop)
      if (over.aborted) return
      await this.#declare(connection, control, over)
    }
  }

  async #declare(connection: AmqpConnection, control: Channel, over?: AbortSignal): Promise<void> {
    const queue = await declareTopology(control, this.#options.topology, this.#parks)
    if (over?.aborted) return
    this.#queue = queue
    const exchangeDeleted = await this.#exchangeWatch.check(connection)
    const deletedBindings = await this.#bindingWatch.check(connection)
    if (exchangeDeleted) this.#options.onExchangeDeleted()
    // The bindings of an exchange are deleted with it, and the events can be late.
    else if (deletedBindings > 0 && !this.#exchangeDeleted) this.#options.onBindingsDeleted(deletedBindings)
    this.#exchangeDeleted = exchangeDeleted
  }

  /** Tries it on a channel of its own, which an error closes. An existing queue cannot get other arguments. */
  async #canPark(connection: AmqpConnection): Promise<boolean> {
    const channel = await connection.acquire({ emitErrorsFromChannel: true })
    channel.on('error', noop)
    try {
      await declareDeadLetters(channel, this.#options.topology, true)
      await channel.close()
      return true
    } catch (error) {
      const { code, message } = error as { code?: string; message?: string }
      if (code !== 'PRECONDITION_FAILED' && code !== 'ACCESS_REFUSED') throw error
      if (!this.#warned)
        this.#options.onWarning(`a delivery limit can delete dead letters, see docs/OPERATIONS.md: ${message}`)
      this.#warned = true
      return false
    }
  }

  async #consume(connection: AmqpConnection, queue: string, prefetch: number) {
    const channel = await connection.acquire({ emitErrorsFromChannel: true })
    const ended = rejectOnClose(channel)
    const onStorageFault = (error: unknown): void => {
      this.#storeFailed = error !== null
      this.#options.onStorageFault(error)
    }
    const onLag: ConsumerOptions['onLag'] = (...args) => {
      // Another host can be the active consumer of the dead-letter queue.
      if (queue === this.#options.topology.queue) this.#receivedAt = performance.now()
      this.#options.onLag(...args)
    }
    const options = { ...this.#options, onLag, onStorageFault, buffer: this.#buffer, queue, prefetch }
    const consumer = new Consumer(connection, channel, options)
    await Promise.race([consumer.start(), ended])
    return { channel, consumer, ended }
  }
}
