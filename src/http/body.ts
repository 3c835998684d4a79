import type { IncomingMessage } from 'node:http'
import { createUnzip } from 'node:zlib'
import { decodingError, requiresDecoding } from '../core/content-encoding.ts'
import { GatewayError } from '../core/errors.ts'
import type { ValidationError } from '../core/message.ts'
import { noop } from '../core/noop.ts'

const toError = ({ reason, detail }: ValidationError, cause?: unknown): GatewayError =>
  new GatewayError(reason, detail, cause === undefined ? {} : { cause })

/**
 * Reads a request body completely, and decompresses it according to Content-Encoding.
 *
 * @param max maximum size in bytes, as received and decompressed; a larger body is rejected without being read to its end
 * @param onBytes called with the number of bytes that are held in addition; if it throws, the body is rejected with that error
 * @throws GatewayError body_too_large, unsupported_content_encoding, invalid_content_encoding, or request_aborted if the
 * client disconnects
 */
export const readBody = (
  request: IncomingMessage,
  max: number,
  onBytes: (bytes: number) => void = noop,
): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const tooLarge = () => new GatewayError('body_too_large', `The body is larger than ${max} bytes.`)
    if (Number(request.headers['content-length'] ?? 0) > max) {
      reject(tooLarge())
      return
    }
    const isCompressed = requiresDecoding(request.headers['content-encoding'] ?? '')
    if (typeof isCompressed !== 'boolean') {
      reject(toError(isCompressed.error))
      return
    }
    const unzip = isCompressed ? createUnzip() : null
    const chunks: Buffer[] = []
    const fail = (error: unknown): void => {
      chunks.length = 0
      unzip?.destroy()
      request.pause()
      reject(error)
    }
    /** Returns a listener that rejects the body once it has received more than `max` bytes. */
    const count = (take: (chunk: Buffer) => void) => {
      let bytes = 0
      return (chunk: Buffer): void => {
        bytes += chunk.length
        try {
          if (bytes > max) throw tooLarge()
          take(chunk)
        } catch (error) {
          fail(error)
        }
      }
    }
    const hold = (chunk: Buffer): void => {
      onBytes(chunk.length)
      chunks.push(chunk)
    }
    if (unzip !== null) {
      // Counted too: a compressed body can go on without an end and without any content.
      request.on('data', count(noop))
      unzip.on('error', (cause) => fail(toError(decodingError(cause, max), cause)))
      request.pipe(unzip)
    }
    const content = unzip ?? request
    content.on('data', count(hold))
    content.on('end', () => {
      resolve(Buffer.concat(chunks))
      // What follows the compressed data is not read by the decoder.
      if (unzip !== null) request.unpipe(unzip).resume()
    })
    request.on('error', (cause) => fail(new GatewayError('request_aborted', 'The request was aborted.', { cause })))
    request.on('close', () => {
      // 'close' fires for every request: create the error only if the body is incomplete, since capturing a stack is
      // expensive.
      if (!request.readableEnded) fail(new GatewayError('request_aborted', 'The request was aborted.'))
    })
  })
