import type { BrokerAddress } from '../amqp/address.ts'
import { ConfirmChannel } from '../amqp/confirm-channel.ts'
import { type OpenConnection, ReconnectingConnection } from '../amqp/connection.ts'
import { BrokerError, toBrokerError } from '../amqp/errors.ts'
import { noop } from '../core/noop.ts'
import { toPublishError } from './broker-errors.ts'
import { PublishError } from './errors.ts'
import type { QueuedMessage, SendQueue } from './queue.ts'
import { Transmission } from './transmission.ts'

/**
 * Limits of the messages in flight: enough to keep the broker busy, few enough to send again after a lost connection.
 */
const WINDOW = { messages: 1_024, bytes: 8_388_608 }
/** An agent can block its event loop for longer than a gateway. */
const HEARTBEAT_SECONDS = 10
/** Reconnects if the broker confirms nothing for this long without an alarm, in milliseconds. */
const CONFIRM_TIMEOUT_MS = 30_000

/** State of the connection to the broker, and the error that caused it. See Sender for the transitions. */
export type ConnectionState =
  | { readonly status: 'connecting' | 'ready'; readonly error: null }
  | { readonly status: 'waiting' | 'blocked'; readonly error: PublishError }

export interface SenderOptions {
  readonly address: BrokerAddress
  readonly exchange: string
  readonly queue: SendQueue
  readonly onConnectionState: (state: ConnectionState) => void
}

/**
 * Sends queued messages to the broker over a connection that reconnects. Transitions of its connection state:
 *
 * - `connecting`: set by `start`, for the first attempt only.
 * - any → `ready`: connection and confirm channel are open, and the broker has no alarm or has lifted it (connection.unblocked).
 * - any → `blocked`: the broker has a memory or disk alarm (connection.blocked); nothing is sent.
 * - any → `waiting`: an attempt failed, the connection or channel was lost, or nothing was confirmed for 30 s. The next
 *   attempt follows automatically, and the state stays `waiting` until it succeeds.
 *
 * `stop` reports no state.
 */
export class Sender {
  readonly #options: SenderOptions
  readonly #connection: ReconnectingConnection
  #transmission: Transmission | null = null
  #blocked = false
  /** This many messages are sent one at a time, to find the one that the broker does not accept. */
  #sendOneByOne = 0

