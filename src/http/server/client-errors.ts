import { STATUS_CODES } from 'node:http'
import { constants, type Http2ServerResponse, type ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { type ErrorCode, GatewayError } from '../../core/errors.ts'
import { type CorsHeaders, corsHeaders } from '../auth/origin.ts'
import { errorBody } from '../responses.ts'

const CODES: Record<string, [ErrorCode, string]> = {
  HPE_HEADER_OVERFLOW: ['headers_too_large', 'The head of the request is too large.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request_timeout', 'The request took too long.'],
}

/** True for failures before any HTTP, when no response can be sent yet. */
const isTlsHandshakeError = (cause: Error & { code?: string }, socket: Duplex): boolean =>
  (socket as Partial<TLSSocket>).encrypted === true && !/^(HPE_|ERR_HTTP_)/.test(cause.code ?? '')

/** Error of Node's HTTP parser, with the bytes that it could not parse, if any. */
export type ClientError = Error & { readonly code?: string; readonly rawPacket?: Buffer }

/** Returns the origin of a request that Node could not parse. */
export const readOrigin = ({ rawPacket }: ClientError): string | undefined =>
  /^Origin:[ \t]*(\S+)[ \t]*\r?$/im.exec(rawPacket?.toString('latin1') ?? '')?.[1]

/**
 * Sends an error for a request that Node could not parse, and closes the connection, whose next request cannot be
 * located.
 *
 * @param cors headers of `corsHeaders`
 */
export const handleClientError = (cause: ClientError, socket: Duplex, cors: CorsHeaders = {}): void => {
  if (cause.code === 'ECONNRESET' || !socket.writable || isTlsHandshakeError(cause, socket)) {
    socket.destroy()
    return
  }
  const [code, message] = CODES[cause.code ?? ''] ?? ['malformed_request', 'The request could not be read.']
  const error = new GatewayError(code, message, { cause })
  const body = errorBody(error)
  const fields = Object.entries(cors).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\nConnection: close\r\n${fields.join('')}` +
      `Content-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

/** Responds to an HTTP/2 request whose body does not arrive in time. */
export const respondTimeout = (response: Http2ServerResponse, corsOrigins: readonly string[]): void => {
  const { stream } = response
  const error = new GatewayError('request_timeout', 'The request took too long.')
  if (!response.headersSent) {
    response.writeHead(error.status, {
      'Content-Type': 'application/json; charset=utf-8',
      ...corsHeaders(response.req.headers.origin, corsOrigins),
    })
    response.end(errorBody(error))
  }
  closeStream(stream)
}

/** Closes an HTTP/2 stream whose request is no longer needed, once its response is sent. */
export const closeStream = (stream: ServerHttp2Stream): void => {
  const close = () => stream.close(constants.NGHTTP2_NO_ERROR)
  if (stream.writableFinished) close()
  else stream.once('finish', close)
}
