import { mock } from 'node:test'
import * as assert from 'uvu/assert'
import { HealthMonitor } from '../../../src/monitoring/health-monitor.ts'
import { counterDeltas, histogramQuantile } from '../../../src/monitoring/metrics-snapshot.ts'
import { addExited, advanceBaseline, type Baseline, computeSample } from '../../../src/monitoring/rates.ts'
import { SampleRing } from '../../../src/monitoring/sample-ring.ts'
import type { Sample } from '../../../src/monitoring/samples.ts'
import type { WorkerReply } from '../../../src/monitoring/worker-status.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('rates of all workers')

const STORED = 'gateway_messages_stored_total'

const seen = (pid: number, stored: number | null, worker = pid): WorkerReply => ({
  worker,
  pid,
  status: stored === null ? null : { started_at: 0, faults: [], metrics: { [STORED]: stored } },
})

test('a worker that dies, is replaced or does not reply for a while makes no rate negative or jump', () => {
  const base: Baseline = {
    at: 0,
    byPid: new Map([
      [1, { [STORED]: 1_000 }],
      [2, { [STORED]: 5_000 }],
    ]),
  }
  const rate = (from: Baseline, workers: WorkerReply[], at: number) =>
    computeSample(from, workers, at).sample.stored_per_second
  assert.is(rate(base, [seen(1, 1_100), seen(2, 5_100)], 10_000), 20)
  assert.is(rate(base, [seen(1, 1_100)], 10_000), 10, 'one is gone')
  assert.is(rate(base, [seen(1, 1_100), seen(3, 50)], 10_000), 15, 'one is new')
  const silent = [seen(1, 1_100), seen(2, null)]
  assert.is(rate(base, silent, 10_000), 10, 'one is silent')
  const later = advanceBaseline(base, silent, 10_000)
  assert.is(rate(later, [seen(1, 1_100), seen(2, 5_100)], 20_000), 10, 'what it did meanwhile counts when it speaks')
  assert.is(rate(base, [seen(1, null), seen(2, null)], 10_000), null, 'nobody knows')
  const exited = addExited(base, 2, { [STORED]: 5_400 })
  assert.is(rate(exited, [seen(1, 1_100), seen(3, 50)], 10_000), 55, 'one is gone, and its last report is known')
  assert.is(rate(advanceBaseline(exited, [seen(1, 1_100)], 10_000), [seen(1, 1_200)], 20_000), 10, 'counted once')
  assert.equal(counterDeltas({ a: 5 }, { a: 3, b: 2 }), { a: 3, b: 2 })
})

test('a quantile is reckoned from what the buckets gained', () => {
  const bucket = (le: string, count: number) => [`lag_bucket{le="${le}",reference="broker"}`, count] as const
  const figures = Object.fromEntries([bucket('1', 50), bucket('2', 90), bucket('5', 100), bucket('+Inf', 100)])
  assert.is(histogramQuantile(figures, 'lag', 0.5, 'reference="broker"'), 1)
  assert.is(histogramQuantile(figures, 'lag', 0.95, 'reference="broker"'), 3.5)
  assert.is(histogramQuantile(figures, 'lag', 0.95, 'reference="publisher"'), null)
  assert.is(
    histogramQuantile({ [bucket('1', 0)[0]]: 0, [bucket('+Inf', 4)[0]]: 4 }, 'lag', 0.5),
    1,
    'beyond the last bound',
  )
})

test('exactly an hour of samples is kept, oldest first, with unknown values as null', () => {
  const history = new SampleRing()
  assert.equal(history.since(0).at, [])
  const sample = (value: number | null): Sample => ({
    stored_per_second: value,
    rejected_per_second: null,
    delivered_per_second: value,
    lag_seconds: null,
    queue_ready: value,
    readers: value,
    readers_stalled: 0,
    event_loop_delay_seconds: null,
    wal_bytes: null,
    workers: 1,
  })
  for (let n = 1; n <= 500; n++) history.add(n, sample(n))
  const { at, stored_per_second, lag_seconds } = history.since(0)
  assert.equal([at.length, at[0], at.at(-1)], [360, 141, 500])
  assert.equal(stored_per_second, at)
  assert.equal(new Set(lag_seconds), new Set([null]))
  assert.equal(history.since(498).at, [499, 500])
})

/** Creates a monitor of one worker with a start time and a clock that the test controls. */
const withMonitor = async (
  work: (
    monitor: HealthMonitor,
    store: (messages: number) => void,
    pass: (ms: number) => Promise<void>,
    setClock: (ms: number) => void,
  ) => Promise<void>,
): Promise<void> => {
  mock.timers.enable({ apis: ['setInterval', 'Date'], now: START })
  let set = 0
  const clock = mock.method(performance, 'now', () => Date.now() - set)
  let stored = 0
  const monitor = new HealthMonitor({ pollWorkers: async () => [seen(1, stored)], expected: 1 })
  monitor.start()
  try {
    await work(
      monitor,
      (messages) => {
        stored += messages
      },
      async (ms) => {
        mock.timers.tick(ms)
        await new Promise(setImmediate)
      },
      (ms) => {
        set += ms
        mock.timers.setTime(Date.now() + ms)
      },
    )
  } finally {
    monitor.stop()
    clock.mock.restore()
    mock.timers.reset()
  }
}

const START = Date.parse('2026-11-22T10:00:00Z')

test('a restarted gateway reports the start of its samples, and invents none for the time before', () =>
  withMonitor(async (monitor) => {
    const { samples, sampled_since } = await monitor.report(0)
    assert.equal([samples.at, sampled_since], [[], '2026-11-22T10:00:00.000Z'])
  }))

test('a sample is taken every ten seconds, covering the time since the last one', () =>
  withMonitor(async (monitor, store, pass) => {
    store(300)
    await pass(9_999)
    assert.equal((await monitor.report(0)).samples.at, [])
    await pass(1)
    store(50)
    await pass(10_000)
    const { samples } = await monitor.report(0)
    assert.equal(
      [samples.at, samples.stored_per_second],
      [
        [START + 10_000, START + 20_000],
        [30, 5],
      ],
    )
    assert.equal((await monitor.report(START + 10_000)).samples.at, [START + 20_000])
    monitor.stop()
    await pass(60_000)
    assert.is((await monitor.report(0)).samples.at.length, 2)
  }))

test('a clock that is set back makes no rate absurd', () =>
  withMonitor(async (monitor, store, pass, setClock) => {
    await pass(10_000)
    store(50)
    await pass(5_000)
    setClock(-3_600_000)
    assert.is((await monitor.report(0)).now.stored_per_second, 10)
  }))

test('the current rate covers at least five seconds', () =>
  withMonitor(async (monitor, store, pass) => {
    await pass(10_000)
    store(100)
    await pass(10_000)
    store(90)
    await pass(4_999)
    const { now } = await monitor.report(0)
    assert.is(now.stored_per_second?.toFixed(3), '12.668', 'since the last sample but one')
    await pass(1)
    assert.is((await monitor.report(0)).now.stored_per_second, 18)
  }))

test.run()
