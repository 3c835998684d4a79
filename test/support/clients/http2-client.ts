import http2, { type ClientHttp2Session, type ClientHttp2Stream, type ClientSessionOptions } from 'node:http2'
import { until } from '../harness/wait.ts'

/** One stream of a session, read as text. */
export type Opened = {
  readonly stream: ClientHttp2Stream
  readonly headers: Record<string, unknown>
  readonly status: number
  /** All that has come. */
  text(): string
  /** True once the stream is over, however. */
  readonly closed: boolean
  /** Resolves when the text matches. */
  says(pattern: string | RegExp): Promise<void>
}

/** A session of HTTP/2 in the hands of a test. Errors of it are kept, not thrown. */
export type Http2 = {
  readonly session: ClientHttp2Session
  readonly errors: Error[]
  /** The code of the GOAWAY that came, if any. */
  goaway(): number | undefined
  /** Asks; resolves when the head of the answer is there. @throws Error when the stream ends before */
  open(path: string, headers?: Record<string, string>, payload?: string): Promise<Opened>
  close(): void
}

/** @param ca the authority to trust */
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
