import { MAX_TIMER_MS } from '../core/backoff.ts'
import { noop } from '../core/noop.ts'
import { PublishError } from './errors.ts'
import { MemoryQueue } from './memory-queue.ts'
import { type EncodedMessage, encode, encodeText, type OutgoingMessage } from './message.ts'
import { Outbox } from './outbox.ts'
import type { MessageQueue, QueueLimits } from './queue.ts'
import { type ConnectionState, Sender } from './sender.ts'
import { readSettings, type Settings } from './settings.ts'

export interface PublisherOptions {
  /** `amqp://` or `amqps://`. Default: RABBITMQ_URL, or RABBITMQ_HOST and its companions. */
  readonly url?: string | undefined
  /**
   * For `amqps://`: PEM file of the trusted authorities. Default: RABBITMQ_CA_FILE, or else those that Node trusts.
   * Read again for each connection, like the next two.
   */
  readonly caFile?: string | undefined
  /**
   * For `amqps://`: PEM file of the agent's own certificate. Default: RABBITMQ_CERT_FILE, or else no client
   * certificate.
   */
  readonly certFile?: string | undefined
  /** Its private key, without a passphrase. Default: RABBITMQ_KEY_FILE. */
  readonly keyFile?: string | undefined
  /** Default: RABBITMQ_EXCHANGE, or else DeepSOC's exchange. */
  readonly exchange?: string | undefined
  /**
   * Path of a SQLite file that keeps messages until RabbitMQ has confirmed them. It is created if it does not exist.
   */
  readonly outbox?: string | undefined
  /** Maximum number of queued messages; more are refused. Default: 10,000. */
  readonly maxQueued?: number | undefined
  /** Maximum bytes of queued bodies. Default: 256 MiB. */
  readonly maxQueuedBytes?: number | undefined
  /** Without an outbox: maximum time until `send` rejects, in milliseconds. Default: 10,000. */
  readonly sendTimeoutMs?: number | undefined
  /**
   * Maximum size of a body in bytes; larger ones are refused. Default: MAX_MESSAGE_BYTES, or else 1 MiB, as in the
   * gateway.
   */
  readonly maxMessageBytes?: number | undefined
  /** Called at every change of `state`. */
  readonly onState?: ((state: PublisherState) => void) | undefined
  /**
   * With an outbox: called when RabbitMQ will never accept a message, which was moved to the table `refused` of the
   * file.
   */
  readonly onRefused?: ((error: PublishError) => void) | undefined
}

/**
 * State of a publisher:
 *
 * - `connecting`: the first connection attempt is in progress.
 * - `ready`: connected, and messages are sent.
 * - `blocked`: connected, but RabbitMQ has a memory or disk alarm.
 * - `waiting`: no connection; the next attempt follows automatically.
 * - `degraded`: connected, but RabbitMQ refuses some messages of the outbox, which are retried, or the file has an error.
 * - `closed`: after close(). Final.
 *
 * `connecting` is never entered again. `ready`, `blocked`, `waiting` and `degraded` change into one another, and any of
 * these five into `closed`.
 */
export interface PublisherState {
  readonly status: ConnectionState['status'] | 'degraded' | 'closed'
  /** Why some or all messages are not sent; null if they are. */
  readonly error: PublishError | null
  /** Messages that RabbitMQ has not confirmed yet. */
  readonly queued: number
}

export interface SendResult {
  readonly message_id: string
}

const positiveInteger = (name: string, value: number | undefined, defaultValue: number): number => {
  if (value === undefined) return defaultValue
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new PublishError('config_invalid', `${name} must be a whole number above 0.`)
}

/**
 * Publishes messages to the gateway's exchange: confirmed, mandatory and persistent, each with an idempotency key.
 * The constructor connects, and lost connections are re-established for ever. It keeps the process alive until
 * `close()`.
 */
export class Publisher {
  readonly #settings: Settings
  readonly #queue: MessageQueue
  readonly #sender: Sender
  readonly #onState: (state: PublisherState) => void
  #connectionState: ConnectionState = { status: 'connecting', error: null }
  #closing: Promise<{ queued: number }> | null = null
  #closed = false
  #pumping = false
  #outboxError: PublishError | null = null
  readonly #idle = new Set<() => void>()

