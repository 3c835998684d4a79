import type Router from '@koa/router'
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import type { HealthReport } from '../../monitoring/report.ts'
import type { ReasonCount } from '../../store/store.ts'
import type { Authorise } from '../auth/authorize.ts'
import { parseDbIdParam } from '../parameters.ts'
import { sendSuccess } from '../responses.ts'
import type { QuarantineService } from './quarantine.ts'

export interface OverviewOptions {
  readonly authorise: Authorise
  readonly mode: string
  readonly version: string
  /** @param after only samples later than this, in milliseconds since 1970 */
  readonly overview: (after: number) => Promise<HealthReport>
  readonly rejected: QuarantineService
}

/** Rows of the quarantine that are counted. */
const MAX_COUNTED = 10_000
/** After a count the store rests so many times as long as it took. */
const COUNT_PAUSE_FACTOR = 20

export interface QuarantineCounts {
  /** At most MOST_COUNTED. */
  readonly rows: number
  /** There are more than were counted. */
  readonly more: boolean
  /** 0: there is none. */
  readonly last_rejected_id: number
  readonly reasons: readonly (ReasonCount & { readonly hint: string })[]
}

const hintOf = (reason: string): string => (Object.hasOwn(ERRORS, reason) ? ERRORS[reason as ErrorCode].hint : '')

/** Counts the newest rows of the quarantine, but not all the time. */
const quarantineCounter = ({ rejected }: OverviewOptions): (() => Promise<QuarantineCounts | null>) => {
  let counted: QuarantineCounts | null = null
  let restUntil = 0
  return async () => {
    const begun = performance.now()
    if (begun < restUntil) return counted
    try {
      const [reasons, last_rejected_id] = await Promise.all([rejected.countByReason(MAX_COUNTED + 1), rejected.maxId()])
      const rows = reasons.reduce((sum, reason) => sum + reason.rows, 0)
      counted = {
        rows: Math.min(rows, MAX_COUNTED),
        more: rows > MAX_COUNTED,
        last_rejected_id,
        reasons: reasons.map((reason) => ({ ...reason, hint: hintOf(reason.reason) })),
      }
    } catch {
      // The faults say what ails the store; the rest of the answer is wanted just then.
      counted = null
    }
    restUntil = performance.now() + (performance.now() - begun) * COUNT_PAUSE_FACTOR
    return counted
  }
}

/** How the gateway is, over all workers, with the last hour. */
export const routeOverview = (router: Router, options: OverviewOptions): void => {
  const { authorise, mode, version, overview } = options
  const countRejected = quarantineCounter(options)

  router.get('/api/health', async (ctx) => {
    await authorise(ctx, 'operate', '*')
    const after = parseDbIdParam(new URLSearchParams(ctx.querystring), 'samples_after') ?? 0
    const [whole, quarantine] = await Promise.all([overview(after), countRejected()])
    const { samples, ...rest } = whole
    sendSuccess(ctx, 200, { mode, version, server_time: new Date().toISOString(), ...rest, quarantine, samples })
  })
}
