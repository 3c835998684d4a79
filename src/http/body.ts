import type { IncomingMessage } from 'node:http'
import { GatewayError } from '../core/errors.ts'
import { noop } from '../core/noop.ts'

/**
 * Reads a request body completely.
 *
 * @param max maximum size in bytes; a larger body is rejected without being read to its end
 * @param onBytes called with the number of bytes received; if it throws, the body is rejected with that error
 * @throws GatewayError body_too_large, or request_aborted if the client disconnects
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
    const chunks: Buffer[] = []
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      try {
        if (bytes > max) throw tooLarge()
        onBytes(chunk.length)
        chunks.push(chunk)
      } catch (error) {
        chunks.length = 0
        request.pause()
        reject(error)
      }
    })
    request.on('end', () => resolve(Buffer.concat(chunks)))
    request.on('error', (cause) => reject(new GatewayError('request_aborted', 'The request was aborted.', { cause })))
    request.on('close', () => {
      // 'close' fires for every request: create the error only if the body is incomplete, since capturing a stack is
      // expensive.
      if (!request.readableEnded) reject(new GatewayError('request_aborted', 'The request was aborted.'))
    })
  })
