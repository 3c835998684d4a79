import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { Connection } from 'rabbitmq-client'
import { backoffDelay } from '../core/backoff.ts'
import { errorChainText } from '../core/error-text.ts'
import { GatewayError } from '../core/errors.ts'
import { noop } from '../core/noop.ts'
import type { HealthRegistry } from '../monitoring/health.ts'
import { toBrokerError } from './errors.ts'
import { patchDecoder } from './rabbitmq-client-patch.ts'

/** Where RabbitMQ is. */
export interface BrokerAddress {
  readonly hostname: string
  readonly port: number
  readonly username: string
  readonly password: string
  readonly vhost: string
  /** null: plain AMQP. */
  readonly tls: BrokerTls | null
}

/** Files in PEM, read anew for each connection, so that they may be renewed while the gateway runs. null: none. */
export interface BrokerTls {
  /** The authorities that are trusted; null: those of the system's usual list. */
  readonly caFile: string | null
  readonly certFile: string | null
  readonly keyFile: string | null
}

/** The most that RabbitMQ grants by default; what was agreed is taken over below. */
const FRAME_MAX = 131_072
/** Seconds. A dead peer is noticed after two of them. */
const HEARTBEAT = 10
const BACKOFF_MS = { minMs: 250, maxMs: 15_000 }

export interface ReconnectingConnectionOptions {
  readonly address: BrokerAddress
  /** The component under which its faults are known, and the name of the connection at the broker. */
  readonly component: string
  readonly health: HealthRegistry
  /**
   * Sets up and uses the connection. Resolves or rejects when the use has ended; `ready` is to be called once
   * everything works; `lost` rejects when the connection is gone.
   */
  readonly use: (connection: Connection, ready: () => void, closed: Promise<never>) => Promise<void>
}

/** What rabbitmq-client keeps to itself of a connection. */
interface RabbitmqClientInternals {
  readonly _opt: { frameMax: number }
  readonly _state: { readonly frameMax: number }
  readonly _socket: TLSSocket
}

/**
 * One connection to the broker, made anew for ever with jittered backoff. Each attempt is a new Connection of
 * the library: its own reconnect reports only the first error of an outage, so the cause would grow stale.
 */
export class ReconnectingConnection {
  readonly #options: ReconnectingConnectionOptions
  #stopping = false
  #running: Promise<void> | null = null
  #wake: (() => void) | null = null
  #attempt = 0

  constructor(options: ReconnectingConnectionOptions) {
    this.#options = options
  }

  start(): void {
    patchDecoder()
    this.#running = this.#run()
  }

  /** The session must end by itself or by what its owner does; then the connection closes. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#wake?.()
    await this.#running
  }

  get stopping(): boolean {
    return this.#stopping
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      await this.#attemptOnce()
      if (!this.#stopping) await this.#backoff()
    }
  }

  async #attemptOnce(): Promise<void> {
    const { component, health, use } = this.#options
    let connection: Connection
    try {
      connection = this.#connect()
    } catch (error) {
      health.markFailed(component, toBrokerError(error, false))
      return
    }
    let opened = false
    const closed = new Promise<never>((_resolve, reject) => {
      connection.on('error', reject)
      this.#wake = () => reject(new Error('the gateway is stopping'))
    })
    // It may be lost while nobody waits for it.
    closed.catch(noop)
    try {
      await Promise.race([new Promise<void>((resolve) => connection.once('connection', () => resolve())), closed])
      opened = true
      this.#wake = null
      this.#adoptFrameMax(connection)
      await use(
        connection,
        () => {
          this.#attempt = 0
          health.markHealthy(component)
        },
        closed,
      )
      await connection.close()
    } catch (error) {
      if (!this.#stopping) health.markFailed(component, toBrokerError(error, opened))
      connection.unsafeDestroy()
    }
  }

  #connect(): Connection {
    const { address, component } = this.#options
    const { tls, ...where } = address
    return new Connection({
      ...where,
      ...(tls === null ? {} : { tls: tlsOptions(address.hostname, tls) }),
      connectionName: `deepsoc-gateway ${component}`,
      frameMax: FRAME_MAX,
      heartbeat: HEARTBEAT,
      acquireTimeout: 10_000,
      connectionTimeout: 10_000,
    })
  }

  /** The library's channels cut by the size that was asked for; what was agreed may be smaller. */
  #adoptFrameMax(connection: Connection): void {
    const inside = connection as unknown as RabbitmqClientInternals
    inside._opt.frameMax = inside._state.frameMax
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

/** @throws GatewayError broker_tls_failed when a file cannot be read */
const tlsOptions = (hostname: string, { caFile, certFile, keyFile }: BrokerTls): ConnectionOptions => {
  const read = (file: string) => {
    try {
      return readFileSync(file)
    } catch (cause) {
      throw new GatewayError('broker_tls_failed', `A file cannot be read: ${errorChainText(cause)}.`, { cause })
    }
  }
  return {
    minVersion: 'TLSv1.2',
    // TLS has no way to ask for an address; the certificate is held against it all the same.
    ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
    ...(caFile === null ? {} : { ca: read(caFile) }),
    ...(certFile === null || keyFile === null ? {} : { cert: read(certFile), key: read(keyFile) }),
  }
}
