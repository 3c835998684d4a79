/**
 * The one place that touches rabbitmq-client's insides (5.0.8, pinned), because there is no option for it:
 *
 * - Its channel parses `application/json` bodies: integers beyond 2^53 and invalid UTF-8 are lost, and a huge
 *   body blocks before any check of its size. Here the bytes of a delivery are taken before that.
 * - It counts body frames by the frame size it asked for, not the one that was agreed, and cuts bodies short
 *   where they differ. Here bytes are counted.
 * - Its codec has no decoder for the header type `L` and resets the connection at it, for ever, since the
 *   broker delivers the message again. Here every table is read, or left out, without an error.
 *
 * test/integration/ingest/raw-body.test.ts shows each of the three against a real broker.
 */
import { createHash, type Hash } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Channel } from 'rabbitmq-client'
import codec from 'rabbitmq-client/lib/codec.js'
import util from 'rabbitmq-client/lib/util.js'
import {
  BASIC_DELIVER,
  type BasicProperties,
  type BodyFrame,
  type DeliverParams,
  type DeliveryFrame,
  decodeDeliveryFrame,
  type HeaderFrame,
  type MethodFrame,
} from './delivery-frames.ts'
import { FRAME_HEADER_BYTES, FrameReader, type FrameSource, type RawFrame } from './frame-reader.ts'

/** A message as the broker delivers it, its body untouched. */
export interface Delivery {
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
  readonly properties: BasicProperties
  /** Cut at the limit that `takeDeliveries` was given. */
  readonly body: Buffer
  /** Bytes before the cut. */
  readonly bytes: number
  /** Hexadecimal hash of the whole body; only where it was cut. */
  readonly sha256: string | null
}

interface Codec {
  decodeFrame: (read: FrameSource) => Frame | Promise<Frame>
}

type Frame = DeliveryFrame | { readonly type: 8; readonly channelId: 0 }

/** What a channel has inside: called for each frame that comes in on it. */
interface Insides {
  _onMethod(frame: MethodFrame): void
  _onHeader(frame: HeaderFrame): void
  _onBody(frame?: BodyFrame): void
}

/** Decodes the three frames of a delivery by hand; every other frame is left to the library. */
const wrapDecoder = (original: Codec['decodeFrame']): Codec['decodeFrame'] => {
  const decode = (raw: RawFrame): Frame | Promise<Frame> => {
    const own = decodeDeliveryFrame(raw)
    if (own !== null) return own
    const parts = [
      raw.bytes.subarray(raw.at, raw.at + FRAME_HEADER_BYTES),
      raw.bytes.subarray(raw.at + FRAME_HEADER_BYTES, raw.end),
    ]
    return original((async () => parts.shift()!) as unknown as FrameSource)
  }
  // The library awaits the result: of a frame that is here already it costs one turn of the promise queue, not six.
  return ({ frames }: FrameSource) => {
    const raw = frames.tryRead()
    return raw === null ? frames.next().then(decode) : decode(raw)
  }
}

let installed = false

/** Puts the tolerant decoder in. Once for the process, before the first connection. */
export const patchDecoder = (): void => {
  if (installed) return
  installed = true
  const decoding = codec as unknown as Codec
  decoding.decodeFrame = wrapDecoder(decoding.decodeFrame)
  const reading = util as unknown as { createAsyncReader: (socket: Socket) => FrameSource }
  reading.createAsyncReader = (socket) => {
    const frames = new FrameReader(socket)
    return Object.assign((bytes: number) => frames.read(bytes), { frames })
  }
}

interface PartialDelivery {
  readonly params: DeliverParams
  header: HeaderFrame | null
  readonly chunks: Buffer[]
  kept: number
  received: number
  hash: Hash | null
}

/**
 * Takes the deliveries of a channel as bytes, before the library would parse them.
 *
 * @param limit bytes of a body that are kept; of a longer one the rest is only hashed
 */
export const interceptDeliveries = (
  channel: Channel,
  limit: number,
  onDelivery: (delivery: Delivery) => void,
): void => {
  const inside = channel as unknown as Insides
  const { _onMethod, _onHeader, _onBody } = inside
  let incoming: PartialDelivery | null = null

  const finish = (done: PartialDelivery, header: HeaderFrame): void => {
    incoming = null
    const { deliveryTag, redelivered, exchange, routingKey } = done.params
    onDelivery({
      deliveryTag,
      redelivered,
      exchange,
      routingKey,
      properties: header.fields,
      body: done.chunks.length === 1 ? done.chunks[0]! : Buffer.concat(done.chunks),
      bytes: header.bodySize,
      sha256: done.hash?.digest('hex') ?? null,
    })
  }

  inside._onMethod = (frame) => {
    if (frame.methodId !== BASIC_DELIVER) return _onMethod.call(channel, frame)
    incoming = { params: frame.params, header: null, chunks: [], kept: 0, received: 0, hash: null }
  }

  inside._onHeader = (frame) => {
    if (incoming === null) return _onHeader.call(channel, frame)
    incoming.header = frame
    if (frame.bodySize > limit) incoming.hash = createHash('sha256')
    if (frame.bodySize === 0) finish(incoming, frame)
  }

  inside._onBody = (frame) => {
    if (incoming === null || incoming.header === null || frame === undefined) return _onBody.call(channel, frame)
    const { payload } = frame
    incoming.received += payload.length
    incoming.hash?.update(payload)
    const part = payload.subarray(0, Math.max(0, limit - incoming.kept))
    if (part.length > 0) incoming.chunks.push(part)
    incoming.kept += part.length
    if (incoming.received >= incoming.header.bodySize) finish(incoming, incoming.header)
  }
}
