import type { Channel, Connection, ReturnedMessage } from 'rabbitmq-client'
import { noop } from '../core/noop.ts'
import { brokerError } from '../publisher/broker-error.ts'
import { PublishError } from '../publisher/errors.ts'
import { createPublishHeader, type PublishHeader, publishFrames } from '../publisher/frames.ts'
import type { QueuedMessage } from '../publisher/queue.ts'
import { amqpMessageId } from './message-properties.ts'

export interface ConfirmHandlers {
  readonly onConfirmed: (item: QueuedMessage) => void
  readonly onRefused: (item: QueuedMessage, error: PublishError, lasting: boolean) => void
  /** After a bunch of answers: there is room for more. */
  readonly onDrain: () => void
}

interface Answer {
  readonly item: QueuedMessage
  readonly nacked: boolean
}

/** Methods of AMQP, as rabbitmq-client numbers them. */
const ACK = (60 << 16) | 80
const NACK = (60 << 16) | 120

/**
 * What rabbitmq-client keeps to itself of a channel. Its own basicPublish and its confirms cost a dozen promises and
 * streams' turns a message; the frames are written here, and the answers are read before the channel sees them.
 */
interface RabbitmqClientInternals {
  readonly _conn: { readonly _socket: { write(bytes: Buffer): boolean } }
  readonly _state: { readonly maxFrameSize: number }
  _onMethod(frame: { methodId: number; params: { deliveryTag: number; multiple: boolean } }): void
}

/**
 * One confirming channel. What is published on it is answered by `onConfirmed` or `onRefused`, or stays in
 * `unanswered` when the channel ends.
 */
export class ConfirmChannel {
  readonly #channel: Channel
  readonly #inside: RabbitmqClientInternals
  readonly #envelope: PublishHeader
  readonly #handlers: ConfirmHandlers
  /** By delivery tag, in the order in which they were sent. */
  readonly #unconfirmed = new Map<number, QueuedMessage>()
  #tag = 0
  #frames: Buffer[] = []
  /** How often a message came back as unroutable whose confirm has not been looked at yet. */
  readonly #returned = new Map<string, number>()
  #answers: Answer[] = []
  /** Answers that are not settled yet. */
  readonly #unsettled = new Set<Answer>()
  #bytes = 0
  #over = false
  /** Milliseconds, of the monotonic clock. */
  #lastAnswer = performance.now()

  /** Rejects with the cause when the channel fails or closes; never resolves. */
  readonly ended: Promise<never>
  readonly #fail: (error: unknown) => void

