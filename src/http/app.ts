import Router from '@koa/router'
import Koa, { type Context, type Next } from 'koa'
import { GatewayError } from '../core/errors.ts'
import {
  corsMiddleware,
  createHostCheck,
  createOriginCheck,
  csrfGuard,
  hostGuard,
  type OriginOptions,
} from './auth/origin.ts'
import { type ErrorBoundaryOptions, errorBoundary } from './error-boundary.ts'
import type { HttpRoute, RouteContext } from './route.ts'
import { ACCESS_ROUTES, type AccessOptions } from './routes/access.ts'
import { DOCUMENT_ROUTES, type DocumentOptions } from './routes/documents.ts'
import { HEALTH_ROUTES, type HealthOptions } from './routes/health.ts'
import { HEALTH_REPORT, type HealthReportOptions } from './routes/health-report.ts'
import { MESSAGE_ROUTES, type MessagesOptions } from './routes/messages.ts'
import { PUBLISH, type PublishOptions } from './routes/publish.ts'
import { QUARANTINE_ROUTES, type QuarantineOptions } from './routes/quarantine.ts'
import { EVENT_STREAM, EVENTS_STREAM, type StreamOptions } from './routes/streams.ts'
import { WEB_ROUTES } from './routes/web.ts'
import type { FastPathErrors } from './server/stream-fast-path.ts'

/** What the handlers of all routes depend on. */
export interface RouteOptions
  extends MessagesOptions,
    PublishOptions,
    StreamOptions,
    AccessOptions,
    HealthOptions,
    HealthReportOptions,
    QuarantineOptions {}

/** Every route. The router, the API documents and the access matrix are made from this list. */
export const ROUTES: readonly HttpRoute<RouteOptions & DocumentOptions>[] = [
  ...MESSAGE_ROUTES,
  PUBLISH,
  EVENT_STREAM,
  EVENTS_STREAM,
  ...ACCESS_ROUTES,
  ...HEALTH_ROUTES,
  ...DOCUMENT_ROUTES,
  ...WEB_ROUTES,
  HEALTH_REPORT,
  ...QUARANTINE_ROUTES,
]

export interface AppOptions extends RouteOptions, OriginOptions, ErrorBoundaryOptions {
  /** Host names that are served beside addresses and names of one label; null: any. */
  readonly hosts: readonly string[] | null
  /** What became of requests that another way has looked at before. */
  readonly refusals: FastPathErrors
}

/** A URL of 100 events with UUIDs has half of this. */
const MAX_URL_BYTES = 8_192

/** A path and a query in visible ASCII, and nothing else: what has a host, a fragment or raw bytes is read in many ways. */
const ORIGIN_FORM = /^\/[\x21-\x22\x24-\x7e]*$/

/** A path that is no UTF-8 would otherwise reach the routes as it stands, and mean another event. */
const validateUrl = async (ctx: Context, next: Next): Promise<void> => {
  if (ctx.url.length > MAX_URL_BYTES) throw new GatewayError('url_too_long', `The URL has ${ctx.url.length} bytes.`)
  if (!ORIGIN_FORM.test(ctx.url)) throw new GatewayError('invalid_path', 'The request target is no encoded path.')
  try {
    decodeURIComponent(ctx.path)
  } catch (cause) {
    throw new GatewayError('invalid_path', 'The path is not valid percent-encoded UTF-8.', { cause })
  }
  await next()
}

/** What the door has refused already is not looked at again: a ticket, say, could be shown only once. */
const rethrowFastPathError =
  (refusals: FastPathErrors) =>
  async (ctx: Context, next: Next): Promise<void> => {
    const { socket } = ctx.req
    const refusal = refusals.get(socket)
    // It is about this request, and the connection may bring another one.
    if (refusals.delete(socket)) throw refusal
    await next()
  }

/** The router of all routes. Each enforces the access that it declares. */
export const createRouter = (options: RouteOptions): Router => {
  // One address for each thing: rules of a proxy for an address would not hold for its other spellings.
  const router = new Router({ sensitive: true, strict: true })
  for (const route of ROUTES) {
    const handle = route.bind({ ...options, routes: ROUTES })
    router.register(route.path, [route.method], (ctx) => handle(ctx as RouteContext))
  }
  return router
}

/** Puts the HTTP side together. `callback()` of the result serves requests. */
export const createApp = (options: AppOptions): Koa => {
  const app = new Koa()
  // Koa's own handler would print what guard has logged already.
  app.silent = true
  const router = createRouter(options)
  app.use(errorBoundary(options))
  app.use(validateUrl)
  app.use(rethrowFastPathError(options.refusals))
  if (options.hosts !== null) app.use(hostGuard(createHostCheck(options, options.hosts)))
  app.use(corsMiddleware(options))
  app.use(csrfGuard(createOriginCheck(options)))
  app.use(router.routes())
  app.use(router.allowedMethods())
  return app
}
