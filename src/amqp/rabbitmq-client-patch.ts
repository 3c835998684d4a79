/**
 * The only file that uses private members of rabbitmq-client. docs/UPSTREAM.md explains for each of them why, and which change of
 * rabbitmq-client would make it unnecessary.
 */
import type { Socket } from 'node:net'
import { type Channel, Connection, type ConnectionOptions } from 'rabbitmq-client'
import codec from 'rabbitmq-client/lib/codec.js'
import manifest from 'rabbitmq-client/package.json' with { type: 'json' }
import { BrokerError } from './errors.ts'

/** Version for which the private members were checked; in another one they can have another meaning. */
const SUPPORTED_VERSION = '5.0.8'

/**
 * A connection is stale if nothing has been read for this many heartbeat intervals. RabbitMQ closes a connection after two to three
 * intervals without data, and the consumer sends something every second, at most half an interval.
 */
const STALE_AFTER_HEARTBEATS = 1.4

/** A decoded frame; its other fields depend on its type. */
export interface AmqpFrame {
  readonly type: number
  readonly channelId: number
}

/**
 * Reads all frames of an open connection, instead of rabbitmq-client.
 *
 * @param handle takes a frame, or undefined to report only that the connection is alive
 * @param decode rabbitmq-client's own decoder, for one whole frame
 * @throws Error READ_END when the socket has ended
 */
export type FrameLoop = (
  socket: Socket,
  handle: (frame: AmqpFrame | undefined) => void,
  decode: (frame: Buffer) => Promise<AmqpFrame>,
) => Promise<never>

/** @returns true if the frame has been handled, false to leave it to rabbitmq-client */
export type FrameInterceptor = (frame: AmqpFrame) => boolean

type Read = (bytes: number) => Promise<Buffer>

interface Codec {
  decodeFrame(read: Read): Promise<AmqpFrame>
}

interface ConnectionInternals extends Connection {
  readonly _opt: { frameMax: number }
  readonly _state: { readonly frameMax: number }
  readonly _socket: Socket
  _connect(): unknown
  _negotiate(read: Read): Promise<void>
  _handleChunk(frame: AmqpFrame | undefined): void
  _writeMethod(method: Method): void
}

interface Method {
  readonly methodId: number
  readonly params: { readonly heartbeat?: number }
}

/** connection.tune-ok: class 10, method 31. */
const TUNE_OK = 0x000a001f

const METHODS = ['_connect', '_negotiate', '_handleChunk', '_writeMethod'] as const

/** Parts of the installed rabbitmq-client that are checked. */
export interface InstalledClient {
  readonly version: string
  readonly Connection: unknown
  readonly codec: unknown
}

const INSTALLED: InstalledClient = { version: manifest.version, Connection, codec }

const findMissingMembers = (installed: InstalledClient): string[] => {
  const Class = installed.Connection as new (options: ConnectionOptions) => ConnectionInternals
  const prototype = Class.prototype as ConnectionInternals
  const missing: string[] = METHODS.filter((name) => typeof prototype[name] !== 'function')
  if (typeof (installed.codec as Codec).decodeFrame !== 'function') missing.push('decodeFrame')
  // Without _connect to override, the probe below would open a connection.
  if (typeof prototype._connect !== 'function') return missing
  const probe = new (class extends Class {
    override _connect(): void {}
  })({ hostname: 'localhost' })
  if (typeof probe._opt?.frameMax !== 'number') missing.push('_opt.frameMax')
  if (typeof probe._state?.frameMax !== 'number') missing.push('_state.frameMax')
  if (!('_socket' in probe)) missing.push('_socket')
  return missing
}

/**
 * Checks that the installed rabbitmq-client is the supported version and has every private member that is used here.
 *
 * @throws BrokerError amqp_client_incompatible
 */
