// needs: rabbitmq, pika
import { mock } from 'node:test'
import * as assert from 'uvu/assert'
import { collectIds, openSse } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { getJson, type Json, until } from '../../support/harness/wait.ts'
import { addRejected } from '../../support/servers/database.ts'
import { type Gateway, listWorkerPids } from '../../support/servers/gateway.ts'
import { startLocalGateway } from '../../support/servers/local-gateway.ts'
import { sharedBroker } from '../../support/servers/rabbitmq.ts'
import { chats, newRoom, publish } from '../../support/stages/rooms.ts'
import { openStage, streamUrl } from '../../support/stages/stage.ts'

const test = suite('the health report')

const health = async (gateway: Pick<Gateway, 'url'>, query = ''): Promise<Json> => {
  const { status, body, text } = await getJson(`${gateway.url}/api/health${query}`)
  assert.is(status, 200, text)
  return body.data
}

test('one gateway reports its rates, totals and quarantine, and samples them', async () => {
  mock.timers.enable({ apis: ['setInterval', 'Date'], now: Date.now() })
  // Both clocks stand still, so that the rate is exact.
  const clock = mock.method(performance, 'now', () => Date.now())
  const gateway = await startLocalGateway()
  try {
    const room = newRoom()
    const streams = [await openSse(streamUrl(gateway, room)), await openSse(`${gateway.url}/api/stream?event_id=*`)]
    await publish(gateway, room, chats(300))
    addRejected(gateway.dbFile, [
      { body: 'x', reason: 'invalid_json' },
      { body: 'y', reason: 'invalid_json' },
      { body: 'z', reason: 'event_mismatch' },
    ])
    for (const stream of streams) await stream.waitFor(() => collectIds(stream).length === 300)
    mock.timers.tick(10_000)
    const now = await until(async () => {
      const whole = await health(gateway)
      return whole.samples.at.length > 0 && whole
    })
    assert.equal([now.ready, now.mode, now.faults, now.queue], [true, 'embedded', [], null])
    assert.equal([now.totals.stored, now.readers.live, now.readers.channels, now.workers.length], [300, 2, 2, 1])
    assert.equal(
      now.quarantine.reasons.map(({ reason, rows, hint }: Json) => [reason, rows, hint.length > 0]),
      [
        ['invalid_json', 2, true],
        ['event_mismatch', 1, true],
      ],
    )
    assert.ok(now.database.bytes > 0 && now.database.wal_bytes > 0, JSON.stringify(now.database))
    const { at, stored_per_second, readers } = now.samples
    assert.equal([at[0] - Date.parse(now.sampled_since), stored_per_second, readers], [10_000, [30], [2]])
    assert.equal((await health(gateway, `?samples_after=${at[0]}`)).samples.at, [])
    for (const stream of streams) stream.close()
  } finally {
    await gateway.stop()
    clock.mock.restore()
    mock.timers.reset()
  }
})

test('every worker reports the metrics of all workers, including one that does not reply and one that is missing', async () => {
  const workers = runs(2, 3)
  const broker = await sharedBroker()
  const stage = await openStage(broker.url, 'overview', { env: { WORKERS: String(workers) } })
  const { gateway } = stage
  try {
    await until(async () => (await health(gateway)).ready, { what: 'all workers are ready' })
    const room = newRoom()
    const streams = await Promise.all(Array.from({ length: 9 }, () => openSse(streamUrl(gateway, room))))
    await stage.publish([...chats(200).map((message) => JSON.stringify({ event_id: room, ...message })), 'no json'])
    await stage.stored(200)
    // Any worker may accept the connection.
    for (let asked = 0; asked < 6; asked++) {
      const whole = await until(async () => {
        const now = await health(gateway)
        // The rows of the quarantine are counted less often than messages.
        return now.totals.stored === 200 && now.totals.rejected === 1 && now.quarantine.reasons.length > 0 && now
      })
      assert.equal(
        [whole.readers.live + whole.readers.catching_up, whole.workers.length, whole.mode],
        [9, workers, 'broker'],
      )
      assert.equal(
        whole.quarantine.reasons.map(({ reason }: Json) => reason),
        ['invalid_json'],
      )
      // For a quorum queue some brokers count only the active consumer, others all.
      assert.ok(
        [1, workers].includes(whole.queue.consumers),
        `${whole.queue.consumers} consumers, not one sum of all workers`,
      )
    }
    const [frozen] = listWorkerPids(gateway)
    process.kill(frozen!, 'SIGSTOP')
    const silent = await until(async () => {
      // Some connections are accepted by the frozen worker.
      const leave = new AbortController()
      const url = `${gateway.url}/api/health`
      const asked = Array.from({ length: 8 }, () => getJson(url, { signal: leave.signal }))
      const { body } = await Promise.any(asked)
      leave.abort()
      await Promise.allSettled(asked)
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
