import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { GatewayError } from '../../core/errors.ts'
import { corsHeaders } from '../auth/origin.ts'
import type { Limits } from '../quotas.ts'
import type { TrustedProxies } from '../trusted-proxies.ts'
import type { Certificate } from './certificate-watcher.ts'
import { type ClientError, handleClientError, readOrigin } from './client-errors.ts'
import { ConnectionLimit, type ConnectionLimitOptions } from './connection-limit.ts'
import { createHttpsServer, replaceCertificate } from './https-server.ts'
import { requireSingleHost, toOriginForm } from './request-target.ts'
import type { StreamFastPath } from './stream-fast-path.ts'

/** Enough for legitimate headers, queries and cookies. */
const MAX_HEADER_BYTES = 16 * 1024
const MAX_HEADERS = 100
/** Length of the accept queue: ten thousand subscribers may reconnect at once. The kernel limits it to somaxconn. */
const BACKLOG = 16_384
/** Interval at which connections are checked for a late head or body, in milliseconds. */
const TIMEOUT_CHECK_INTERVAL_MS = 1_000
/** Closed connections are removed from the counts after this many new ones. */
const SWEEP_EVERY = 1_000
/** While the server is stopping, idle connections are closed at this interval, in milliseconds. */
const IDLE_CLOSE_INTERVAL_MS = 50
/**
 * A request or response without any traffic for this long is ended, in milliseconds; streams detach their socket from
 * this timeout.
 */
const IDLE_TIMEOUT_MS = 60_000
/** Connections of METRICS_PORT: its clients are few, and their descriptors are reserved. */
const METRICS_CONNECTIONS = 32

export interface ServerOptions extends Pick<ConnectionLimitOptions, 'basePath' | 'databaseConnections' | 'onFault'> {
  readonly handler: RequestListener
  readonly limits: Limits
  readonly proxies: TrustedProxies
  readonly corsOrigins: readonly string[]
  readonly host: string
  readonly port: number
  /** True if other workers listen on the same port. */
  readonly reusePort: boolean
  /** Certificate for HTTPS; null for plain HTTP. */
  readonly certificate: Certificate | null
  /** Handles each connection of plain HTTP first. Absent on METRICS_PORT. */
  readonly fastPath?: StreamFastPath
}

/** An HTTP server that limits slow, large and excessive requests. */
export class HttpServer {
  readonly #options: ServerOptions
  readonly #server: Server
  readonly #connections: ConnectionLimit
  readonly #byAddress = new Map<string, Set<Socket>>()
  /** Origins of the last requests of connections that have one. */
  readonly #origins = new WeakMap<Duplex, string>()
  #sinceSweep = 0
  #stopping = false

