import type { QuarantineSummary } from '../../../core/quarantine.ts'
import type { QuarantineCounts } from '../../../http/routes/health-report.ts'
import type { ClusterReport } from '../../../monitoring/cluster-report.ts'
import type { HealthReport } from '../../../monitoring/report.ts'
import type { Samples } from '../../../monitoring/samples.ts'
import type { UpstreamStatus } from '../../../upstream/status.ts'
import type { Answered } from '../shared/api.ts'

/** Data of `GET /api/health`. */
export interface HealthAnswer extends HealthReport {
  readonly mode: string
  readonly version: string
  /** null unless the gateway is an edge. */
  readonly upstream: UpstreamStatus | null
  readonly cluster: ClusterReport
  /** null if the store cannot be read. */
  readonly quarantine: QuarantineCounts | null
}

/** A row of `GET /api/rejected`. */
export type QuarantineLine = Answered<QuarantineSummary, 'received_at'>

const HOUR_MS = 3_600_000

/** Appends new samples and drops those older than one hour before the last. */
export const mergeSamples = (known: Samples | null, more: Samples): Samples => {
  if (known === null) return more
  const last = known.at.at(-1) ?? 0
  const from = more.at.findIndex((at) => at > last)
  const fresh = from < 0 ? more.at.length : from
  const newest = more.at.at(-1) ?? last
  const kept = known.at.findIndex((at) => at > newest - HOUR_MS)
  const old = kept < 0 ? known.at.length : kept
  // Returning the same object avoids a redraw.
  if (old === 0 && fresh === more.at.length) return known
  const join = <Value>(one: readonly Value[], other: readonly Value[]) => [...one.slice(old), ...other.slice(fresh)]
  const names = Object.keys(more) as (keyof Samples)[]
  return Object.fromEntries(
    names.map((name) => [name, join<number | null>(known[name], more[name])]),
  ) as unknown as Samples
}
