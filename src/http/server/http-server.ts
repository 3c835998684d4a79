import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { GatewayError } from '../../core/errors.ts'
import type { Limits } from '../quotas.ts'
import type { TrustedProxies } from '../trusted-proxies.ts'
import type { Certificate } from './certificate-watcher.ts'
import { handleClientError } from './client-errors.ts'
import { createHttpsServer, replaceCertificate } from './https-server.ts'
import type { StreamFastPath } from './stream-fast-path.ts'

/** A header, a query and a cookie of honest length. */
const MAX_HEADER_BYTES = 16 * 1024
const MAX_HEADERS = 100
/** Connections that wait to be accepted: ten thousand readers may return at once; the kernel caps it by somaxconn. */
const BACKLOG = 16_384
/** How often connections are looked at that are late with their head or their body. */
const TIMEOUT_CHECK_INTERVAL_MS = 1_000
/** Closed connections are forgotten when so many have come since the last look. */
const SWEEP_EVERY = 1_000
/** Once no more are taken, connections that have become idle are closed so often. */
const IDLE_CLOSE_INTERVAL_MS = 50
/** A connection on which nothing moves, neither way, is ended; streams take their socket out of this. */
const IDLE_TIMEOUT_MS = 60_000

export interface ServerOptions {
  readonly handler: RequestListener
  readonly limits: Limits
  readonly proxies: TrustedProxies
  readonly host: string
  readonly port: number
  /** Other workers listen on the same port. */
  readonly sharedPort: boolean
  /** Serves HTTPS by it; null: plain HTTP. */
  readonly certificate: Certificate | null
  /** Sees each connection of plain HTTP first. */
  readonly fastPath?: StreamFastPath
}

/** An HTTP server that slow, large and many requests do not wear down. */
export class HttpServer {
  readonly #options: ServerOptions
  readonly #server: Server
  readonly #byAddress = new Map<string, Set<Socket>>()
  #uncounted = 0
  #refusing = false

  constructor(options: ServerOptions) {
    this.#options = options
    const { limits, handler, certificate, fastPath } = options
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
            { ...sizes, certificate, handshakeTimeoutMs: limits.headersMs, idleTimeoutMs: IDLE_TIMEOUT_MS, http1 },
            handler,
          )
    this.#server.maxHeadersCount = MAX_HEADERS
    this.#server.timeout = IDLE_TIMEOUT_MS
    if (limits.connections > 0) this.#server.maxConnections = limits.connections
    this.#server.prependListener('request', (request, response) => {
      // A proxy that sends one request after the other on a connection would hold up the end for ever.
      if (this.#refusing && request.httpVersionMajor === 1) response.shouldKeepAlive = false
    })
    this.#server.on('clientError', handleClientError)
    // Node would answer 417 with no body; an expectation that is not understood may as well go unheard.
    this.#server.on('checkExpectation', handler)
    if (fastPath !== undefined && certificate === null) installFastPath(this.#server, fastPath)
    if (limits.connectionsPerAddress > 0) this.#server.prependListener('connection', (socket) => this.#count(socket))
  }

  /** The port that was really taken; meaningful once it listens. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** @throws GatewayError listen_failed */
  listen(): Promise<void> {
    const { host, port, sharedPort } = this.#options
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) =>
        reject(new GatewayError('listen_failed', `Cannot listen on ${host} port ${port}.`, { cause })),
      )
      this.#server.listen({ host, port, backlog: BACKLOG, reusePort: sharedPort, exclusive: sharedPort }, resolve)
    })
  }

  /** Takes no more connections, and none for another request. Resolves when the last one has ended. */
  stopAccepting(): Promise<void> {
    this.#refusing = true
    return new Promise((resolve) => {
      const look = setInterval(() => {
        this.#server.closeIdleConnections()
        this.#options.fastPath?.closeIdle()
      }, IDLE_CLOSE_INTERVAL_MS)
      this.#server.close(() => {
        clearInterval(look)
        resolve()
      })
    })
  }

  /** For connections to come; of a server that serves HTTPS. */
  replaceCertificate(certificate: Certificate): void {
    replaceCertificate(this.#server, certificate)
  }

  /**
   * One address must not hold what is meant for all. No listener tells of the end of a connection, since a stream
   * takes them all off its socket: what is closed is found when it matters.
   */
  #count(socket: Socket): void {
    const { proxies, limits } = this.#options
    const peer = proxies.trusts(socket.remoteAddress) ? null : proxies.peerAddress(socket.remoteAddress)
    if (peer === null) return
    if (++this.#uncounted >= SWEEP_EVERY) this.#forget()
    const sockets = this.#byAddress.get(peer) ?? new Set()
    if (sockets.size >= limits.connectionsPerAddress) dropClosed(sockets)
    if (sockets.size >= limits.connectionsPerAddress) {
      socket.destroy()
      return
    }
    this.#byAddress.set(peer, sockets.add(socket))
  }

  #forget(): void {
    this.#uncounted = 0
    for (const [peer, sockets] of this.#byAddress) {
      dropClosed(sockets)
      if (sockets.size === 0) this.#byAddress.delete(peer)
    }
  }
}

/** The listener that Node has put there serves what the door leaves to it. */
const installFastPath = (server: Server, door: StreamFastPath): void => {
  const [serve] = server.listeners('connection') as ((this: Server, socket: Socket) => void)[]
  server.removeAllListeners('connection')
  server.on('connection', (socket) => {
    if (!socket.destroyed) door.accept(socket, (given) => serve!.call(server, given))
  })
}

const dropClosed = (sockets: Set<Socket>): void => {
  for (const socket of sockets) if (socket.destroyed) sockets.delete(socket)
}
