import type { Registry } from 'prom-client'
import type { Fault, HealthRegistry } from './health.ts'
import { type MetricsSnapshot, type ProcessMetrics, snapshotMetrics } from './metrics-snapshot.ts'

/** Status of one process. */
export interface WorkerStatus {
  /** Milliseconds since 1970. */
  readonly started_at: number
  readonly faults: readonly Fault[]
  readonly metrics: MetricsSnapshot
}

/** What a worker sends to the primary: its metrics have types there, for the sums of all workers. */
export interface WorkerReport extends Omit<WorkerStatus, 'metrics'> {
  /** Empty if they could not be collected. */
  readonly metrics: ProcessMetrics
}

/** A worker and its status; `status` is null if it did not reply in time. */
export interface WorkerReply {
  readonly worker: number
  readonly pid: number
  readonly status: WorkerStatus | null
}

/** Returns the current status of this process; never rejects. */
export const collectWorkerReport = async (health: HealthRegistry, registry: Registry): Promise<WorkerReport> => ({
  started_at: performance.timeOrigin,
  faults: health.faults,
  // Unreadable metrics must not hide the faults.
  metrics: await registry.getMetricsAsJSON().catch(() => []),
})

export const toWorkerStatus = ({ metrics, ...status }: WorkerReport): WorkerStatus => ({
  ...status,
  metrics: snapshotMetrics(metrics),
})
