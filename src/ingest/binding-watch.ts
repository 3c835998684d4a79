import type { Channel } from 'rabbitmq-client'
import { rejectOnClose } from '../amqp/channel-close.ts'
import { type Delivery, interceptDeliveries } from '../amqp/deliveries.ts'
import { toBrokerError } from '../amqp/errors.ts'
import type { AmqpConnection } from '../amqp/rabbitmq-client-patch.ts'
import { noop } from '../core/noop.ts'
import type { Topology } from './topology.ts'

/** Exchange of RabbitMQ's plugin rabbitmq_event_exchange, which publishes the events of the broker. */
const EVENT_EXCHANGE = 'amq.rabbitmq.event'

/** Maximum of events that wait to be read; RabbitMQ drops the oldest beyond it. */
const MAX_WAITING_EVENTS = 10_000

export interface BindingWatchOptions {
  readonly topology: Topology
  /** Called with the cause, once per connection at most, if RabbitMQ refuses the events although the plugin is enabled. */
  readonly onUnavailable: (error: unknown) => void
}

/**
 * Detects that a binding of the queue was deleted, where RabbitMQ's plugin rabbitmq_event_exchange is enabled. Without it a missing binding
 * cannot be seen over AMQP: to declare it again has the same answer whether it existed or not. All gateways consume one queue of events, so one
 * of them counts each deletion.
 */
export class BindingWatch {
  readonly #options: BindingWatchOptions
  #channel: Channel | null = null
  #deletions = 0
  /** True if the events are not consumed and can be. */
  #ended = false

  constructor(options: BindingWatchOptions) {
    this.#options = options
  }

  /**
   * Starts to consume the events of a new connection, on a channel of its own.
   *
   * @throws the error of rabbitmq-client if the connection fails
   */
  async start(connection: AmqpConnection): Promise<void> {
    this.#deletions = 0
    await this.#consume(connection)
  }

  /**
   * Consumes the events again if RabbitMQ has ended that.
   *
   * @returns how many bindings of the queue were deleted since the last call
   * @throws the error of rabbitmq-client if the connection fails
   */
  async check(connection: AmqpConnection): Promise<number> {
    if (this.#ended) await this.#consume(connection)
    const deletions = this.#deletions
    this.#deletions = 0
    return deletions
  }

  /** Closes its channel: a connection closes only after all of its channels. */
  async close(): Promise<void> {
    await this.#channel?.close()
  }

  async #consume(connection: AmqpConnection): Promise<void> {
    this.#ended = false
    const channel = await connection.acquire({ emitErrorsFromChannel: true })
    this.#channel = channel
    const ended = rejectOnClose(channel)
    const queue = `${this.#options.topology.queue}.events`
    let enabled = false
    const consume = async (): Promise<void> => {
      await channel.exchangeDeclare({ exchange: EVENT_EXCHANGE, passive: true })
      enabled = true
      // Only a classic queue can be deleted with its last consumer.
      const declaration = { 'x-queue-type': 'classic' as const, 'x-max-length': MAX_WAITING_EVENTS }
      await channel.queueDeclare({ queue, durable: true, autoDelete: true, arguments: declaration })
      await channel.queueBind({ queue, exchange: EVENT_EXCHANGE, routingKey: 'binding.deleted' })
      interceptDeliveries(connection, channel, 0, (delivery) => this.#count(delivery))
      await channel.basicConsume({ queue, noAck: true }, noop)
    }
    try {
      await Promise.race([consume(), ended])
      ended.catch(() => {
        this.#ended = true
      })
    } catch (error) {
      const { code } = toBrokerError(error, true)
      // The queue was deleted with the last consumer of another gateway a moment ago, or the plugin is not enabled.
      if (code === 'broker_name_missing') this.#ended = enabled
      else if (code === 'broker_access_refused' || code === 'broker_precondition_failed') {
        this.#options.onUnavailable(error)
      } else throw error
    }
  }

  #count({ properties: { headers = {} } }: Delivery): void {
    const { exchange, queue } = this.#options.topology
    if (headers.source_name !== exchange || headers.destination_name !== queue) return
    if (headers.destination_kind === 'queue') this.#deletions++
  }
}
