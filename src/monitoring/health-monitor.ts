import { type MetricsSnapshot, mergeSnapshots, sumMetric } from './metrics-snapshot.ts'
import {
  addExited,
  advanceBaseline,
  type Baseline,
  computeSample,
  maxAcrossWorkers,
  type RateSample,
  sumAcrossWorkers,
} from './rates.ts'
import type { ClusterFault, HealthReport, WorkerSummary } from './report.ts'
import { SAMPLE_INTERVAL_MS, SampleRing } from './sample-ring.ts'
import { toWorkerStatus, type WorkerReply, type WorkerReport } from './worker-status.ts'

/** Minimum window of a rate, in milliseconds; shorter ones are too noisy. */
const MIN_WINDOW_MS = 5_000

export interface ObserverOptions {
  /** Polls all workers; never rejects. */
  readonly pollWorkers: () => Promise<WorkerReply[]>
  /** Number of workers that should be running. */
  readonly expected: number
}

/**
 * Samples all workers every 10 seconds and keeps the samples of one hour. Runs in the primary, or in the only process.
 */
export class HealthMonitor {
  readonly #options: ObserverOptions
  readonly #history = new SampleRing()
  readonly #startedAt = Date.now()
  #timer: NodeJS.Timeout | undefined
  /** Baselines of the last two samples. Rates use the later one that is old enough. */
  #base: Baseline = { at: this.#startedAt, byPid: new Map() }
  #baseBefore: Baseline = this.#base
  /** Sums of the counters and histograms of workers that have exited. */
  #exited: MetricsSnapshot = {}

  constructor(options: ObserverOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setInterval(() => void this.#sample(), SAMPLE_INTERVAL_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Keeps what a worker counted before it exited. @param last its last counters and histograms */
  onExit(pid: number, last: MetricsSnapshot): void {
    this.#exited = mergeSnapshots([this.#exited, last])
    this.#base = addExited(this.#base, pid, last)
    this.#baseBefore = addExited(this.#baseBefore, pid, last)
  }

  /** Returns the status of all workers. @param after only samples later than this, in milliseconds since 1970 */
  async report(after: number): Promise<HealthReport> {
    const seen = await this.#options.pollWorkers()
    const now = Date.now()
    const base = now - this.#base.at >= MIN_WINDOW_MS ? this.#base : this.#baseBefore
    const measured = computeSample(base, seen, now)
    const { expected } = this.#options
    const workers = seen.map((one) => stateOf(one, measured))
    // Of workers that did not reply, the last known values.
    const counted = mergeSnapshots([...advanceBaseline(this.#base, seen, now).byPid.values(), this.#exited])
    const queue = maxAcrossWorkers(seen, 'gateway_queue_messages_ready')
    return {
      ready: workers.length === expected && workers.every(({ ready }) => ready === true),
      faults: mergeFaults(seen),
      workers_expected: expected,
      workers,
      now: measured.sample,
      lag_since: measured.lag_since,
      totals: {
        stored: sumMetric(counted, 'gateway_messages_stored_total') ?? 0,
        duplicates: sumMetric(counted, 'gateway_messages_deduplicated_total') ?? 0,
        rejected: sumMetric(counted, 'gateway_messages_quarantined_total') ?? 0,
      },
      readers: {
        live: sumAcrossWorkers(seen, 'gateway_subscribers{state="live"}') ?? 0,
        catching_up: sumAcrossWorkers(seen, 'gateway_subscribers{state="catching_up"}') ?? 0,
        stalled: sumAcrossWorkers(seen, 'gateway_subscribers{state="stalled"}') ?? 0,
        channels: sumAcrossWorkers(seen, 'gateway_channels') ?? 0,
      },
      queue:
        queue === null
          ? null
          : {
              ready: queue,
              consumers: maxAcrossWorkers(seen, 'gateway_queue_consumers'),
              dead: maxAcrossWorkers(seen, 'gateway_dead_letter_messages_ready'),
            },
      database: {
        bytes: maxAcrossWorkers(seen, 'gateway_database_bytes'),
        wal_bytes: maxAcrossWorkers(seen, 'gateway_wal_bytes'),
        disk_free_bytes: maxAcrossWorkers(seen, 'gateway_database_disk_free_bytes'),
      },
      sampled_since: new Date(this.#startedAt).toISOString(),
      sample_seconds: SAMPLE_INTERVAL_MS / 1_000,
      samples: this.#history.since(after),
    }
  }

  async #sample(): Promise<void> {
    const seen = await this.#options.pollWorkers()
    const now = Date.now()
    this.#history.add(now, computeSample(this.#base, seen, now).sample)
    this.#baseBefore = this.#base
    this.#base = advanceBaseline(this.#base, seen, now)
  }
}

/** Creates the monitor of a process without other workers. */
export const monitorSingleProcess = (read: () => Promise<WorkerReport>): HealthMonitor =>
  new HealthMonitor({
    pollWorkers: async () => [{ worker: 1, pid: process.pid, status: toWorkerStatus(await read()) }],
    expected: 1,
  })

const stateOf = ({ worker, pid, status }: WorkerReply, { loopDelay }: RateSample): WorkerSummary => ({
  worker,
  pid,
  answers: status !== null,
  ready: status === null ? null : status.faults.length === 0,
  started_at: status === null ? null : new Date(status.started_at).toISOString(),
  readers: status === null ? null : sumMetric(status.metrics, 'gateway_subscribers'),
  memory_bytes: status?.metrics.process_resident_memory_bytes ?? null,
  event_loop_delay_seconds: loopDelay.get(pid) ?? null,
})

/** Merges faults that several workers have in common, keeping the earliest start. */
const mergeFaults = (seen: readonly WorkerReply[]): ClusterFault[] => {
  const faults = new Map<string, ClusterFault>()
  for (const { worker, status } of seen) {
    for (const fault of status?.faults ?? []) {
      const key = `${fault.component} ${fault.code}`
      const known = faults.get(key)
      const first = known !== undefined && known.since <= fault.since ? known : fault
      faults.set(key, { ...first, workers: [...(known?.workers ?? []), worker] })
    }
  }
  return [...faults.values()]
}
