import { randomUUID } from 'node:crypto'
import Router from '@koa/router'
import Koa, { type Context, type Next } from 'koa'
import type { Logger } from 'pino'
import { GatewayError } from '../message/errors.ts'
import { type MessagesOptions, routeMessages } from './messages.ts'
import { type OpsOptions, routeOps } from './ops.ts'
import { routePages } from './pages.ts'
import { fail, toGatewayError } from './reply.ts'
import { routeStreams, type StreamOptions } from './stream.ts'

export interface AppOptions extends MessagesOptions, StreamOptions, OpsOptions {
  readonly logger: Logger
}

/** Every answer has an id, so that its line in the log can be found; every error leaves as JSON. */
const guard =
  (logger: Logger) =>
  async (ctx: Context, next: Next): Promise<void> => {
    const request_id = randomUUID()
    ctx.set('X-Request-Id', request_id)
    ctx.set('X-Content-Type-Options', 'nosniff')
    try {
      await next()
      if (ctx.respond !== false && ctx.body === undefined) answerUnrouted(ctx)
    } catch (thrown) {
      const error = toGatewayError(thrown)
      if (error.status === 500) {
        logger.error(
          { request_id, method: ctx.method, path: ctx.path, code: error.code, err: error.cause },
          error.message,
        )
      }
      // A body that was not read to its end cannot be followed by another request.
      if (!ctx.req.complete) ctx.set('Connection', 'close')
      fail(ctx, error)
    }
  }

/** The router sets 405 and Allow where the path is known, and 404 stays where it is not. */
const answerUnrouted = (ctx: Context): void => {
  const where = `${ctx.method} ${ctx.path.slice(0, 200)}`
  if (ctx.status === 404) throw new GatewayError('not_found', `There is nothing at ${where}.`)
  if (ctx.status === 405 || ctx.status === 501) {
    throw new GatewayError('method_not_allowed', `${where}: the path takes other methods.`)
  }
}

/** A path that is no UTF-8 would otherwise reach the routes as it stands, and mean another event. */
const decodable = async (ctx: Context, next: Next): Promise<void> => {
  try {
    decodeURIComponent(ctx.path)
  } catch (cause) {
    throw new GatewayError('invalid_path', 'The path is not valid percent-encoded UTF-8.', { cause })
  }
  await next()
}

/** Browsers name the site that sends a request which changes something; a foreign one is refused. */
const sameOrigin = async (ctx: Context, next: Next): Promise<void> => {
  const origin = ctx.get('origin')
  const safe = ctx.method === 'GET' || ctx.method === 'HEAD' || ctx.method === 'OPTIONS'
  if (!safe && origin !== '' && origin !== `http://${ctx.host}` && origin !== `https://${ctx.host}`) {
    throw new GatewayError('origin_forbidden', 'This request comes from a page of another site.')
  }
  await next()
}

/** Puts the HTTP side together. `callback()` of the result serves requests. */
export const makeApp = (options: AppOptions): Koa => {
  const app = new Koa()
  // Koa's own handler would print what guard has logged already.
  app.silent = true
  const router = new Router()
  routeMessages(router, options)
  routeStreams(router, options)
  routeOps(router, options)
  routePages(router)
  app.use(guard(options.logger))
  app.use(decodable)
  app.use(sameOrigin)
  app.use(router.routes())
  app.use(router.allowedMethods())
  return app
}
