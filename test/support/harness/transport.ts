import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import http from 'node:http'
import http2, { type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import https from 'node:https'
import type { Readable } from 'node:stream'
import { type Authority, makeAuthority } from '../servers/certificates.ts'

/** Plain HTTP/1.1, HTTP/1.1 over TLS, or HTTP/2 over TLS. */
export type Transport = 'http1' | 'https1' | 'http2'

const TRANSPORTS: readonly string[] = ['http1', 'https1', 'http2'] satisfies Transport[]

/** Transport of this process's gateways and clients, set by the runner (`// transports:` in test/run.ts). */
export const TRANSPORT = (process.env.TEST_TRANSPORT ?? 'http1') as Transport
if (!TRANSPORTS.includes(TRANSPORT)) throw new Error(`TEST_TRANSPORT is none of ${TRANSPORTS.join(', ')}`)

let authority: Authority | undefined

/** Certificate authority of this process's gateways, trusted by its clients. */
export const testAuthority = (): Authority => (authority ??= makeAuthority())

let ownEnv: Record<string, string> | undefined

/** Environment that makes a gateway use TRANSPORT. */
export const transportEnv = (): Record<string, string> => {
  if (TRANSPORT === 'http1') return {}
  if (ownEnv === undefined) {
    const { certFile, keyFile } = testAuthority().issue()
    ownEnv = { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile }
  }
  return ownEnv
}

export type Ask = {
  method: string
  headers: Record<string, string>
  payload?: string | Buffer | undefined
  signal?: AbortSignal | undefined
}

/** A response whose head has arrived. */
export type Answer = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Readable
  /** True if the body has ended properly; valid once it is closed. */
  complete(): boolean
  /** Stops reading from the connection (HTTP/2: from this stream) until `resume`. */
  pause(): void
  resume(): void
  destroy(): void
}

/** A pending response. `destroy` aborts it with an error. */
export type Asked = { readonly answer: Promise<Answer>; destroy(error: Error): void }

/** Sends a request: over HTTP/1.1 on a separate connection, over HTTP/2 on a shared one. */
export const ask = (url: string, options: Ask): Asked =>
  url.startsWith('https:') && TRANSPORT === 'http2' ? askHttp2(url, options) : askHttp1(url, options)

const askHttp1 = (url: string, { method, headers, payload, signal }: Ask): Asked => {
  const settings = { method, headers, agent: false as const, ...(signal && { signal }) }
  const request: ClientRequest = url.startsWith('https:')
    ? https.request(url, { ...settings, ca: testAuthority().ca })
    : http.request(url, settings)
  const answer = new Promise<Answer>((resolve, reject) => {
    request.once('error', reject)
    request.once('response', (response: IncomingMessage) => {
      request.off('error', reject).on('error', () => {})
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: response,
        complete: () => response.complete,
        pause() {
          response.pause()
          response.socket.pause()
        },
        resume() {
          response.socket.resume()
          response.resume()
        },
        destroy() {
          request.destroy()
          response.destroy()
        },
      })
    })
  })
  request.end(payload)
  return { answer, destroy: (error) => void request.destroy(error) }
}

/** Number of streams per connection. */
const STREAMS_PER_SESSION = 50
/** Connection window: unread streams buffer data, which must not use up the window of others. */
const SESSION_WINDOW = 32 * 1024 * 1024

type Shared = { readonly origin: string; readonly session: ClientHttp2Session; open: number }

const shared = new Set<Shared>()

const sessionFor = (origin: string): Shared => {
  for (const one of shared) {
    const { session, open } = one
    if (one.origin === origin && open < STREAMS_PER_SESSION && !session.closed && !session.destroyed) return one
  }
  const session = http2.connect(origin, { ca: testAuthority().ca })
  const one: Shared = { origin, session, open: 0 }
  shared.add(one)
  const forget = (): void => void shared.delete(one)
  session.once('connect', () => session.setLocalWindowSize(SESSION_WINDOW))
  // Each of its streams reports an error itself.
  session.on('error', forget).once('close', forget).once('goaway', forget)
  return one
}

const askHttp2 = (url: string, { method, headers, payload, signal }: Ask): Asked => {
  const { origin, pathname, search } = new URL(url)
  const one = sessionFor(origin)
  one.session.ref()
  one.open += 1
  const stream: ClientHttp2Stream = one.session.request(
    { ':method': method, ':path': pathname + search, ...headers },
    { endStream: payload === undefined, ...(signal && { signal }) },
  )
  stream.once('close', () => {
    one.open -= 1
    if (one.open === 0 && !one.session.destroyed) one.session.unref()
  })
  let ended = false
  stream.once('end', () => {
    ended = true
  })
  const answer = new Promise<Answer>((resolve, reject) => {
    stream.once('error', reject)
    stream.once('close', () => reject(new Error(`the stream was closed with ${stream.rstCode} before an answer`)))
    stream.once('response', ({ ':status': status = 0, ...rest }) => {
      stream.off('error', reject).on('error', () => {})
      resolve({
        status,
        headers: rest as IncomingHttpHeaders,
        body: stream,
        complete: () => ended && stream.rstCode === 0,
        pause: () => void stream.pause(),
        resume: () => void stream.resume(),
        destroy: () => void stream.close(http2.constants.NGHTTP2_CANCEL),
      })
    })
  })
  if (payload !== undefined) stream.end(payload)
  return { answer, destroy: (error) => void stream.destroy(error) }
}
