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

/**
 * Returns the id after which a client resumes: the header Last-Event-ID, otherwise `lastEventId` in the query, which
 * clients add that cannot set headers. Empty if there is neither.
 */
export const lastEventId = (request: RequestView): string => {
  const header = request.get('last-event-id')
  if (header === '') return new URLSearchParams(request.querystring).getAll('lastEventId').at(-1) ?? ''
  // A header that was sent twice arrives joined.
  const [value = '', ...others] = new Set(header.split(',').map((part) => part.trim()))
  return others.length === 0 ? value : header
}

/** True for methods that change nothing. */
export const isSafeMethod = (method: string): boolean => method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
