import { setTimeout as delay } from 'node:timers/promises'
import type { Channel, Connection, Envelope, ReturnedMessage } from 'rabbitmq-client'
import { noop } from '../core/noop.ts'
import { rejectOnClose } from './channel-close.ts'
import { BrokerError, toBrokerError } from './errors.ts'
import { amqpMessageId } from './message-properties.ts'

/** A channel that is frozen or blocked by an alarm would never close in order. */
const CLOSE_TIMEOUT_MS = 1_000

/** A message to be published. */
export interface PublishRequest {
  /** ASCII, at most 255 bytes. */
  readonly routingKey: string
  readonly message_id: string
  readonly headers?: Readonly<Record<string, string>>
  /** JSON in UTF-8. */
  readonly body: Uint8Array
}

/** A channel in confirm mode that publishes to one exchange. Messages reach the broker in the order of the calls. */
export class ConfirmChannel {
  readonly #channel: Channel
  readonly #exchange: string
  /** How many messages came back as unroutable whose confirmation has not been handled yet, by routing key and id. */
  readonly #returned = new Map<string, number>()
  readonly #closed = Promise.withResolvers<never>()

  private constructor(channel: Channel, exchange: string) {
    this.#channel = channel
    this.#exchange = exchange
    this.#closed.promise.catch(noop)
    rejectOnClose(channel).catch(this.#closed.reject)
    channel.on('basic.return', ({ routingKey, messageId }: ReturnedMessage) => {
      const key = returnKey(routingKey, messageId ?? '')
      this.#returned.set(key, (this.#returned.get(key) ?? 0) + 1)
    })
  }

  /**
   * Opens a channel.
   *
   * @param assertExchange checks first that the exchange is there: otherwise the first message would close the channel
   * @throws what rabbitmq-client throws; with the code NOT_FOUND if there is no such exchange
   */
  static async open(connection: Connection, exchange: string, assertExchange: boolean): Promise<ConfirmChannel> {
    const channel = await connection.acquire({ emitErrorsFromChannel: true })
    const confirming = new ConfirmChannel(channel, exchange)
    if (assertExchange) await channel.exchangeDeclare({ exchange, passive: true })
    await channel.confirmSelect()
    return confirming
  }

  /** Rejects with the cause when the channel fails or closes. Never resolves. */
  get closed(): Promise<never> {
    return this.#closed.promise
  }

  /**
   * Publishes a message, persistent and mandatory.
   *
   * @returns resolves once the broker has confirmed it
   * @throws BrokerError publish_nacked or publish_unroutable if the broker does not have it; any other code means that the
   *   channel has failed, and that the broker may have it
   */
  async publish({ routingKey, message_id, headers, body }: PublishRequest): Promise<void> {
    const messageId = amqpMessageId(message_id)
    const nacked = await this.#confirmed(
      {
        exchange: this.#exchange,
        routingKey,
        durable: true,
        mandatory: true,
        contentType: 'application/json',
        messageId,
        ...(headers !== undefined && { headers }),
      },
      body,
    )
    // The broker returns a message before it confirms it, but rabbitmq-client emits the return one turn later.
    await new Promise(setImmediate)
    const returned = this.#takeReturned(returnKey(routingKey, messageId))
    if (nacked) throw new BrokerError('publish_nacked', 'RabbitMQ refused the message.')
    if (returned) throw new BrokerError('publish_unroutable', `No queue takes ${routingKey}.`)
  }

  async close(): Promise<void> {
    await Promise.race([this.#channel.close(), delay(CLOSE_TIMEOUT_MS, undefined, { ref: false })])
  }

  /** @returns whether the broker refused the message */
  async #confirmed(envelope: Envelope, body: Uint8Array): Promise<boolean> {
    try {
      // rabbitmq-client would print any other kind of bytes as JSON.
      await this.#channel.basicPublish(envelope, Buffer.from(body.buffer, body.byteOffset, body.byteLength))
      return false
    } catch (error) {
      if ((error as { code?: unknown }).code === 'NACK') return true
      // Why the channel closed is told to one of its messages alone, where the broker closed it for a message.
      this.#closed.reject(error)
      throw toBrokerError(error, true)
    }
  }

  #takeReturned(key: string): boolean {
    const count = this.#returned.get(key)
    if (count === undefined) return false
    if (count === 1) this.#returned.delete(key)
    else this.#returned.set(key, count - 1)
    return true
  }
}

const returnKey = (routingKey: string, messageId: string): string => `${routingKey} ${messageId}`
