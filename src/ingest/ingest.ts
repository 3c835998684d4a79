import type { Channel } from 'rabbitmq-client'
import type { BrokerAddress } from '../amqp/address.ts'
import { rejectOnClose } from '../amqp/channel-close.ts'
import type { OpenConnection, ReconnectingConnection } from '../amqp/connection.ts'
import { readDeliveryFrames } from '../amqp/deliveries.ts'
import type { AmqpConnection } from '../amqp/rabbitmq-client-patch.ts'
import type { HealthRegistry } from '../monitoring/health.ts'
import { createComponentConnection } from './connection.ts'
import { Consumer, type ConsumerOptions } from './consumer.ts'
import { deadLetterQueue, declareTopology, type QueueStats, type Topology } from './topology.ts'

/** RabbitMQ does not notify consumers when an exchange is deleted, so the topology is declared again at this interval, in milliseconds. */
const REDECLARE_MS = 10_000
/** Dead letters are consumed one at a time: a crash then counts as a delivery attempt of one of them, not of a whole prefetch. */
const DEAD_LETTER_PREFETCH = 1

export interface IngestOptions extends Omit<ConsumerOptions, 'queue'> {
  readonly address: BrokerAddress
  readonly topology: Topology
  readonly health: HealthRegistry
}

/** Declares the topology, and consumes the queue and its dead-letter queue into the store. */
export class IngestService {
  readonly #options: IngestOptions
  readonly #connection: ReconnectingConnection
  #queue: QueueStats | null = null

  /** @throws GatewayError amqp_client_incompatible */
  constructor(options: IngestOptions) {
    this.#options = options
    this.#connection = createComponentConnection({
      address: options.address,
      component: 'consumer',
      health: options.health,
      readFrames: readDeliveryFrames,
      use: (open) => this.#use(open),
    })
  }

  /** Statistics of the queue, at most 10 seconds old; null if there is no connection. */
  get queue(): QueueStats | null {
    return this.#queue
  }

  start(): void {
    this.#connection.start()
  }

  /** Stops consuming, commits and acknowledges the pending deliveries, then closes the connection. */
  async stop(): Promise<void> {
    await this.#connection.stop()
  }

  async #use({ connection, lost, stopping, ready }: OpenConnection): Promise<void> {
    const { topology, prefetch } = this.#options
    const control = await connection.acquire({ emitErrorsFromChannel: true })
    const ended = rejectOnClose(control)
    await Promise.race([this.#declare(control), ended, lost])
    const live = await this.#consume(connection, topology.queue, prefetch)
    const dead = await this.#consume(connection, deadLetterQueue(topology), DEAD_LETTER_PREFETCH)
    const redeclare = setInterval(() => {
      // A failure closes the channel; this event ends `#use` with the cause.
      this.#declare(control).catch((error: unknown) => control.emit('error', error))
    }, REDECLARE_MS)
    ready()
    try {
      await Promise.race([stopping, lost, ended, live.ended, dead.ended])
    } finally {
      clearInterval(redeclare)
      this.#queue = null
    }
    await Promise.all([live.consumer.stop(), dead.consumer.stop()])
    await Promise.all([live.channel.close(), dead.channel.close(), control.close()])
  }

  async #declare(channel: Channel): Promise<void> {
    this.#queue = await declareTopology(channel, this.#options.topology)
  }

  async #consume(connection: AmqpConnection, queue: string, prefetch: number) {
    const channel = await connection.acquire({ emitErrorsFromChannel: true })
    const ended = rejectOnClose(channel)
    const consumer = new Consumer(connection, channel, { ...this.#options, queue, prefetch })
    await Promise.race([consumer.start(), ended])
    return { channel, consumer, ended }
  }
}
