import type { PublishError } from './errors.ts'
import type { EncodedMessage } from './message.ts'

/** A message, as the queue passes it to the sender. */
export interface QueuedMessage extends EncodedMessage {
  /** Increases in the order of the calls to `send`. */
  readonly seq: number
}

/**
 * Messages that wait to be published. Each kind of queue keeps the order within an event in its own way:
 *
 * - In memory: several messages of one event can be in flight, and one that the broker refuses is rejected to its
 *   caller and never sent again. Only messages without an answer when a connection is lost are sent again: all of
 *   them, in order, before anything newer. The gateway keeps the first copy of each, so the first copies are in
 *   order, whatever part of the old connection still reaches the broker.
 * - In an outbox: a refused message must be sent again, and a successor that the broker accepted meanwhile would
 *   precede it for ever. So one message of each event is in flight, and the next one follows its confirmation.
 */
export interface SendQueue {
  /** Unconfirmed messages, in flight or not. */
  readonly queued: number
  /** Returns the next message that can be sent now and marks it as in flight; null if there is none at the moment. */
  next(): QueuedMessage | null
  /** The broker has confirmed the message. */
  confirmed(item: QueuedMessage): void
  /**
   * The broker does not have the message, and the connection is still open.
   *
   * @param permanent true if the broker will never accept the message as it is
   */
  refused(item: QueuedMessage, error: PublishError, permanent: boolean): void
  /**
   * The connection was lost. These messages, in the order in which they were sent, may or may not have reached the
   * broker.
   */
  requeue(items: readonly QueuedMessage[]): void
  /** Sets the reason why nothing can be sent; null if messages can be sent. */
  setConnectionError(error: PublishError | null): void
}

export interface QueueLimits {
  readonly maxQueued: number
  readonly maxQueuedBytes: number
  /** Called when the queue has become empty. */
  readonly onIdle: () => void
}

/** A queue that accepts messages. */
export interface MessageQueue extends SendQueue {
  /**
   * Queues a message. Messages are queued in the order of the calls.
   *
   * @returns resolves when `send` can resolve: once confirmed, or with an outbox once durable
   * @throws PublishError, as a rejection
   */
  add(message: EncodedMessage): Promise<void>
  /** Rejects waiting messages, or leaves them in the outbox. Nothing can be added or sent afterwards. */
  close(): void
}
