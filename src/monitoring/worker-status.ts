import type { Registry } from 'prom-client'
import type { Fault, HealthRegistry } from './health.ts'
import { type MetricsSnapshot, snapshotMetrics } from './metrics-snapshot.ts'

/** How one process is. It crosses from a worker to the primary. */
export interface WorkerStatus {
  /** Milliseconds since 1970. */
  readonly started_at: number
  readonly faults: readonly Fault[]
  readonly figures: MetricsSnapshot
}

/** A process that serves, and what it said of itself; null: it did not answer in time. */
export interface WorkerReply {
  readonly worker: number
  readonly pid: number
  readonly vitals: WorkerStatus | null
}

/** How this process is now; never rejects. */
export const collectWorkerStatus = async (health: HealthRegistry, registry: Registry): Promise<WorkerStatus> => ({
  started_at: performance.timeOrigin,
  faults: health.faults,
  // Figures that cannot be read, of which /metrics tells, must not hide the faults.
  figures: await snapshotMetrics(registry).catch(() => ({})),
})
