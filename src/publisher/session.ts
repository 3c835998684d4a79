import type { Channel, Connection, ReturnedMessage } from 'rabbitmq-client'
import type { Item } from './backlog.ts'
import { brokerError } from './broker-error.ts'
import { PublishError } from './errors.ts'
import { propertyId } from './message.ts'

export interface SessionHandlers {
  readonly onConfirmed: (item: Item) => void
  readonly onRefused: (item: Item, error: PublishError, lasting: boolean) => void
  /** After a bunch of answers: there is room for more. */
  readonly onRoom: () => void
}

type Answer = { readonly item: Item; readonly error: unknown }

/**
 * One confirming channel. What is published on it is answered by `onConfirmed` or `onRefused`, or stays in
 * `unanswered` when the channel ends.
 */
export class Session {
  readonly connection: Connection
  readonly #channel: Channel
  readonly #exchange: string
  readonly #handlers: SessionHandlers
  /** In the order in which they were sent. */
  readonly #underWay = new Map<number, Item>()
  /** How often a message came back as unroutable whose confirm has not been looked at yet. */
  readonly #returned = new Map<string, number>()
  #answers: Answer[] = []
  #bytes = 0
  #over = false
  /** Milliseconds, of the monotonic clock. */
  #lastAnswer = performance.now()

  /** Rejects with the cause when the channel fails or closes; never resolves. */
  readonly ended: Promise<never>
  readonly #fail: (error: unknown) => void

  private constructor(connection: Connection, channel: Channel, exchange: string, handlers: SessionHandlers) {
    const { promise, reject } = Promise.withResolvers<never>()
    // Of several ends only the first is waited for.
    promise.catch(alreadyEnded)
    this.ended = promise
    this.#fail = (error) => reject(brokerError(error, true))
    channel.on('error', this.#fail)
    // One turn later, so that a cause that is reported with the close comes first.
    channel.on('close', () => setImmediate(this.#fail, new PublishError('broker_error', 'The channel was closed.')))
    this.connection = connection
    this.#channel = channel
    this.#exchange = exchange
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
  static async open(connection: Connection, exchange: string, handlers: SessionHandlers): Promise<Session> {
    const channel = await connection.acquire({ emitErrorsFromChannel: true })
    const session = new Session(connection, channel, exchange, handlers)
    await channel.exchangeDeclare({ exchange, passive: true })
    await channel.confirmSelect()
    return session
  }

  /** Messages without an answer. */
  get underWay(): number {
    return this.#underWay.size
  }

  /** Their bytes. */
  get bytes(): number {
    return this.#bytes
  }

  /** Milliseconds for which messages have been under way without any answer; 0 when none are. */
  silence(now: number): number {
    return this.#underWay.size === 0 ? 0 : now - this.#lastAnswer
  }

  publish(item: Item): void {
    if (this.#underWay.size === 0) this.#lastAnswer = performance.now()
    this.#underWay.set(item.seq, item)
    this.#bytes += item.body.length
    const envelope = {
      exchange: this.#exchange,
      routingKey: item.routingKey,
      durable: true,
      mandatory: true,
      contentType: 'application/json',
      messageId: propertyId(item.message_id),
    }
    this.#channel.basicPublish(envelope, item.body).then(
      () => this.#answered(item, null),
      (error: unknown) => this.#answered(item, error),
    )
  }

  /** Ends the session. @returns what has no answer, in the order in which it was sent */
  end(): Item[] {
    this.#over = true
    const left = [...this.#underWay.values()]
    this.#underWay.clear()
    return left
  }

  async close(): Promise<void> {
    await this.#channel.close()
  }

  #answered(item: Item, error: unknown): void {
    if (this.#over) return
    if (error !== null && (error as { code?: string }).code !== 'NACK') {
      // The channel has ended, and the library tells the first message that waits, whichever message was at fault.
      this.#fail(error)
      return
    }
    // A return comes before its confirm, but the library hands it out one turn later. So what has gathered in this
    // turn is looked at in the turn after the next: by then the returns of all of it have been handed out.
    if (this.#answers.push({ item, error }) > 1) return
    setImmediate(() => {
      const answers = this.#answers
      this.#answers = []
      setImmediate(() => this.#settle(answers))
    })
  }

  #settle(answers: readonly Answer[]): void {
    if (this.#over) return
    this.#lastAnswer = performance.now()
    for (const { item, error } of answers) {
      if (!this.#underWay.delete(item.seq)) continue
      this.#bytes -= item.body.length
      const refusal = this.#refusal(item, error)
      if (refusal === null) this.#handlers.onConfirmed(item)
      else this.#handlers.onRefused(item, refusal, false)
    }
    this.#handlers.onRoom()
  }

  #refusal(item: Item, error: unknown): PublishError | null {
    const { message_id, routingKey } = item
    const returned = this.#returned.size > 0 && this.#takeReturned(returnKey(propertyId(message_id), routingKey))
    if (error !== null) {
      const text = 'RabbitMQ refused the message.'
      return new PublishError('publish_nacked', text, { fate: 'refused', message_id, cause: error })
    }
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

const alreadyEnded = (): void => undefined