export const assertClientCompatible = (installed: InstalledClient = INSTALLED): void => {
  const missing = findMissingMembers(installed)
  if (installed.version === SUPPORTED_VERSION && missing.length === 0) return
  const missingText = missing.length === 0 ? '' : ` It lacks ${missing.join(', ')}.`
  throw new BrokerError(
    'amqp_client_incompatible',
    `rabbitmq-client ${installed.version} is installed, and ${SUPPORTED_VERSION} is needed.${missingText}`,
  )
}

const Base = Connection as unknown as new (options: ConnectionOptions) => ConnectionInternals

/** A connection of rabbitmq-client whose frames can be read and intercepted before its channels parse them. */
export class AmqpConnection extends Base {
  readonly #opened = Promise.withResolvers<void>()
  readonly #interceptors = new Map<number, FrameInterceptor>()
  readonly #readFrames: FrameLoop | null
  #staleAfterMs = 0
  #staleAt = 0

  /** @param readFrames null if rabbitmq-client reads the frames */
  constructor(options: ConnectionOptions, readFrames: FrameLoop | null) {
    super(options)
    this.#readFrames = readFrames
  }

  /** Resolves when channels can be opened. Failures are reported by the event `error`. */
  get opened(): Promise<void> {
    return this.#opened.promise
  }

  /**
   * Time in milliseconds since 1970 after which the connection is stale unless something is read before; 0 once it is. The broker may then
   * have closed it, and another consumer may have stored what was delivered on it.
   */
  get staleAt(): number {
    return this.#staleAt
  }

  /** True from the first time that it is found after `staleAt`; its next frame then ends the connection. */
  get stale(): boolean {
    // Unlike performance.now(), this clock also counts the time for which the machine was suspended.
    return this.#isStale(Date.now())
  }

  /** Passes every frame of a channel to `interceptor` first, until the channel closes. */
  intercept(channel: Channel, interceptor: FrameInterceptor): void {
    this.#interceptors.set(channel.id, interceptor)
    channel.once('close', () => this.#interceptors.delete(channel.id))
  }

  override async _negotiate(read: Read): Promise<void> {
    await super._negotiate(read)
    // Channels split and count bodies by the requested frame size, but the broker may have granted a smaller one.
    this._opt.frameMax = this._state.frameMax
    this.#staleAt = Date.now() + this.#staleAfterMs
    this.#opened.resolve()
    // rabbitmq-client starts reading when this returns, so a custom reader runs here until the socket ends, which throws.
    await this.#readFrames?.(this._socket, (frame) => this.#handle(frame), decodeFrame)
  }

  #isStale(now: number): boolean {
    if (now > this.#staleAt) this.#staleAt = 0
    return this.#staleAt === 0
  }

  /** @throws Error SOCKET_TIMEOUT, which ends the connection, if it is stale */
  #handle(frame: AmqpFrame | undefined): void {
    const now = Date.now()
    if (this.#isStale(now)) {
      throw Object.assign(new Error('nothing was read for too long, and RabbitMQ can have closed the connection'), {
        code: 'SOCKET_TIMEOUT',
      })
    }
    this.#staleAt = now + this.#staleAfterMs
    this._handleChunk(frame)
  }

  override _writeMethod(method: Method): void {
    if (method.methodId === TUNE_OK) {
      this.#staleAfterMs = (method.params.heartbeat ?? 0) * 1_000 * STALE_AFTER_HEARTBEATS
    }
    super._writeMethod(method)
  }

  override _handleChunk(frame: AmqpFrame | undefined): void {
    const handled = frame !== undefined && this.#interceptors.get(frame.channelId)?.(frame) === true
    // Without a frame it only records that the peer is alive.
    super._handleChunk(handled ? undefined : frame)
  }
}

const decodeFrame = (frame: Buffer): Promise<AmqpFrame> => {
  let at = 0
  const read: Read = async (bytes) => {
    at += bytes
    return frame.subarray(at - bytes, at)
  }
  return (codec as unknown as Codec).decodeFrame(read)
}