  constructor(options: ServerOptions) {
    this.#options = options
    const { limits, certificate, fastPath, corsOrigins } = options
    const handler = requireSingleHost(options.handler)
    const http1 = {
      headersTimeout: limits.headersMs,
      requestTimeout: Math.max(limits.requestMs, limits.headersMs),
      connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL_MS,
    }
    const sizes = { maxHeaderSize: MAX_HEADER_BYTES, maxHeaders: MAX_HEADERS }
    this.#server =
      certificate === null
        ? createServer({ ...sizes, ...http1 }, handler)
        : createHttpsServer(
            { ...sizes, ...limits, certificate, corsOrigins, stallTimeoutMs: IDLE_TIMEOUT_MS, http1 },
            handler,
          )
    this.#server.maxHeadersCount = MAX_HEADERS
    this.#server.timeout = IDLE_TIMEOUT_MS
    this.#server.keepAliveTimeout = limits.keepAliveMs
    this.#server.prependListener('request', (request, response) => this.#prepare(request, response))
    this.#server.on('clientError', (error: ClientError, socket) => {
      // A body that does not arrive belongs to a request whose head was parsed.
      const origin = readOrigin(error) ?? this.#origins.get(socket)
      handleClientError(error, socket, corsHeaders(origin, corsOrigins))
    })
    // Node would respond with 417 and no body; ignoring an unknown expectation is harmless.
    this.#server.on('checkExpectation', (request, response) => this.#server.emit('request', request, response))
    if (fastPath !== undefined && certificate === null) this.#installFastPath(fastPath)
    const maxConnections = fastPath === undefined ? METRICS_CONNECTIONS : limits.connections
    this.#connections = new ConnectionLimit({ ...options, server: this.#server, maxConnections })
    if (limits.connectionsPerAddress > 0) this.#server.prependListener('connection', (socket) => this.#count(socket))
  }

  /** Open connections, and how many are served. */
  get connections(): Pick<ConnectionLimit, 'open' | 'max'> {
    return this.#connections
  }

  /** The port that the server listens on; valid once it listens. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** @throws GatewayError listen_failed */
  listen(): Promise<void> {
    const { host, port, reusePort } = this.#options
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) =>
        reject(new GatewayError('listen_failed', `Cannot listen on ${host} port ${port}.`, { cause })),
      )
      this.#server.listen({ host, port, backlog: BACKLOG, reusePort, exclusive: reusePort }, () => {
        this.#connections.start()
        resolve()
      })
    })
  }

  /** Refuses new connections, and further requests on open ones. Resolves when the last connection has ended. */
  stopAccepting(): Promise<void> {
    this.#stopping = true
    this.#connections.stop()
    return new Promise((resolve) => {
      const timer = setInterval(() => {
        this.#server.closeIdleConnections()
        this.#options.fastPath?.closeIdle()
      }, IDLE_CLOSE_INTERVAL_MS)
      this.#server.close(() => {
        clearInterval(timer)
        resolve()
      })
    })
  }

  /** Replaces the certificate for new connections. Only for an HTTPS server. */
  replaceCertificate(certificate: Certificate): void {
    replaceCertificate(this.#server, certificate)
  }

  /**
   * Limits the connections of one address. Closed connections are detected when the limit is reached, not by a
   * listener, since a stream removes all listeners from its socket.
   */
  #count(socket: Socket): void {
    const { proxies, limits } = this.#options
    const peer = proxies.trusts(socket.remoteAddress) ? null : proxies.peerAddress(socket.remoteAddress)
    if (peer === null) return
    if (++this.#sinceSweep >= SWEEP_EVERY) this.#sweep()
    const sockets = this.#byAddress.get(peer) ?? new Set()
    if (sockets.size >= limits.connectionsPerAddress) dropClosed(sockets)
    if (sockets.size >= limits.connectionsPerAddress) {
      socket.destroy()
      return
    }
    this.#byAddress.set(peer, sockets.add(socket))
  }

  /** Passes connections that the fast path does not handle to Node's own listener. */
  #installFastPath(fastPath: StreamFastPath): void {
    const server = this.#server
    const [serve] = server.listeners('connection') as ((this: Server, socket: Socket) => void)[]
    server.removeAllListeners('connection')
    const pass = (socket: Socket) => serve!.call(server, socket)
    server.on('connection', (socket) => {
      // By the next tick, connections above the limit are marked.
      process.nextTick(() => {
        if (socket.destroyed) return
        if (this.#connections.isSurplus(socket)) pass(socket)
        else fastPath.accept(socket, pass)
      })
    })
  }

  #prepare(request: IncomingMessage, response: ServerResponse): void {
    const { origin } = request.headers
    if (origin !== undefined) this.#origins.set(request.socket, origin)
    toOriginForm(request)
    const surplus = this.#connections.isSurplus(request.socket)
    // Otherwise a proxy that keeps sending requests on one connection would delay shutdown for ever.
    if ((this.#stopping || surplus) && request.httpVersionMajor === 1) response.shouldKeepAlive = false
    const refusal = surplus ? this.#connections.getOverloadError(request) : null
    if (refusal === null) return
    // An EventSource gives up on any status but 200, and comes back after a closed connection.
    if (request.headers.accept?.includes('text/event-stream')) request.socket.destroy()
    this.#options.fastPath?.errors.set(request.socket, refusal)
  }

  #sweep(): void {
    this.#sinceSweep = 0
    for (const [peer, sockets] of this.#byAddress) {
      dropClosed(sockets)
      if (sockets.size === 0) this.#byAddress.delete(peer)
    }
  }
}

const dropClosed = (sockets: Set<Socket>): void => {
  for (const socket of sockets) if (socket.destroyed) sockets.delete(socket)
}
