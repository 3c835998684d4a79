import { setTimeout as delay } from 'node:timers/promises'
import { backoffDelay } from '../core/backoff.ts'
import { noop } from '../core/noop.ts'
import type { BrokerAddress } from './address.ts'
import { type BrokerError, toBrokerError } from './errors.ts'
import { AmqpConnection, assertClientCompatible, type FrameLoop } from './rabbitmq-client-patch.ts'
import { tlsOptions } from './tls.ts'

/** Largest frame that RabbitMQ allows by default, in bytes. */
const FRAME_MAX = 131_072
/** Range of the delay between attempts, in milliseconds. */
const BACKOFF_MS = { minMs: 100, maxMs: 5_000 }
/** Timeout of an orderly close, in milliseconds: a connection that is frozen or blocked by an alarm would never complete it. */
const CLOSE_TIMEOUT_MS = 1_000

/** An open connection, as passed to `use`. */
export interface OpenConnection {
  readonly connection: AmqpConnection
  /** Rejects when the connection is lost. Never resolves. */
  readonly lost: Promise<never>
  /** Resolves when the owner stops; `use` must then end. */
  readonly stopping: Promise<void>
  /** Must be called once the setup is complete: the next failure then starts with the shortest delay again. */
  readonly ready: () => void
}

export interface ReconnectingConnectionOptions {
  readonly address: BrokerAddress
  /** Name of the connection at the broker. */
  readonly name: string
  /** A connection from which nothing is received for two to two and a half times as long is lost. */
  readonly heartbeatSeconds: number
  /** Reads the frames instead of rabbitmq-client; null if rabbitmq-client reads them. */
  readonly readFrames: FrameLoop | null
  /** Sets up and uses the connection. Must resolve after `stopping`, and reject with the cause if something fails. */
  readonly use: (open: OpenConnection) => Promise<void>
  /** Called when an attempt fails, or when an open connection is lost. */
  readonly onError: (error: BrokerError) => void
}

/**
 * A connection to the broker that reconnects until it is stopped, with jittered backoff, after a failure to the next host. Each attempt
 * creates a new Connection of rabbitmq-client, whose own reconnect reports only the first error of an outage, so that the reported cause
 * would become outdated.
 *
 * States (internal):
 * - idle: not started.
 * - connecting: an attempt is running; times out after 10 seconds.
 * - open: the connection is open and `use` is running.
 * - waiting: the delay before the next attempt.
 * - stopped: final.
 *
 * Transitions:
 * - idle → connecting: `start` is called.
 * - connecting → open: the connection is open.
 * - connecting → waiting: the attempt failed; `onError` is called.
 * - open → waiting: `use` rejected, usually because `lost` did, and `onError` is called; or `use` resolved although `stop` was not called.
 * - waiting → connecting: the delay is over. It doubles each time up to 5 seconds, and is reset by `ready`.
 * - any → stopped: `stop` is called. It ends an attempt or a delay at once. An open connection is closed after `use` has resolved, within 1
 *   second, and then destroyed. Errors are no longer reported.
 */
export class ReconnectingConnection {
  readonly #options: ReconnectingConnectionOptions
  #stopped = false
  #running: Promise<void> | null = null
  /** Resolves `stopping`, which also ends the current attempt or delay. */
  #interrupt: () => void = noop
  /** Attempts since the last connection that was set up. */
  #attempt = 0
  /** Failures so far, which decide about the host of the next attempt. */
  #failures = 0

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
        this.#failures++
        if (!this.#stopped) this.#options.onError(toBrokerError(error, false))
      }
      if (!this.#stopped) await this.#backoff(interrupted)
    }
  }

  /** @throws the cause: a BrokerError, or the error of rabbitmq-client if the options are invalid */
  async #connect(stopping: Promise<void>): Promise<void> {
    const { address, name, heartbeatSeconds, readFrames, use } = this.#options
    const { hosts, tls, ...login } = address
    const host = hosts[this.#failures % hosts.length]!
    const options = {
      ...login,
      ...host,
      ...(tls === null ? {} : { tls: tlsOptions(host.hostname, tls) }),
      connectionName: name,
      frameMax: FRAME_MAX,
      heartbeat: heartbeatSeconds,
      acquireTimeout: 10_000,
      connectionTimeout: 10_000,
      noDelay: true,
    }
    const connection = new AmqpConnection(options, readFrames)
    const lost = new Promise<never>((_resolve, reject) => connection.on('error', reject))
    // Prevents an unhandled rejection while nothing awaits the promise.
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
    // The delay grows once every host has failed.
    const round = Math.floor(this.#attempt++ / this.#options.address.hosts.length)
    const ms = backoffDelay(round, BACKOFF_MS, Math.random())
    const timer = new AbortController()
    await Promise.race([interrupted, delay(ms, undefined, { signal: timer.signal }).catch(noop)])
    timer.abort()
  }
}
