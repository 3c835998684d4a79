import { unzipSync } from 'node:zlib'
import type { ValidationError } from './message.ts'

/** Encodings of bodies that are JSON text as they are. Many publishers name a character set instead. */
const PLAIN = new Set(['', 'identity', 'utf-8', 'utf8', 'us-ascii', 'ascii', 'binary'])
const COMPRESSED = new Set(['gzip', 'x-gzip', 'deflate'])

/** Value of Accept-Encoding in responses that refuse an encoding. */
export const ACCEPTED_ENCODINGS = 'gzip, deflate'

/**
 * @param encoding Content-Encoding of HTTP, or the AMQP property content_encoding
 * @returns whether the body must be decompressed, or the error
 */
export const requiresDecoding = (encoding: string): boolean | { error: ValidationError } => {
  const name = encoding.trim().toLowerCase()
  if (COMPRESSED.has(name)) return true
  if (PLAIN.has(name)) return false
  const detail = `The content encoding ${JSON.stringify(encoding.slice(0, 100))} is not supported.`
  return { error: { reason: 'unsupported_content_encoding', detail } }
}

/** Describes a failure to decompress a body. */
export const decodingError = (error: unknown, limit: number): ValidationError => {
  const { code, message } = error as NodeJS.ErrnoException
  return code === 'ERR_BUFFER_TOO_LARGE'
    ? { reason: 'body_too_large', detail: `The decompressed body is larger than ${limit} bytes.` }
    : { reason: 'invalid_content_encoding', detail: `The body cannot be decompressed: ${message}.` }
}

/**
 * Decompresses a body according to its encoding.
 *
 * @param limit maximum bytes of the result; decompression ends there
 * @returns the body itself if it is not compressed, or the error
 */
export const decodeContent = (body: Buffer, encoding = '', limit: number): Buffer | { error: ValidationError } => {
  const isCompressed = requiresDecoding(encoding)
  if (isCompressed === false) return body
  if (isCompressed !== true) return isCompressed
  try {
    return unzipSync(body, { maxOutputLength: limit })
  } catch (error) {
    return { error: decodingError(error, limit) }
  }
}
