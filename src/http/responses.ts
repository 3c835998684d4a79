import type { Context } from 'koa'
import { ACCEPTED_ENCODINGS } from '../core/content-encoding.ts'
import { GatewayError } from '../core/errors.ts'
import { encodeClosingEvent } from '../core/sse.ts'
import { lastEventId } from './request-view.ts'

/** Sends `{"status":"success","data":…}`, with additional keys next to `data`. */
export const sendSuccess = (ctx: Context, status: number, data: unknown, extra: Record<string, unknown> = {}): void => {
  ctx.status = status
  ctx.type = 'application/json; charset=utf-8'
  ctx.body = JSON.stringify({ status: 'success', data, ...extra })
}

/** Sends data that is already JSON text, so that its numbers keep their digits. */
export const sendJsonText = (ctx: Context, text: string): void => {
  ctx.status = 200
  ctx.type = 'application/json; charset=utf-8'
  ctx.body = `{"status":"success","data":${text}}`
}

/** Sends a list whose elements are already JSON texts, so that their numbers keep their digits. */
export const sendJsonTexts = (ctx: Context, texts: readonly string[], extra: Record<string, unknown>): void => {
  ctx.status = 200
  ctx.type = 'application/json; charset=utf-8'
  ctx.body = `{"status":"success","data":[${texts.join(',')}],${JSON.stringify(extra).slice(1)}`
}

/** Reconnection delay of a client whose attempts cannot succeed, in milliseconds: a day, which every client accepts. */
const STOP_RETRY_MS = 86_400_000

/** Returns the body of an error as clients receive it. */
export const errorBody = (error: GatewayError): string =>
  JSON.stringify({
    status: 'error',
    code: error.code,
    message: error.message,
    hint: error.hint,
    ...error.details,
  })

/** Sends `{"status":"error","code":…,"message":…,"hint":…}`, or ends a stream that resumes with a used ticket. */
export const sendError = (ctx: Context, error: GatewayError): void => {
  // Several clients send a used ticket again and again, since they retry on any status.
  if (error.code === 'ticket_invalid' && lastEventId(ctx) !== '') {
    ctx.status = 200
    ctx.type = 'text/event-stream; charset=utf-8'
    ctx.body = encodeClosingEvent('ticket_invalid', STOP_RETRY_MS)
    return
  }
  ctx.status = error.status
  ctx.type = 'application/json; charset=utf-8'
  if (error.status === 401) ctx.set('WWW-Authenticate', wwwAuthenticate(error))
  if (error.status === 503 || error.status === 429) ctx.set('Retry-After', formatRetryAfter(error))
  if (error.status === 415) ctx.set('Accept-Encoding', ACCEPTED_ENCODINGS)
  ctx.body = errorBody(error)
}

/** Seconds, with random spread, so that clients refused at the same time do not retry at the same time. */
const formatRetryAfter = ({ retryAfterMs }: GatewayError): string => {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1_000))
  return String(seconds + Math.floor(Math.random() * Math.max(4, seconds / 2)))
}

/** RFC 6750, 3: no error attribute if the request had no credential. */
const wwwAuthenticate = ({ code }: GatewayError): string =>
  code === 'token_missing' ? 'Bearer realm="deepsoc-gateway"' : 'Bearer realm="deepsoc-gateway", error="invalid_token"'

/** Converts anything thrown to the error that is sent. Unexpected errors reveal no internals. */
export const toGatewayError = (thrown: unknown): GatewayError =>
  thrown instanceof GatewayError
    ? thrown
    : new GatewayError('internal', 'The gateway failed to process this request.', { cause: thrown })
