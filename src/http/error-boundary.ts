import { randomUUID } from 'node:crypto'
import { Http2ServerResponse } from 'node:http2'
import type { Context, Next } from 'koa'
import type { Logger } from 'pino'
import { DENIED_CODES } from '../core/error-catalogue/groups.ts'
import { type ErrorCode, GatewayError } from '../core/errors.ts'
import { type ResponseListener, safePath } from './request-metrics.ts'
import { sendError, toGatewayError } from './responses.ts'
import { closeStream } from './server/client-errors.ts'

export interface ErrorBoundaryOptions {
  readonly logger: Logger
  /** Called for every rejected request: 401, 403, 429 or overload. */
  readonly onDenied: (code: ErrorCode) => void
  readonly onResponse: ResponseListener
}

/** Headers of every response; web pages set a policy of their own. */
export const DEFAULT_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
}

/** Sets an id on every response, which is also in its log line, and sends every error as JSON. */
export const errorBoundary =
  ({ logger, onDenied, onResponse }: ErrorBoundaryOptions, findRoute: (ctx: Context) => string) =>
  async (ctx: Context, next: Next): Promise<void> => {
    const request_id = randomUUID()
    const startedAt = performance.now()
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
      if (DENIED_CODES.has(code)) onDenied(code)
      // If the body was not read completely, the connection cannot be reused for another request.
      if (!ctx.req.complete) closeConnection(ctx)
      sendError(ctx, error)
    } finally {
      logRequest(logger, startedAt, { request_id, method: ctx.method, path: safePath(ctx), status: ctx.status, code })
      // A client that left before its stream was opened got no response.
      if (ctx.respond !== false || ctx.status === 200) {
        onResponse(findRoute(ctx), ctx.method, ctx.status, (performance.now() - startedAt) / 1_000)
      }
    }
  }

interface RequestLog {
  readonly request_id: string
  readonly method: string
  readonly path: string
  readonly status: number
  readonly code?: ErrorCode | undefined
}

/** Logs a request at debug level. @param startedAt `performance.now()` when the request arrived */
export const logRequest = (
  logger: Logger,
  startedAt: number,
  { request_id, method, path, status, code }: RequestLog,
) => {
  if (!logger.isLevelEnabled('debug')) return
  const duration_ms = Math.round(performance.now() - startedAt)
  logger.debug({ request_id, method, path: path.slice(0, 200), status, code, duration_ms }, 'request completed')
}

const closeConnection = (ctx: Context): void => {
  const { res } = ctx
  if (!(res instanceof Http2ServerResponse)) ctx.set('Connection', 'close')
  else if (!res.stream.endAfterHeaders) closeStream(res.stream)
}

/** The router sets 405 and Allow if the path exists, and leaves 404 otherwise. */
const handleUnmatched = (ctx: Context): void => {
  const target = `${ctx.method} ${ctx.path.slice(0, 200)}`
  if (ctx.status === 404) throw new GatewayError('not_found', `No resource at ${target}.`)
  if (ctx.status === 405 || ctx.status === 501) {
    throw new GatewayError('method_not_allowed', `${target}: the path supports other methods.`)
  }
}
