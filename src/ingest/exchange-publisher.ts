import type { BrokerAddress } from '../amqp/address.ts'
import { ConfirmChannel, type PublishRequest } from '../amqp/confirm-channel.ts'
import type { OpenConnection, ReconnectingConnection } from '../amqp/connection.ts'
import { brokerMessageLimit, toBrokerError } from '../amqp/errors.ts'
import { amqpMessageId, routingKeyFor } from '../amqp/message-properties.ts'
import { PUBLISHED_BY_HEADER, signPublishedBy } from '../amqp/published-by.ts'
import { GatewayError } from '../core/errors.ts'
import { appendJsonMembers } from '../core/json-members.ts'
import { MISSING_EVENT_ID, MISSING_MESSAGE_ID, type NewMessage } from '../core/message.ts'
import { noop } from '../core/noop.ts'
import type { HealthRegistry } from '../monitoring/health.ts'
import { brokerToGatewayError, createComponentConnection } from './connection.ts'
import type { Topology } from './topology.ts'

/** Timeout of the broker's confirmation, in milliseconds. After it, the caller gets an error: the message may or may not be stored. */
const CONFIRM_TIMEOUT_MS = 5_000

export interface ExchangePublisherOptions {
  readonly address: BrokerAddress
  readonly topology: Topology
  readonly health: HealthRegistry
  /** RABBITMQ_HEARTBEAT_SECONDS. */
  readonly heartbeatSeconds: number
  /** Key of PUBLISHED_BY_HEADER; null if the messages have no `published_by` of the gateway. */
  readonly publishedByKey: Uint8Array | null
}

/**
 * Publishes to the exchange with confirmations and the mandatory flag. It has a connection of its own (I3): a memory or disk alarm of the
 * broker blocks a whole publishing connection, and must not block the consumer.
 */
export class ExchangePublisher {
  readonly #options: ExchangePublisherOptions
  readonly #connection: ReconnectingConnection
  #channel: ConfirmChannel | null = null
  /** Resolves when `#channel` changes. */
  #channelChanged = Promise.withResolvers<void>()
  /** Resolves once the first attempt to connect has succeeded or failed; an attempt times out. */
  readonly #tried = Promise.withResolvers<void>()
  /** max_message_size of the broker, in bytes, once it has refused a message by it. */
  #maxBodyBytes = Number.POSITIVE_INFINITY
  #blocked = false
  /** Rejects the pending confirmations, one entry per unconfirmed message. */
  readonly #unconfirmed = new Set<(error: GatewayError) => void>()

