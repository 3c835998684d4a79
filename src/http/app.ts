import { randomUUID } from 'node:crypto'
import { Http2ServerResponse } from 'node:http2'
import Router from '@koa/router'
import Koa, { type Context, type Next } from 'koa'
import type { Logger } from 'pino'
import { type ErrorCode, GatewayError } from '../core/errors.ts'
import { registerDocsRoutes } from './api/routes.ts'
import {
  corsMiddleware,
  createHostCheck,
  createOriginCheck,
  csrfGuard,
  hostGuard,
  type OriginOptions,
} from './auth/origin.ts'
import { sendError, toGatewayError } from './responses.ts'
import { type AccessOptions, registerAccessRoutes } from './routes/access.ts'
import { type OpsOptions, registerHealthRoutes } from './routes/health.ts'
import { type OverviewOptions, routeOverview } from './routes/health-report.ts'
import { type MessagesOptions, routeMessages } from './routes/messages.ts'
import { type RejectedOptions, routeRejected } from './routes/quarantine.ts'
import { routeStreams, type StreamOptions } from './routes/streams.ts'
import { registerWebRoutes } from './routes/web.ts'
import { closeStream } from './server/client-errors.ts'
import type { FastPathErrors } from './server/stream-fast-path.ts'

export interface RouteOptions
  extends MessagesOptions,
    StreamOptions,
    OpsOptions,
    AccessOptions,
    OverviewOptions,
    RejectedOptions {}

export interface AppOptions extends RouteOptions, OriginOptions {
  /** Host names that are served beside addresses and names of one label; null: any. */
  readonly hosts: readonly string[] | null
  /** What became of requests that another way has looked at before. */
  readonly refusals: FastPathErrors
  /** Told of every request that was turned away: 401, 403, 429, overload. */
  readonly onRefused: (code: ErrorCode) => void
}

/** A URL of 100 events with UUIDs has half of this. */
const MAX_URL_BYTES = 8_192

/** On every answer; the page has a policy of its own. */
export const DEFAULT_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
}

/** Every answer has an id, so that its line in the log can be found; every error leaves as JSON. */
const errorBoundary =
  ({ logger, onRefused }: AppOptions) =>
  async (ctx: Context, next: Next): Promise<void> => {
    const request_id = randomUUID()
    const begun = performance.now()
    let code: ErrorCode | undefined
    ctx.set('X-Request-Id', request_id)
    ctx.set(DEFAULT_HEADERS)
    try {
      await next()
      if (ctx.respond !== false && ctx.body === undefined && ctx.status !== 204 && ctx.status !== 304)
        handleUnmatched(ctx)
    } catch (thrown) {
      const error = toGatewayError(thrown)
      code = error.code
      if (error.status === 500) {
        logger.error({ request_id, method: ctx.method, path: ctx.path, code, err: error.cause }, error.message)
      }
      if (isRefusal(error)) onRefused(code)
      // A body that was not read to its end cannot be followed by another request.
      if (!ctx.req.complete) closeConnection(ctx)
      sendError(ctx, error)
    } finally {
      logRequest(logger, begun, { request_id, method: ctx.method, path: ctx.path, status: ctx.status, code })
    }
  }

interface RequestLog {
  readonly request_id: string
  readonly method: string
  readonly path: string
  readonly status: number
  readonly code?: ErrorCode | undefined
}

/** A line of the log for who looks closely. @param begun `performance.now()` when the request came */
export const logRequest = (logger: Logger, begun: number, { request_id, method, path, status, code }: RequestLog) => {
  if (!logger.isLevelEnabled('debug')) return
  const ms = Math.round(performance.now() - begun)
  logger.debug({ request_id, method, path: path.slice(0, 200), status, code, ms }, 'request')
}

const closeConnection = (ctx: Context): void => {
  const { res } = ctx
  if (!(res instanceof Http2ServerResponse)) ctx.set('Connection', 'close')
  else if (!res.stream.endAfterHeaders) closeStream(res.stream)
}

const isRefusal = ({ status, code }: GatewayError): boolean =>
  status === 401 || status === 403 || status === 429 || code === 'overloaded'

/** The router sets 405 and Allow where the path is known, and 404 stays where it is not. */
const handleUnmatched = (ctx: Context): void => {
  const where = `${ctx.method} ${ctx.path.slice(0, 200)}`
  if (ctx.status === 404) throw new GatewayError('not_found', `There is nothing at ${where}.`)
  if (ctx.status === 405 || ctx.status === 501) {
    throw new GatewayError('method_not_allowed', `${where}: the path takes other methods.`)
  }
}

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
