import { createHmac, timingSafeEqual } from 'node:crypto'

/** AMQP header that proves that the gateway itself has added `published_by` to the body. */
export const PUBLISHED_BY_HEADER = 'x-published-by-mac'

/** Derives the key of the header from a secret that all hosts of a gateway share. */
export const derivePublishedByKey = (secret: Uint8Array | string): Uint8Array =>
  createHmac('sha256', secret).update('deepsoc-gateway published_by').digest()

/** Returns the value of the header for a body as it is sent to the exchange. */
export const signPublishedBy = (key: Uint8Array, message_id: string, body: string): string =>
  // The id is part of it, since it can be outside the body.
  createHmac('sha256', key).update(JSON.stringify(message_id)).update(body).digest('base64url')

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
    const expected = Buffer.from(signPublishedBy(key, message_id, body))
    const given = Buffer.from(header)
    return given.length === expected.length && timingSafeEqual(given, expected)
  }
