import cors from '@koa/cors'
import type { Context, Middleware, Next } from 'koa'
import { GatewayError } from '../../core/errors.ts'
import { isSafeMethod, type RequestView } from '../request-view.ts'
import type { TrustedProxies } from '../trusted-proxies.ts'

/** @throws GatewayError origin_forbidden when a page of a site that is not named sends this */
export type OriginCheck = (asked: RequestView) => void

export interface OriginOptions {
  readonly proxies: TrustedProxies
  /** Exact origins of other sites. */
  readonly corsOrigins: readonly string[]
}

/** Browsers say which page asks: by Origin, and where that is left out, by Sec-Fetch-Site. Other clients say neither. */
export const createOriginCheck =
  ({ proxies, corsOrigins }: OriginOptions): OriginCheck =>
  (asked) => {
    const origin = asked.get('origin')
    const host = proxies.requestedHost(asked.req)
    // Behind a proxy that ends TLS the page has https though the line has not; the other way round there is no such page.
    const plain = !('encrypted' in asked.req.socket)
    const own = host !== '' && (origin === `https://${host}` || (plain && origin === `http://${host}`))
    if (own || corsOrigins.includes(origin)) return
    const site = asked.get('sec-fetch-site')
    if (origin === '' && (site === '' || site === 'same-origin' || site === 'none')) return
    throw new GatewayError('origin_forbidden', 'This request comes from a page of another site.')
  }

/** What changes something is refused to pages of other sites, whatever they show. */
export const csrfGuard =
  (check: OriginCheck) =>
  async (ctx: Context, next: Next): Promise<void> => {
    if (!isSafeMethod(ctx.method)) check(ctx)
    await next()
  }

/** Lets the named sites read answers. The value sent is the configured one, never what the caller wrote. */
export const corsMiddleware = ({ corsOrigins }: OriginOptions): Middleware =>
  cors({
    // No header at all for any other site.
    origin: (ctx) => corsOrigins.find((origin) => origin === ctx.get('origin')) ?? '',
    credentials: true,
    allowMethods: 'GET,HEAD,POST,DELETE',
    allowHeaders: 'Authorization,Content-Type,Idempotency-Key,Last-Event-ID,Cache-Control,Traceparent',
    exposeHeaders: 'X-Request-Id,Retry-After',
    maxAge: 600,
    // guard answers errors on this same context; errors may be shared by requests, and must stay as they are.
    keepHeadersOnError: false,
  })

/** @throws GatewayError host_forbidden when the request names a host that is not served */
export type HostCheck = (asked: RequestView) => void

/** Addresses, localhost, and names of one label, which nobody can register. */
const LOCAL_NAME = /^(([\w-]+\.)*localhost|[\w-]+|\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\])(:\d+)?$/i

/**
 * Where no token is asked for, a name is no proof of who was meant: any page could have its own name resolve to
 * 127.0.0.1 and would be of the same origin then. Addresses cannot be bent like that.
 *
 * @param hosts names that are served all the same, in lower case
 */
export const createHostCheck =
  ({ proxies, corsOrigins }: OriginOptions, hosts: readonly string[]): HostCheck =>
  ({ req }) => {
    const host = proxies.requestedHost(req)
    const name = host.toLowerCase().replace(/:\d+$/, '')
    const named = hosts.includes(name) || corsOrigins.some((origin) => new URL(origin).host === host)
    if (host !== '' && !LOCAL_NAME.test(host) && !named) {
      throw new GatewayError('host_forbidden', 'This host name is not served without tokens.')
    }
  }

export const hostGuard =
  (check: HostCheck) =>
  async (ctx: Context, next: Next): Promise<void> => {
    check(ctx)
    await next()
  }
