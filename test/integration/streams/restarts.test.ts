// workers: 1; full: 1, 3
// transports: http1; full: http1, https1, http2
import { rmSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { collectIds, openSse, Reader, type SseStream } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson } from '../../support/harness/wait.ts'
import { type Env, type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { isReset, named, readStream } from '../../support/stages/read-stream.ts'
import { chats, metric, publish, restIds } from '../../support/stages/rooms.ts'

let gateway: Gateway

const read = (event_id: string, query?: string, header?: string): Promise<SseStream> =>
  readStream(gateway, event_id, query, header)

const restarts = suite('streams and restarts')
const started: Gateway[] = []
const readers: Reader[] = []

const start = async (env: Env = {}): Promise<Gateway> => {
  gateway = await startGateway({ env })
  started.push(gateway)
  return gateway
}

restarts.after.each(async () => {
  for (const reader of readers.splice(0)) await reader.stop()
  for (const one of started.splice(0)) await one.dispose()
})

restarts('keep log_id, and change it with the database', async () => {
  const own = await start()
  const logId = async (): Promise<string> => (await read('room')).events[0]?.data.log_id
  const ids = await publish(own, 'room', chats(5))
  const first = await logId()
  assert.match(first, /^[0-9a-f-]{36}$/)
  assert.is((await getJson(`${own.url}/api/events`)).body.log_id, first)
  await own.restart()
  assert.is(await logId(), first)
  await own.term()
  for (const end of ['', '-wal', '-shm']) rmSync(own.dbFile + end, { force: true })
  await own.restart()
  assert.is.not(await logId(), first)
  isReset(await read('room', '', String(ids[4])), 'cursor_ahead', [])
})

restarts('cost a reader that resumes by Last-Event-ID nothing', async () => {
  const own = await start()
  const reader = new Reader(`${own.url}/api/events/room/stream`, { retryMs: 100 }).start()
  readers.push(reader)
  const ids = await publish(own, 'room', chats(50))
  await reader.waitForCount(50)
  for (let round = 1; round <= 3; round++) {
    if (round === 2) await own.kill9()
    await own.restart()
    ids.push(...(await publish(own, 'room', chats(50))))
    await reader.waitForConnections(round + 1)
    await reader.waitForCount(ids.length)
  }
  assert.equal(reader.ids, ids)
  const reasons = reader.control.filter(({ event }) => event === 'closing').map(({ data }) => data)
  assert.equal(reasons, [{ reason: 'shutdown' }, { reason: 'shutdown' }])
  assert.equal(reader.counts.reset, undefined)
})

restarts('are announced by closing, with a retry spread between 1 and 5 s', async () => {
  const own = await start()
  const streams = await Promise.all(chats(20, () => openSse(`${own.url}/api/events/room/stream`)))
  for (const stream of streams) await stream.next('caught_up')
  assert.is((await own.term()).code, 0)
  const delays = new Set<number | undefined>()
  for (const stream of streams) {
    assert.is((await stream.closed).reason, 'ended')
    assert.equal(stream.events.at(-1), {
      event: 'closing',
      id: undefined,
      data: { reason: 'shutdown' },
      rawData: '{"reason":"shutdown"}',
    })
    assert.ok(stream.retry! >= 1_000 && stream.retry! <= 5_000, String(stream.retry))
    delays.add(stream.retry)
  }
  assert.ok(delays.size > 10, [...delays].join())
})

restarts('happen by themselves at STREAM_MAX_SECONDS, without loss', async () => {
  const own = await start({ STREAM_MAX_SECONDS: '2' })
  const reader = new Reader(`${own.url}/api/events/room/stream`, { retryMs: 100 }).start()
  readers.push(reader)
  const ids: number[] = []
  while (reader.connections < 3) ids.push(...(await publish(own, 'room', chats(3))))
  await reader.waitForCount(ids.length)
  assert.equal(reader.ids, ids)
  const closings = reader.control.filter(({ event }) => event === 'closing')
  assert.ok(closings.length >= 2)
  for (const { data } of closings) assert.equal(data, { reason: 'max_age' })
  assert.ok((await metric(own, 'gateway_streams_closed_total{reason="max_age"}')) >= 2)
})

restarts('with retention reset a reader whose history was removed', async () => {
  const own = await start()
  const ids = await publish(own, 'room', chats(30))
  const other = await publish(own, 'other', chats(3))
  await own.restart({ RETENTION_MESSAGES_PER_EVENT: '10' })
  const kept = ids.slice(20)
  await own.waitForLog(({ msg }) => msg === 'retention removed messages')
  assert.equal(await restIds(own, 'room'), kept)
  isReset(await read('room', '', String(ids[5])), 'history_pruned', kept)
  isReset(await read('room', `?last_message_db_id=${ids[5]}`), 'history_pruned', kept)
  const newcomer = await read('room')
  assert.equal([collectIds(newcomer), named(newcomer, 'reset')], [kept, []])
  assert.is(newcomer.events[0]?.data.first_db_id, kept[0])
  const current = await read('room', '', String(ids[24]))
  assert.equal([collectIds(current), named(current, 'reset')], [ids.slice(25), []])
  const edge = await read('room', '', String(ids[19]))
  assert.equal([collectIds(edge), named(edge, 'reset')], [kept, []])
  assert.equal(collectIds(await read('other', '', String(other[0]))), other.slice(1))
})

restarts.run()
