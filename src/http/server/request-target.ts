import type { IncomingMessage, RequestListener } from 'node:http'
import { Http2ServerResponse } from 'node:http2'
import { GatewayError } from '../../core/errors.ts'
import { errorBody } from '../responses.ts'

/** `http://host/path?query`, without credentials. */
const ABSOLUTE_FORM = /^https?:\/\/([^/?#@]+)([/?].*)?$/i

/**
 * Rewrites a target in absolute form, which a server must accept (RFC 9112, 3.2.2), to its path. Its host replaces that
 * of the header Host.
 */
export const toOriginForm = (request: IncomingMessage): void => {
  const { url = '', httpVersionMajor, headers } = request
  if (httpVersionMajor !== 1 || url.startsWith('/')) return
  const [, host, rest = ''] = ABSOLUTE_FORM.exec(url) ?? []
  if (host === undefined || !URL.canParse(url)) return
  request.url = rest.startsWith('/') ? rest : `/${rest}`
  headers.host = host
}

/** @param rawHeaders names and values in turn */
const countHostFields = (rawHeaders: readonly string[]): number => {
  let count = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!
    if (name.length === 4 && name.toLowerCase() === 'host') count++
  }
  return count
}

/** Refuses requests with several Host fields (RFC 9112, 3.2), of which a proxy may have used another one than Node does. */
export const requireSingleHost =
  (handler: RequestListener): RequestListener =>
  (request, response) => {
    const fields = countHostFields(request.rawHeaders)
    if (fields <= 1) {
      handler(request, response)
      return
    }
    const error = new GatewayError('malformed_request', `The request has ${fields} Host fields.`)
    const body = errorBody(error)
    response.writeHead(error.status, {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': Buffer.byteLength(body),
      ...(!(response instanceof Http2ServerResponse) && { Connection: 'close' }),
    })
    response.end(body)
  }
