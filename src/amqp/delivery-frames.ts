import { decodeFieldTable, type FieldValue } from './field-table.ts'
import { FRAME_HEADER_BYTES, type RawFrame } from './frame-reader.ts'
import { decodeText } from './text.ts'

/** Properties of AMQP 0-9-1's basic class, including the headers. */
export interface BasicProperties {
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

export interface MethodFrame {
  readonly type: 1
  readonly channelId: number
  readonly methodId: number
  readonly params: DeliverParams
}

export interface DeliverParams {
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
}

export interface HeaderFrame {
  readonly type: 2
  readonly channelId: number
  readonly bodySize: number
  readonly fields: BasicProperties
}

export interface BodyFrame {
  readonly type: 3
  readonly channelId: number
  readonly payload: Buffer
}

export type DeliveryFrame = MethodFrame | HeaderFrame | BodyFrame

/** Frame types. */
export const METHOD = 1
export const HEADER = 2
const BODY = 3
const FRAME_END = 206
/** basic.deliver: class 60, method 60. */
export const BASIC_DELIVER = 0x003c003c

/** Reads a 64-bit integer without BigInt, which would allocate an object; counters of the protocol stay far below 2^53. */
const longLong = (bytes: Buffer, at: number): number => bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4)

const decodeDeliver = (bytes: Buffer, payload: number): DeliverParams => {
  const tag = payload + 5 + bytes[payload + 4]!
  const exchange = tag + 10
  const routingKey = exchange + bytes[tag + 9]! + 1
  return {
    deliveryTag: longLong(bytes, tag),
    redelivered: bytes[tag + 8] === 1,
    exchange: decodeText(bytes, exchange, routingKey - 1),
    routingKey: decodeText(bytes, routingKey, routingKey + bytes[routingKey - 1]!),
  }
}

type Decode = (bytes: Buffer, at: number) => unknown
type Skip = (bytes: Buffer, at: number) => number

const shortString: [Decode, Skip] = [
  (bytes, at) => decodeText(bytes, at + 1, at + 1 + bytes[at]!),
  (bytes, at) => at + 1 + bytes[at]!,
]
const octet: [Decode, Skip] = [(bytes, at) => bytes[at], (_bytes, at) => at + 1]
const time: [Decode, Skip] = [longLong, (_bytes, at) => at + 8]
const table: [Decode, Skip] = [
  (bytes, at) => decodeFieldTable(bytes.subarray(at + 4, at + 4 + bytes.readUInt32BE(at))),
  (bytes, at) => at + 4 + bytes.readUInt32BE(at),
]

/** Properties in the order of the protocol; the flag of the first is the highest bit. */
const PROPERTIES: readonly [keyof BasicProperties, [Decode, Skip]][] = [
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

const decodeProperties = (bytes: Buffer, payload: number): BasicProperties => {
  const fields: Record<string, unknown> = {}
  let at = payload + 14
  let flags = bytes.readUInt16BE(payload + 12)
  for (let index = 0; flags !== 0; index++, flags = (flags << 1) & 0xffff) {
    if ((flags & 0x8000) === 0) continue
    const property = PROPERTIES[index]
    // The two lowest bits are not flags of properties.
    if (property === undefined) break
    const [name, [decode, skip]] = property
    fields[name] = decode(bytes, at)
    at = skip(bytes, at)
  }
  return fields as BasicProperties
}

/** Decodes a frame of a delivery; returns null for any other frame. */
export const decodeDeliveryFrame = ({ bytes, at, end }: RawFrame): DeliveryFrame | null => {
  if (bytes[end - 1] !== FRAME_END) return null
  const channelId = bytes.readUInt16BE(at + 1)
  const payload = at + FRAME_HEADER_BYTES
  switch (bytes[at]) {
    case BODY:
      return { type: BODY, channelId, payload: bytes.subarray(payload, end - 1) }
    case HEADER:
      return {
        type: HEADER,
        channelId,
        bodySize: longLong(bytes, payload + 4),
        fields: decodeProperties(bytes, payload),
      }
    case METHOD:
      if (bytes.readUInt32BE(payload) !== BASIC_DELIVER) return null
      return { type: METHOD, channelId, methodId: BASIC_DELIVER, params: decodeDeliver(bytes, payload) }
    default:
      return null
  }
}
