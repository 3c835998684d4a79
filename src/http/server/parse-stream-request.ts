import type { Socket } from 'node:net'
import type { RawRequest, RequestView } from '../request-view.ts'
import { EVENT_STREAM, EVENTS_STREAM } from '../routes/streams.ts'

/** A request for a stream, parsed from the first bytes of a connection. */
export class StreamRequest implements RequestView {
  readonly method = 'GET'
  readonly querystring: string
  readonly req: RawRequest
  readonly path: string
  /** The event in the path; null if the query contains the events. */
  readonly event: string | null

  constructor(socket: Socket, path: string, event: string | null, querystring: string, headers: RawRequest['headers']) {
    this.path = path
    this.event = event
    this.querystring = querystring
    this.req = { headers, socket }
  }

  get(name: string): string {
    const value = this.req.headers[name]
    return typeof value === 'string' ? value : ''
  }
}

const toPattern = (path: string): string => path.replace(/:\w+/, '([^/?#\\s]+)')
/** Derived from the routes, so that the fast path serves no other URLs. */
const LINE = new RegExp(
  `^(${toPattern(EVENT_STREAM.path)}|${toPattern(EVENTS_STREAM.path)})(?:\\?([^#\\s]*))? HTTP/1\\.1$`,
)
/** A complete head in visible ASCII, with blanks only inside lines, and nothing after it. */
const HEAD = /^[\x21-\x7e][\x20-\x7e\t]*(?:\r\n[\x21-\x7e][\x20-\x7e\t]*)*\r\n\r\n$/
const NAME = /^[\w!#$%&'*+.^`|~-]+$/
/** Headers of bodies, other protocols, other sites' pages and proxies, which are left to Node and Koa. */
const UNSUPPORTED_HEADERS = new Set([
  'content-length',
  'transfer-encoding',
  'te',
  'trailer',
  'expect',
  'upgrade',
  'http2-settings',
  'origin',
  'proxy-connection',
])
const MAX_BYTES = 8_192
const MAX_FIELDS = 64

/**
 * Parses the head of a request for a stream. Deliberately stricter than HTTP: anything but the plain, complete and only
 * request that a browser or a client sends is left to Node's own parser, which decides on unusual input.
 *
 * @param bytes the first bytes received on the connection
 * @param basePath prefix of all paths, which the result does not have
 * @returns null for anything but GET /api/stream and GET /api/events/…/stream
 */
export const parseStreamRequest = (socket: Socket, bytes: Buffer, basePath: string): StreamRequest | null => {
  if (bytes.length > MAX_BYTES || bytes[0] !== 0x47) return null
  const text = bytes.toString('latin1')
  const start = `GET ${basePath}`
  if (!text.startsWith(start)) return null
  const [, path, segment, query = ''] = LINE.exec(text.slice(start.length, text.indexOf('\r\n'))) ?? []
  if (path === undefined || !HEAD.test(text)) return null
  const event = segment === undefined ? null : decodeSegment(segment)
  if (event === undefined) return null
  const lines = text.split('\r\n')
  // The request line comes first; splitting leaves two empty lines at the end.
  if (lines.length > MAX_FIELDS + 3) return null
  const headers: RawRequest['headers'] = Object.create(null)
  for (let at = 1; at < lines.length - 2; at++) {
    const line = lines[at]!
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon)).toLowerCase()
    // Whether duplicate headers are joined or dropped depends on the field, and is left to Node.
    if (!NAME.test(name) || UNSUPPORTED_HEADERS.has(name) || headers[name] !== undefined) return null
    headers[name] = line.slice(colon + 1).trim()
  }
  if (headers.host === undefined || !/^(keep-alive|close)?$/i.test(headers.connection ?? '')) return null
  return new StreamRequest(socket, path, event, query, headers)
}

/** @returns undefined if the text is not percent-encoded UTF-8 */
const decodeSegment = (segment: string): string | undefined => {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}
