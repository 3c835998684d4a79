import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import * as assert from 'uvu/assert'
import type { ProcessMetrics } from '../../../src/monitoring/metrics-snapshot.ts'
import { ClusterMetrics } from '../../../src/telemetry/cluster-metrics.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('metrics of all workers')

/** The report of a worker that has answered one request in this time. */
const report = (seconds: number): Promise<ProcessMetrics> => {
  const registers = [new Registry()]
  new Histogram({ name: 'duration_seconds', help: '-', buckets: [1], registers }).observe(seconds)
  new Counter({ name: 'requests_total', help: '-', registers }).inc()
  new Gauge({ name: 'open', help: '-', registers }).set(1)
  return registers[0]!.getMetricsAsJSON()
}

const sampleOf = async (metrics: ClusterMetrics, sample: string): Promise<number> =>
  Number(new RegExp(`^${sample} (.+)$`, 'm').exec(await metrics.text())?.[1])

test('a sum of durations does not fall in its last digit when a worker exits', async () => {
  const metrics = new ClusterMetrics()
  // 0.1 + 0.2 + 0.3 is 0.6000000000000001, and 0.2 + 0.3 + 0.1 is 0.6.
  for (const [worker, seconds] of [0.1, 0.2, 0.3].entries()) metrics.update(worker, await report(seconds))
  assert.is(await sampleOf(metrics, 'duration_seconds_sum'), 0.6)
  for (const worker of [0, 2, 1]) {
    metrics.retire(worker)
    assert.is(await sampleOf(metrics, 'duration_seconds_sum'), 0.6, `without worker ${worker}`)
  }
})

test('counters of a worker that has exited are kept, its gauges are not', async () => {
  const metrics = new ClusterMetrics()
  metrics.update(1, await report(0.5))
  metrics.update(2, await report(0.5))
  assert.equal(
    metrics.retire(1).map(({ name }) => name),
    ['duration_seconds', 'requests_total'],
  )
  assert.is(await sampleOf(metrics, 'requests_total'), 2)
  assert.is(await sampleOf(metrics, 'duration_seconds_count'), 2)
  assert.is(await sampleOf(metrics, 'open'), 1)
})

test.run()
