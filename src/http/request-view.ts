import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'

/** The connection and the headers of a request. */
export interface RawRequest {
  readonly headers: IncomingHttpHeaders
  readonly socket: Socket
}

/** The parts of a request that access checks and streams read. Koa's context implements it. */
export interface RequestView {
  readonly method: string
  /** Without the question mark. */
  readonly querystring: string
  /** Returns a header by its lower-case name; '' if it is absent. */
  get(name: string): string
  readonly req: RawRequest
}

/** True for methods that change nothing. */
export const isSafeMethod = (method: string): boolean => method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
