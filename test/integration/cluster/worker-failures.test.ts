import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { getJson, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway, workersOf } from '../../support/servers/gateway.ts'
import { chats, metric, newRoom, parseMetrics, publish, sampleOf } from '../../support/stages/rooms.ts'

const test = suite('failures of workers')

const WORKERS = 3
const STORED = 'gateway_messages_stored_total'

let gateway: Gateway

test.before(async () => {
  gateway = await startGateway({ env: { WORKERS: String(WORKERS) } })
})
test.after(() => gateway?.dispose())

const textOf = async (): Promise<string> => {
  const { status, text } = await getJson(`${gateway.url}/metrics`)
  assert.is(status, 200, text)
  return text
}

/** Samples of all counters and histograms. */
const cumulative = (text: string): [sample: string, value: number][] => {
  const names = [...text.matchAll(/^# TYPE (\S+) (?:counter|histogram)$/gm)].map(([, name]) => name!)
  return [...parseMetrics(text)].filter(([sample]) => names.some((name) => sample.startsWith(name)))
}

/** Ends each worker that runs now in turn, and waits for its replacement. */
const replaceAll = async (signal: NodeJS.Signals): Promise<void> => {
  for (const pid of workersOf(gateway)) {
    process.kill(pid, signal)
    await until(() => !workersOf(gateway).includes(pid) && workersOf(gateway).length === WORKERS, {
      what: 'a new worker',
    })
    await until(async () => (await metric(gateway, 'gateway_workers')) === WORKERS, { what: 'all workers in /metrics' })
  }
}

/** One request per message, so that each worker stores some. */
const publishEach = (gateway: Gateway, count: number): Promise<unknown> => {
  const room = newRoom()
  return Promise.all(chats(count).map((message) => publish(gateway, room, message)))
}

test('counters and histograms never fall when workers are killed, and keep what the dead have counted', async () => {
  await publishEach(gateway, 100)
  const before = cumulative(await textOf())
  assert.ok(before.some(([sample]) => sample.startsWith('gateway_commit_duration_seconds_bucket')))
  await replaceAll('SIGKILL')
  const after = new Map(cumulative(await textOf()))
  const fallen = before.filter(([sample, value]) => !((after.get(sample) ?? 0) >= value))
  assert.equal(fallen, [])
  assert.is(sampleOf(after, STORED), 100)
  const { body } = await getJson(`${gateway.url}/api/health`)
  assert.is(body.data.totals.stored, 100)
})

test('a worker that exits in order reports all that it has counted', async () => {
  const before = await metric(gateway, STORED)
  await publishEach(gateway, 30)
  await replaceAll('SIGTERM')
  assert.is(await metric(gateway, STORED), before + 30)
})

test.run()
