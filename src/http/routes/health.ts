import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from 'koa'
import * as z from 'zod'
import { UPSTREAM_STATES } from '../../core/edge-state.ts'
import { GatewayError } from '../../core/errors.ts'
import type { HealthRegistry } from '../../monitoring/health.ts'
import type { UpstreamView } from '../../upstream/status.ts'
import { successSchema } from '../api/schemas.ts'
import type { Authorise } from '../auth/authorize.ts'
import { type ResponseListener, UNMATCHED_ROUTE } from '../request-metrics.ts'
import { errorBody, sendSuccess } from '../responses.ts'
import { defineRoute } from '../route.ts'

export interface HealthOptions {
  readonly health: HealthRegistry
  /** Returns the metrics of all workers as Prometheus text. */
  readonly metricsText: () => Promise<string>
  readonly metricsType: string
  readonly authorise: Authorise
  /** `embedded`, `broker` or `edge`. */
  readonly mode: string
  /** The core of this gateway if it is an edge, otherwise null. */
  readonly upstream: UpstreamView | null
  readonly version: string
  /** True if tokens are required. Details are then only shown to tokens with the scope admin. */
  readonly authEnabled: boolean
}

/** Throws not_ready, with details if the caller is allowed to see them. */
const throwNotReady = ({ faults }: HealthRegistry, detailed: boolean, edge: object): never => {
  if (!detailed) {
    const failures = faults.map(({ component, code }) => ({ component, code }))
    const names = failures.map(({ component }) => component).join(', ')
    throw new GatewayError('not_ready', `Failed components: ${names}.`, { details: { faults: failures, ...edge } })
  }
  const text = faults.map((fault) => `${fault.component}: ${fault.message}`).join('; ')
  throw new GatewayError('not_ready', text, { hint: faults[0]!.hint, details: { faults, ...edge } })
}

const isOperator = (ctx: Context, authorise: Authorise): Promise<boolean> =>
  authorise(ctx, 'operate', '*').then(
    () => true,
    () => false,
  )

/** How far an edge is behind its core. */
export const UpstreamSchema = z.strictObject({
  core: z.string().optional().describe('Host of the core; only for callers with a token.'),
  state: z.enum(UPSTREAM_STATES),
  lag_messages: z.number().nullable().describe('Messages that the edge lacks, as last known.'),
  lag_seconds: z.number().nullable().describe('Seconds since the edge had all messages; null if it never had.'),
})

const ReadySchema = z.strictObject({
  ready: z.literal(true),
  degraded: z.literal(true).optional().describe('Only at an edge that is not up to date: it serves what it has.'),
  mode: z.enum(['embedded', 'broker', 'edge']),
  version: z.string().optional(),
  upstream: UpstreamSchema.optional().describe('Only at an edge.'),
})

/** Returns whether the host of the core can be shown: any accepted token suffices. */
const mayKnowCore = (ctx: Context, { authorise, authEnabled }: HealthOptions): Promise<boolean> =>
  !authEnabled
    ? Promise.resolve(true)
    : authorise(ctx, 'session', '*').then(
        () => true,
        () => false,
      )

/** Members of the answer that describe an edge; none for other gateways. */
const describeUpstream = async (ctx: Context, options: HealthOptions) => {
  if (options.upstream === null) return {}
  const { core, ...lag } = options.upstream.status
  const upstream = { ...((await mayKnowCore(ctx, options)) ? { core } : {}), ...lag }
  return lag.state === 'live' ? { upstream } : { degraded: true, upstream }
}

/** Liveness, readiness and metrics. */
export const HEALTH_ROUTES = [
  defineRoute({
    method: 'GET',
    path: '/livez',
    access: 'public',
    tag: 'operation',
    summary: 'Liveness: whether the process responds',
    description: 'For a supervisor that restarts the gateway if there is no response.',
    responses: {
      200: {
        description: 'The process is alive. The state of the broker is not checked.',
        schema: successSchema(z.strictObject({ live: z.literal(true) })),
        example: { status: 'success', data: { live: true } },
      },
    },
    handler:
      () =>
      ({ ctx }) =>
        sendSuccess(ctx, 200, { live: true }),
  }),
  defineRoute({
    method: 'GET',
    path: '/readyz',
    // Load balancers have no token, so the status itself is public.
    access: 'public',
    tag: 'operation',
    summary: 'Readiness: whether all components work',
    description:
      'Responds 503 with the failed components if one does not work. If authentication is enabled, details require the scope admin.',
    responses: {
      200: {
        description: 'All components work.',
        schema: successSchema(ReadySchema),
        example: { status: 'success', data: { ready: true, mode: 'embedded', version: '0.2.0' } },
      },
    },
    errors: ['not_ready'],
    handler:
      (options: HealthOptions) =>
      async ({ ctx }) => {
        const { health, authorise, mode, version, authEnabled } = options
        const detailed = !authEnabled || (await isOperator(ctx, authorise))
        const edge = await describeUpstream(ctx, options)
        if (health.faults.length > 0) throwNotReady(health, detailed, edge)
        sendSuccess(ctx, 200, { ready: true, mode, ...(detailed ? { version } : {}), ...edge })
      },
  }),
  defineRoute({
    method: 'GET',
    path: '/metrics',
    access: 'operate',
    tag: 'operation',
    summary: 'Metrics for Prometheus',
    description: 'Includes all workers. No token is required on METRICS_PORT.',
    responses: {
      200: {
        description: 'Described in docs/OPERATIONS.md.',
        text: { type: 'text/plain', example: '# TYPE gateway_ready gauge\ngateway_ready 1\n' },
      },
    },
    handler:
      ({ metricsText, metricsType }: HealthOptions) =>
      async ({ ctx }) => {
        ctx.body = await metricsText()
        ctx.type = metricsType
      },
  }),
]

export interface MetricsHandlerOptions extends Pick<HealthOptions, 'metricsText' | 'metricsType'> {
  readonly onResponse: ResponseListener
}

/** Serves only `/metrics` on a separate port, without tokens. */
export const createMetricsHandler =
  ({ metricsText, metricsType, onResponse }: MetricsHandlerOptions) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    const startedAt = performance.now()
    const report = (route: string, status: number): void =>
      onResponse(route, request.method!, status, (performance.now() - startedAt) / 1_000)
    const isMetricsPath = (request.url ?? '').split('?')[0] === '/metrics'
    if (!isMetricsPath || (request.method !== 'GET' && request.method !== 'HEAD')) {
      const error = new GatewayError('not_found', 'Only /metrics is served on this port.')
      response.writeHead(error.status, { 'Content-Type': 'application/json; charset=utf-8', Connection: 'close' })
      response.end(errorBody(error))
      report(isMetricsPath ? '/metrics' : UNMATCHED_ROUTE, error.status)
      return
    }
    metricsText().then(
      (text) => {
        response.writeHead(200, { 'Content-Type': metricsType, 'X-Content-Type-Options': 'nosniff' }).end(text)
        report('/metrics', 200)
      },
      () => {
        response.writeHead(503, { 'Retry-After': '5' }).end()
        report('/metrics', 503)
      },
    )
  }
