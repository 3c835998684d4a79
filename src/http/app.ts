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
import { createRouteFinder } from './request-metrics.ts'
import type { HttpRoute, RouteContext } from './route.ts'
import { ACCESS_ROUTES, type AccessOptions } from './routes/access.ts'
import { DOCUMENT_ROUTES, type DocumentOptions } from './routes/documents.ts'
import { EDGE_ROUTES, type EdgeRouteOptions } from './routes/edge.ts'
import { HEALTH_ROUTES, type HealthOptions } from './routes/health.ts'
import { HEALTH_REPORT, type HealthReportOptions } from './routes/health-report.ts'
import { MESSAGE_ROUTES, type MessagesOptions } from './routes/messages.ts'
import { PUBLISH, type PublishOptions } from './routes/publish.ts'
import { QUARANTINE_ROUTES, type QuarantineOptions } from './routes/quarantine.ts'
import { SEARCH, type SearchOptions } from './routes/search.ts'
import { SESSION_ROUTES, type SessionRouteOptions } from './routes/session.ts'
import { EVENT_STREAM, EVENTS_STREAM, type StreamOptions } from './routes/streams.ts'
import { createUnknownPathPage, WEB_ROUTES, type WebOptions } from './routes/web.ts'
import type { FastPathErrors } from './server/stream-fast-path.ts'

/** Dependencies of the handlers of all routes. */
export interface RouteOptions
  extends MessagesOptions,
    SearchOptions,
    PublishOptions,
    StreamOptions,
    AccessOptions,
    EdgeRouteOptions,
    SessionRouteOptions,
    HealthOptions,
    HealthReportOptions,
    QuarantineOptions,
    WebOptions {}

/** Every route. The router, the API documents and the access matrix are generated from this list. */
export const ROUTES: readonly HttpRoute<RouteOptions & DocumentOptions>[] = [
  ...MESSAGE_ROUTES,
  SEARCH,
  PUBLISH,
  EVENT_STREAM,
  EVENTS_STREAM,
  ...ACCESS_ROUTES,
  ...EDGE_ROUTES,
  ...SESSION_ROUTES,
  ...HEALTH_ROUTES,
  ...DOCUMENT_ROUTES,
  ...WEB_ROUTES,
  HEALTH_REPORT,
  ...QUARANTINE_ROUTES,
]

export interface AppOptions extends RouteOptions, OriginOptions, ErrorBoundaryOptions {
  /** Host names that are served in addition to IP addresses and single-label names; null if any host is served. */
  readonly hosts: readonly string[] | null
  /** Errors of requests that the fast path has already handled. */
  readonly fastPathErrors: FastPathErrors
}

/** A URL of 100 events with UUIDs is half as long. */
const MAX_URL_BYTES = 8_192

/**
 * A path and a query in visible ASCII. Targets with a host, a fragment or raw bytes are rejected, since parsers
 * disagree on them.
 */
const ORIGIN_FORM = /^\/[\x21-\x22\x24-\x7e]*$/

/**
 * Rejects invalid UTF-8 in the path, which would otherwise reach the routes undecoded and refer to a different event.
 */
const validateUrl = async (ctx: Context, next: Next): Promise<void> => {
  if (ctx.url.length > MAX_URL_BYTES) throw new GatewayError('url_too_long', `The URL has ${ctx.url.length} bytes.`)
  if (!ORIGIN_FORM.test(ctx.url))
    throw new GatewayError('invalid_path', 'The request target is not a percent-encoded path.')
  try {
    decodeURIComponent(ctx.path)
  } catch (cause) {
    throw new GatewayError('invalid_path', 'The path is not valid percent-encoded UTF-8.', { cause })
  }
  await next()
}

/**
 * Removes the base path, so that neither routes nor metrics depend on it. Nothing else is served: a rule of a proxy for
 * a path would otherwise not apply to its other spelling.
 */
const removeBasePath =
  (basePath: string, answerUnknown: (ctx: Context) => boolean) =>
  async (ctx: Context, next: Next): Promise<void> => {
    if (ctx.path === basePath) {
      ctx.status = 308
      ctx.set('Location', `${basePath}/${ctx.search}`)
    } else if (ctx.url.startsWith(`${basePath}/`)) {
      ctx.url = ctx.url.slice(basePath.length)
      await next()
    } else if (!answerUnknown(ctx)) {
      const hint = `Everything is below BASE_PATH, ${basePath}/. A proxy must pass this path unchanged.`
      throw new GatewayError('not_found', `No resource at ${ctx.method} ${ctx.path.slice(0, 200)}.`, { hint })
    }
  }

/** Rethrows errors of the fast path instead of authorizing twice: a one-use ticket would already be spent. */
const rethrowFastPathError =
  (errors: FastPathErrors) =>
  async (ctx: Context, next: Next): Promise<void> => {
    const { socket } = ctx.req
    const error = errors.get(socket)
    // The error belongs to this request; later requests on the connection must not receive it.
    if (errors.delete(socket)) throw error
    await next()
  }

/** Creates the router of all routes. Each route enforces the access that it declares. */
export const createRouter = (options: RouteOptions): Router => {
  // One URL per resource: otherwise access rules of a proxy would not apply to other spellings of the URL.
  const router = new Router({ sensitive: true, strict: true })
  for (const route of ROUTES) {
    const handle = route.bind({ ...options, routes: ROUTES })
    router.register(route.path, [route.method], (ctx) => handle(ctx as RouteContext))
  }
  return router
}

/** Composes the HTTP application. `callback()` of the result handles requests. */
export const createApp = (options: AppOptions): Koa => {
  const app = new Koa()
  // Koa's own error handler would print errors that errorBoundary has already logged.
  app.silent = true
  const router = createRouter(options)
  const answerUnknown = createUnknownPathPage(options)
  app.use(errorBoundary(options, createRouteFinder(router)))
  // Before everything that refuses requests, since pages of other sites can only read errors with CORS headers.
  app.use(corsMiddleware(options))
  app.use(validateUrl)
  if (options.basePath !== '') app.use(removeBasePath(options.basePath, answerUnknown))
  app.use(rethrowFastPathError(options.fastPathErrors))
  if (options.hosts !== null) app.use(hostGuard(createHostCheck(options, options.hosts)))
  app.use(csrfGuard(createOriginCheck(options)))
  app.use(router.routes())
  app.use(router.allowedMethods())
  app.use((ctx: Context & { matched?: readonly unknown[] }) => {
    // For other methods of a known path, allowedMethods answers.
    if (ctx.matched?.length === 0) answerUnknown(ctx)
  })
  return app
}
