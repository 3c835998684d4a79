import type { ConfirmChannel } from '../amqp/confirm-channel.ts'
import type { BrokerError } from '../amqp/errors.ts'
import { toPublishError } from './broker-errors.ts'
import type { PublishError } from './errors.ts'
import type { QueuedMessage } from './queue.ts'

export interface TransmissionHandlers {
  readonly onConfirmed: (item: QueuedMessage) => void
  /** The broker does not have it, and the connection stands. */
  readonly onRefused: (item: QueuedMessage, error: PublishError) => void
}

/**
 * What is under way on one channel. Each message is answered by `onConfirmed` or `onRefused`, or is among those that `end`
 * returns.
 */
export class Transmission {
  readonly #channel: ConfirmChannel
  readonly #handlers: TransmissionHandlers
  /** In the order in which they were sent. */
  readonly #unanswered = new Set<QueuedMessage>()
  #bytes = 0
  #ended = false
  /** Milliseconds of the monotonic clock. */
  #lastAnswer = performance.now()

  constructor(channel: ConfirmChannel, handlers: TransmissionHandlers) {
    this.#channel = channel
    this.#handlers = handlers
  }

  /** Messages without an answer. */
  get messages(): number {
    return this.#unanswered.size
  }

  /** Bytes of their bodies. */
  get bytes(): number {
    return this.#bytes
  }

  /** Milliseconds for which messages have been under way without any answer; 0 if there are none. */
  unansweredMs(now: number): number {
    return this.#unanswered.size === 0 ? 0 : now - this.#lastAnswer
  }

  send(item: QueuedMessage): void {
    if (this.#unanswered.size === 0) this.#lastAnswer = performance.now()
    this.#unanswered.add(item)
    this.#bytes += item.body.length
    this.#channel.publish(item).then(
      () => this.#answered(item, null),
      (error: BrokerError) => this.#answered(item, error),
    )
  }

  /** Ends it. @returns the messages without an answer, in the order in which they were sent */
  end(): QueuedMessage[] {
    this.#ended = true
    return [...this.#unanswered]
  }

  #answered(item: QueuedMessage, error: BrokerError | null): void {
    if (this.#ended) return
    const refused = error?.code === 'publish_nacked' || error?.code === 'publish_unroutable'
    // The channel has failed: whether the broker has the message is not known.
    if (error !== null && !refused) return
    this.#lastAnswer = performance.now()
    this.#unanswered.delete(item)
    this.#bytes -= item.body.length
    if (error === null) this.#handlers.onConfirmed(item)
    else this.#handlers.onRefused(item, toPublishError(error, { fate: 'refused', message_id: item.message_id }))
  }
}
