import { constants, Http2ServerResponse, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Context } from 'koa'
import type { StreamSink } from '../../streams/subscriber.ts'
import { detachSocket, responseHead } from './detach-socket.ts'

/** A peer that does not read its last bytes is disconnected after this many milliseconds. */
const CLOSE_TIMEOUT_MS = 5_000
/** Maximum size of an HTTP/2 frame, in bytes. */
const SLICE_BYTES = 16_384
const NO_BYTES = Buffer.alloc(0)

/** Writes raw bytes to a socket and bypasses the response, which would frame and count each write. */
class SocketSink implements StreamSink {
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
  }

  write(bytes: Buffer, done: () => void): boolean {
    const socket = this.#socket
    if (socket.destroyed) return false
    // TLS never passes bytes on at once, and a second write costs each message 1 to 3 of 11 µs there.
    if (socket instanceof TLSSocket) {
      socket.write(bytes, done)
      return false
    }
    // Without a callback, which would run in another tick: most writes are complete at once.
    socket.write(bytes)
    if (socket.writableLength === 0) return true
    // Its callback runs once the bytes before it are written.
    socket.write(NO_BYTES, done)
    return false
  }

  get progress(): number {
    // writableLength only changes when a whole write has completed; the handle has the progress of the current one.
    const handle = (this.#socket as unknown as { _handle: { writeQueueSize?: number } | null })._handle
    return this.#socket.writableLength * 2 ** 31 + (handle?.writeQueueSize ?? 0)
  }

  end(last: Buffer): void {
    if (this.#socket.destroyed) return
    this.#socket.write(last)
    this.#socket.destroySoon()
    setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS).unref()
  }
}

/**
 * Writes to a stream of an HTTP/2 connection. Each stream has its own flow-control window, so that one that is not read
 * does not block the others. Node only reports complete writes, so data is written in slices to detect a slow
 * subscriber's progress.
 */
class Http2Sink implements StreamSink {
  readonly #stream: ServerHttp2Stream
  #rest: Buffer | null = null
  #slices = 0
  #done: (() => void) | null = null

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream
  }

  write(bytes: Buffer, done: () => void): boolean {
    this.#done = done
    this.#writeSlice(bytes)
    return false
  }

  get progress(): number {
    return this.#slices
  }

  end(last: Buffer): void {
    const stream = this.#stream
    if (stream.destroyed) return
    if (this.#rest !== null) stream.write(this.#rest)
    this.#rest = null
    this.#done = null
    stream.end(last)
    setTimeout(() => this.#destroy(), CLOSE_TIMEOUT_MS).unref()
  }

  #destroy(): void {
    if (this.#stream.destroyed) return
    this.#stream.close(constants.NGHTTP2_CANCEL)
    this.#stream.destroy()
  }

  #writeSlice(bytes: Buffer): void {
    if (this.#stream.destroyed || this.#stream.writableEnded) return
    const more = bytes.length > SLICE_BYTES
    this.#rest = more ? bytes.subarray(SLICE_BYTES) : null
    this.#stream.write(more ? bytes.subarray(0, SLICE_BYTES) : bytes, this.#onSlice)
  }

  readonly #onSlice = (error?: Error | null): void => {
    this.#slices++
    if (error) return
    if (this.#rest !== null) {
      this.#writeSlice(this.#rest)
      return
    }
    const done = this.#done
    this.#done = null
    done?.()
  }
}

/** True if the client has disconnected. */
export const isClientGone = ({ req, res }: Context): boolean =>
  req.socket.destroyed || (res instanceof Http2ServerResponse && res.stream.closed)

/** The response of a request, taken over from Koa. */
export interface DetachedResponse {
  readonly sink: StreamSink
  /** Bytes that must be written before all others. */
  readonly head: Buffer
}

/**
 * Takes the response over from Koa: status 200, the headers that are set, and then the bytes written to the sink.
 *
 * @param onClose called once when the client disconnects or the connection is lost
 */
export const detachResponse = (ctx: Context, onClose: () => void): DetachedResponse => {
  const { res } = ctx
  if (res instanceof Http2ServerResponse) {
    const { stream } = res
    stream.respond({ ':status': 200, ...res.getHeaders() })
    // Clear the timeout for unread responses; the streams have their own.
    stream.setTimeout(0)
    stream.once('close', onClose)
    return { sink: new Http2Sink(stream), head: NO_BYTES }
  }
  const head = responseHead(res)
  const socket = detachSocket(ctx, onClose)
  socket.setTimeout(0)
  return { sink: new SocketSink(socket), head }
}

/** Creates the same for a socket that no HTTP server has handled. The caller writes the head. */
export const createSocketSink = (socket: Socket): StreamSink => new SocketSink(socket)
