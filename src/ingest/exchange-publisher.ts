import type { Channel, Connection } from 'rabbitmq-client'
import { rejectOnClose } from '../amqp/channel-close.ts'
import { type BrokerAddress, ReconnectingConnection } from '../amqp/connection.ts'
import { toBrokerError } from '../amqp/errors.ts'
import { routingKeyFor } from '../amqp/message-properties.ts'
import { GatewayError } from '../core/errors.ts'
import { appendJsonMembers } from '../core/json-members.ts'
import { MISSING_EVENT_ID, type NewMessage } from '../core/message.ts'
import type { HealthRegistry } from '../monitoring/health.ts'
import type { Topology } from './topology.ts'

/** The broker confirms within this, or the caller is told that it is not known whether the message is stored. */
const CONFIRM_TIMEOUT_MS = 10_000

export interface ExchangePublisherOptions {
  readonly address: BrokerAddress
  readonly topology: Topology
  readonly health: HealthRegistry
}

/**
 * Publishes through the exchange, confirmed and mandatory. On a connection of its own (I3): a memory or disk
 * alarm of the broker blocks a publishing connection whole, and the consumer must not be blocked with it.
 */
export class ExchangePublisher {
  readonly #options: ExchangePublisherOptions
  readonly #link: ReconnectingConnection
  #channel: Channel | null = null
  #blocked = false
  #stopSession: (() => void) | null = null
  /** Message ids that came back as unroutable and whose confirm has not been looked at yet. */
  readonly #returned = new Set<string>()
  /** Ends the wait for a confirm, one per message that has none yet. */
  readonly #unconfirmed = new Set<(error: GatewayError) => void>()

  constructor(options: ExchangePublisherOptions) {
    this.#options = options
    this.#link = new ReconnectingConnection({
      address: options.address,
      component: 'publisher',
      health: options.health,
      use: (connection, ready, lost) => this.#session(connection, ready, lost),
    })
  }

  start(): void {
    this.#link.start()
  }

  async stop(): Promise<void> {
    const stopped = this.#link.stop()
    this.#stopSession?.()
    await stopped
  }

  /** @returns per message null once the broker has it, or why it has not */
  publish(messages: readonly NewMessage[]): Promise<(GatewayError | null)[]> {
    return Promise.all(messages.map((message) => this.#publish(message)))
  }

  async #publish(message: NewMessage): Promise<GatewayError | null> {
    const channel = this.#channel
    if (channel === null) return new GatewayError('broker_unreachable', 'There is no connection to RabbitMQ.')
    if (this.#blocked) return new GatewayError('broker_blocked', 'RabbitMQ has an alarm.')
    const body =
      message.lacks & MISSING_EVENT_ID
        ? appendJsonMembers(message.body, `"event_id":${JSON.stringify(message.event_id)}`)
        : message.body
    const envelope = {
      exchange: this.#options.topology.exchange,
      routingKey: routingKeyFor(this.#options.topology.binding, message.event_id, message.message_type),
      durable: true,
      mandatory: true,
      contentType: 'application/json',
      messageId: message.message_id,
      ...(message.traceparent !== null && { headers: { traceparent: message.traceparent } }),
    }
    try {
      await this.#confirmed(channel.basicPublish(envelope, Buffer.from(body)))
      // A return comes before its confirm, but the library hands it out one turn later.
      await new Promise(setImmediate)
      if (!this.#returned.delete(message.message_id)) return null
      return new GatewayError('publish_unroutable', `No queue takes ${envelope.routingKey}.`)
    } catch (error) {
      return toUnconfirmedError(error)
    }
  }

  async #session(connection: Connection, ready: () => void, lost: Promise<never>): Promise<void> {
    const { health } = this.#options
    const channel = await connection.acquire({ emitErrorsFromChannel: true })
    const ended = rejectOnClose(channel)
    channel.on('basic.return', (message: { messageId?: string }) => this.#returned.add(message.messageId ?? ''))
    connection.on('connection.blocked', (reason: string) => {
      this.#blocked = true
      health.markFailed('publisher', new GatewayError('broker_blocked', `RabbitMQ takes no messages: ${reason}.`))
      // RabbitMQ tells a connection only when it publishes: what waits now is confirmed after the alarm, if at all.
      const error = new GatewayError('publish_unconfirmed', `RabbitMQ has an alarm: ${reason}.`)
      for (const reject of this.#unconfirmed) reject(error)
    })
    connection.on('connection.unblocked', () => {
      this.#blocked = false
      health.markHealthy('publisher')
    })
    await channel.confirmSelect()
    this.#channel = channel
    ready()
    const stop = new Promise<void>((resolve) => {
      this.#stopSession = resolve
      if (this.#link.stopping) resolve()
    })
    try {
      await Promise.race([stop, lost, ended])
    } finally {
      this.#channel = null
      this.#blocked = false
      this.#stopSession = null
      this.#returned.clear()
    }
    await channel.close()
  }

  /** Waits for a confirm: until the deadline, or until the broker says that it takes nothing. */
  async #confirmed(published: Promise<void>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const late = new GatewayError('publish_unconfirmed', 'RabbitMQ did not confirm in time.')
    const timer = setTimeout(reject, CONFIRM_TIMEOUT_MS, late)
    this.#unconfirmed.add(reject)
    published.then(resolve, reject)
    await promise.finally(() => {
      clearTimeout(timer)
      this.#unconfirmed.delete(reject)
    })
  }
}

const toUnconfirmedError = (error: unknown): GatewayError => {
  const known = toBrokerError(error, true)
  if (known.code === 'publish_nacked' || known.code === 'publish_unconfirmed') return known
  // The connection broke while the confirm was awaited: the message may have arrived.
  return new GatewayError('publish_unconfirmed', known.message, { cause: error })
}
