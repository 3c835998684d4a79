import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ErrorCode, GatewayError } from '../message/errors.ts'
import { errorBody } from './reply.ts'

const CODES: Record<string, [ErrorCode, string]> = {
  HPE_HEADER_OVERFLOW: ['headers_too_large', 'The head of the request is too large.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request_timeout', 'The request took too long.'],
}

/** Answers what Node could not parse like every other error, and closes: what follows has no beginning. */
export const refuseUnparsed = (cause: Error & { code?: string }, socket: Duplex): void => {
  if (cause.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [code, message] = CODES[cause.code ?? ''] ?? ['malformed_request', 'The request could not be read.']
  const error = new GatewayError(code, message, { cause })
  const body = errorBody(error)
  socket.end(
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\nConnection: close\r\n` +
      `Content-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}
