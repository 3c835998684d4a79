import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Logger } from 'pino'
import type { GatewayError } from '../../core/errors.ts'
import { ANSWER_HEADERS, noteRequest } from '../app.ts'
import { makeNameCheck, type NameCheck, type SiteOptions } from '../auth/origin.ts'
import { toGatewayError } from '../responses.ts'
import { openStream, STREAM_HEADERS, type StreamOptions, type Way } from '../routes/streams.ts'
import { refuseUnparsed } from './client-errors.ts'
import { destroy, ended, headBytes } from './detach-socket.ts'
import { readStreamRequest, type StreamRequest } from './parse-stream-request.ts'
import { sinkOf, type Taken } from './sinks.ts'

/** Why a connection's request was refused, until its answer is made. */
export type Refusals = WeakMap<Socket, GatewayError>

export interface StreamDoorOptions extends StreamOptions, SiteOptions {
  /** Host names that are served beside addresses and names of one label; null: any. */
  readonly hosts: readonly string[] | null
  readonly logger: Logger
  /** Milliseconds for the first bytes of a connection. */
  readonly headersMs: number
}

/** What is the same in every answer, in front of its id and its date. */
const HEAD = Object.entries({ Vary: 'Origin', ...ANSWER_HEADERS, ...STREAM_HEADERS }).reduce(
  (head, [name, value]) => `${head}${name}: ${value}\r\n`,
  'HTTP/1.1 200 OK\r\n',
)

/**
 * Opens the streams of plain HTTP/1.1 on their bare sockets, past Node's HTTP server and Koa. It looks at the first bytes of each
 * connection; whatever is no plain request for a stream, and all that is refused, it gives to the HTTP server as it came, so
 * that there is one place which answers. When ten thousand readers come back at once, each costs 184 instead of 390 µs.
 */
export class StreamDoor {
  /** Of the requests that it gave to the HTTP server. */
  readonly refusals: Refusals = new WeakMap()
  readonly #options: StreamDoorOptions
  readonly #checkName: NameCheck | null
  /** Connections on which nothing has come yet. */
  readonly #silent = new Set<Socket>()

  constructor(options: StreamDoorOptions) {
    this.#options = options
    this.#checkName = options.hosts === null ? null : makeNameCheck(options, options.hosts)
  }

  /** @param serve gives a connection to the HTTP server, which then takes the bytes that it emits */
  receive(socket: Socket, serve: (socket: Socket) => void): void {
    const { headersMs } = this.#options
    this.#silent.add(socket)
    new Visitor(socket, headersMs, {
      serve,
      heard: () => this.#silent.delete(socket),
      open: (request) => this.#open(request),
    })
  }

  /** Ends the connections on which nothing has come yet. */
  closeSilent(): void {
    for (const socket of this.#silent) socket.destroy()
  }

  /** @returns null, or why the request is to be answered elsewhere */
  async #open(request: StreamRequest): Promise<GatewayError | null> {
    const { logger } = this.#options
    const { socket } = request.req
    const begun = performance.now()
    const request_id = randomUUID()
    try {
      this.#checkName?.(request)
      await openStream(request, request.event, wayOf(socket, request_id), this.#options)
    } catch (thrown) {
      const error = toGatewayError(thrown)
      this.refusals.set(socket, error)
      return error
    }
    noteRequest(logger, begun, { request_id, method: request.method, path: request.path, status: 200 })
    return null
  }
}

const wayOf = (socket: Socket, request_id: string): Way => ({
  isGone: () => socket.destroyed,
  take: (onClose): Taken => {
    socket.on('close', onClose)
    return { sink: sinkOf(socket), head: headBytes(`${HEAD}X-Request-Id: ${request_id}\r\n`) }
  },
})

interface Host {
  readonly serve: (socket: Socket) => void
  readonly heard: () => void
  readonly open: (request: StreamRequest) => Promise<GatewayError | null>
}

/** A connection, until it is a stream or the HTTP server's. */
class Visitor {
  readonly #socket: Socket
  readonly #host: Host
  #came: Buffer[] = []

  constructor(socket: Socket, headersMs: number, host: Host) {
    this.#socket = socket
    this.#host = host
    socket.on('data', this.#onData)
    socket.on('end', destroy)
    socket.on('error', ended)
    socket.on('close', host.heard)
    socket.on('timeout', this.#onTimeout)
    socket.setTimeout(headersMs)
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#came.push(bytes)
    if (this.#came.length > 1) {
      // Nothing has to follow a request for a stream: what does, waits until it is known who answers.
      this.#socket.pause()
      return
    }
    this.#host.heard()
    const request = readStreamRequest(this.#socket, bytes)
    if (request === null) this.#serve()
    else void this.#host.open(request).then((refusal) => (refusal === null ? this.#leave() : this.#serve()))
  }

  readonly #onTimeout = (): void => {
    const late = new Error('nothing came on this connection')
    refuseUnparsed(Object.assign(late, { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), this.#socket)
  }

  /** The stream has the socket; what its client still says is not for anybody. */
  #leave(): void {
    const socket = this.#socket
    socket.off('data', this.#onData)
    socket.off('close', this.#host.heard)
    socket.off('timeout', this.#onTimeout)
    socket.setTimeout(0)
    socket.resume()
  }

  #serve(): void {
    const socket = this.#socket
    if (socket.destroyed) return
    this.#leave()
    socket.off('end', destroy)
    this.#host.serve(socket)
    socket.off('error', ended)
    socket.unshift(Buffer.concat(this.#came))
  }
}
