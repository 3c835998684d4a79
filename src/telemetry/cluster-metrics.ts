import { AggregatorRegistry, Counter, type Registry } from 'prom-client'
import type { ProcessMetrics } from '../monitoring/metrics-snapshot.ts'

/** Metrics whose values only rise, and must not fall when a worker exits. */
const CUMULATIVE: readonly string[] = ['counter', 'histogram']

/**
 * Sum of the gateway's own counters: it grows whenever a process does something. Those of Node grow all the time, and what histograms
 * observe is counted too.
 */
export const sumCounters = async (registry: Registry): Promise<number> => {
  let sum = 0
  for (const metric of registry.getMetricsAsArray()) {
    if (!(metric instanceof Counter) || !metric.name.startsWith('gateway_')) continue
    for (const { value } of (await metric.get()).values) sum += value
  }
  return sum
}

/**
 * Sums of the reports. They are rounded to nanoseconds, since the last digit of a sum of durations depends on their order: when a worker
 * exits, it would fall by 10⁻¹⁶.
 */
const aggregate = (reports: ProcessMetrics[]) => {
  const sums = AggregatorRegistry.aggregate(reports)
  for (const { values } of sums.getMetricsAsArray() as unknown as ProcessMetrics) {
    for (const sample of values) {
      if (!Number.isInteger(sample.value)) sample.value = Math.round(sample.value * 1e9) / 1e9
    }
  }
  return sums
}

/**
 * Metrics of all workers: the last report of each running worker, and the sums of those that have exited. Without the
 * latter a counter would fall when a worker exits, which Prometheus takes for a restart of the whole gateway.
 */
export class ClusterMetrics {
  readonly #running = new Map<number, ProcessMetrics>()
  #exited: ProcessMetrics = []

  /** Replaces the metrics of a running worker. An empty report, of a failed collection, is ignored. */
  update(worker: number, metrics: ProcessMetrics): void {
    if (metrics.length > 0) this.#running.set(worker, metrics)
  }

  /** Adds the counters and histograms of a worker that has exited to the sums. @returns its last ones */
  retire(worker: number): ProcessMetrics {
    const last = (this.#running.get(worker) ?? []).filter(({ type }) => CUMULATIVE.includes(String(type)))
    this.#running.delete(worker)
    // Each aggregated metric has the fields of the exported ones.
    this.#exited = aggregate([this.#exited, last]).getMetricsAsArray() as unknown as ProcessMetrics
    return last
  }

  /** Returns the aggregated metrics as Prometheus text. */
  text(): Promise<string> {
    return aggregate([...this.#running.values(), this.#exited]).metrics()
  }
}
