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

export interface HealthMonitorOptions {
  /** Polls all workers; never rejects. */
  readonly pollWorkers: () => Promise<WorkerReply[]>
  /** Number of workers that should be running. */
  readonly expected: number
}

/**
 * Samples all workers every 10 seconds and keeps the samples of one hour. Runs in the primary, or in the only process.
 */
export class HealthMonitor {
  readonly #options: HealthMonitorOptions
  readonly #history = new SampleRing()
  readonly #startedAt = Date.now()
  #timer: NodeJS.Timeout | undefined
  /** Baselines of the last two samples. Rates use the later one that is old enough. */
  #baseline: Baseline = { at: performance.now(), byPid: new Map() }
  #previousBaseline: Baseline = this.#baseline
  /** Sums of the counters and histograms of workers that have exited. */
  #exited: MetricsSnapshot = {}

  constructor(options: HealthMonitorOptions) {
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
    this.#baseline = addExited(this.#baseline, pid, last)
    this.#previousBaseline = addExited(this.#previousBaseline, pid, last)
  }

  /** Returns the status of all workers. @param after only samples later than this, in milliseconds since 1970 */
  async report(after: number): Promise<HealthReport> {
    const replies = await this.#options.pollWorkers()
    const now = performance.now()
    const baseline = now - this.#baseline.at >= MIN_WINDOW_MS ? this.#baseline : this.#previousBaseline
    const rates = computeSample(baseline, replies, now)
    const { expected } = this.#options
    const workers = replies.map((reply) => summarizeWorker(reply, rates))
    // Of workers that did not reply, the last known values.
    const totals = mergeSnapshots([...advanceBaseline(this.#baseline, replies, now).byPid.values(), this.#exited])
    const queue = maxAcrossWorkers(replies, 'gateway_queue_messages_ready')
    return {
      ready: workers.length === expected && workers.every(({ ready }) => ready === true),
      faults: mergeFaults(replies),
      workers_expected: expected,
      workers,
      now: rates.sample,
      lag_since: rates.lag_since,
      totals: {
        stored: sumMetric(totals, 'gateway_messages_stored_total') ?? 0,
        duplicates: sumMetric(totals, 'gateway_messages_deduplicated_total') ?? 0,
        rejected: sumMetric(totals, 'gateway_messages_quarantined_total') ?? 0,
      },
      readers: {
        live: sumAcrossWorkers(replies, 'gateway_subscribers{state="live"}') ?? 0,
        catching_up: sumAcrossWorkers(replies, 'gateway_subscribers{state="catching_up"}') ?? 0,
        stalled: sumAcrossWorkers(replies, 'gateway_subscribers{state="stalled"}') ?? 0,
        channels: sumAcrossWorkers(replies, 'gateway_channels') ?? 0,
      },
      queue:
        queue === null
          ? null
          : {
              ready: queue,
              consumers: maxAcrossWorkers(replies, 'gateway_queue_consumers'),
              dead: maxAcrossWorkers(replies, 'gateway_dead_letter_messages_ready'),
            },
      database: {
        bytes: maxAcrossWorkers(replies, 'gateway_database_bytes'),
        wal_bytes: maxAcrossWorkers(replies, 'gateway_wal_bytes'),
        disk_free_bytes: maxAcrossWorkers(replies, 'gateway_database_disk_free_bytes'),
      },
      sampled_since: new Date(this.#startedAt).toISOString(),
      sample_seconds: SAMPLE_INTERVAL_MS / 1_000,
      samples: this.#history.since(after),
    }
  }

  async #sample(): Promise<void> {
    const replies = await this.#options.pollWorkers()
    const now = performance.now()
    this.#history.add(Date.now(), computeSample(this.#baseline, replies, now).sample)
    this.#previousBaseline = this.#baseline
    this.#baseline = advanceBaseline(this.#baseline, replies, now)
  }
}

/** Creates the monitor of a process without other workers. */
export const monitorSingleProcess = (read: () => Promise<WorkerReport>): HealthMonitor =>
  new HealthMonitor({
    pollWorkers: async () => [{ worker: 1, pid: process.pid, status: toWorkerStatus(await read()) }],
    expected: 1,
  })

const summarizeWorker = ({ worker, pid, status }: WorkerReply, { loopDelay }: RateSample): WorkerSummary => ({
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
const mergeFaults = (replies: readonly WorkerReply[]): ClusterFault[] => {
  const faults = new Map<string, ClusterFault>()
  for (const { worker, status } of replies) {
    for (const fault of status?.faults ?? []) {
      const key = `${fault.component} ${fault.code}`
      const existing = faults.get(key)
      const earliest = existing !== undefined && existing.since <= fault.since ? existing : fault
      faults.set(key, { ...earliest, workers: [...(existing?.workers ?? []), worker] })
    }
  }
  return [...faults.values()]
}
