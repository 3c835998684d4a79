import { noop } from '../core/noop.ts'
import { PublishError } from './errors.ts'
import { MemoryQueue } from './memory-queue.ts'
import { type EncodedMessage, encode, encodeText, type OutgoingMessage } from './message.ts'
import { Outbox } from './outbox.ts'
import type { MessageQueue, QueueLimits } from './queue.ts'
import { type ConnectionState, Sender } from './sender.ts'
import { readSettings, type Settings } from './settings.ts'

export interface PublisherOptions {
  /** `amqp://` or `amqps://`. Absent: RABBITMQ_URL, or RABBITMQ_HOST and its companions. */
  readonly url?: string | undefined
  /**
   * For `amqps://`, a file in PEM: the authorities that are trusted. Absent: RABBITMQ_CA_FILE, else those that Node
   * trusts. Read again at each connection, like the next two.
   */
  readonly caFile?: string | undefined
  /** For `amqps://`, a file in PEM: the agent's own certificate. Absent: RABBITMQ_CERT_FILE, else none is shown. */
  readonly certFile?: string | undefined
  /** Its private key, without a passphrase. Absent: RABBITMQ_KEY_FILE. */
  readonly keyFile?: string | undefined
  /** Absent: RABBITMQ_EXCHANGE, else DeepSOC's. */
  readonly exchange?: string | undefined
  /** A SQLite file that keeps messages until RabbitMQ has confirmed them; made if it is not there. */
  readonly outbox?: string | undefined
  /** So many messages may wait; one more is refused. 10,000 if absent. */
  readonly maxQueued?: number | undefined
  /** So many bytes of bodies may wait; 256 MiB if absent. */
  readonly maxQueuedBytes?: number | undefined
  /** Without an outbox: milliseconds until `send` rejects at the latest; 10,000 if absent. */
  readonly sendTimeoutMs?: number | undefined
  /** A larger body is refused; absent: MAX_MESSAGE_BYTES, else 1 MiB, as the gateway. */
  readonly maxMessageBytes?: number | undefined
  /** Told of every change of `state`. */
  readonly onState?: ((state: PublisherState) => void) | undefined
  /** With an outbox: RabbitMQ will never take this message, so it was put into the table `refused` of the file. */
  readonly onSetAside?: ((error: PublishError) => void) | undefined
}

/**
 * `connecting`: the first attempt is under way. `ready`: messages go out. `blocked`: connected, but RabbitMQ has an
 * alarm. `waiting`: no connection, the next attempt follows by itself. `held`: connected, but RabbitMQ refuses some
 * messages of the outbox, which are sent again, or the file has a fault. `closed`: after close().
 */
export interface PublisherState {
  readonly status: ConnectionState['status'] | 'held' | 'closed'
  /** Why messages do not go out, or not all of them; null when they do. */
  readonly error: PublishError | null
  /** Messages that RabbitMQ has not confirmed yet. */
  readonly queued: number
}

export interface SendResult {
  readonly message_id: string
}

const limit = (name: string, value: number | undefined, defaultValue: number): number => {
  if (value === undefined) return defaultValue
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new PublishError('config_invalid', `${name} must be a whole number above 0.`)
}

/**
 * Publishes messages to the gateway's exchange: confirmed, mandatory, persistent, each with an idempotency key.
 * It connects when it is made and reconnects for ever; it keeps the process alive until `close()`.
 */
export class Publisher {
  readonly #settings: Settings
  readonly #store: MessageQueue
  readonly #sender: Sender
  readonly #onState: (state: PublisherState) => void
  #way: ConnectionState = { status: 'connecting', error: null }
  #closing: Promise<{ queued: number }> | null = null
  #closed = false
  #pumping = false
  #trouble: PublishError | null = null
  readonly #idle = new Set<() => void>()

