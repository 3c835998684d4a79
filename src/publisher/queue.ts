import type { PublishError } from './errors.ts'
import type { EncodedMessage } from './message.ts'

/** A message on its way: what the backlog hands to the sender. */
export interface QueuedMessage extends EncodedMessage {
  /** Rises in the order of the calls of `send`. */
  readonly seq: number
}

/**
 * What waits to be published. The order of one event is kept by two rules, one for each kind of backlog:
 *
 * - In memory: messages of one event may be under way together, and one that the broker refuses is given back to
 *   its caller, never sent again. Sent again are only those without an answer when a connection is lost: all of
 *   them, in their order, before anything newer. The gateway keeps the first copy of each, so the first copies
 *   are in order, whatever part of the old connection still reaches the broker.
 * - In an outbox: a refused message must be sent again, and a successor that the broker has taken meanwhile would
 *   stand before it for ever. So of each event one message is under way, and the next follows its confirmation.
 */
export interface SendQueue {
  /** Messages that are not confirmed yet, under way or not. */
  readonly queued: number
  /** The next message that may be sent now, which is then under way; null: none at this moment. */
  next(): QueuedMessage | null
  /** The broker has it. */
  confirmed(item: QueuedMessage): void
  /**
   * The broker has it not, and the connection stands.
   *
   * @param permanent the broker will never take it as it is
   */
  refused(item: QueuedMessage, error: PublishError, permanent: boolean): void
  /** The connection is gone and nobody knows what became of these, in the order in which they were sent. */
  requeue(items: readonly QueuedMessage[]): void
  /** Why nothing can be sent; null: it can. */
  setConnectionError(error: PublishError | null): void
}

export interface QueueLimits {
  readonly maxQueued: number
  readonly maxQueuedBytes: number
  /** Nothing is queued any more. */
  readonly onIdle: () => void
}

/** A backlog that messages can be put into. */
export interface MessageQueue extends SendQueue {
  /**
   * Takes a message in, in the order of the calls.
   *
   * @returns resolves when the promise of `send` is kept
   * @throws PublishError, as a rejection
   */
  add(message: EncodedMessage): Promise<void>
  /** Gives up what is still waiting, or keeps it where it is safe. Nothing is added or sent after it. */
  close(): void
}
