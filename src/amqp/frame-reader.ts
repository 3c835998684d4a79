import type { Socket } from 'node:net'

const NOTHING = Buffer.alloc(0)
/** Type, channel and size. */
export const FRAME_HEADER_BYTES = 7

/** One AMQP frame, from its header to its end mark, where it lies in what was read. */
export interface RawFrame {
  readonly bytes: Buffer
  readonly at: number
  readonly end: number
}

/**
 * Takes what a socket has read in one piece and hands frames out of it. The reader of rabbitmq-client asks the socket for
 * the header of each frame and then for its payload, each with a promise and a walk through the socket's buffers.
 */
export class FrameReader {
  readonly #socket: Socket
  #bytes: Buffer = NOTHING
  #at = 0
  #wake: (() => void) | null = null

  constructor(socket: Socket) {
    this.#socket = socket
    const wake = (): void => this.#wake?.()
    socket.on('readable', wake)
    socket.on('close', wake)
  }

  /** Returns the next frame, or null until all of it is here. */
  tryRead(): RawFrame | null {
    const bytes = this.#bytes
    const at = this.#at
    if (bytes.length - at < FRAME_HEADER_BYTES) return null
    const end = at + FRAME_HEADER_BYTES + bytes.readUInt32BE(at + 3) + 1
    if (bytes.length < end) return null
    this.#at = end
    return { bytes, at, end }
  }

  /** Waits for the next frame. @throws Error READ_END when the socket ends before */
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
      // rabbitmq-client looks at the code: an end that was expected is no error.
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
