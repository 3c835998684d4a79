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
import { type AccessOptions, registerAccessRoutes } from './routes/access.ts'
import { registerDocsRoutes } from './routes/documents.ts'
import { type OpsOptions, registerHealthRoutes } from './routes/health.ts'
import { type OverviewOptions, routeOverview } from './routes/health-report.ts'
import { type MessagesOptions, routeMessages } from './routes/messages.ts'
import { type RejectedOptions, routeRejected } from './routes/quarantine.ts'
import { routeStreams, type StreamOptions } from './routes/streams.ts'
import { registerWebRoutes } from './routes/web.ts'
import type { FastPathErrors } from './server/stream-fast-path.ts'

export interface RouteOptions
  extends MessagesOptions,
    StreamOptions,
    OpsOptions,
    AccessOptions,
    OverviewOptions,
    RejectedOptions {}

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

/** All routes there are. Each asks the one authorisation function, or serves what is open to everybody. */
export const makeRouter = (options: RouteOptions): Router => {
  // One address for each thing: rules of a proxy for an address would not hold for its other spellings.
  const router = new Router({ sensitive: true, strict: true })
  routeMessages(router, options)
  routeStreams(router, options)
  registerAccessRoutes(router, options)
  registerHealthRoutes(router, options)
  routeOverview(router, options)
  routeRejected(router, options)
  registerDocsRoutes(router, options)
  registerWebRoutes(router)
  return router
}

/** Puts the HTTP side together. `callback()` of the result serves requests. */
export const createApp = (options: AppOptions): Koa => {
  const app = new Koa()
  // Koa's own handler would print what guard has logged already.
  app.silent = true
  const router = makeRouter(options)
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