  /** @throws PublishError amqp_client_incompatible */
  constructor(options: SenderOptions) {
    this.#options = options
    try {
      this.#connection = new ReconnectingConnection({
        address: options.address,
        name: 'deepsoc-gateway/publisher',
        heartbeatSeconds: HEARTBEAT_SECONDS,
        readFrames: null,
        use: (open) => this.#use(open),
        onError: (error) => this.#failed(toPublishError(error)),
      })
    } catch (error) {
      throw toPublishError(toBrokerError(error, false))
    }
  }

  start(): void {
    this.#options.onConnectionState({ status: 'connecting', error: null })
    this.#connection.start()
  }

  /** Closes the connection. Unanswered messages return to the queue. */
  async stop(): Promise<void> {
    await this.#connection.stop()
  }

  /** Sends as many messages as the window allows. */
  pump(): void {
    const transmission = this.#transmission
    if (transmission === null || this.#blocked) return
    const maxMessages = this.#sendOneByOne > 0 ? 1 : WINDOW.messages
    // A message larger than the window is sent alone.
    while (transmission.messages === 0 || (transmission.messages < maxMessages && transmission.bytes < WINDOW.bytes)) {
      const item = this.#options.queue.next()
      if (item === null) return
      transmission.send(item)
    }
  }

  async #use(open: OpenConnection): Promise<void> {
    const { connection } = open
    // The previous connection may have ended under an alarm before its channel was open.
    this.#blocked = false
    connection.on('connection.blocked', (reason: string) => this.#onBlocked(reason))
    connection.on('connection.unblocked', () => {
      this.#blocked = false
      this.#reportIfReady()
    })
    while (await this.#useChannel(open)) {
      // The next channel has another chance.
    }
  }

  /** Sends over one channel. @returns true if it refuses every message, and another one may not; false after `stopping` */
  async #useChannel({ connection, lost, stopping, ready }: OpenConnection): Promise<boolean> {
    const opening = ConfirmChannel.open(connection, this.#options.exchange, true)
    // Ignored: it rejects when the connection ends, which is awaited below.
    opening.catch(noop)
    const channel = await Promise.race([opening, lost, stopping])
    if (!(channel instanceof ConfirmChannel)) return false
    const transmission = new Transmission(channel, this.#handlers)
    const watchdog = new ConfirmWatchdog(transmission, () => this.#blocked)
    let failure: PublishError | null = null
    let refused: boolean
    try {
      ready()
      this.#transmission = transmission
      this.#reportIfReady()
      const refusing = channel.refusing.then(() => true)
      refused = await Promise.race([stopping.then(() => false), lost, channel.closed, watchdog.silent, refusing])
    } catch (error) {
      const brokerError = toBrokerError(error, true)
      failure = toPublishError(brokerError)
      throw brokerError
    } finally {
      watchdog.end()
      this.#transmission = null
      this.#requeue(transmission.end(), failure)
    }
    await channel.close()
    return refused
  }

  readonly #handlers = {
    onConfirmed: (item: QueuedMessage) => {
      if (this.#sendOneByOne > 0) this.#sendOneByOne--
      this.#options.queue.confirmed(item)
      this.pump()
    },
    onRefused: (item: QueuedMessage, error: PublishError) => {
      if (this.#sendOneByOne > 0) this.#sendOneByOne--
      this.#options.queue.refused(item, error, false)
      this.pump()
    },
  }

  /** An alarm may begin and end while the channel is being opened. */
  #reportIfReady(): void {
    if (this.#blocked || this.#transmission === null) return
    this.#options.queue.setConnectionError(null)
    this.#options.onConnectionState({ status: 'ready', error: null })
    this.pump()
  }

  #failed(error: PublishError): void {
    this.#options.queue.setConnectionError(error)
    this.#options.onConnectionState({ status: 'waiting', error })
  }

  #onBlocked(reason: string): void {
    this.#blocked = true
    const error = new PublishError('broker_blocked', `RabbitMQ accepts no messages: ${reason}.`)
    this.#options.queue.setConnectionError(error)
    this.#options.onConnectionState({ status: 'blocked', error })
  }

  #requeue(unconfirmed: QueuedMessage[], failure: PublishError | null): void {
    const { queue } = this.#options
    const culprit = failure === null ? -1 : this.#findCulprit(unconfirmed, failure)
    if (failure === null || culprit < 0) {
      queue.requeue(unconfirmed)
      return
    }
    const [item] = unconfirmed.splice(culprit, 1)
    const { message_id } = item!
    queue.requeue(unconfirmed)
    const text = `RabbitMQ does not accept the message: ${failure.message}`
    const error = new PublishError('message_too_large', text, { deliveryStatus: 'refused', message_id, cause: failure })
    queue.refused(item!, error, true)
  }

  /** RabbitMQ closes the channel if a message exceeds its own size limit. @returns the index of that message or -1 */
  #findCulprit(unconfirmed: readonly QueuedMessage[], failure: PublishError): number {
    if ((failure.cause as { code?: string } | undefined)?.code !== 'PRECONDITION_FAILED' || unconfirmed.length === 0) {
      return -1
    }
    const size = Number(/message size (\d+)/.exec(failure.message)?.[1])
    const sizeMatch = unconfirmed.findIndex(({ body }) => body.length === size)
    if (sizeMatch >= 0) return sizeMatch
    if (unconfirmed.length === 1) return 0
    this.#sendOneByOne = unconfirmed.length
    return -1
  }
}

/** Detects that messages are in flight but nothing is confirmed. */
class ConfirmWatchdog {
  /** Rejects with broker_unreachable. Never resolves. */
  readonly silent: Promise<never>
  readonly #timer: NodeJS.Timeout

  constructor(transmission: Transmission, isBlocked: () => boolean) {
    const { promise, reject } = Promise.withResolvers<never>()
    // Ignored if the channel closes first.
    promise.catch(noop)
    this.silent = promise
    let blocked = false
    let since = performance.now()
    this.#timer = setInterval(() => {
      const now = performance.now()
      if (isBlocked() || blocked) since = now
      blocked = isBlocked()
      if (Math.min(transmission.unansweredMs(now), now - since) < CONFIRM_TIMEOUT_MS) return
      reject(
        new BrokerError('broker_unreachable', `RabbitMQ has confirmed nothing for ${CONFIRM_TIMEOUT_MS / 1_000} s.`),
      )
    }, CONFIRM_TIMEOUT_MS / 6)
    this.#timer.unref()
  }

  end(): void {
    clearInterval(this.#timer)
  }
}
