import type { ConfirmChannel } from '../amqp/confirm-channel.ts'
import type { BrokerError } from '../amqp/errors.ts'
import { toPublishError } from './broker-errors.ts'
import type { PublishError } from './errors.ts'
import type { QueuedMessage } from './queue.ts'

export interface TransmissionHandlers {
  readonly onConfirmed: (item: QueuedMessage) => void
  /** The broker does not have the message, and the connection is still open. */
  readonly onRefused: (item: QueuedMessage, error: PublishError) => void
}

/** Messages in flight on one channel. Each one is reported to `onConfirmed` or `onRefused`, or returned by `end`. */
export class Transmission {
  readonly #channel: ConfirmChannel
  readonly #handlers: TransmissionHandlers
  /** In the order in which they were sent. */
  readonly #unconfirmed = new Set<QueuedMessage>()
  #bytes = 0
  #ended = false
  /** Monotonic clock, in milliseconds. */
  #lastConfirmAt = performance.now()

  constructor(channel: ConfirmChannel, handlers: TransmissionHandlers) {
    this.#channel = channel
    this.#handlers = handlers
  }

  /** Number of unanswered messages. */
  get messages(): number {
    return this.#unconfirmed.size
  }

  /** Bytes of their bodies. */
  get bytes(): number {
    return this.#bytes
  }

  /** Milliseconds since the last answer while messages are in flight; 0 if none are. */
  unansweredMs(now: number): number {
    return this.#unconfirmed.size === 0 ? 0 : now - this.#lastConfirmAt
  }

  send(item: QueuedMessage): void {
    if (this.#unconfirmed.size === 0) this.#lastConfirmAt = performance.now()
    this.#unconfirmed.add(item)
    this.#bytes += item.body.length
    this.#channel.publish(item).then(
      () => this.#onSettled(item, null),
      (error: BrokerError) => this.#onSettled(item, error),
    )
  }

  /** Ends the transmission. @returns the unanswered messages, in the order in which they were sent */
  end(): QueuedMessage[] {
    this.#ended = true
    return [...this.#unconfirmed]
  }

  #onSettled(item: QueuedMessage, error: BrokerError | null): void {
    if (this.#ended) return
    const refused = error?.code === 'publish_nacked' || error?.code === 'publish_unroutable'
    // The channel has failed: the broker may or may not have the message.
    if (error !== null && !refused) return
    this.#lastConfirmAt = performance.now()
    this.#unconfirmed.delete(item)
    this.#bytes -= item.body.length
    if (error === null) this.#handlers.onConfirmed(item)
    else
      this.#handlers.onRefused(item, toPublishError(error, { deliveryStatus: 'refused', message_id: item.message_id }))
  }
}
