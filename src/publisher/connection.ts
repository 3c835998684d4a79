import type { TcpSocketConnectOpts } from 'node:net'
import { Connection } from 'rabbitmq-client'
import { tlsOptions } from '../amqp/tls.ts'
import { backoffDelay } from '../core/backoff.ts'
import { noop } from '../core/noop.ts'
import { brokerError } from './broker-error.ts'
import type { PublishError } from './errors.ts'
import type { BrokerAddress } from './settings.ts'

/** The most that RabbitMQ grants by default; what was agreed is taken over below. */
const FRAME_MAX = 131_072
/** The library stops writing above this until the socket has taken it; its types do not know the option. */
const SOCKET_OPTIONS = { writableHighWaterMark: 1_048_576 } as unknown as TcpSocketConnectOpts
/** Seconds. A dead peer is noticed after two of them. */
const HEARTBEAT = 10
const BACKOFF_MS = { minMs: 100, maxMs: 10_000 }
/** An orderly end of a channel or connection gets this long. */
const CLOSE_MS = 1_000

export interface LinkOptions {
  readonly address: BrokerAddress
  /** Name of the connection at the broker. */
  readonly name: string
  /**
   * Sets up and uses the connection. Resolves when its owner has stopped, rejects when the use has failed; `ready` is
   * to be called once everything works; `lost` rejects when the connection is gone.
   */
  readonly session: (connection: Connection, ready: () => void, lost: Promise<never>) => Promise<void>
  /** An attempt has failed, or what stood is lost. */
  readonly onFault: (error: PublishError) => void
}

/** What rabbitmq-client keeps to itself of a connection. */
interface Insides {
  readonly _opt: { frameMax: number }
  readonly _state: { readonly frameMax: number }
  readonly _socket: { cork(): void; uncork(): void }
}

/** Lets everything that is published meanwhile leave in one write: one for each message costs both sides more. */
export const withCorkedSocket = (connection: Connection, work: () => void): void => {
  const { _socket: socket } = connection as unknown as Insides
  socket.cork()
  try {
    work()
  } finally {
    socket.uncork()
  }
}

/**
 * One connection to the broker, made anew for ever with jittered backoff. Each attempt is a new Connection of
 * the library: its own reconnect reports only the first error of an outage, so the cause would grow stale.
 */
export class Link {
  readonly #options: LinkOptions
  #stopping = false
  #running: Promise<void> | null = null
  #wake: (() => void) | null = null
  #attempt = 0

  constructor(options: LinkOptions) {
    this.#options = options
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** The session must end by itself or by what its owner does; then the connection closes. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#wake?.()
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      await this.#attemptOnce()
      if (!this.#stopping) await this.#backoff()
    }
  }

  async #attemptOnce(): Promise<void> {
    const { session, onFault } = this.#options
    let connection: Connection
    try {
      connection = this.#connect()
    } catch (error) {
      onFault(brokerError(error, false))
      return
    }
    let opened = false
    const lost = new Promise<never>((_resolve, reject) => {
      connection.on('error', reject)
      this.#wake = () => reject(new Error('the publisher is closing'))
    })
    // It may be lost while nobody waits for it.
    lost.catch(noop)
    try {
      await Promise.race([new Promise<void>((resolve) => connection.once('connection', () => resolve())), lost])
      opened = true
      this.#wake = null
      adoptFrameMax(connection)
      await session(connection, () => (this.#attempt = 0), lost)
      await withTimeout(connection.close())
    } catch (error) {
      if (!this.#stopping) onFault(brokerError(error, opened))
    } finally {
      connection.unsafeDestroy()
    }
  }

  #connect(): Connection {
    const { address, name } = this.#options
    const { tls, ...where } = address
    return new Connection({
      ...where,
      ...(tls === null ? {} : { tls: tlsOptions(address.hostname, tls) }),
      connectionName: name,
      frameMax: FRAME_MAX,
      heartbeat: HEARTBEAT,
      acquireTimeout: 10_000,
      connectionTimeout: 10_000,
      noDelay: true,
      socket: SOCKET_OPTIONS,
    })
  }

  async #backoff(): Promise<void> {
    const delay = backoffDelay(this.#attempt++, BACKOFF_MS, Math.random())
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delay)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** The library's channels cut by the size that was asked for; what was agreed may be smaller. */
const adoptFrameMax = (connection: Connection): void => {
  const inside = connection as unknown as Insides
  inside._opt.frameMax = inside._state.frameMax
}

/** Waits for an orderly end, but not for ever: a frozen line or an alarm would never let it come. */
export const withTimeout = async (end: Promise<void>): Promise<void> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, CLOSE_MS)
  })
  await Promise.race([end, late])
  clearTimeout(timer)
}
