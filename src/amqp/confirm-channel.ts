import { setTimeout as delay } from 'node:timers/promises'
import type { Channel, Connection, Envelope, ReturnedMessage } from 'rabbitmq-client'
import { noop } from '../core/noop.ts'
import { rejectOnClose } from './channel-close.ts'
import { BrokerError, toBrokerError } from './errors.ts'
import { amqpMessageId } from './message-properties.ts'

/** Timeout of an orderly close, in milliseconds: a channel that is frozen or blocked by an alarm would never complete it. */
const CLOSE_TIMEOUT_MS = 1_000

/** After this long with nacks only, in milliseconds, a channel counts as refusing. */
const REFUSING_AFTER_MS = 1_000

/** A message to be published. */
export interface PublishRequest {
  /** ASCII, at most 255 bytes. */
  readonly routingKey: string
  readonly message_id: string
  readonly headers?: Readonly<Record<string, string>>
  /** JSON in UTF-8. */
  readonly body: Uint8Array
}

/**
 * A channel in confirm mode that publishes to one exchange. Messages reach the broker in the order of the calls, except that
 * one with the routing key and id of an unconfirmed one is sent after its confirmation.
 */
export class ConfirmChannel {
  readonly #channel: Channel
  readonly #exchange: string
  /** Messages that came back as unroutable and whose confirmation has not been handled yet, by routing key and id. */
  readonly #returned = new Set<string>()
  /** Messages without a confirmation. RabbitMQ returns a message by routing key and id, so each of these is sent once at a time. */
  readonly #unconfirmed = new Map<string, PromiseWithResolvers<boolean>>()
  readonly #closed = Promise.withResolvers<never>()
  readonly #refusing = Promise.withResolvers<void>()
  /** Time of the first nack since the last confirmation, by the monotonic clock; null if there is none. */
  #nackedSince: number | null = null

  private constructor(channel: Channel, exchange: string) {
    this.#channel = channel
    this.#exchange = exchange
    this.#closed.promise.catch((cause: unknown) => {
      // rabbitmq-client never rejects a message whose bytes it was still writing when the channel closed.
      for (const { reject } of this.#unconfirmed.values()) reject(toBrokerError(cause, true))
    })
    rejectOnClose(channel).catch(this.#closed.reject)
    channel.on('basic.return', ({ routingKey, messageId }: ReturnedMessage) => {
      this.#returned.add(returnKey(routingKey, messageId ?? ''))
    })
  }

  /**
   * Opens a channel.
   *
   * @param assertExchange checks first that the exchange exists: otherwise the first message would close the channel
   * @throws the error of rabbitmq-client; its code is NOT_FOUND if the exchange does not exist
   */
  static async open(connection: Connection, exchange: string, assertExchange: boolean): Promise<ConfirmChannel> {
    const channel = await connection.acquire({ emitErrorsFromChannel: true })
    const confirmChannel = new ConfirmChannel(channel, exchange)
    if (assertExchange) await channel.exchangeDeclare({ exchange, passive: true })
    await channel.confirmSelect()
    return confirmChannel
  }

  /** Rejects with the cause if the channel fails or closes. Never resolves. */
  get closed(): Promise<never> {
    return this.#closed.promise
  }

  /**
   * Resolves once the broker has confirmed nothing but nacked messages for a second. In a cluster a channel stays so if its first message
   * finds the leader of the queue dead (seen with RabbitMQ 3.10: 1,811 nacks in a minute), and another channel does not.
   */
  get refusing(): Promise<void> {
    return this.#refusing.promise
  }

  /**
   * Publishes a message as persistent and mandatory. Resolves once the broker has confirmed it.
   *
   * @throws BrokerError publish_nacked or publish_unroutable if the broker did not store it; any other code means that the channel failed
   * and that the broker may have stored it
   */
  async publish({ routingKey, message_id, headers, body }: PublishRequest): Promise<void> {
    const messageId = amqpMessageId(message_id)
    const key = returnKey(routingKey, messageId)
    for (let pending = this.#unconfirmed.get(key); pending !== undefined; pending = this.#unconfirmed.get(key)) {
      await pending.promise.catch(noop)
    }
    const confirmed = Promise.withResolvers<boolean>()
    this.#unconfirmed.set(key, confirmed)
    const envelope: Envelope = {
      exchange: this.#exchange,
      routingKey,
      durable: true,
      mandatory: true,
      contentType: 'application/json',
      messageId,
      ...(headers !== undefined && { headers }),
    }
    // rabbitmq-client would print any other kind of bytes as JSON.
    this.#channel.basicPublish(envelope, Buffer.from(body.buffer, body.byteOffset, body.byteLength)).then(
      // The broker returns a message before it confirms it, but rabbitmq-client emits the return one turn later.
      () => setImmediate(confirmed.resolve, false),
      (error: unknown) => this.#onUnconfirmed(error, confirmed),
    )
    let nacked: boolean
    let returned: boolean
    try {
      nacked = await confirmed.promise
    } finally {
      returned = this.#returned.delete(key)
      this.#unconfirmed.delete(key)
    }
    this.#noteNack(nacked)
    if (nacked) throw new BrokerError('publish_nacked', 'RabbitMQ refused the message.')
    if (returned) throw new BrokerError('publish_unroutable', `No queue is bound for ${routingKey}.`)
  }

  /** Closes the channel once each of its messages is confirmed, nacked or failed. */
  async closeWhenIdle(): Promise<void> {
    await Promise.allSettled([...this.#unconfirmed.values()].map(({ promise }) => promise))
    await this.close()
  }

  async close(): Promise<void> {
    await Promise.race([this.#channel.close(), delay(CLOSE_TIMEOUT_MS, undefined, { ref: false })])
  }

  #noteNack(nacked: boolean): void {
    const now = performance.now()
    this.#nackedSince = nacked ? (this.#nackedSince ?? now) : null
    if (this.#nackedSince !== null && now - this.#nackedSince >= REFUSING_AFTER_MS) this.#refusing.resolve()
  }

  #onUnconfirmed(error: unknown, { resolve, reject }: PromiseWithResolvers<boolean>): void {
    if ((error as { code?: unknown }).code === 'NACK') {
      resolve(true)
      return
    }
    // rabbitmq-client rejects the first message with the reason why the channel closed, and the others without it.
    this.#closed.reject(error)
    this.#closed.promise.catch((cause: unknown) => reject(toBrokerError(cause, true)))
  }
}

const returnKey = (routingKey: string, messageId: string): string => `${routingKey} ${messageId}`
