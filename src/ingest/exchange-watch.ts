import type { Channel, Connection } from 'rabbitmq-client'
import { rejectOnClose } from '../amqp/channel-close.ts'
import { toBrokerError } from '../amqp/errors.ts'
import { noop } from '../core/noop.ts'
import type { Topology } from './topology.ts'

export interface ExchangeWatchOptions {
  readonly topology: Topology
  /** Called once, with the cause, if RabbitMQ does not allow the marker. */
  readonly onUnavailable: (error: unknown) => void
}

/**
 * Detects that the exchange was deleted, even if another client has declared it again since. RabbitMQ sends no notification of that, and
 * bindings cannot be read over AMQP. So a marker, an exchange of its own, is bound to the exchange and nothing is published to it: RabbitMQ
 * deletes an auto-delete exchange with its last binding.
 */
export class ExchangeWatch {
  readonly #options: ExchangeWatchOptions
  #channel: Channel | null = null
  /** True once this process has bound the marker: before that, a missing one is no deletion. */
  #bound = false
  #unavailable = false

  constructor(options: ExchangeWatchOptions) {
    this.#options = options
  }

  /**
   * Checks the marker and binds it again. The exchange must be declared.
   *
   * @returns true if the exchange was deleted since the last call
   * @throws the error of rabbitmq-client if the connection fails
   */
  async check(connection: Connection): Promise<boolean> {
    if (this.#unavailable) return false
    const { exchange, queue } = this.#options.topology
    // Exchanges can have names of queues, and the user of the gateway has the permissions for this name already.
    const marker = { exchange: queue, type: 'fanout', durable: true, autoDelete: true, internal: true }
    let deleted = false
    try {
      deleted = !(await this.#exists(connection, queue)) && this.#bound
      const channel = await this.#open(connection)
      // Also if it exists: an exchange of another client must not be bound.
      await channel.exchangeDeclare(marker)
      await channel.exchangeBind({ source: queue, destination: exchange })
      this.#bound = true
    } catch (error) {
      const { code } = toBrokerError(error, true)
      // The exchange was deleted a moment ago; the next check finds the marker missing, or binds it.
      if (code === 'broker_name_missing') return deleted
      if (code !== 'broker_access_refused' && code !== 'broker_precondition_failed') throw error
      this.#unavailable = true
      this.#options.onUnavailable(error)
    }
    return deleted
  }

  /** Closes its channel: a connection closes only after all of its channels. */
  async close(): Promise<void> {
    await this.#channel?.close()
  }

  async #exists(connection: Connection, exchange: string): Promise<boolean> {
    try {
      await (await this.#open(connection)).exchangeDeclare({ exchange, passive: true })
      return true
    } catch (error) {
      if (toBrokerError(error, true).code === 'broker_name_missing') return false
      throw error
    }
  }

  /** Returns a channel of its own, since an error of RabbitMQ closes the channel. */
  async #open(connection: Connection): Promise<Channel> {
    if (this.#channel?.active) return this.#channel
    const channel = await connection.acquire({ emitErrorsFromChannel: true })
    rejectOnClose(channel).catch(noop)
    this.#channel = channel
    return channel
  }
}
