import { setTimeout as delay } from 'node:timers/promises'
import { backoffDelay } from '../core/backoff.ts'
import { noop } from '../core/noop.ts'
import type { BrokerAddress } from './address.ts'
import { type BrokerError, toBrokerError } from './errors.ts'
import { AmqpConnection, assertClientCompatible, type FrameLoop } from './rabbitmq-client-patch.ts'
import { tlsOptions } from './tls.ts'

/** The largest frame that RabbitMQ grants by default. */
const FRAME_MAX = 131_072
/** Seconds. A dead peer is noticed after two of them. */
const HEARTBEAT = 10
const BACKOFF_MS = { minMs: 100, maxMs: 10_000 }
/** A connection that is frozen or blocked by an alarm would never close in order. */
const CLOSE_TIMEOUT_MS = 1_000

/** A connection while it is open. */
export interface OpenConnection {
  readonly connection: AmqpConnection
  /** Rejects when the connection is lost. Never resolves. */
  readonly lost: Promise<never>
  /** Resolves when the owner stops; `use` must then end. */
  readonly stopping: Promise<void>
  /** To be called once everything works: the next failure starts with a short backoff again. */
  readonly ready: () => void
}

export interface ReconnectingConnectionOptions {
  readonly address: BrokerAddress
  /** Name of the connection at the broker. */
  readonly name: string
  /** Reads frames in the place of rabbitmq-client; null lets it read them. */
  readonly readFrames: FrameLoop | null
  /** Sets up and uses the connection. Resolves once the owner has stopped, rejects with what has failed. */
  readonly use: (open: OpenConnection) => Promise<void>
  /** An attempt has failed, or an open connection was lost. */
  readonly onError: (error: BrokerError) => void
}

/**
 * A connection to the broker that reconnects until it is stopped, with jittered backoff. Each attempt is a new Connection
 * of rabbitmq-client: its own reconnect reports only the first error of an outage, so the cause would grow stale.
 */
export class ReconnectingConnection {
  readonly #options: ReconnectingConnectionOptions
  #stopped = false
  #running: Promise<void> | null = null
  /** Ends what is waited for at the moment. */
  #interrupt: () => void = noop
  #attempt = 0

  /** @throws BrokerError amqp_client_incompatible */
  constructor(options: ReconnectingConnectionOptions) {
    assertClientCompatible()
    this.#options = options
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Resolves once the connection is closed. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#interrupt()
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const { promise: interrupted, resolve } = Promise.withResolvers<void>()
      this.#interrupt = resolve
      try {
        await this.#connect(interrupted)
      } catch (error) {
        if (!this.#stopped) this.#options.onError(toBrokerError(error, false))
      }
      if (!this.#stopped) await this.#backoff(interrupted)
    }
  }

  /** @throws what has failed: a BrokerError, or what rabbitmq-client throws if the options are wrong */
  async #connect(stopping: Promise<void>): Promise<void> {
    const { address, name, readFrames, use } = this.#options
    const { tls, ...where } = address
    const options = {
      ...where,
      ...(tls === null ? {} : { tls: tlsOptions(address.hostname, tls) }),
      connectionName: name,
      frameMax: FRAME_MAX,
      heartbeat: HEARTBEAT,
      acquireTimeout: 10_000,
      connectionTimeout: 10_000,
      noDelay: true,
    }
    const connection = new AmqpConnection(options, readFrames)
    const lost = new Promise<never>((_resolve, reject) => connection.on('error', reject))
    // It may be lost while nothing waits for it.
    lost.catch(noop)
    let opened = false
    try {
      await Promise.race([connection.opened, lost, stopping])
      if (this.#stopped) return
      opened = true
      await use({ connection, lost, stopping, ready: () => (this.#attempt = 0) })
      await Promise.race([connection.close(), delay(CLOSE_TIMEOUT_MS, undefined, { ref: false })])
    } catch (error) {
      throw toBrokerError(error, opened)
    } finally {
      connection.unsafeDestroy()
    }
  }

  async #backoff(interrupted: Promise<void>): Promise<void> {
    const ms = backoffDelay(this.#attempt++, BACKOFF_MS, Math.random())
    const timer = new AbortController()
    await Promise.race([interrupted, delay(ms, undefined, { signal: timer.signal }).catch(noop)])
    timer.abort()
  }
}
