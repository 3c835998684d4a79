import type Router from '@koa/router'
import type { Health } from '../health.ts'
import { GatewayError } from '../message/errors.ts'
import type { Authorise } from './auth.ts'
import { succeed } from './reply.ts'

export interface OpsOptions {
  readonly health: Health
  /** The figures of all workers, as Prometheus text. */
  readonly metricsText: () => Promise<string>
  readonly metricsType: string
  readonly authorise: Authorise
  /** `embedded` or `broker`. */
  readonly mode: string
  readonly version: string
}

/** Whether the process lives, whether it does its whole work, and its figures. */
export const routeOps = (router: Router, options: OpsOptions): void => {
  const { health, metricsText, metricsType, authorise, mode, version } = options

  router.get('/livez', (ctx) => {
    succeed(ctx, 200, { live: true })
  })

  router.get('/readyz', (ctx) => {
    if (health.ready) {
      succeed(ctx, 200, { ready: true, mode, version })
      return
    }
    const { faults } = health
    const what = faults.map((fault) => `${fault.component}: ${fault.message}`).join('; ')
    throw new GatewayError('not_ready', what, { hint: faults[0]!.hint, details: { faults } })
  })

  router.get('/metrics', async (ctx) => {
    await authorise(ctx, 'operate', '*')
    ctx.body = await metricsText()
    ctx.type = metricsType
  })
}
