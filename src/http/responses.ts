import type { Context } from 'koa'
import { GatewayError } from '../core/errors.ts'

/** Answers `{"status":"success","data":…}`, with more keys beside `data`. */
export const sendSuccess = (ctx: Context, status: number, data: unknown, extra: Record<string, unknown> = {}): void => {
  ctx.status = status
  ctx.type = 'application/json; charset=utf-8'
  ctx.body = JSON.stringify({ status: 'success', data, ...extra })
}

/** Sends data that is JSON text already, so that its numbers keep their digits. */
export const sendJsonText = (ctx: Context, text: string): void => {
  ctx.status = 200
  ctx.type = 'application/json; charset=utf-8'
  ctx.body = `{"status":"success","data":${text}}`
}

/** Sends a list whose elements are JSON texts already, so that their numbers keep their digits. */
export const sendJsonTexts = (ctx: Context, texts: readonly string[], extra: Record<string, unknown>): void => {
  ctx.status = 200
  ctx.type = 'application/json; charset=utf-8'
  ctx.body = `{"status":"success","data":[${texts.join(',')}],${JSON.stringify(extra).slice(1)}`
}

/** The text of an error as clients get it. */
export const errorBody = (error: GatewayError): string =>
  JSON.stringify({
    status: 'error',
    code: error.code,
    message: error.message,
    hint: error.hint,
    ...error.details,
  })

/** Answers `{"status":"error","code":…,"message":…,"hint":…}`. */
export const sendError = (ctx: Context, error: GatewayError): void => {
  ctx.status = error.status
  ctx.type = 'application/json; charset=utf-8'
  if (error.status === 401) ctx.set('WWW-Authenticate', wwwAuthenticate(error))
  if (error.status === 503 || error.status === 429) ctx.set('Retry-After', retryAfterOf(error))
  ctx.body = errorBody(error)
}

/** Seconds, spread so that all who were refused at once do not come back at once. */
const retryAfterOf = ({ retryAfterMs }: GatewayError): string => {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1_000))
  return String(seconds + Math.floor(Math.random() * Math.max(4, seconds / 2)))
}

/** RFC 6750, 3: no error where nothing was shown. */
const wwwAuthenticate = ({ code }: GatewayError): string =>
  code === 'token_missing' ? 'Bearer realm="deepsoc-gateway"' : 'Bearer realm="deepsoc-gateway", error="invalid_token"'

/** What leaves as an answer for anything thrown: faults of ours show no inside. */
export const toGatewayError = (thrown: unknown): GatewayError =>
  thrown instanceof GatewayError
    ? thrown
    : new GatewayError('internal', 'The gateway failed at this request.', { cause: thrown })
