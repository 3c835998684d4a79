/** RabbitMQ's client library encodes any method there is; this is the one that costs, by hand: basic.publish. */

const METHOD = 1
const HEADER = 2
const BODY = 3
const FRAME_END = 0xce
/** Type, channel and length before a payload, and the mark behind it. */
const FRAME_OVERHEAD = 8
const CLASS_BASIC = 60
const PUBLISH = 40
/** The bits of content-type, delivery-mode, message-id and timestamp. */
const PROPERTIES = 0x9000 | 0x0080 | 0x0040
const MANDATORY = 1
const PERSISTENT = 2

const shortString = (text: string): Buffer => {
  const bytes = Buffer.from(text)
  if (bytes.length > 255) throw new RangeError('a short string has at most 255 bytes')
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}

const CONTENT_TYPE = shortString('application/json')

/** What is the same for all messages of a channel. */
export interface PublishHeader {
  readonly channel: number
  /** Bytes of the largest frame that was agreed. */
  readonly frameMax: number
  /** As a short string. */
  readonly exchange: Buffer
}

export const createPublishHeader = (channel: number, frameMax: number, exchange: string): PublishHeader => ({
  channel,
  frameMax,
  exchange: shortString(exchange),
})

/**
 * The frames of one message: persistent, mandatory, JSON.
 *
 * @param routingKey ASCII, at most 255 bytes
 * @param messageId at most 255 bytes
 * @param seconds since 1970
 */
export const publishFrames = (
  { channel, frameMax, exchange }: PublishHeader,
  routingKey: string,
  messageId: string,
  body: Uint8Array,
  seconds: number,
): Buffer => {
  const idBytes = Buffer.byteLength(messageId)
  const methodSize = 2 + 2 + 2 + exchange.length + 1 + routingKey.length + 1
  const headerSize = 2 + 2 + 8 + 2 + CONTENT_TYPE.length + 1 + 1 + idBytes + 8
  const most = frameMax - FRAME_OVERHEAD
  const parts = Math.ceil(body.length / most)
  const out = Buffer.allocUnsafe(FRAME_OVERHEAD * (2 + parts) + methodSize + headerSize + body.length)

  let at = begin(out, 0, METHOD, channel, methodSize)
  at = out.writeUInt16BE(CLASS_BASIC, at)
  at = out.writeUInt16BE(PUBLISH, at)
  at = out.writeUInt16BE(0, at)
  at += exchange.copy(out, at)
  at = out.writeUInt8(routingKey.length, at)
  at += out.write(routingKey, at, 'latin1')
  at = out.writeUInt8(MANDATORY, at)
  at = out.writeUInt8(FRAME_END, at)

  at = begin(out, at, HEADER, channel, headerSize)
  at = out.writeUInt16BE(CLASS_BASIC, at)
  at = out.writeUInt16BE(0, at)
  at = writeLong(out, body.length, at)
  at = out.writeUInt16BE(PROPERTIES, at)
  at += CONTENT_TYPE.copy(out, at)
  at = out.writeUInt8(PERSISTENT, at)
  at = out.writeUInt8(idBytes, at)
  at += out.write(messageId, at, 'utf8')
  at = writeLong(out, seconds, at)
  at = out.writeUInt8(FRAME_END, at)

  for (let from = 0; from < body.length; from += most) {
    const size = Math.min(most, body.length - from)
    at = begin(out, at, BODY, channel, size)
    out.set(body.subarray(from, from + size), at)
    at += size
    at = out.writeUInt8(FRAME_END, at)
  }
  return out
}

const begin = (out: Buffer, at: number, type: number, channel: number, size: number): number => {
  out.writeUInt8(type, at)
  out.writeUInt16BE(channel, at + 1)
  return out.writeUInt32BE(size, at + 3)
}

/** Eight bytes without a BigInt. */
const writeLong = (out: Buffer, value: number, at: number): number => {
  out.writeUInt32BE(Math.floor(value / 2 ** 32), at)
  return out.writeUInt32BE(value % 2 ** 32, at + 4)
}
