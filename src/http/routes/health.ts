import type { IncomingMessage, ServerResponse } from 'node:http'
import type Router from '@koa/router'
import type { Context } from 'koa'
import { GatewayError } from '../../core/errors.ts'
import type { HealthRegistry } from '../../monitoring/health.ts'
import type { Authorise } from '../auth/authorize.ts'
import { errorBody, sendSuccess } from '../responses.ts'

export interface OpsOptions {
  readonly health: HealthRegistry
  /** The figures of all workers, as Prometheus text. */
  readonly metricsText: () => Promise<string>
  readonly metricsType: string
  readonly authorise: Authorise
  /** `embedded` or `broker`. */
  readonly mode: string
  readonly version: string
  /** True where tokens are needed: who has none with the scope admin is told no particulars. */
  readonly authEnabled: boolean
}

/** Whether the process lives, whether it does its whole work, and its figures. */
export const registerHealthRoutes = (router: Router, options: OpsOptions): void => {
  const { health, metricsText, metricsType, authorise, mode, version, authEnabled } = options

  router.get('/livez', (ctx) => {
    sendSuccess(ctx, 200, { live: true })
  })

  /** Load balancers have no token; what they need to know is open to all. */
  const isOperator = (ctx: Context): Promise<boolean> =>
    authorise(ctx, 'operate', '*').then(
      () => true,
      () => false,
    )

  router.get('/readyz', async (ctx) => {
    const whole = !authEnabled || (await isOperator(ctx))
    const { faults } = health
    if (faults.length === 0) {
      sendSuccess(ctx, 200, whole ? { ready: true, mode, version } : { ready: true, mode })
      return
    }
    if (!whole) {
      const parts = faults.map(({ component, code }) => ({ component, code }))
      const names = parts.map(({ component }) => component).join(', ')
      throw new GatewayError('not_ready', `Not working: ${names}.`, { details: { faults: parts } })
    }
    const what = faults.map((fault) => `${fault.component}: ${fault.message}`).join('; ')
    throw new GatewayError('not_ready', what, { hint: faults[0]!.hint, details: { faults } })
  })

  router.get('/metrics', async (ctx) => {
    await authorise(ctx, 'operate', '*')
    ctx.body = await metricsText()
    ctx.type = metricsType
  })
}

/** `/metrics` on a port of its own, for who reaches that port; no tokens there, and nothing else. */
export const createMetricsHandler =
  ({ metricsText, metricsType }: Pick<OpsOptions, 'metricsText' | 'metricsType'>) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    const known = (request.url ?? '').split('?')[0] === '/metrics'
    if (!known || (request.method !== 'GET' && request.method !== 'HEAD')) {
      const error = new GatewayError('not_found', 'There is /metrics here, and nothing else.')
      response.writeHead(error.status, { 'Content-Type': 'application/json; charset=utf-8', Connection: 'close' })
      response.end(errorBody(error))
      return
    }
    metricsText().then(
      (text) => response.writeHead(200, { 'Content-Type': metricsType, 'X-Content-Type-Options': 'nosniff' }).end(text),
      () => response.writeHead(503, { 'Retry-After': '5' }).end(),
    )
  }
