import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'

/** The connection and the header fields of a request. */
export interface RawRequest {
  readonly headers: IncomingHttpHeaders
  readonly socket: Socket
}

/** What the rules of access and the streams look at in a request. Koa's context is one. */
export interface RequestView {
  readonly method: string
  /** Without its question mark. */
  readonly querystring: string
  /** A header field by its name in lower case; '' where it is absent. */
  get(name: string): string
  readonly req: RawRequest
}

/** True for methods that change nothing. */
export const isSafeMethod = (method: string): boolean => method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
