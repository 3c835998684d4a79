import type { Fault } from './health.ts'
import type { Sample, Samples } from './samples.ts'

/** A fault, and the workers that have it. */
export interface ClusterFault extends Fault {
  readonly workers: readonly number[]
}

/** A worker. If it did not reply in time, only its number and pid are known. */
export interface WorkerSummary {
  readonly worker: number
  readonly pid: number
  readonly answers: boolean
  readonly ready: boolean | null
  /** ISO time. */
  readonly started_at: string | null
  readonly readers: number | null
  readonly memory_bytes: number | null
  readonly event_loop_delay_seconds: number | null
}

/** Status of all workers. */
export interface HealthReport {
  /** True if every expected worker replied and none has a fault. */
  readonly ready: boolean
  readonly faults: readonly ClusterFault[]
  readonly workers_expected: number
  readonly workers: readonly WorkerSummary[]
  /** Rates over the last 5 to 15 seconds; gauges are current. */
  readonly now: Sample
  /** Starting point of the lag: `broker`, `publisher` or `arrival`; null if nothing was committed. */
  readonly lag_since: string | null
  /** Since the gateway started, of workers that have exited too. */
  readonly totals: { readonly stored: number; readonly duplicates: number; readonly rejected: number }
  readonly readers: {
    readonly live: number
    readonly catching_up: number
    readonly stalled: number
    readonly channels: number
  }
  /** null without a broker or a connection to it. */
  readonly queue: { readonly ready: number; readonly consumers: number | null; readonly dead: number | null } | null
  readonly database: {
    readonly bytes: number | null
    readonly wal_bytes: number | null
    readonly disk_free_bytes: number | null
  }
  /** Start of sampling, as ISO time. */
  readonly sampled_since: string
  readonly sample_seconds: number
  readonly samples: Samples
}