  private constructor(channel: Channel, exchange: string, handlers: ConfirmHandlers) {
    const { promise, reject } = Promise.withResolvers<never>()
    // Of several ends only the first is waited for.
    promise.catch(noop)
    this.ended = promise
    this.#fail = (error) => reject(brokerError(error, true))
    channel.on('error', this.#fail)
    // One turn later, so that a cause that is reported with the close comes first.
    channel.on('close', () => setImmediate(this.#fail, new PublishError('broker_error', 'The channel was closed.')))
    this.#channel = channel
    this.#inside = channel as unknown as RabbitmqClientInternals
    this.#envelope = createPublishHeader(channel.id, this.#inside._state.maxFrameSize, exchange)
    this.#handlers = handlers
    channel.on('basic.return', (message: ReturnedMessage) => {
      const key = returnKey(message.messageId ?? '', message.routingKey)
      this.#returned.set(key, (this.#returned.get(key) ?? 0) + 1)
    })
  }

  /**
   * Opens a channel, and makes sure that the exchange is there: otherwise the first publish would end the channel.
   *
   * @throws what rabbitmq-client throws; NOT_FOUND: there is no such exchange
   */
  static async open(connection: Connection, exchange: string, handlers: ConfirmHandlers): Promise<ConfirmChannel> {
    const channel = await connection.acquire({ emitErrorsFromChannel: true })
    const session = new ConfirmChannel(channel, exchange, handlers)
    await channel.exchangeDeclare({ exchange, passive: true })
    await channel.confirmSelect()
    session.#readAnswers()
    return session
  }

  /** Messages without an answer. */
  get unconfirmed(): number {
    return this.#unconfirmed.size + this.#unsettled.size
  }

  /** Their bytes. */
  get bytes(): number {
    return this.#bytes
  }

  /** Milliseconds for which messages have been under way without any answer; 0 when none are. */
  silence(now: number): number {
    return this.#unconfirmed.size === 0 ? 0 : now - this.#lastAnswer
  }

  /** It leaves with the next `flush`. */
  publish(item: QueuedMessage): void {
    if (this.#unconfirmed.size === 0) this.#lastAnswer = performance.now()
    this.#unconfirmed.set(++this.#tag, item)
    this.#bytes += item.body.length
    const seconds = Math.floor(Date.now() / 1_000)
    const id = amqpMessageId(item.message_id)
    this.#frames.push(publishFrames(this.#envelope, item.routingKey, id, item.body, seconds))
  }

  /** Writes what has been published since the last time: in a row, as the broker takes a run of one channel for less. */
  flush(): void {
    for (const frames of this.#frames) this.#inside._conn._socket.write(frames)
    this.#frames = []
  }

  /** Ends the session. @returns what has no answer, in no order */
  end(): QueuedMessage[] {
    this.#over = true
    const left = [...[...this.#unsettled].map(({ item }) => item), ...this.#unconfirmed.values()]
    this.#unconfirmed.clear()
    this.#unsettled.clear()
    return left
  }

  async close(): Promise<void> {
    await this.#channel.close()
  }

  #readAnswers(): void {
    const inside = this.#inside
    const others = inside._onMethod.bind(inside)
    inside._onMethod = (frame) => {
      const { methodId, params } = frame
      if (methodId !== ACK && methodId !== NACK) others(frame)
      else this.#answered(params.deliveryTag, params.multiple, methodId === NACK)
    }
  }

  #answered(upTo: number, multiple: boolean, nacked: boolean): void {
    if (!multiple) {
      this.#answer(upTo, nacked)
      return
    }
    for (const tag of this.#unconfirmed.keys()) {
      if (tag > upTo) return
      this.#answer(tag, nacked)
    }
  }

  #answer(tag: number, nacked: boolean): void {
    const item = this.#unconfirmed.get(tag)
    if (item === undefined || this.#over) return
    this.#unconfirmed.delete(tag)
    const answer = { item, nacked }
    this.#unsettled.add(answer)
    // A return comes before its confirm, but the library hands it out one turn later. So what has gathered in this
    // turn is looked at in the turn after the next: by then the returns of all of it have been handed out.
    if (this.#answers.push(answer) > 1) return
    setImmediate(() => {
      const answers = this.#answers
      this.#answers = []
      setImmediate(() => this.#settle(answers))
    })
  }

  #settle(answers: readonly Answer[]): void {
    if (this.#over) return
    this.#lastAnswer = performance.now()
    for (const answer of answers) {
      const { item, nacked } = answer
      this.#unsettled.delete(answer)
      this.#bytes -= item.body.length
      const refusal = this.#refusal(item, nacked)
      if (refusal === null) this.#handlers.onConfirmed(item)
      else this.#handlers.onRefused(item, refusal, false)
    }
    this.#handlers.onDrain()
  }

  #refusal(item: QueuedMessage, nacked: boolean): PublishError | null {
    const { message_id, routingKey } = item
    const returned = this.#returned.size > 0 && this.#takeReturned(returnKey(amqpMessageId(message_id), routingKey))
    if (nacked) return new PublishError('publish_nacked', 'RabbitMQ refused it.', { fate: 'refused', message_id })
    if (!returned) return null
    return new PublishError('publish_unroutable', `No queue takes ${routingKey}.`, { fate: 'refused', message_id })
  }

  #takeReturned(key: string): boolean {
    const count = this.#returned.get(key)
    if (count === undefined) return false
    if (count === 1) this.#returned.delete(key)
    else this.#returned.set(key, count - 1)
    return true
  }
}

const returnKey = (id: string, routingKey: string): string => `${routingKey} ${id}`
