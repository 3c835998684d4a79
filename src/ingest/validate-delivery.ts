import { createHash } from 'node:crypto'
import type { Delivery } from '../amqp/deliveries.ts'
import type { createPublishedByVerifier } from '../amqp/published-by.ts'
import { decodeContent } from '../core/content-encoding.ts'
import { errorChainText } from '../core/error-text.ts'
import { decodeUtf8, type ValidationError, validateMessage } from '../core/message.ts'
import type { AppendEntry, DeliveryOrigin } from '../store/store.ts'

const EMPTY = '{}'

const toOrigin = (delivery: Delivery): DeliveryOrigin => {
  const { headers } = delivery.properties
  return {
    // The store holds UTF-8 only.
    exchange: delivery.exchange.toWellFormed(),
    routing_key: delivery.routingKey.toWellFormed(),
    headers: headers === undefined ? EMPTY : JSON.stringify(headers),
    properties: JSON.stringify({ ...delivery.properties, headers: undefined }),
    exclusive_until: delivery.redelivered ? 0 : Number.POSITIVE_INFINITY,
  }
}

/** Options for the validation of a delivery. */
interface ValidationOptions {
  /** MAX_MESSAGE_BYTES. */
  readonly limit: number
  /** Milliseconds since 1970. */
  readonly now: number
  readonly makeId: (now: number) => string
  /** The header traceparent, or the traceparent of the span started for this delivery. */
  readonly traceparent: unknown
  readonly verifyPublishedBy: ReturnType<typeof createPublishedByVerifier>
}

/** Validates a delivery: returns a message to store, or a rejection with its reason. */
export const validateDelivery = (
  delivery: Delivery,
  { limit, now, makeId, traceparent, verifyPublishedBy }: ValidationOptions,
): AppendEntry => {
  const origin = toOrigin(delivery)
  const reject = ({ reason, detail }: ValidationError): AppendEntry => ({
    kind: 'rejection',
    rejection: {
      origin,
      received_at: now,
      reason,
      detail,
      // Copied: the body is a slice of a whole socket read, and all of that would be sent to the writer thread.
      body: Buffer.from(delivery.body),
      body_bytes: delivery.bytes,
      sha256: delivery.sha256 ?? createHash('sha256').update(delivery.body).digest('hex'),
    },
  })
  if (delivery.bytes > limit) {
    return reject({ reason: 'body_too_large', detail: `${delivery.bytes} bytes, ${limit} are allowed.` })
  }
  try {
    const content = decodeContent(delivery.body, delivery.properties.contentEncoding, limit)
    if (!Buffer.isBuffer(content)) return reject(content.error)
    const text = decodeUtf8(content)
    if (typeof text !== 'string') return reject(text.error)
    const result = validateMessage(text, {
      received_at: now,
      message_id: delivery.properties.messageId,
      traceparent,
      verifyPublishedBy: (id) => verifyPublishedBy(delivery.properties.headers, id, text),
      makeId: () => makeId(now),
    })
    if ('error' in result) return reject(result.error)
    if (content === delivery.body) return { kind: 'message', message: result.message, origin }
    // If the store quarantines the message, its body is the decompressed text.
    const { contentEncoding: _decoded, ...properties } = delivery.properties
    return { kind: 'message', message: result.message, origin: toOrigin({ ...delivery, properties }) }
  } catch (error) {
    // If this were thrown, it would reset the connection, and the broker would redeliver the same message forever.
    return reject({ reason: 'internal', detail: errorChainText(error) })
  }
}
