import { LAG_REFERENCES } from '../core/lag-reference.ts'
import {
  counterDeltas,
  histogramQuantile,
  type MetricsSnapshot,
  mergeSnapshots,
  sumMetric,
} from './metrics-snapshot.ts'
import type { Sample } from './samples.ts'
import type { WorkerReply } from './worker-status.ts'

/** Metrics of the workers at one time, in milliseconds of a clock that is never set. */
export interface Baseline {
  readonly at: number
  readonly byPid: ReadonlyMap<number, MetricsSnapshot>
  /** What workers that have exited since then added before; absent if none has. */
  readonly exited?: MetricsSnapshot
}

export interface RateSample {
  readonly sample: Sample
  readonly lag_since: string | null
  /** By pid. */
  readonly loopDelay: ReadonlyMap<number, number | null>
}

const respondingWorkers = (replies: readonly WorkerReply[]): { pid: number; metrics: MetricsSnapshot }[] =>
  replies.flatMap(({ pid, status }) => (status === null ? [] : [{ pid, metrics: status.metrics }]))

/** For values that are the same for all workers, of which some may not have measured them. */
export const maxAcrossWorkers = (replies: readonly WorkerReply[], name: string): number | null => {
  const values = respondingWorkers(replies).flatMap(({ metrics }) => metrics[name] ?? [])
  return values.length === 0 ? null : Math.max(...values)
}

/** For values that each worker has separately. */
export const sumAcrossWorkers = (replies: readonly WorkerReply[], name: string): number | null =>
  sumMetric(mergeSnapshots(respondingWorkers(replies).map(({ metrics }) => metrics)), name)

/** Returns the latest metrics of the workers that replied, and the previous ones of those that did not. */
export const advanceBaseline = (before: Baseline, replies: readonly WorkerReply[], at: number): Baseline => {
  const byPid = new Map<number, MetricsSnapshot>()
  for (const { pid, status } of replies) {
    const metrics = status?.metrics ?? before.byPid.get(pid)
    if (metrics !== undefined) byPid.set(pid, metrics)
  }
  return { at, byPid }
}

/** Adds what a worker counted between a baseline and its exit. @param last its last counters and histograms */
export const addExited = (base: Baseline, pid: number, last: MetricsSnapshot): Baseline => ({
  ...base,
  exited: mergeSnapshots([base.exited ?? {}, counterDeltas(base.byPid.get(pid), last)]),
})

/**
 * Computes the rates since a baseline. Each worker is compared with itself, so that new and exited workers do not
 * distort the result.
 */
export const computeSample = (base: Baseline, replies: readonly WorkerReply[], at: number): RateSample => {
  const responding = respondingWorkers(replies)
  const deltas = responding.map(({ pid, metrics }) => ({ pid, metrics: counterDeltas(base.byPid.get(pid), metrics) }))
  const total = mergeSnapshots([...deltas.map(({ metrics }) => metrics), base.exited ?? {}])
  const seconds = Math.max(0.001, (at - base.at) / 1_000)
  const perSecond = (name: string): number | null =>
    responding.length === 0 ? null : (sumMetric(total, name) ?? 0) / seconds
  const lag = findLag(total)
  const loopDelay = new Map(
    deltas.map(({ pid, metrics }) => [pid, histogramQuantile(metrics, 'nodejs_eventloop_lag_seconds', 0.99)]),
  )
  const delays = [...loopDelay.values()].filter((delay) => delay !== null)
  return {
    sample: {
      stored_per_second: perSecond('gateway_messages_stored_total'),
      rejected_per_second: perSecond('gateway_messages_quarantined_total'),
      delivered_per_second: perSecond('gateway_sse_messages_sent_total'),
      lag_seconds: lag?.seconds ?? null,
      queue_ready: maxAcrossWorkers(replies, 'gateway_queue_messages_ready'),
      readers: sumAcrossWorkers(replies, 'gateway_subscribers'),
      readers_stalled: sumAcrossWorkers(replies, 'gateway_subscribers{state="stalled"}'),
      event_loop_delay_seconds: delays.length === 0 ? null : Math.max(...delays),
      wal_bytes: maxAcrossWorkers(replies, 'gateway_wal_bytes'),
      workers: responding.length,
    },
    lag_since: lag?.since ?? null,
    loopDelay,
  }
}

const findLag = (deltas: MetricsSnapshot): { readonly seconds: number; readonly since: string } | null => {
  for (const reference of LAG_REFERENCES) {
    const seconds = histogramQuantile(deltas, 'gateway_ingest_lag_seconds', 0.95, `reference="${reference}"`)
    if (seconds !== null) return { seconds, since: reference }
  }
  return null
}
