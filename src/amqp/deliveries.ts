import { createHash, type Hash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Channel } from 'rabbitmq-client'
import {
  BASIC_DELIVER,
  type BasicProperties,
  type DeliverParams,
  type DeliveryFrame,
  decodeDeliveryFrame,
  HEADER,
  type HeaderFrame,
  METHOD,
} from './delivery-frames.ts'
import { FrameReader } from './frame-reader.ts'
import type { AmqpConnection, FrameLoop } from './rabbitmq-client-patch.ts'

/** A message as the broker delivers it, with the bytes of its body. */
export interface Delivery {
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
  readonly properties: BasicProperties
  /** Truncated to the limit that was passed to `interceptDeliveries`. */
  readonly body: Buffer
  /** Size of the whole body in bytes. */
  readonly bytes: number
  /** SHA-256 of the whole body, hexadecimal; null if the body was not truncated. */
  readonly sha256: string | null
}

/** Interval at which a paused reader reports that the connection is alive, in milliseconds; half of the shortest heartbeat interval. */
const PAUSED_MS = 500

/**
 * Creates a frame loop that decodes the frames of a delivery (method, header, body) without rabbitmq-client, whose decoder fails
 * on some headers.
 *
 * @param pause returns a promise while nothing is to be read, else null
 */
export const createDeliveryFrameLoop =
  (pause: () => Promise<void> | null): FrameLoop =>
  async (socket, handle, decode) => {
    const reader = new FrameReader(socket)
    for (;;) {
      for (let full = pause(); full !== null; full = pause()) {
        // rabbitmq-client closes a connection from which it gets no frames.
        await Promise.race([full, delay(PAUSED_MS)])
        handle(undefined)
      }
      const raw = reader.tryRead() ?? (await reader.next())
      handle(decodeDeliveryFrame(raw) ?? (await decode(raw.bytes.subarray(raw.at, raw.end))))
    }
  }

interface PartialDelivery {
  readonly params: DeliverParams
  header: HeaderFrame | null
  readonly chunks: Buffer[]
  bufferedBytes: number
  receivedBytes: number
  hash: Hash | null
}

/**
 * Receives the deliveries of a channel as bytes, before rabbitmq-client parses them.
 *
 * @param connection must read its frames by `createDeliveryFrameLoop`
 * @param limit maximum bytes of a body; the rest of a longer one is only hashed
 */
export const interceptDeliveries = (
  connection: AmqpConnection,
  channel: Channel,
  limit: number,
  onDelivery: (delivery: Delivery) => void,
): void => {
  let incoming: PartialDelivery | null = null

  const finish = (partial: PartialDelivery, header: HeaderFrame): void => {
    incoming = null
    const { deliveryTag, redelivered, exchange, routingKey } = partial.params
    onDelivery({
      deliveryTag,
      redelivered,
      exchange,
      routingKey,
      properties: header.fields,
      body: partial.chunks.length === 1 ? partial.chunks[0]! : Buffer.concat(partial.chunks),
      bytes: header.bodySize,
      sha256: partial.hash?.digest('hex') ?? null,
    })
  }

  const addBody = (partial: PartialDelivery, header: HeaderFrame, payload: Buffer): void => {
    partial.receivedBytes += payload.length
    partial.hash?.update(payload)
    const part = payload.subarray(0, Math.max(0, limit - partial.bufferedBytes))
    if (part.length > 0) partial.chunks.push(part)
    partial.bufferedBytes += part.length
    if (partial.receivedBytes >= header.bodySize) finish(partial, header)
  }

  connection.intercept(channel, (amqpFrame) => {
    const frame = amqpFrame as DeliveryFrame
    if (frame.type === METHOD) {
      if (frame.methodId !== BASIC_DELIVER) return false
      incoming = { params: frame.params, header: null, chunks: [], bufferedBytes: 0, receivedBytes: 0, hash: null }
      return true
    }
    if (incoming === null) return false
    if (frame.type === HEADER) {
      incoming.header = frame
      if (frame.bodySize > limit) incoming.hash = createHash('sha256')
      if (frame.bodySize === 0) finish(incoming, frame)
      return true
    }
    if (incoming.header === null) return false
    addBody(incoming, incoming.header, frame.payload)
    return true
  })
}