  /**
   * @param settings used instead of the address, exchange and size of options and environment
   * @throws PublishError config_invalid or amqp_client_incompatible; with an outbox also outbox_*
   */
  constructor(options: PublisherOptions = {}, settings?: Settings) {
    const { maxMessageBytes, maxQueuedBytes, maxQueued, sendTimeoutMs } = options
    // Callers in JavaScript would otherwise miss refused messages without any error.
    if (Object.hasOwn(options, 'onSetAside')) {
      throw new PublishError('config_invalid', 'The option onSetAside was renamed to onRefused.')
    }
    if (maxMessageBytes !== undefined) positiveInteger('maxMessageBytes', maxMessageBytes, 1)
    this.#settings = settings ?? readSettings(options)
    this.#onState = options.onState ?? noop
    const limits = {
      maxQueued: positiveInteger('maxQueued', maxQueued, 10_000),
      maxQueuedBytes: positiveInteger('maxQueuedBytes', maxQueuedBytes, 268_435_456),
      sendTimeoutMs: positiveInteger('sendTimeoutMs', sendTimeoutMs, 10_000),
      onIdle: () => {
        for (const resolve of this.#idle) resolve()
      },
    }
    this.#queue = options.outbox === undefined ? new MemoryQueue(limits) : this.#openOutbox(options, limits)
    const { address, exchange } = this.#settings
    try {
      this.#sender = new Sender({
        address,
        exchange,
        queue: this.#queue,
        onConnectionState: (state) => this.#onConnectionState(state),
      })
    } catch (error) {
      this.#queue.close()
      throw error
    }
    this.#sender.start()
  }

  get state(): PublisherState {
    const { queued } = this.#queue
    if (this.#closed) return { status: 'closed', error: null, queued }
    if (this.#connectionState.status === 'ready' && this.#outboxError !== null)
      return { status: 'degraded', error: this.#outboxError, queued }
    return { ...this.#connectionState, queued }
  }

  /** Messages that RabbitMQ has not confirmed yet. */
  get queued(): number {
    return this.#queue.queued
  }

  /**
   * Publishes one message. Messages of one event are sent in the order of the calls.
   *
   * @returns resolves once RabbitMQ has confirmed the message; with an outbox, once the file has it
   * @throws PublishError, as a rejection: `code` and `hint` give the reason, `deliveryStatus` the state of the message
   */
  async send(message: OutgoingMessage): Promise<SendResult> {
    return this.#add(encode(message, this.#settings.maxMessageBytes))
  }

  /**
   * Publishes one message that is already JSON text, digit for digit.
   *
   * @param defaults `event_id`: used if the text contains none
   * @throws PublishError, as a rejection, as `send` does
   */
  async sendText(text: string, defaults: { readonly event_id?: string | undefined } = {}): Promise<SendResult> {
    return this.#add(encodeText(text, defaults.event_id, this.#settings.maxMessageBytes))
  }

  /** @returns resolves with true once everything is confirmed, with false after `timeoutMs` */
  async flush({ timeoutMs = 5_000 }: { readonly timeoutMs?: number } = {}): Promise<boolean> {
    if (this.#queue.queued === 0) return true
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#idle.add(resolve)
    const unlimited = timeoutMs === Number.POSITIVE_INFINITY
    const timer = unlimited ? undefined : setTimeout(resolve, Math.min(timeoutMs, MAX_TIMER_MS))
    await promise
    clearTimeout(timer)
    this.#idle.delete(resolve)
    return this.#queue.queued === 0
  }

  /**
   * Refuses further messages, waits up to `timeoutMs` for the queued ones, and closes the connection. Without an
   * outbox, `send` then rejects for messages that are still unconfirmed.
   *
   * @returns the number of messages left unconfirmed
   */
  close({ timeoutMs = 5_000 }: { readonly timeoutMs?: number } = {}): Promise<{ queued: number }> {
    this.#closing ??= this.#close(timeoutMs)
    return this.#closing
  }

  #openOutbox({ outbox, onRefused }: PublisherOptions, limits: QueueLimits): Outbox {
    if (!outbox || outbox === ':memory:') throw new PublishError('config_invalid', 'outbox must be the path of a file.')
    return new Outbox({
      ...limits,
      path: outbox,
      onReady: () => this.#sender.pump(),
      onError: (error) => {
        this.#outboxError = error
        this.#onState(this.state)
      },
      onRefused: (error) => onRefused?.(error),
    })
  }

  async #close(timeoutMs: number): Promise<{ queued: number }> {
    await this.flush({ timeoutMs })
    await this.#sender.stop()
    const { queued } = this.#queue
    this.#queue.close()
    this.#closed = true
    this.#onState(this.state)
    return { queued }
  }

  async #add(message: EncodedMessage): Promise<SendResult> {
    const { message_id } = message
    if (this.#closing !== null) throw new PublishError('publisher_closed', 'close() was called.', { message_id })
    const added = this.#queue.add(message)
    this.#schedulePump()
    await added
    return { message_id }
  }

  /** Pumps once for all messages that are sent in the same synchronous run. */
  #schedulePump(): void {
    if (this.#pumping) return
    this.#pumping = true
    queueMicrotask(() => {
      this.#pumping = false
      this.#sender.pump()
    })
  }

  #onConnectionState(state: ConnectionState): void {
    this.#connectionState = state
    this.#onState(this.state)
  }
}
