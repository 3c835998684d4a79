import type { Socket } from 'node:net'
import type { RawRequest, RequestView } from '../request-view.ts'
import { EVENT_STREAM, EVENTS_STREAM } from '../routes/streams.ts'

/** A request for a stream, read off the first bytes of a connection. */
export class StreamRequest implements RequestView {
  readonly method = 'GET'
  readonly querystring: string
  readonly req: RawRequest
  readonly path: string
  /** The event in the path; null: the query names the events. */
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

const patternOf = (path: string): string => path.replace(/:\w+/, '([^/?#\\s]+)')
/** Made of the routes, so that the fast path serves no address that they do not. */
const LINE = new RegExp(
  `^GET (${patternOf(EVENT_STREAM.path)}|${patternOf(EVENTS_STREAM.path)})(?:\\?([^#\\s]*))? HTTP/1\\.1$`,
)
/** A whole head of visible ASCII, blanks within its lines, and nothing behind it. */
const HEAD = /^[\x21-\x7e][\x20-\x7e\t]*(?:\r\n[\x21-\x7e][\x20-\x7e\t]*)*\r\n\r\n$/
const NAME = /^[\w!#$%&'*+.^`|~-]+$/
/** A body, another protocol, another site's page, or proxies' business: Node and Koa know what to do about them. */
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
 * Reads the head of a request for a stream. Narrower than HTTP by intent: whatever is not the plain, complete and only request that
 * a browser or a client sends is left to Node's own parser, which decides on everything that is unusual.
 *
 * @param bytes the first that came on the connection
 * @returns null for anything but GET /api/stream and GET /api/events/…/stream
 */
export const parseStreamRequest = (socket: Socket, bytes: Buffer): StreamRequest | null => {
  if (bytes.length > MAX_BYTES || bytes[0] !== 0x47) return null
  const text = bytes.toString('latin1')
  const [, path, segment, query = ''] = LINE.exec(text.slice(0, text.indexOf('\r\n'))) ?? []
  if (path === undefined || !HEAD.test(text)) return null
  const event = segment === undefined ? null : decoded(segment)
  if (event === undefined) return null
  const lines = text.split('\r\n')
  // The request line comes first, and two empty ones last.
  if (lines.length > MAX_FIELDS + 3) return null
  const headers: RawRequest['headers'] = Object.create(null)
  for (let at = 1; at < lines.length - 2; at++) {
    const line = lines[at]!
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon)).toLowerCase()
    // Of a field that comes twice Node knows whether the values are joined, or one of them is dropped.
    if (!NAME.test(name) || UNSUPPORTED_HEADERS.has(name) || headers[name] !== undefined) return null
    headers[name] = line.slice(colon + 1).trim()
  }
  if (headers.host === undefined || !/^(keep-alive|close)?$/i.test(headers.connection ?? '')) return null
  return new StreamRequest(socket, path, event, query, headers)
}

/** @returns undefined where the text is no encoded UTF-8 */
const decoded = (segment: string): string | undefined => {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}
