import type { RequestListener, Server } from 'node:http'
import { createSecureServer, type Http2SecureServer, Http2ServerResponse, type SecureServerOptions } from 'node:http2'
import type { Certificate } from './certificate-watcher.ts'
import { respondTimeout } from './client-errors.ts'
import { Http2SessionReaper } from './http2-sessions.ts'

/** Streams of one session; browsers wait with more until one has ended. */
const MAX_STREAMS = 250
/** Streams that a client may open and reset at once, and a second after that: each has cost a look into the log. */
const RESETS = { burst: 500, rate: 50 }

export interface HttpsOptions {
  readonly certificate: Certificate
  readonly maxHeaderSize: number
  readonly maxHeaders: number
  /** Milliseconds for a TLS handshake, and from there to the first request. */
  readonly handshakeTimeoutMs: number
  /** Milliseconds for which a connection may stay without a request, and an answer without being taken. */
  readonly idleTimeoutMs: number
  /** Of HTTP/1.1. */
  readonly http1: {
    readonly headersTimeout: number
    readonly requestTimeout: number
    readonly connectionsCheckingInterval: number
  }
}

const contextOf = ({ cert, key }: Certificate) => ({
  cert,
  key,
  // Said here, so that no flag of the process can go below it.
  minVersion: 'TLSv1.2' as const,
})

/**
 * Serves HTTPS: HTTP/2 to those who offer it, HTTP/1.1 to all others.
 *
 * @returns the server with the face of an HTTP/1.1 one, whose listener and settings it has
 */
export const createHttpsServer = (options: HttpsOptions, handler: RequestListener): Server => {
  const { certificate, maxHeaderSize, maxHeaders, handshakeTimeoutMs, idleTimeoutMs, http1 } = options
  const sessions = new Http2SessionReaper({ firstMs: handshakeTimeoutMs, idleMs: idleTimeoutMs })
  // The size of a head of HTTP/1.1 is taken too, though the types do not know it.
  const settings: SecureServerOptions & { maxHeaderSize: number } = {
    ...contextOf(certificate),
    ...http1,
    allowHTTP1: true,
    noDelay: true,
    ALPNProtocols: ['h2', 'http/1.1'],
    maxHeaderSize,
    handshakeTimeout: handshakeTimeoutMs,
    settings: { enablePush: false, maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: maxHeaderSize },
    maxHeaderListPairs: maxHeaders,
    maxSessionInvalidFrames: 100,
    streamResetBurst: RESETS.burst,
    streamResetRate: RESETS.rate,
  }
  const server = createSecureServer(settings)
  server.on('session', sessions.add)
  server.on('stream', (stream) => {
    // As on a connection of HTTP/1.1; a stream of events ends this, and has a clock of its own.
    stream.setTimeout(idleTimeoutMs, () => stream.destroy())
  })
  server.on(
    'request',
    withRequestTimeout(handler, http1.requestTimeout) as unknown as Parameters<Http2SecureServer['on']>[1],
  )
  return server as unknown as Server
}

/** HTTP/1.1 has its clock in Node; an HTTP/2 request has only this one. */
const withRequestTimeout =
  (handler: RequestListener, requestMs: number): RequestListener =>
  (request, response) => {
    if (response instanceof Http2ServerResponse && !response.stream.endAfterHeaders) {
      const timer = setTimeout(respondTimeout, requestMs, response)
      const stop = () => clearTimeout(timer)
      request.once('end', stop).once('close', stop)
    }
    handler(request, response)
  }

/** New connections get the new certificate; those that stand keep what they have agreed on. */
export const replaceCertificate = (server: Server, certificate: Certificate): void =>
  (server as unknown as Http2SecureServer).setSecureContext(contextOf(certificate))
