import http2, { type ClientHttp2Session, type ClientHttp2Stream, type ClientSessionOptions } from 'node:http2'
import { until } from '../harness/wait.ts'

/** One stream of a session, read as text. */
export type Opened = {
  readonly stream: ClientHttp2Stream
  readonly headers: Record<string, unknown>
  readonly status: number
  /** All data received so far. */
  text(): string
  /** True once the stream has ended, for any reason. */
  readonly closed: boolean
  /** Resolves when the text matches. */
  says(pattern: string | RegExp): Promise<void>
}

/** An HTTP/2 session for tests. Its errors are stored, not thrown. */
export type Http2 = {
  readonly session: ClientHttp2Session
  readonly errors: Error[]
  /** Error code of the received GOAWAY, if any. */
  goaway(): number | undefined
  /** Sends a request; resolves with the head of the response. @throws Error if the stream ends before */
  open(path: string, headers?: Record<string, string>, payload?: string): Promise<Opened>
  close(): void
}

/** @param ca certificate authority to trust */
export const openHttp2 = (url: string, ca: string, options: ClientSessionOptions = {}): Promise<Http2> =>
  new Promise((resolve, reject) => {
    const session = http2.connect(url, { ca, ...options })
    const errors: Error[] = []
    let goaway: number | undefined
    session.once('error', reject)
    session.on('error', (error) => void errors.push(error))
    session.on('goaway', (code) => {
      goaway = code
    })
    session.once('connect', () =>
      resolve({
        session,
        errors,
        goaway: () => goaway,
        open: (path, headers, payload) => openStream(session, path, headers, payload),
        close: () => session.destroy(),
      }),
    )
  })

const openStream = (
  session: ClientHttp2Session,
  path: string,
  headers: Record<string, string> = {},
  payload?: string,
): Promise<Opened> =>
  new Promise((resolve, reject) => {
    const stream = session.request({ ':path': path, ...headers }, { endStream: payload === undefined })
    let text = ''
    let closed = false
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
    stream.on('error', reject)
    stream.once('close', () => {
      closed = true
      reject(new Error(`the stream was closed with ${stream.rstCode}`))
    })
    stream.once('response', (head) =>
      resolve({
        stream,
        headers: head,
        status: head[':status'] ?? 0,
        text: () => text,
        get closed() {
          return closed
        },
        async says(pattern) {
          const found = () => (typeof pattern === 'string' ? text.includes(pattern) : pattern.test(text))
          await until(found, { what: `${pattern} on the stream`, saw: () => text.slice(-500) })
        },
      }),
    )
    if (payload !== undefined) stream.end(payload)
  })
