import type { RequestListener, Server } from 'node:http'
import { createSecureServer, type Http2SecureServer, Http2ServerResponse, type SecureServerOptions } from 'node:http2'
import type { Certificate } from './certificate-watcher.ts'
import { respondTimeout } from './client-errors.ts'
import { Http2SessionReaper } from './http2-sessions.ts'

/** Maximum number of concurrent streams per session; browsers queue further requests. */
const MAX_STREAMS = 250
/** Limit on streams that a client opens and resets: burst, and rate per second. Each one costs a query of the store. */
const RESETS = { burst: 500, rate: 50 }

export interface HttpsOptions {
  readonly certificate: Certificate
  readonly maxHeaderSize: number
  readonly maxHeaders: number
  readonly corsOrigins: readonly string[]
  /** Timeout for a TLS handshake, and from there to the first request, in milliseconds. */
  readonly headersMs: number
  /** Maximum time of an HTTP/2 session without a request, in milliseconds. */
  readonly keepAliveMs: number
  /** Maximum time for a response that the client does not read, in milliseconds. */
  readonly stallTimeoutMs: number
  /** Settings of HTTP/1.1. */
  readonly http1: {
    readonly headersTimeout: number
    readonly requestTimeout: number
    readonly connectionsCheckingInterval: number
  }
}

/** With TLS 1.2, only key exchanges with forward secrecy and authenticated encryption; TLS 1.3 has nothing else. */
const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

const toSecureContext = ({ cert, key }: Certificate) => ({
  cert,
  key,
  // Explicit, so that no command-line flag of the process can lower it.
  minVersion: 'TLSv1.2' as const,
  ciphers: CIPHERS,
})

/**
 * Serves HTTPS: HTTP/2 to clients that offer it, HTTP/1.1 to all others.
 *
 * @returns the server, typed as an HTTP/1.1 one, whose listener and settings it has
 */
export const createHttpsServer = (options: HttpsOptions, handler: RequestListener): Server => {
  const { certificate, maxHeaderSize, maxHeaders, headersMs, keepAliveMs, stallTimeoutMs, http1 } = options
  const sessions = new Http2SessionReaper({ handshakeTimeoutMs: headersMs, idleTimeoutMs: keepAliveMs })
  // The types omit maxHeaderSize, which is passed on to HTTP/1.1.
  const settings: SecureServerOptions & { maxHeaderSize: number } = {
    ...toSecureContext(certificate),
    ...http1,
    allowHTTP1: true,
    noDelay: true,
    ALPNProtocols: ['h2', 'http/1.1'],
    maxHeaderSize,
    handshakeTimeout: headersMs,
    settings: { enablePush: false, maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: maxHeaderSize },
    maxHeaderListPairs: maxHeaders,
    maxSessionInvalidFrames: 100,
    streamResetBurst: RESETS.burst,
    streamResetRate: RESETS.rate,
  }
  const server = createSecureServer(settings)
  server.on('session', sessions.add)
  server.on('stream', (stream) => {
    // As on HTTP/1.1 connections. Event streams clear this timeout and use their own.
    stream.setTimeout(stallTimeoutMs, () => stream.destroy())
  })
  server.on(
    'request',
    withRequestTimeout(handler, http1.requestTimeout, options.corsOrigins) as unknown as Parameters<
      Http2SecureServer['on']
    >[1],
  )
  return server as unknown as Server
}

/** Node enforces a request timeout for HTTP/1.1 only; this one is for HTTP/2. */
const withRequestTimeout =
  (handler: RequestListener, requestMs: number, corsOrigins: readonly string[]): RequestListener =>
  (request, response) => {
    if (response instanceof Http2ServerResponse && !response.stream.endAfterHeaders) {
      const timer = setTimeout(respondTimeout, requestMs, response, corsOrigins)
      const stop = () => clearTimeout(timer)
      request.once('end', stop).once('close', stop)
    }
    handler(request, response)
  }

/** Uses the new certificate for new connections; established ones are not affected. */
export const replaceCertificate = (server: Server, certificate: Certificate): void =>
  (server as unknown as Http2SecureServer).setSecureContext(toSecureContext(certificate))
