import type { Connection } from 'rabbitmq-client'
import type { ConfirmHandlers } from '../amqp/confirm-channel.ts'
import { noop } from '../core/noop.ts'
import { brokerError } from './broker-error.ts'
import { ChannelPool, createChannelLimit } from './channel-pool.ts'
import { Link, withCorkedSocket, withTimeout } from './connection.ts'
import { describeError, PublishError } from './errors.ts'
import type { QueuedMessage, SendQueue } from './queue.ts'
import type { BrokerAddress } from './settings.ts'

/** So much is under way at most: enough to keep the broker busy, little enough to be sent again after a loss. */
const WINDOW = { messages: 1_024, bytes: 8_388_608 }
/** A broker that answers nothing for so long, without an alarm, is connected to anew. Milliseconds. */
const SILENCE_MS = 30_000

/** How the way to the broker is, and since which fault. */
export type ConnectionState =
  | { readonly status: 'connecting' | 'ready'; readonly error: null }
  | { readonly status: 'waiting' | 'blocked'; readonly error: PublishError }

export interface SenderOptions {
  readonly address: BrokerAddress
  readonly exchange: string
  readonly backlog: SendQueue
  readonly onConnectionState: (way: ConnectionState) => void
}

/** Empties a backlog into the broker, over connections that are made anew for ever. */
export class Sender {
  readonly #options: SenderOptions
  readonly #link: Link
  readonly #stop = Promise.withResolvers<void>()
  readonly #granted = createChannelLimit()
  #channels: ChannelPool | null = null
  #blocked = false
  /** So many messages are sent one by one, until it is known which of them the broker cannot take. */
  #alone = 0

  constructor(options: SenderOptions) {
    this.#options = options
    this.#link = new Link({
      address: options.address,
      name: 'deepsoc-gateway/publisher',
      session: (connection, ready, lost) => this.#run(connection, ready, lost),
      onFault: (error) => {
        options.backlog.setConnectionError(error)
        options.onConnectionState({ status: 'waiting', error })
      },
    })
  }

  start(): void {
    this.#options.onConnectionState({ status: 'connecting', error: null })
    this.#link.start()
  }

  /** Ends the connection; what has no answer yet goes back to the backlog. */
  async stop(): Promise<void> {
    this.#stop.resolve()
    await this.#link.stop()
  }

  /** Sends what can be sent now. */
  pump(): void {
    const channels = this.#channels
    if (channels === null || this.#blocked) return
    this.#fill(channels)
    withCorkedSocket(channels.connection, () => channels.flush())
  }

  #fill(channels: ChannelPool): void {
    const most = this.#alone > 0 ? 1 : WINDOW.messages
    while (channels.hasRoom(most, WINDOW.bytes)) {
      const item = this.#options.backlog.next()
      if (item === null) return
      channels.publish(item)
    }
  }

  async #run(connection: Connection, ready: () => void, lost: Promise<never>): Promise<void> {
    const { backlog, exchange, onConnectionState } = this.#options
    this.#watchAlarms(connection)
    const opened = ChannelPool.open(connection, exchange, this.#handlers, this.#granted)
    const channels = await Promise.race([opened, lost])
    const silence = new ConfirmWatchdog(channels, () => this.#blocked)
    let fault: PublishError | null = null
    try {
      ready()
      this.#channels = channels
      this.#clear(onConnectionState)
      this.pump()
      await Promise.race([this.#stop.promise, lost, channels.ended, silence.broken])
    } catch (error) {
      fault = brokerError(error, true)
      throw fault
    } finally {
      silence.end()
      this.#channels = null
      this.#blocked = false
      this.#giveBack(backlog, channels.end(), fault)
    }
    await withTimeout(channels.close())
  }

  readonly #handlers: ConfirmHandlers = {
    onConfirmed: (item) => {
      if (this.#alone > 0) this.#alone--
      this.#options.backlog.confirmed(item)
    },
    onRefused: (item, error) => {
      if (this.#alone > 0) this.#alone--
      this.#options.backlog.refused(item, error, false)
    },
    onDrain: () => this.pump(),
  }

  #clear(onWay: SenderOptions['onConnectionState']): void {
    this.#options.backlog.setConnectionError(null)
    onWay({ status: 'ready', error: null })
  }

  #watchAlarms(connection: Connection): void {
    const { backlog, onConnectionState } = this.#options
    connection.on('connection.blocked', (reason: string) => {
      this.#blocked = true
      const error = new PublishError('broker_blocked', `RabbitMQ takes no messages: ${reason}.`)
      backlog.setConnectionError(error)
      onConnectionState({ status: 'blocked', error })
    })
    connection.on('connection.unblocked', () => {
      this.#blocked = false
      this.#clear(onConnectionState)
      this.pump()
    })
  }

  #giveBack(backlog: SendQueue, left: QueuedMessage[], fault: PublishError | null): void {
    const culprit = fault === null ? -1 : this.#culprit(left, fault)
    if (culprit < 0) {
      backlog.requeue(left)
      return
    }
    const [item] = left.splice(culprit, 1)
    const { message_id } = item!
    backlog.requeue(left)
    const text = `RabbitMQ will not take the message: ${describeError(fault)}`
    const error = new PublishError('message_too_large', text, { fate: 'refused', message_id, cause: fault })
    backlog.refused(item!, error, true)
  }

  /** RabbitMQ answers a message above its own limit by ending the channel. @returns the index of that message or -1 */
  #culprit(left: readonly QueuedMessage[], fault: PublishError): number {
    if ((fault.cause as { code?: string } | undefined)?.code !== 'PRECONDITION_FAILED' || left.length === 0) return -1
    const size = Number(/message size (\d+)/.exec(fault.message)?.[1])
    const named = left.findIndex(({ body }) => body.length === size)
    if (named >= 0) return named
    if (left.length === 1) return 0
    this.#alone = left.length
    return -1
  }
}

/** Notices that nothing is answered although messages are under way. */
class ConfirmWatchdog {
  readonly broken: Promise<never>
  readonly #timer: NodeJS.Timeout

  constructor(channels: ChannelPool, isBlocked: () => boolean) {
    const { promise, reject } = Promise.withResolvers<never>()
    // The channels may end first.
    promise.catch(noop)
    this.broken = promise
    let blocked = false
    let since = performance.now()
    this.#timer = setInterval(() => {
      const now = performance.now()
      if (isBlocked() || blocked) since = now
      blocked = isBlocked()
      if (Math.min(channels.unansweredMs(now), now - since) < SILENCE_MS) return
      reject(new PublishError('broker_unreachable', `RabbitMQ has confirmed nothing for ${SILENCE_MS / 1_000} s.`))
    }, SILENCE_MS / 6)
    this.#timer.unref()
  }

  end(): void {
    clearInterval(this.#timer)
  }
}
