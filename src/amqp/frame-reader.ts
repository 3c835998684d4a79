import type { Socket } from 'node:net'

const NO_BYTES = Buffer.alloc(0)
/** Size of a frame header: type, channel and payload size. */
export const FRAME_HEADER_BYTES = 7

/** One AMQP frame, from its header to its end byte, as a range of the bytes read from the socket. */
export interface RawFrame {
  readonly bytes: Buffer
  readonly at: number
  readonly end: number
}

/**
 * Reads large chunks from a socket and splits them into frames. rabbitmq-client reads the header of each frame and then its payload from
 * the socket, each with a promise and a walk through the socket's buffers.
 */
export class FrameReader {
  readonly #socket: Socket
  #bytes: Buffer = NO_BYTES
  #at = 0
  #wake: (() => void) | null = null

  constructor(socket: Socket) {
    this.#socket = socket
    const wake = (): void => this.#wake?.()
    socket.on('readable', wake)
    socket.on('close', wake)
  }

  /** Returns the next frame, or null if it is not complete yet. */
  tryRead(): RawFrame | null {
    const bytes = this.#bytes
    const at = this.#at
    if (bytes.length - at < FRAME_HEADER_BYTES) return null
    const end = at + FRAME_HEADER_BYTES + bytes.readUInt32BE(at + 3) + 1
    if (bytes.length < end) return null
    this.#at = end
    return { bytes, at, end }
  }

  /** Waits for the next frame. @throws Error READ_END if the socket ends first */
  async next(): Promise<RawFrame> {
    let frame: RawFrame | null
    while ((frame = this.tryRead()) === null) {
      const chunk = await this.#readChunk()
      this.#bytes = this.#at === this.#bytes.length ? chunk : Buffer.concat([this.#bytes.subarray(this.#at), chunk])
      this.#at = 0
    }
    return frame
  }

  async #readChunk(): Promise<Buffer> {
    let chunk: Buffer | null
    while ((chunk = this.#socket.read() as Buffer | null) === null) {
      // rabbitmq-client checks this code: an expected end is not an error.
      if (!this.#socket.readable) {
        throw Object.assign(new Error('the connection ended within a frame'), { code: 'READ_END' })
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return chunk
  }
}
