import { createHmac, timingSafeEqual } from 'node:crypto'

/** AMQP header that proves that the gateway itself has added `published_by` to the body. */
export const PUBLISHED_BY_HEADER = 'x-published-by-mac'

/** Derives the key of the header from a secret that all hosts of a gateway share. */
export const derivePublishedByKey = (secret: Uint8Array | string): Uint8Array =>
  createHmac('sha256', secret).update('deepsoc-gateway published_by').digest()

const macOf = (key: Uint8Array, message_id: string, body: string): Buffer =>
  // The id is part of it, since it can be outside the body.
  createHmac('sha256', key).update(JSON.stringify(message_id)).update(body).digest()

/** Returns the value of the header for a body as it is sent to the exchange. */
export const signPublishedBy = (key: Uint8Array, message_id: string, body: string): string =>
  macOf(key, message_id, body).toString('base64url')

/**
 * Returns a function that returns true if the headers prove that the gateway has added `published_by` to this message.
 *
 * @param key null if no message has a valid header
 */
export const createPublishedByVerifier =
  (key: Uint8Array | null) =>
  (headers: Readonly<Record<string, unknown>> | undefined, message_id: string, body: string): boolean => {
    const header = headers?.[PUBLISHED_BY_HEADER]
    if (key === null || typeof header !== 'string') return false
    const mac = Buffer.from(header, 'base64url')
    return mac.length === 32 && timingSafeEqual(mac, macOf(key, message_id, body))
  }
