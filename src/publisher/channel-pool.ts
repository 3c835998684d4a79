import type { Connection } from 'rabbitmq-client'
import { ConfirmChannel, type ConfirmHandlers } from '../amqp/confirm-channel.ts'
import { noop } from '../core/noop.ts'
import { brokerError } from './broker-error.ts'
import type { PublishError } from './errors.ts'
import type { QueuedMessage } from './queue.ts'

/**
 * RabbitMQ lets a channel have so many messages under way to a quorum queue (its `quorum_commands_soft_limit`) before
 * it stops reading from it. Who has fewer under way gains nothing by a second channel.
 */
const SINGLE_CHANNEL_WINDOW = 32
/**
 * Of RabbitMQ's work for a message most is the channel's: routing, and a look at the user's rights, which it remembers
 * for twelve routing keys a channel. Sixteen channels instead of one, 100 events, two cores, medians of eight: 15,800 →
 * 19,000 confirmed a second, RabbitMQ 84 → 68 µs a message.
 */
const MOST = 16

/** How many channels the broker has been seen to grant, over all connections of a publisher. */
export interface ChannelLimit {
  most: number
}

export const createChannelLimit = (): ChannelLimit => ({ most: MOST })

/** What rabbitmq-client keeps to itself of a connection. */
interface Insides {
  readonly _state: { readonly channelMax: number }
}

/**
 * The channels of one connection: one, and under load several, among which the events are divided. All messages of
 * an event take the same channel, because RabbitMQ keeps the order of a channel alone.
 */
export class ChannelPool {
  readonly connection: Connection
  readonly #exchange: string
  readonly #handlers: ConfirmHandlers
  readonly #grant: ChannelLimit
  readonly #all: [ConfirmChannel, ...ConfirmChannel[]]
  /** Further channels that stand ready; they are used once nothing is under way, so that no event is on two. */
  #ready: readonly ConfirmChannel[] = []
  #asked = false

  /** Rejects with the cause when one of them fails or closes; never resolves. */
  readonly ended: Promise<never>
  readonly #fail: (error: PublishError) => void

  private constructor(
    connection: Connection,
    first: ConfirmChannel,
    exchange: string,
    handlers: ConfirmHandlers,
    granted: ChannelLimit,
  ) {
    const { promise, reject } = Promise.withResolvers<never>()
    // Of several ends only the first is waited for.
    promise.catch(noop)
    this.ended = promise
    this.#fail = reject
    this.connection = connection
    this.#exchange = exchange
    this.#handlers = handlers
    this.#grant = granted
    this.#all = [first]
    first.ended.catch(reject)
  }

  /** @throws as Session.open */
  static async open(
    connection: Connection,
    exchange: string,
    handlers: ConfirmHandlers,
    granted: ChannelLimit,
  ): Promise<ChannelPool> {
    const first = await ConfirmChannel.open(connection, exchange, handlers)
    return new ChannelPool(connection, first, exchange, handlers, granted)
  }

  /** Milliseconds for which messages have been under way without any answer, on the channel where it is longest. */
  unansweredMs(now: number): number {
    return Math.max(...this.#all.map((session) => session.silence(now)))
  }

  /**
   * Whether another message may be published now; if not, `onRoom` comes later.
   *
   * @param messages so many may be under way
   * @param bytes so many bytes of bodies may be under way, or one message that is larger
   */
  hasRoom(messages: number, bytes: number): boolean {
    const underWay = this.#sum((session) => session.unconfirmed)
    if (underWay > 0)
      return this.#ready.length === 0 && underWay < messages && this.#sum((session) => session.bytes) < bytes
    this.#all.push(...this.#ready)
    this.#ready = []
    return true
  }

  publish(item: QueuedMessage): void {
    const { length } = this.#all
    this.#all[length === 1 ? 0 : hash(item.event_id) % length]!.publish(item)
    if (!this.#asked && this.#all[0].unconfirmed > SINGLE_CHANNEL_WINDOW) void this.#askForMore()
  }

  /** Writes what has been published. */
  flush(): void {
    for (const session of this.#all) session.flush()
  }

  /** Ends all of them. @returns what has no answer, in the order in which it was sent */
  end(): QueuedMessage[] {
    return this.#all.flatMap((session) => session.end()).sort((a, b) => a.seq - b.seq)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all, ...this.#ready].map((session) => session.close()))
  }

  async #askForMore(): Promise<void> {
    this.#asked = true
    const { channelMax } = (this.connection as unknown as Insides)._state
    const { most } = this.#grant
    const further = Math.min(most, channelMax) - 1
    // An operator may allow a user fewer channels, and RabbitMQ ends the connection that asks for one too many: the
    // next connection does not ask again.
    this.#grant.most = 1
    try {
      const open = Array.from({ length: further }, () =>
        ConfirmChannel.open(this.connection, this.#exchange, this.#handlers),
      )
      this.#ready = await Promise.all(open)
      this.#grant.most = most
      for (const session of this.#ready) session.ended.catch(this.#fail)
    } catch (error) {
      this.#fail(brokerError(error, true))
    }
    this.#handlers.onDrain()
  }

  #sum(of: (session: ConfirmChannel) => number): number {
    let sum = 0
    for (const session of this.#all) sum += of(session)
    return sum
  }
}

/** FNV-1a, of 32 bits. */
const hash = (text: string): number => {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  return value >>> 0
}
