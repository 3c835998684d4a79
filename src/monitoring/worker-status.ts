import type { Registry } from 'prom-client'
import type { Fault, HealthRegistry } from './health.ts'
import { type MetricsSnapshot, snapshotMetrics } from './metrics-snapshot.ts'

/** Status of one process. Sent from a worker to the primary. */
export interface WorkerStatus {
  /** Milliseconds since 1970. */
  readonly started_at: number
  readonly faults: readonly Fault[]
  readonly figures: MetricsSnapshot
}

/** A worker and its status; `vitals` is null if it did not reply in time. */
export interface WorkerReply {
  readonly worker: number
  readonly pid: number
  readonly vitals: WorkerStatus | null
}

/** Returns the current status of this process; never rejects. */
export const collectWorkerStatus = async (health: HealthRegistry, registry: Registry): Promise<WorkerStatus> => ({
  started_at: performance.timeOrigin,
  faults: health.faults,
  // Unreadable metrics, which /metrics reports, must not hide the faults.
  figures: await snapshotMetrics(registry).catch(() => ({})),
})
