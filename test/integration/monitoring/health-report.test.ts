// needs: rabbitmq, pika
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { HealthMonitor } from '../../../src/monitoring/health-monitor.ts'
import { counterDeltas, histogramQuantile } from '../../../src/monitoring/metrics-snapshot.ts'
import { advanceBaseline, type Baseline, computeSample } from '../../../src/monitoring/rates.ts'
import { SampleRing } from '../../../src/monitoring/sample-ring.ts'
import type { Sample } from '../../../src/monitoring/samples.ts'
import type { WorkerReply } from '../../../src/monitoring/worker-status.ts'
import { openSse } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type Json, until } from '../../support/harness/wait.ts'
import { addRejected } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { sharedBroker } from '../../support/servers/rabbitmq.ts'
import { chats, newRoom, publish } from '../../support/stages/rooms.ts'
import { openStage, streamUrl } from '../../support/stages/stage.ts'

const test = suite('how all workers are')

const STORED = 'gateway_messages_stored_total'

const seen = (pid: number, stored: number | null, worker = pid): WorkerReply => ({
  worker,
  pid,
  vitals: stored === null ? null : { started_at: 0, faults: [], figures: { [STORED]: stored } },
})

test('a worker that dies, is replaced or stays silent for a while makes no rate negative and none jump', () => {
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
  assert.equal(counterDeltas({ a: 5 }, { a: 3, b: 2 }), { a: 3, b: 2 })
})

test('a quantile is reckoned from what the buckets gained', () => {
  const bucket = (le: string, count: number) => [`lag_bucket{le="${le}",since="broker"}`, count] as const
  const figures = Object.fromEntries([bucket('1', 50), bucket('2', 90), bucket('5', 100), bucket('+Inf', 100)])
  assert.is(histogramQuantile(figures, 'lag', 0.5, 'since="broker"'), 1)
  assert.is(histogramQuantile(figures, 'lag', 0.95, 'since="broker"'), 3.5)
  assert.is(histogramQuantile(figures, 'lag', 0.95, 'since="publisher"'), null)
  assert.is(
    histogramQuantile({ [bucket('1', 0)[0]]: 0, [bucket('+Inf', 4)[0]]: 4 }, 'lag', 0.5),
    1,
    'beyond the last bound',
  )
})

test('an hour of samples is kept and no more, oldest first, with what is not known as null', () => {
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

test('who starts anew says since when it knows, and invents nothing for the time before', async () => {
  const observer = new HealthMonitor({ pollWorkers: async () => [seen(1, 0)], expected: 1 })
  const { samples, sampled_since } = await observer.report(0)
  assert.equal(samples.at, [])
  assert.ok(Math.abs(Date.parse(sampled_since) - Date.now()) < 5_000)
})

const health = async (gateway: Gateway, query = ''): Promise<Json> => {
  const { status, body, text } = await getJson(`${gateway.url}/api/health${query}`)
  assert.is(status, 200, text)
  return body.data
}

test('one gateway tells what it does, what it keeps and what it has set aside, and samples it', async () => {
  const gateway = await startGateway()
  try {
    const room = newRoom()
    const streams = [await openSse(streamUrl(gateway, room)), await openSse(`${gateway.url}/api/stream?event_id=*`)]
    await publish(gateway, room, chats(300))
    addRejected(gateway.dbFile, [
      { body: 'x', reason: 'invalid_json' },
      { body: 'y', reason: 'invalid_json' },
      { body: 'z', reason: 'event_mismatch' },
    ])
    const now = await until(async () => {
      const whole = await health(gateway)
      return whole.readers.live === 2 && whole.samples.at.length > 0 && whole
    })
    assert.equal([now.ready, now.mode, now.faults, now.queue], [true, 'embedded', [], null])
    assert.equal([now.totals.stored, now.readers.channels, now.workers.length], [300, 2, 1])
    assert.equal(
      now.quarantine.reasons.map(({ reason, rows, hint }: Json) => [reason, rows, hint.length > 0]),
      [
        ['invalid_json', 2, true],
        ['event_mismatch', 1, true],
      ],
    )
    assert.ok(now.database.bytes > 0 && now.database.wal_bytes > 0, JSON.stringify(now.database))
    const [rate, at] = [now.samples.stored_per_second[0], now.samples.at[0]]
    const stored = (rate * (at - Date.parse(now.sampled_since))) / 1_000
    assert.ok(Math.abs(stored - 300) < 3, `${stored} of 300 messages`)
    assert.is(now.samples.readers[0], 2)
    assert.equal((await health(gateway, `?samples_after=${at}`)).samples.at.includes(at), false)
    for (const stream of streams) stream.close()
  } finally {
    await gateway.dispose()
  }
})

const childrenOf = (gateway: Gateway): number[] =>
  readFileSync(`/proc/${gateway.pid}/task/${gateway.pid}/children`, 'utf8').trim().split(' ').map(Number)

test('every worker gives the figures of all, and tells of the one that is silent, and of the one that is missing', async () => {
  const broker = await sharedBroker()
  const stage = await openStage(broker.url, 'overview', { env: { WORKERS: '3' } })
  const { gateway } = stage
  try {
    await until(async () => (await health(gateway)).ready, { what: 'three workers that are ready' })
    const room = newRoom()
    const streams = await Promise.all(Array.from({ length: 9 }, () => openSse(streamUrl(gateway, room))))
    await stage.publish([...chats(200).map((message) => JSON.stringify({ event_id: room, ...message })), 'no json'])
    await stage.stored(200)
    // Whichever worker takes the connection.
    for (let asked = 0; asked < 6; asked++) {
      const whole = await until(async () => {
        const now = await health(gateway)
        return now.totals.stored === 200 && now.totals.rejected === 1 && now
      })
      assert.equal([whole.readers.live + whole.readers.catching_up, whole.workers.length, whole.mode], [9, 3, 'broker'])
      assert.equal(
        whole.quarantine.reasons.map(({ reason }: Json) => reason),
        ['invalid_json'],
      )
      // Of a quorum queue brokers tell of the active one alone, others may tell of all.
      assert.ok(
        [1, 3].includes(whole.queue.consumers),
        `${whole.queue.consumers} consumers, not one sum of all workers`,
      )
    }
    const [frozen] = childrenOf(gateway)
    process.kill(frozen!, 'SIGSTOP')
    // A connection may come to the frozen worker itself.
    const silent = await until(async () => {
      const { body } = await getJson(`${gateway.url}/api/health`, { timeoutMs: 4_000 })
      return body.data.workers.some(({ answers }: Json) => !answers) && body.data
    })
    assert.is(silent.ready, false)
    assert.equal(
      silent.workers.filter(({ answers }: Json) => !answers).map(({ pid }: Json) => pid),
      [frozen],
    )
    process.kill(frozen!, 'SIGCONT')
    await until(async () => (await health(gateway)).ready, { what: 'all are ready again' })
    process.kill(frozen!, 'SIGKILL')
    const replaced = await until(async () => {
      const now = await health(gateway)
      return now.ready && !now.workers.some(({ pid }: Json) => pid === frozen) && now
    })
    assert.ok(replaced.now.stored_per_second >= 0)
    for (const stream of streams) stream.close()
  } finally {
    await stage.dispose()
    await broker.dispose()
  }
})

test.run()
