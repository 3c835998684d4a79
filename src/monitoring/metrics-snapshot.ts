import type { Registry } from 'prom-client'

/** Metrics of one process, as prom-client exports them. */
export type ProcessMetrics = Awaited<ReturnType<Registry['getMetricsAsJSON']>>

/** Metrics as plain numbers by sample name: `gateway_subscribers{state="live"}`. */
export type MetricsSnapshot = Readonly<Record<string, number>>

const sampleName = (name: string, labels: Readonly<Record<string, unknown>>): string => {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${String(value)}"`)
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`
}

/** Returns the values of exported metrics. */
export const snapshotMetrics = (metrics: ProcessMetrics): MetricsSnapshot => {
  const snapshot: Record<string, number> = {}
  for (const { name, values } of metrics) {
    for (const sample of values as readonly { value: number; labels: Record<string, unknown>; metricName?: string }[]) {
      snapshot[sampleName(sample.metricName ?? name, sample.labels)] = sample.value
    }
  }
  return snapshot
}

/** Sum of a metric over all its labels; null if it has no sample. */
export const sumMetric = (metrics: MetricsSnapshot, name: string): number | null => {
  let sum: number | null = null
  for (const [sample, value] of Object.entries(metrics)) {
    if (sample === name || sample.startsWith(`${name}{`)) sum = (sum ?? 0) + value
  }
  return sum
}

/** Growth of each sample since `before`; samples that were not there before count from 0. */
export const counterDeltas = (before: MetricsSnapshot | undefined, now: MetricsSnapshot): MetricsSnapshot =>
  Object.fromEntries(
    Object.entries(now).map(([sample, value]) => {
      const delta = value - (before?.[sample] ?? 0)
      // The counter was reset (the pid was reused after a restart), so it counts from zero.
      return [sample, delta < 0 ? value : delta]
    }),
  )

/** Sum of the snapshots of several processes. */
export const mergeSnapshots = (all: readonly MetricsSnapshot[]): MetricsSnapshot => {
  const sum: Record<string, number> = {}
  for (const metrics of all) {
    for (const [sample, value] of Object.entries(metrics)) sum[sample] = (sum[sample] ?? 0) + value
  }
  return sum
}

const LE = /[{,]le="([^"]+)"/

/**
 * Estimates a quantile of a histogram from its buckets, as Prometheus does; null if the histogram observed nothing.
 *
 * @param metrics growth of the counters over the period of interest
 * @param label a label that the buckets must have, such as `reference="broker"`
 */
export const histogramQuantile = (
  metrics: MetricsSnapshot,
  name: string,
  quantile: number,
  label = '',
): number | null => {
  const buckets: { readonly upperBound: number; readonly count: number }[] = []
  for (const [sample, count] of Object.entries(metrics)) {
    if (!sample.startsWith(`${name}_bucket{`) || !sample.includes(label)) continue
    buckets.push({ upperBound: Number(LE.exec(sample)?.[1]?.replace('+Inf', 'Infinity')), count })
  }
  buckets.sort((left, right) => left.upperBound - right.upperBound)
  const all = buckets.at(-1)?.count ?? 0
  if (all === 0) return null
  const rank = all * quantile
  let from = 0
  let cumulative = 0
  for (const { upperBound, count } of buckets) {
    if (count >= rank) {
      if (upperBound === Number.POSITIVE_INFINITY) return from
      return from + (upperBound - from) * ((rank - cumulative) / Math.max(1e-9, count - cumulative))
    }
    from = upperBound
    cumulative = count
  }
  return from
}
