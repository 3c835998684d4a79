import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { GatewayError } from '../../core/errors.ts'

/**
 * Descriptors that connections of clients never take, in addition to those of PostgreSQL: 40 of the process itself and of its database
 * and broker, 50 of METRICS_PORT, the surplus, and some for files and requests of the gateway's own.
 */
const RESERVED_DESCRIPTORS = 128
/** Connections that are accepted below the smallest limits of open files, where the reserve does not fit. */
const MIN_CONNECTIONS = 8
/** Connections above the limit that are kept open to be answered; the oldest one is closed for the next. */
const MAX_SURPLUS = 16
/** Share of the limit below which the fault ends, so that it does not come and go with each connection. */
const RECOVERED_SHARE = 0.9
const CHECK_MS = 1_000
const RETRY_AFTER_MS = 5_000

/** Paths that are served on connections above the limit. */
const HEALTH_PATH = /^\/(?:livez|readyz|metrics)(?:\?|$)/

/** The maximum number of open descriptors of this process; infinite if the system does not tell. */
const maxDescriptors = (): number => {
  try {
    const soft = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

export interface ConnectionLimitOptions {
  readonly server: Server
  /** Prefix of all paths. */
  readonly basePath: string
  /** MAX_CONNECTIONS; 0 disables it. */
  readonly maxConnections: number
  /** Maximum number of connections to PostgreSQL. */
  readonly databaseConnections: number
  /** Called when the limit is reached, repeatedly while it is, and with null while it is not. */
  readonly onFault?: (error: GatewayError | null) => void
}

/**
 * Limits the connections of a server to MAX_CONNECTIONS and to the descriptors that the process can have: without a free one, the
 * database, the broker and TLS certificates cannot be opened again. Connections above the limit get answers to health checks and a
 * refusal to anything else, and are then closed.
 */
export class ConnectionLimit {
  readonly #options: ConnectionLimitOptions
  /** Open connections above the limit by client address and port, oldest first. */
  readonly #surplus = new Map<string, Socket>()
  #max = Number.POSITIVE_INFINITY
  #error: GatewayError | null = null
  #timer: NodeJS.Timeout | undefined

  constructor(options: ConnectionLimitOptions) {
    this.#options = options
    // Prepended, so that a connection is marked before anything can be read from it.
    options.server.prependListener('connection', (socket) => this.#count(socket))
    this.#readLimits()
  }

  get max(): number {
    return this.#max
  }

  /** Returns the number of open connections. */
  open(): Promise<number> {
    return new Promise((resolve) => this.#options.server.getConnections((_error, count) => resolve(count)))
  }

  start(): void {
    this.#timer = setInterval(() => void this.#check(), CHECK_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Returns the error to send to a request that arrives on a connection above the limit; null if the request is served. */
  getOverloadError(request: IncomingMessage): GatewayError | null {
    const { url = '' } = request
    const { basePath } = this.#options
    const isHealth = url.startsWith(basePath) && HEALTH_PATH.test(url.slice(basePath.length))
    if (!this.isSurplus(request.socket) || isHealth) return null
    const hint = 'Retry after the time in Retry-After.'
    return new GatewayError('overloaded', 'All connections are in use.', { hint, retryAfterMs: RETRY_AFTER_MS })
  }

  /** True if the connection of this socket, or of the TLS or HTTP/2 socket above it, is above the limit. */
  isSurplus(socket: Socket): boolean {
    return this.#surplus.size > 0 && this.#surplus.has(toPeerKey(socket))
  }

  /** Marks a connection above the limit in the same event-loop iteration, by the next tick. */
  #count(socket: Socket): void {
    this.#options.server.getConnections((_error, count) => {
      if (count <= this.#max || socket.destroyed) return
      this.#report()
      const key = toPeerKey(socket)
      this.#surplus.set(key, socket)
      socket.once('close', () => this.#surplus.delete(key))
      if (this.#surplus.size <= MAX_SURPLUS) return
      const [oldest, victim] = this.#surplus.entries().next().value!
      this.#surplus.delete(oldest)
      victim.destroy()
    })
  }

  #report(): void {
    this.#options.onFault?.(this.#error)
  }

  /** Read repeatedly: `prlimit` can change the limit of a running process. */
  #readLimits(): void {
    const { maxConnections, databaseConnections } = this.#options
    const configured = maxConnections > 0 ? maxConnections : Number.POSITIVE_INFINITY
    const descriptors = maxDescriptors()
    const free = Math.max(MIN_CONNECTIONS, descriptors - RESERVED_DESCRIPTORS - databaseConnections)
    this.#max = Math.min(configured, free)
    this.#error =
      free < configured
        ? new GatewayError(
            'too_many_open_files',
            `${free} connections are open; ${descriptors} open files are allowed.`,
          )
        : new GatewayError('too_many_connections', `MAX_CONNECTIONS (${configured}) connections are open.`)
  }

  async #check(): Promise<void> {
    this.#readLimits()
    try {
      // Detects a limit of the whole system, and descriptors that something else has taken.
      await (await open('/dev/null')).close()
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      if (code !== 'EMFILE' && code !== 'ENFILE') return
      this.#options.onFault?.(new GatewayError('too_many_open_files', 'No file can be opened.', { cause }))
      return
    }
    const count = await this.open()
    if (count > this.#max) this.#report()
    else if (count <= this.#max * RECOVERED_SHARE) this.#options.onFault?.(null)
  }
}

const toPeerKey = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`
