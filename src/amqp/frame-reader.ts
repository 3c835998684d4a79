import type { Socket } from 'node:net'

const NOTHING = Buffer.alloc(0)
/** Type, channel and size. */
export const FRAME_HEADER_BYTES = 7

/** One AMQP frame, from its head to its end mark, where it lies in what was read. */
export interface RawFrame {
  readonly bytes: Buffer
  readonly at: number
  readonly end: number
}

/** What the library asks for bytes; it also hands out whole frames. */
export interface FrameSource {
  (bytes: number): Promise<Buffer>
  readonly frames: FrameReader
}

/**
 * Takes what a socket has read in one piece and hands frames out of it. The library's own reader asks the socket for
 * the head of each frame and then for its payload, each with a promise and a walk through the socket's buffers.
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

  /** The next frame if all of it is here. */
  tryRead(): RawFrame | null {
    const bytes = this.#bytes
    const at = this.#at
    if (bytes.length - at < FRAME_HEADER_BYTES) return null
    const end = at + FRAME_HEADER_BYTES + bytes.readUInt32BE(at + 3) + 1
    if (bytes.length < end) return null
    this.#at = end
    return { bytes, at, end }
  }

  /** Waits until `take` finds a frame. @throws Error READ_END when the socket ends before */
  async next(): Promise<RawFrame> {
    while (true) {
      const frame = this.tryRead()
      if (frame !== null) return frame
      await this.#more()
    }
  }

  /**
   * The first bytes of a connection, which the library looks at and puts back into the socket. Only before `next`.
   *
   * @throws Error READ_END when the socket ends before all of them are there
   */
  read(count: number): Promise<Buffer> {
    return this.#fromSocket(count)
  }

  async #more(): Promise<void> {
    const chunk = await this.#fromSocket()
    this.#bytes = this.#at === this.#bytes.length ? chunk : Buffer.concat([this.#bytes.subarray(this.#at), chunk])
    this.#at = 0
  }

  async #fromSocket(count?: number): Promise<Buffer> {
    let chunk: Buffer | null = null
    while ((chunk = this.#socket.read(count) as Buffer | null) === null) {
      if (!this.#socket.readable) throw readEndError()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    // A socket that has ended gives what is left.
    if (count !== undefined && chunk.length < count) throw readEndError()
    return chunk
  }
}

/** The library looks at this code: an end that was expected is no error. */
const readEndError = (): Error => Object.assign(new Error('the connection ended within a frame'), { code: 'READ_END' })