  /** @throws PublishError config_invalid, amqp_client_incompatible, or with an outbox one of its codes */
  constructor(options: PublisherOptions = {}) {
    const { maxMessageBytes, maxQueuedBytes, maxQueued, sendTimeoutMs } = options
    if (maxMessageBytes !== undefined) limit('maxMessageBytes', maxMessageBytes, 1)
    this.#settings = readSettings(options)
    this.#onState = options.onState ?? noop
    const limits = {
      maxQueued: limit('maxQueued', maxQueued, 10_000),
      maxQueuedBytes: limit('maxQueuedBytes', maxQueuedBytes, 268_435_456),
      sendTimeoutMs: limit('sendTimeoutMs', sendTimeoutMs, 10_000),
      onIdle: () => {
        for (const resolve of this.#idle) resolve()
      },
    }
    this.#store = options.outbox === undefined ? new MemoryQueue(limits) : this.#openOutbox(options, limits)
    const { address, exchange } = this.#settings
    try {
      this.#sender = new Sender({
        address,
        exchange,
        queue: this.#store,
        onConnectionState: (way) => this.#changed(way),
      })
    } catch (error) {
      this.#store.close()
      throw error
    }
    this.#sender.start()
  }

  get state(): PublisherState {
    const { queued } = this.#store
    if (this.#closed) return { status: 'closed', error: null, queued }
    if (this.#way.status === 'ready' && this.#trouble !== null) return { status: 'held', error: this.#trouble, queued }
    return { ...this.#way, queued }
  }

  /** Messages that RabbitMQ has not confirmed yet. */
  get queued(): number {
    return this.#store.queued
  }

  /**
   * Publishes one message. Messages of one event keep the order of the calls.
   *
   * @returns resolves when RabbitMQ has confirmed it
   * @throws PublishError, as a rejection: `code` and `hint` say why, `fate` says what has become of the message
   */
  async send(message: OutgoingMessage): Promise<SendResult> {
    return this.#add(encode(message, this.#settings.maxMessageBytes))
  }

  /**
   * Publishes one message that is JSON text already, digit for digit.
   *
   * @param defaults `event_id`: used when the text names none
   * @throws PublishError, as a rejection, as of `send`
   */
  async sendText(text: string, defaults: { readonly event_id?: string | undefined } = {}): Promise<SendResult> {
    return this.#add(encodeText(text, defaults.event_id, this.#settings.maxMessageBytes))
  }

  /** @returns resolves with true when everything is confirmed, with false after `timeoutMs` */
  async flush({ timeoutMs = 5_000 }: { readonly timeoutMs?: number } = {}): Promise<boolean> {
    if (this.#store.queued === 0) return true
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#idle.add(resolve)
    const timer = setTimeout(resolve, timeoutMs)
    await promise
    clearTimeout(timer)
    this.#idle.delete(resolve)
    return this.#store.queued === 0
  }

  /**
   * Takes nothing more, waits up to `timeoutMs` for what is queued, and ends the connection. What is not confirmed
   * by then rejects.
   *
   * @returns how many messages are left unconfirmed
   */
  close({ timeoutMs = 5_000 }: { readonly timeoutMs?: number } = {}): Promise<{ queued: number }> {
    this.#closing ??= this.#close(timeoutMs)
    return this.#closing
  }

  #openOutbox({ outbox, onSetAside }: PublisherOptions, limits: QueueLimits): Outbox {
    if (!outbox || outbox === ':memory:') throw new PublishError('config_invalid', 'outbox must be the path of a file.')
    return new Outbox({
      ...limits,
      path: outbox,
      onReady: () => this.#sender.pump(),
      onError: (error) => {
        this.#trouble = error
        this.#onState(this.state)
      },
      onSetAside: (error) => onSetAside?.(error),
    })
  }

  async #close(timeoutMs: number): Promise<{ queued: number }> {
    await this.flush({ timeoutMs })
    await this.#sender.stop()
    const { queued } = this.#store
    this.#store.close()
    this.#closed = true
    this.#onState(this.state)
    return { queued }
  }

  async #add(message: EncodedMessage): Promise<SendResult> {
    const { message_id } = message
    if (this.#closing !== null) throw new PublishError('publisher_closed', 'close() was called.', { message_id })
    const added = this.#store.add(message)
    this.#pumpSoon()
    await added
    return { message_id }
  }

  /** Once a turn is enough for all that is sent in it. */
  #pumpSoon(): void {
    if (this.#pumping) return
    this.#pumping = true
    queueMicrotask(() => {
      this.#pumping = false
      this.#sender.pump()
    })
  }

  #changed(way: ConnectionState): void {
    this.#way = way
    this.#onState(this.state)
  }
}
