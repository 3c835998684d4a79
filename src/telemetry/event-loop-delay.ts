import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Histogram, type Registry } from 'prom-client'

/** Sampling interval in milliseconds: stalls of 0.1 seconds are detected, and sampling costs almost nothing. */
const SAMPLE_INTERVAL_MS = 100

/**
 * Minimum samples per collection, about one second. Node drops the first sample after a reset, so frequent scrapes must not reset each
 * time.
 */
const MIN_SAMPLES = 10

/**
 * Reports the samples since the last reset, in seconds, and resets. Node includes the sampling interval in the delay, so it is subtracted.
 */
const takeSamples = (monitor: ReturnType<typeof monitorEventLoopDelay>, observe: (seconds: number) => void): void => {
  if (monitor.count < MIN_SAMPLES) return
  let observed = 0
  for (const [percentile, nanoseconds] of monitor.percentiles) {
    const target = Math.round((percentile / 100) * monitor.count)
    for (; observed < target; observed++) observe(Math.max(0, nanoseconds / 1e6 - SAMPLE_INTERVAL_MS) / 1_000)
  }
  monitor.reset()
}

/** Registers the histogram of the event loop's delay. `start` starts sampling, `stop` ends it. */
export const createEventLoopDelay = (registry: Registry): { start(): void; stop(): void } => {
  const monitor = monitorEventLoopDelay({ resolution: SAMPLE_INTERVAL_MS })
  new Histogram({
    name: 'nodejs_eventloop_lag_seconds',
    help: 'Delay of the event loop, sampled ten times a second.',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers: [registry],
    collect() {
      takeSamples(monitor, (seconds) => this.observe(seconds))
    },
  })
  return { start: () => void monitor.enable(), stop: () => void monitor.disable() }
}
