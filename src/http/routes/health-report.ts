import * as z from 'zod'
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import type { ClusterReport } from '../../monitoring/cluster-report.ts'
import type { HealthReport } from '../../monitoring/report.ts'
import { SAMPLE_FIELDS } from '../../monitoring/samples.ts'
import type { ReasonCount } from '../../store/store.ts'
import type { UpstreamView } from '../../upstream/status.ts'
import { ERROR_CODES, successSchema } from '../api/schemas.ts'
import { dbIdField } from '../parameters.ts'
import { sendSuccess } from '../responses.ts'
import { defineRoute } from '../route.ts'
import { UpstreamSchema } from './health.ts'
import type { QuarantineService } from './quarantine.ts'

export interface HealthReportOptions {
  readonly mode: string
  readonly version: string
  /** The core of this gateway if it is an edge, otherwise null. */
  readonly upstream: UpstreamView | null
  /** @param after only samples later than this, in milliseconds since 1970 */
  readonly report: (after: number) => Promise<HealthReport>
  /** @param whole the status of all workers */
  readonly cluster: (whole: HealthReport) => Promise<ClusterReport>
  readonly quarantine: QuarantineService
}

/** Maximum number of quarantine rows that are counted. */
const MAX_COUNTED_ROWS = 10_000
/** After a count, the next one is delayed by this multiple of its duration. */
const COUNT_PAUSE_FACTOR = 20

export interface QuarantineCounts {
  /** At most MAX_COUNTED_ROWS. */
  readonly rows: number
  /** True if there are more rows than were counted. */
  readonly more: boolean
  /** 0 if there is none. */
  readonly last_rejected_id: number
  readonly reasons: readonly (ReasonCount & { readonly hint: string })[]
}

const getHint = (reason: string): string => (Object.hasOwn(ERRORS, reason) ? ERRORS[reason as ErrorCode].hint : '')

/** Counts the newest rows of the quarantine. Results are cached, to limit the load on the store. */
const quarantineCounter = ({ quarantine }: HealthReportOptions): (() => Promise<QuarantineCounts | null>) => {
  let cached: QuarantineCounts | null = null
  let pauseUntil = 0
  return async () => {
    const startedAt = performance.now()
    if (startedAt < pauseUntil) return cached
    try {
      const [reasons, last_rejected_id] = await Promise.all([
        quarantine.countByReason(MAX_COUNTED_ROWS + 1),
        quarantine.maxId(),
      ])
      const rows = reasons.reduce((sum, reason) => sum + reason.rows, 0)
      cached = {
        rows: Math.min(rows, MAX_COUNTED_ROWS),
        more: rows > MAX_COUNTED_ROWS,
        last_rejected_id,
        reasons: reasons.map((reason) => ({ ...reason, hint: getHint(reason.reason) })),
      }
    } catch {
      // The store's failure is already listed in the faults, and the rest of the report is most useful then.
      cached = null
    }
    pauseUntil = performance.now() + (performance.now() - startedAt) * COUNT_PAUSE_FACTOR
    return cached
  }
}

const count = z.number().int().min(0)
const measure = z.number().nullable()
const time = z.iso.datetime()

const perSampleField = <Schema extends z.ZodType>(schema: Schema) =>
  Object.fromEntries(SAMPLE_FIELDS.map((name) => [name, schema]))

const FaultSchema = z.strictObject({
  component: z.string(),
  code: z.enum(ERROR_CODES),
  message: z.string(),
  hint: z.string(),
  since: time,
  workers: z.array(z.number()),
})

const WorkerSchema = z.strictObject({
  worker: z.number(),
  pid: z.number(),
  answers: z.boolean(),
  ready: z.boolean().nullable(),
  started_at: time.nullable(),
  readers: measure,
  memory_bytes: measure,
  event_loop_delay_seconds: measure,
})

const ClusterSchema = z.strictObject({
  safe: z.boolean(),
  gateways: z.array(
    z.strictObject({
      gateway: z.string(),
      own: z.boolean(),
      live: z.boolean(),
      ready: z.boolean(),
      workers: count,
      version: z.string(),
      schema_version: count,
      consumer: z.enum(['active', 'waiting', 'none']).nullable(),
      clock_offset_seconds: z.number(),
      retention_days: measure,
      retention_messages_per_event: measure,
      readers: count,
      last_seen_seconds: z.number(),
    }),
  ),
  database: z
    .strictObject({
      schema_version: count,
      timeline: measure,
      synchronous_standby_names: z.string(),
      standbys: count,
      synchronous_standbys: count.nullable(),
      servers: z.array(
        z.strictObject({
          address: z.string(),
          state: z.enum(['primary', 'old_primary', 'standby', 'unreachable']),
        }),
      ),
    })
    .nullable(),
  checks: z.array(
    z.strictObject({
      check: z.enum(['database', 'standby', 'consumer', 'gateways', 'clocks', 'versions', 'retention']),
      level: z.enum(['ok', 'warning', 'failed']),
      code: z.string(),
      text: z.string(),
      hint: z.string(),
      names: z.array(z.string()),
    }),
  ),
})

const HealthReportSchema = z.strictObject({
  mode: z.enum(['embedded', 'broker', 'edge']),
  version: z.string(),
  upstream: UpstreamSchema.nullable().describe('null unless the gateway is an edge.'),
  server_time: time,
  ready: z.boolean(),
  faults: z.array(FaultSchema),
  workers_expected: count,
  workers: z.array(WorkerSchema),
  now: z.strictObject(perSampleField(measure)),
  lag_since: z.string().nullable(),
  totals: z.strictObject({ stored: count, duplicates: count, rejected: count }),
  readers: z.strictObject({ live: count, catching_up: count, stalled: count, channels: count }),
  queue: z.strictObject({ ready: count, consumers: count.nullable(), dead: count.nullable() }).nullable(),
  database: z.strictObject({ bytes: measure, wal_bytes: measure, disk_free_bytes: measure }),
  cluster: ClusterSchema,
  sampled_since: time,
  sample_seconds: z.number(),
  quarantine: z
    .strictObject({
      rows: count,
      more: z.boolean(),
      last_rejected_id: count,
      reasons: z.array(z.strictObject({ reason: z.string(), rows: count, hint: z.string() })),
    })
    .nullable(),
  samples: z.strictObject({ at: z.array(z.number()), ...perSampleField(z.array(measure)) }),
})

/** Status of all workers, with samples of the last hour. */
export const HEALTH_REPORT = defineRoute({
  method: 'GET',
  path: '/api/health',
  access: 'operate',
  tag: 'operation',
  summary: 'Health report: status of all workers and samples of the last hour',
  description:
    'The data of the health page: components, rates, queue, database, all gateways that share the store, and quarantine.',
  query: { samples_after: dbIdField('Only samples later than this, in milliseconds since 1970.') },
  responses: { 200: { description: 'A value is null if it is unknown.', schema: successSchema(HealthReportSchema) } },
  errors: ['invalid_query'],
  handler: (options: HealthReportOptions) => {
    const { mode, version, upstream, report } = options
    const countQuarantined = quarantineCounter(options)
    return async ({ ctx, query }) => {
      const [healthReport, quarantine] = await Promise.all([report(query.samples_after ?? 0), countQuarantined()])
      const { samples, ...rest } = healthReport
      const cluster = await options.cluster(healthReport)
      const head = { mode, version, upstream: upstream?.status ?? null, server_time: new Date().toISOString() }
      sendSuccess(ctx, 200, { ...head, ...rest, cluster, quarantine, samples })
    }
  },
})
