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
 * test/raw-body.test.ts shows each of the three against a real broker.
 */
import { createHash, type Hash } from 'node:crypto'
import { createRequire } from 'node:module'
import type { Channel } from 'rabbitmq-client'
import { decodeTable, type FieldValue } from './amqp-table.ts'

/** A message as the broker delivers it, its body untouched. */
export interface Delivery {
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
  readonly properties: Properties
  /** Cut at the limit that `takeDeliveries` was given. */
  readonly body: Buffer
  /** Bytes before the cut. */
  readonly bytes: number
  /** Hexadecimal hash of the whole body; only where it was cut. */
  readonly sha256: string | null
}

export interface Properties {
  contentType?: string
  contentEncoding?: string
  headers?: { [name: string]: FieldValue }
  deliveryMode?: number
  priority?: number
  correlationId?: string
  replyTo?: string
  expiration?: string
  messageId?: string
  timestamp?: number
  type?: string
  userId?: string
  appId?: string
  clusterId?: string
}

interface MethodFrame {
  readonly type: 1
  readonly channelId: number
  readonly methodId: number
  readonly params: DeliverParams
}

interface DeliverParams {
  readonly consumerTag: string
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
}

interface HeaderFrame {
  readonly type: 2
  readonly channelId: number
  readonly bodySize: number
  readonly fields: Properties
}

interface BodyFrame {
  readonly type: 3
  readonly channelId: number
  readonly payload: Buffer
}

type Frame = MethodFrame | HeaderFrame | BodyFrame | { readonly type: 8; readonly channelId: 0 }
type Read = (bytes: number) => Promise<Buffer>

interface Codec {
  decodeFrame: (read: Read) => Promise<Frame>
}

/** What a channel has inside: called for each frame that comes in on it. */
interface Insides {
  _onMethod(frame: MethodFrame): void
  _onHeader(frame: HeaderFrame): void
  _onBody(frame?: BodyFrame): void
}

const METHOD = 1
const HEADER = 2
const BODY = 3
const FRAME_END = 206
const BASIC_DELIVER = 0x003c003c

const shortString = (bytes: Buffer, at: number): [string, number] => {
  const end = at + 1 + bytes[at]!
  return [bytes.toString('utf8', at + 1, end), end]
}

const decodeDeliver = (payload: Buffer): DeliverParams => {
  const [consumerTag, afterTag] = shortString(payload, 4)
  const deliveryTag = Number(payload.readBigUInt64BE(afterTag))
  const redelivered = payload[afterTag + 8] === 1
  const [exchange, afterExchange] = shortString(payload, afterTag + 9)
  const [routingKey] = shortString(payload, afterExchange)
  return { consumerTag, deliveryTag, redelivered, exchange, routingKey }
}

type Decode = (bytes: Buffer, at: number) => [unknown, number]

const octet: Decode = (bytes, at) => [bytes[at], at + 1]
const table: Decode = (bytes, at) => {
  const end = at + 4 + bytes.readUInt32BE(at)
  return [decodeTable(bytes.subarray(at + 4, end)), end]
}
const time: Decode = (bytes, at) => [Number(bytes.readBigUInt64BE(at)), at + 8]

/** The properties in the order of the protocol; the flag of the first is the highest bit. */
const PROPERTIES: readonly [keyof Properties, Decode][] = [
  ['contentType', shortString],
  ['contentEncoding', shortString],
  ['headers', table],
  ['deliveryMode', octet],
  ['priority', octet],
  ['correlationId', shortString],
  ['replyTo', shortString],
  ['expiration', shortString],
  ['messageId', shortString],
  ['timestamp', time],
  ['type', shortString],
  ['userId', shortString],
  ['appId', shortString],
  ['clusterId', shortString],
]

const decodeProperties = (payload: Buffer): Properties => {
  const flags = payload.readUInt16BE(12)
  const fields: Record<string, unknown> = {}
  let at = 14
  for (const [index, [name, decode]] of PROPERTIES.entries()) {
    if ((flags & (0x8000 >> index)) !== 0) [fields[name], at] = decode(payload, at)
  }
  return fields as Properties
}

/** Decodes the three frames of a delivery by hand; every other frame is left to the library. */
const decodeWith =
  (original: Codec['decodeFrame']) =>
  async (read: Read): Promise<Frame> => {
    const head = await read(7)
    const size = head.readUInt32BE(3)
    const payload = await read(size + 1)
    const type = head[0]
    const channelId = head.readUInt16BE(1)
    if (payload[size] === FRAME_END) {
      if (type === BODY) return { type: BODY, channelId, payload: payload.subarray(0, size) }
      if (type === HEADER) {
        const bodySize = Number(payload.readBigUInt64BE(4))
        return { type: HEADER, channelId, bodySize, fields: decodeProperties(payload) }
      }
      if (type === METHOD && payload.readUInt32BE(0) === BASIC_DELIVER) {
        return { type: METHOD, channelId, methodId: BASIC_DELIVER, params: decodeDeliver(payload) }
      }
    }
    const parts = [head, payload]
    return original(async () => parts.shift()!)
  }

let installed = false

/** Puts the tolerant decoder in. Once for the process, before the first connection. */
export const installDecoder = (): void => {
  if (installed) return
  installed = true
  const codec = createRequire(import.meta.url)('rabbitmq-client/lib/codec') as Codec
  codec.decodeFrame = decodeWith(codec.decodeFrame)
}

interface Incoming {
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
export const takeDeliveries = (channel: Channel, limit: number, onDelivery: (delivery: Delivery) => void): void => {
  const inside = channel as unknown as Insides
  const { _onMethod, _onHeader, _onBody } = inside
  let incoming: Incoming | null = null

  const finish = (done: Incoming, header: HeaderFrame): void => {
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