  /** @throws GatewayError amqp_client_incompatible */
  constructor(options: ExchangePublisherOptions) {
    this.#options = options
    this.#connection = createComponentConnection({
      address: options.address,
      component: 'publisher',
      health: options.health,
      heartbeatSeconds: options.heartbeatSeconds,
      readFrames: null,
      use: (open) => this.#use(open),
      onError: () => this.#tried.resolve(),
    })
  }

  start(): void {
    this.#connection.start()
  }

  async stop(): Promise<void> {
    this.#tried.resolve()
    await this.#connection.stop()
  }

  /** @returns for each message null once the broker has confirmed it, or the error */
  publish(messages: readonly NewMessage[]): Promise<(GatewayError | null)[]> {
    return Promise.all(messages.map((message) => this.#publish(message)))
  }

  async #publish(message: NewMessage): Promise<GatewayError | null> {
    // A gateway that has just started accepts requests a moment before it is connected.
    await this.#tried.promise
    const channel = this.#channel
    if (channel === null) return new GatewayError('broker_unreachable', 'There is no connection to RabbitMQ.')
    if (this.#blocked) return new GatewayError('broker_blocked', 'RabbitMQ has an alarm.')
    const { topology, publishedByKey } = this.#options
    try {
      await this.#waitForConfirm(this.#send(channel, toPublishRequest(message, topology.binding, publishedByKey)))
      return null
    } catch (error) {
      return toUnpublishedError(error)
    }
  }

  /**
   * Publishes a message, on the next channel if RabbitMQ has closed the present one for another message's size.
   *
   * @throws GatewayError body_too_large or publish_confirm_timeout, or what ConfirmChannel.publish throws
   */
  async #send(first: ConfirmChannel, request: PublishRequest): Promise<void> {
    for (let channel: ConfirmChannel | null = first; channel !== null; channel = this.#channel) {
      if (request.body.length > this.#maxBodyBytes) throw tooLargeForBroker(request.body.length, this.#maxBodyBytes)
      try {
        return await channel.publish(request)
      } catch (error) {
        if (brokerMessageLimit(toBrokerError(error, true)) === null) throw error
      }
      while (this.#channel === channel) await this.#channelChanged.promise
    }
    // The message may have been confirmed on the first channel.
    throw new GatewayError('publish_confirm_timeout', 'The connection to RabbitMQ was lost.')
  }

  #setChannel(channel: ConfirmChannel | null): void {
    this.#channel = channel
    this.#tried.resolve()
    this.#channelChanged.resolve()
    this.#channelChanged = Promise.withResolvers()
  }

  async #use({ connection, lost, stopping, ready }: OpenConnection): Promise<void> {
    const { health, topology } = this.#options
    // An alarm may begin and end while the channel is being opened.
    const reportIfReady = (): void => {
      if (!this.#blocked && this.#channel !== null) ready()
    }
    connection.on('connection.blocked', (reason: string) => {
      this.#blocked = true
      health.markFailed('publisher', new GatewayError('broker_blocked', `RabbitMQ accepts no messages: ${reason}.`))
      // RabbitMQ reports an alarm only once a connection publishes. The pending messages are confirmed after the alarm, if at all.
      const error = new GatewayError('publish_confirm_timeout', `RabbitMQ has an alarm: ${reason}.`)
      for (const reject of this.#unconfirmed) reject(error)
    })
    connection.on('connection.unblocked', () => {
      this.#blocked = false
      reportIfReady()
    })
    this.#maxBodyBytes = Number.POSITIVE_INFINITY
    try {
      for (;;) {
        const channel = await ConfirmChannel.open(connection, topology.exchange, false)
        this.#setChannel(channel)
        reportIfReady()
        const refusing = channel.refusing.then(() => this.#maxBodyBytes)
        const limit = await Promise.race([stopping, lost, closedBySize(channel), refusing])
        if (limit === undefined) {
          await channel.close()
          return
        }
        this.#maxBodyBytes = limit
        // Ignored: the messages that wait for it have the error. It is closed already if a message was too large.
        channel.closeWhenIdle().catch(noop)
      }
    } finally {
      this.#setChannel(null)
      this.#blocked = false
    }
  }

  /** Waits for a confirmation until the timeout, or until the broker reports an alarm. */
  async #waitForConfirm(publishing: Promise<void>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = setTimeout(() => {
      reject(new GatewayError('publish_confirm_timeout', 'RabbitMQ did not confirm in time.'))
    }, CONFIRM_TIMEOUT_MS)
    this.#unconfirmed.add(reject)
    publishing.then(resolve, reject)
    await promise.finally(() => {
      clearTimeout(timer)
      this.#unconfirmed.delete(reject)
    })
  }
}

/** Resolves with the broker's limit if it closes the channel for a larger message. @throws why it closes otherwise */
const closedBySize = (channel: ConfirmChannel): Promise<number> =>
  channel.closed.catch((cause: unknown) => {
    const limit = brokerMessageLimit(toBrokerError(cause, true))
    if (limit === null) throw cause
    return limit
  })

const tooLargeForBroker = (bytes: number, limit: number): GatewayError =>
  new GatewayError('body_too_large', `The message has ${bytes} bytes, and RabbitMQ accepts ${limit}.`, {
    hint: 'Send a smaller body, or raise max_message_size of RabbitMQ.',
  })

const toPublishRequest = (message: NewMessage, binding: string, publishedByKey: Uint8Array | null): PublishRequest => {
  const { event_id, message_id, message_type, lacks, traceparent } = message
  const members: string[] = []
  if (lacks & MISSING_EVENT_ID) members.push(`"event_id":${JSON.stringify(event_id)}`)
  // An id that is too long for the AMQP property must be in the body.
  if (lacks & MISSING_MESSAGE_ID && amqpMessageId(message_id) !== message_id) {
    members.push(`"message_id":${JSON.stringify(message_id)}`)
  }
  const body = members.length === 0 ? message.body : appendJsonMembers(message.body, members.join(','))
  const headers = {
    ...(traceparent !== null && { traceparent }),
    ...(publishedByKey !== null && { [PUBLISHED_BY_HEADER]: signPublishedBy(publishedByKey, message_id, body) }),
  }
  return {
    routingKey: routingKeyFor(binding, event_id, message_type),
    message_id,
    body: Buffer.from(body),
    ...(Object.keys(headers).length > 0 && { headers }),
  }
}

const toUnpublishedError = (error: unknown): GatewayError => {
  if (error instanceof GatewayError) return error
  const brokerError = toBrokerError(error, true)
  if (brokerError.code === 'publish_nacked' || brokerError.code === 'publish_unroutable')
    return brokerToGatewayError(brokerError)
  // The connection was lost before the confirmation, so the message may have arrived.
  return new GatewayError('publish_confirm_timeout', brokerError.message, { cause: error })
}
