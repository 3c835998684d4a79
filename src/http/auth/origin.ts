import cors from '@koa/cors'
import type { Context, Middleware, Next } from 'koa'
import { GatewayError } from '../../core/errors.ts'
import { isSafeMethod, type RawRequest, type RequestView } from '../request-view.ts'
import type { TrustedProxies } from '../trusted-proxies.ts'

/** @throws GatewayError origin_forbidden if a page of a site that is not configured sent the request */
export type OriginCheck = (request: RequestView) => void

export interface OriginOptions {
  readonly proxies: TrustedProxies
  /** Exact origins of other sites. */
  readonly corsOrigins: readonly string[]
}

/**
 * Checks the page that a request comes from: browsers send Origin, or else Sec-Fetch-Site. Other clients send neither.
 */
export const createOriginCheck =
  ({ proxies, corsOrigins }: OriginOptions): OriginCheck =>
  (request) => {
    const origin = request.get('origin')
    if (proxies.isOwnOrigin(request.req, origin) || corsOrigins.includes(origin)) return
    const site = request.get('sec-fetch-site')
    // Only browsers can set it. They compare the page with the URL of the request, whose port a proxy may not pass on.
    if (site === 'same-origin') return
    if (origin === '' && (site === '' || site === 'none')) return
    const hint = proxyHint(proxies, request.req, origin)
    const options = hint === null ? {} : { hint }
    throw new GatewayError('origin_forbidden', 'This request comes from a page of another site.', options)
  }

const stripPort = (host: string): string => host.replace(/:\d+$/, '')

/** Returns a hint for a page that is the gateway's own as far as can be told, but whose origin a proxy hides; otherwise null. */
const proxyHint = (proxies: TrustedProxies, request: RawRequest, origin: string): string | null => {
  if (proxies.isFromUntrustedProxy(request)) {
    return 'If this is the page of the gateway, name the proxy of this request in TRUSTED_PROXIES: its X-Forwarded-Host is ignored. Add other pages to CORS_ORIGINS.'
  }
  if (URL.parse(origin)?.hostname !== stripPort(proxies.requestedHost(request))) return null
  return 'If this is the page of the gateway behind a proxy, let the proxy pass the Host with its port (nginx: proxy_set_header Host $http_host). Add other pages to CORS_ORIGINS.'
}

/** Rejects state-changing requests from pages of other sites, whatever credential they have. */
export const csrfGuard =
  (check: OriginCheck) =>
  async (ctx: Context, next: Next): Promise<void> => {
    if (!isSafeMethod(ctx.method)) check(ctx)
    await next()
  }

export type CorsHeaders = Readonly<Record<string, string>>

/** Returns the CORS headers of a response that no middleware sends; empty for sites that are not configured. */
export const corsHeaders = (origin: string | undefined, corsOrigins: readonly string[]): CorsHeaders =>
  origin !== undefined && corsOrigins.includes(origin)
    ? { 'Access-Control-Allow-Origin': origin, 'Access-Control-Allow-Credentials': 'true', Vary: 'Origin' }
    : {}

/** Lets the configured sites read responses. The header contains the configured origin, never the caller's text. */
export const corsMiddleware = ({ corsOrigins }: OriginOptions): Middleware =>
  cors({
    // Send no CORS header to other sites.
    origin: (ctx) => corsOrigins.find((origin) => origin === ctx.get('origin')) ?? '',
    credentials: true,
    allowMethods: 'GET,HEAD,POST,DELETE',
    allowHeaders:
      'Authorization,Content-Type,Idempotency-Key,Last-Event-ID,Cache-Control,Traceparent,Tracestate,X-Requested-With',
    exposeHeaders: 'X-Request-Id,Retry-After',
    maxAge: 600,
    // errorBoundary sends errors on the same context, so they need no copied headers, and shared errors must not be
    // modified.
    keepHeadersOnError: false,
  })

/** @throws GatewayError host_forbidden if the request names a host that is not served */
export type HostCheck = (request: RequestView) => void

/** IP addresses, localhost, and single-label names, which cannot be registered; `evil.` is a top-level domain. */
const LOCAL_NAME = /^(([\w-]+\.)*localhost\.?|[\w-]+|\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\])(:\d+)?$/i

/**
 * Guards against DNS rebinding. Without tokens, any page could resolve its own name to 127.0.0.1 and would then have
 * the same origin as the gateway. IP addresses cannot be redirected like that.
 *
 * @param hosts other host names that are served, in lower case
 */
export const createHostCheck =
  ({ proxies, corsOrigins }: OriginOptions, hosts: readonly string[]): HostCheck =>
  ({ req }) => {
    const host = proxies.requestedHost(req)
    const name = stripPort(host).replace(/\.$/, '')
    // The name in the origin of an app or an extension is not one of the network.
    const isWebOrigin = (origin: string) => /^https?:/.test(origin) && new URL(origin).hostname === name
    const isAllowed = hosts.includes(name) || corsOrigins.some(isWebOrigin)
    if (host !== '' && !LOCAL_NAME.test(host) && !isAllowed) {
      throw new GatewayError('host_forbidden', 'This host name is not served while authentication is disabled.')
    }
  }

export const hostGuard =
  (check: HostCheck) =>
  async (ctx: Context, next: Next): Promise<void> => {
    check(ctx)
    await next()
  }
