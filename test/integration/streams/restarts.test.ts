// workers: 1; full: 1, 3
import { rmSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { collectIds, openSse, Reader } from '../../support/clients/sse.ts'
import { Clock } from '../../support/harness/clock.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson } from '../../support/harness/wait.ts'
import { type Gateway, RUN_WORKERS, startGateway } from '../../support/servers/gateway.ts'
import { startLocalGateway } from '../../support/servers/local-gateway.ts'
import { isReset, named, readStream } from '../../support/stages/read-stream.ts'
import { chats, eventUrl, metric, publish, restIds } from '../../support/stages/rooms.ts'

const restarts = suite('streams and restarts')

let gateway: Gateway
const read = (event_id: string, query?: string, header?: string) => readStream(gateway, event_id, query, header)

restarts.before(async () => {
  gateway = await startGateway()
})
restarts.after(() => gateway?.dispose())

restarts('keep log_id, and change it with the database', async () => {
  const logId = async (): Promise<string> => (await read('kept')).events[0]?.data.log_id
  const ids = await publish(gateway, 'kept', chats(5))
  const first = await logId()
  assert.match(first, /^[0-9a-f-]{36}$/)
  assert.is((await getJson(`${gateway.url}/api/events`)).body.log_id, first)
  await gateway.restart()
  assert.is(await logId(), first)
  await gateway.term()
  for (const end of ['', '-wal', '-shm']) rmSync(gateway.dbFile + end, { force: true })
  await gateway.restart()
  assert.is.not(await logId(), first)
  isReset(await read('kept', '', String(ids[4])), 'cursor_ahead', [])
})

restarts('lose nothing for a client that resumes with Last-Event-ID', async () => {
  const url = `${eventUrl(gateway, 'resumed')}/stream`
  const reader = new Reader(url, { retryMs: 100, obeysRetry: false }).start()
  const ids = await publish(gateway, 'resumed', chats(50))
  await reader.waitForCount(50)
  for (let round = 1; round <= 3; round++) {
    if (round === 2) await gateway.kill9()
    await gateway.restart()
    ids.push(...(await publish(gateway, 'resumed', chats(50))))
    await reader.waitForConnections(round + 1)
    await reader.waitForCount(ids.length)
  }
  await reader.stop()
  assert.equal(reader.ids, ids)
  const reasons = reader.control.filter(({ event }) => event === 'closing').map(({ data }) => data.reason)
  assert.equal([...new Set(reasons)], ['shutdown'])
  // Workers whose primary was killed end the stream in order too, unless they are killed before.
  assert.ok(reasons.length === 2 || (RUN_WORKERS > 1 && reasons.length === 3), `${reasons.length} times`)
  assert.equal(reader.counts.reset, undefined)
})

restarts('are announced by closing, with a retry of SHUTDOWN_RETRY_SECONDS and up to half of it more', async () => {
  await gateway.restart({ SHUTDOWN_RETRY_SECONDS: '4' })
  const streams = await Promise.all(chats(20, () => openSse(`${eventUrl(gateway, 'announced')}/stream`)))
  for (const stream of streams) await stream.next('caught_up')
  assert.is((await gateway.term()).code, 0)
  const delays = new Set<number | undefined>()
  for (const stream of streams) {
    assert.is((await stream.closed).reason, 'ended')
    assert.equal(stream.events.at(-1), {
      event: 'closing',
      id: undefined,
      data: { reason: 'shutdown' },
      rawData: '{"reason":"shutdown"}',
    })
    assert.ok(stream.retry! >= 4_000 && stream.retry! <= 6_000, String(stream.retry))
    delays.add(stream.retry)
  }
  assert.ok(delays.size > 10, [...delays].join())
})

restarts('with retention reset a client whose history was deleted', async () => {
  await gateway.restart()
  const ids = await publish(gateway, 'pruned', chats(30))
  const other = await publish(gateway, 'other', chats(3))
  await gateway.restart({ RETENTION_MESSAGES_PER_EVENT: '10' })
  const kept = ids.slice(20)
  await gateway.waitForLog(({ msg }) => msg === 'retention deleted messages')
  assert.equal(await restIds(gateway, 'pruned'), kept)
  isReset(await read('pruned', '', String(ids[5])), 'history_pruned', kept)
  isReset(await read('pruned', `?last_message_db_id=${ids[5]}`), 'history_pruned', kept)
  const newcomer = await read('pruned')
  assert.equal([collectIds(newcomer), named(newcomer, 'reset')], [kept, []])
  assert.is(newcomer.events[0]?.data.first_db_id, kept[0])
  const current = await read('pruned', '', String(ids[24]))
  assert.equal([collectIds(current), named(current, 'reset')], [ids.slice(25), []])
  const edge = await read('pruned', '', String(ids[19]))
  assert.equal([collectIds(edge), named(edge, 'reset')], [kept, []])
  assert.equal(collectIds(await read('other', '', String(other[0]))), other.slice(1))
})

restarts.full('of streams alone happen at STREAM_MAX_SECONDS, without loss', async () => {
  const clock = new Clock().install()
  const own = await startLocalGateway({ STREAM_MAX_SECONDS: '100' })
  try {
    const reader = new Reader(`${eventUrl(own, 'room')}/stream`, { retryMs: 100, obeysRetry: false }).start()
    const ids: number[] = []
    for (let connections = 1; connections <= 3; connections++) {
      await reader.waitForConnections(connections)
      ids.push(...(await publish(own, 'room', chats(3))))
      clock.advance(101_000)
      ids.push(...(await publish(own, 'room', chats(3))))
    }
    await reader.waitForConnections(4)
    await reader.waitForCount(ids.length)
    await reader.stop()
    assert.equal(reader.ids, ids)
    const closings = reader.control.filter(({ event }) => event === 'closing').map(({ data }) => data)
    assert.equal(closings, [{ reason: 'max_age' }, { reason: 'max_age' }, { reason: 'max_age' }])
    assert.is(await metric(own, 'gateway_streams_closed_total{reason="max_age"}'), 3)
  } finally {
    clock.uninstall()
    await own.stop()
  }
})

restarts.run()
