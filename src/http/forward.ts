import type { Context } from 'koa'
import type { ErrorCode } from '../core/errors.ts'
import type { UpstreamView } from '../upstream/status.ts'
import type { Access } from './auth/authorize.ts'
import type { RequestView } from './request-view.ts'

/** What the routes of an edge need to forward a request to its core. */
export interface ForwardOptions {
  /** The core of this gateway if it is an edge, otherwise null. */
  readonly upstream: UpstreamView | null
  /** Returns the token with which a caller was authorized; null if there is none. */
  readonly callerToken: (request: RequestView, access: Access) => string | null
}

/** Errors of an edge that cannot forward a request. */
export const UPSTREAM_REFUSALS: readonly ErrorCode[] = [
  'upstream_unreachable',
  'upstream_certificate_untrusted',
  'upstream_cycle',
]

const PASSED_HEADERS = ['idempotency-key', 'traceparent'] as const
const BODY_HEADERS = ['content-type', 'content-encoding'] as const

/**
 * Sends a request to the core, with the token of its caller, and answers with the core's answer. The body is passed on as it arrives, so that
 * the core's limits apply.
 *
 * @throws GatewayError upstream_unreachable, upstream_certificate_untrusted or upstream_cycle
 */
export const forwardToCore = async (
  ctx: Context,
  access: Access,
  upstream: UpstreamView,
  callerToken: ForwardOptions['callerToken'],
): Promise<void> => {
  const token = callerToken(ctx, access)
  const headers: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` }
  const hasBody = ctx.method !== 'DELETE'
  for (const name of hasBody ? [...PASSED_HEADERS, ...BODY_HEADERS] : PASSED_HEADERS) {
    if (ctx.get(name) !== '') headers[name] = ctx.get(name)
  }
  // The core counts callers without a token by their address, if it trusts this edge as a proxy.
  headers['x-forwarded-for'] = [ctx.get('x-forwarded-for'), ctx.req.socket.remoteAddress].filter(Boolean).join(', ')
  const answer = await upstream.forward({ method: ctx.method, path: ctx.url, headers, body: hasBody ? ctx.req : null })
  // A body that the core has not read to its end makes the connection unusable.
  if (!ctx.req.complete && ctx.req.httpVersionMajor === 1) ctx.set('Connection', 'close')
  ctx.status = answer.status
  ctx.set(answer.headers)
  ctx.body = answer.body
}
