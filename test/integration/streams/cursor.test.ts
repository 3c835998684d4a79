// workers: 1, 3
// transports: http1, https1, http2
import { rmSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { collectIds, openSse, type ParsedEvent, Reader, type SseStream } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type Json } from '../../support/harness/wait.ts'
import { type Env, type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, chats, eventUrl, isError, metric, newRoom, publish, restIds } from '../../support/stages/rooms.ts'

let gateway: Gateway

/** Reads a stream until caught_up. */
const read = async (event_id: string, query = '', header?: string): Promise<SseStream> => {
  const headers: Record<string, string> = header === undefined ? {} : { 'last-event-id': header }
  const stream = await openSse(`${eventUrl(gateway, event_id)}/stream${query}`, { headers })
  try {
    await stream.next('caught_up')
  } finally {
    stream.close()
  }
  return stream
}

const named = (stream: SseStream, name: string): ParsedEvent[] => stream.events.filter(({ event }) => event === name)

/** Asserts that a stream began with a reset and then gave everything. */
const isReset = (stream: SseStream, reason: string, ids: number[]): void => {
  assert.equal(
    stream.events.slice(0, 2).map(({ event, id }) => [event, id]),
    [
      ['hello', '0'],
      ['reset', undefined],
    ],
  )
  assert.equal(stream.events[0]?.data.cursor, 0)
  assert.equal(stream.events[1]?.data, { reason, first_db_id: ids[0] ?? 0 })
  assert.equal(collectIds(stream), ids)
}

const cursors = suite('cursors of streams')

cursors.before(async () => {
  gateway = await startGateway()
})
cursors.after(() => gateway.dispose())

cursors('give what is behind last_message_db_id, and nothing of it twice', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(10))
  for (const at of [0, 4, 8]) {
    const stream = await read(room, `?last_message_db_id=${ids[at]}`)
    assert.equal(collectIds(stream), ids.slice(at + 1))
    assert.equal([stream.events[0]?.id, stream.events[0]?.data.cursor], [String(ids[at]), ids[at]])
    assert.equal(named(stream, 'reset'), [])
  }
  const end = await read(room, `?last_message_db_id=${ids[9]}`)
  assert.equal([collectIds(end), named(end, 'caught_up')[0]?.data], [[], { last_message_db_id: ids[9] }])
  assert.equal(collectIds(await read(room, '?last_message_db_id=0')), ids)
})

cursors('let Last-Event-ID win over the query, an empty one excepted', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(10))
  for (const query of [
    '?last_message_db_id=0',
    '?last_message_db_id=latest',
    '?tail=9',
    `?last_message_db_id=${ids[8]}`,
  ]) {
    assert.equal(collectIds(await read(room, query, String(ids[3]))), ids.slice(4), query)
  }
  assert.equal(collectIds(await read(room, '?last_message_db_id=latest', '0')), ids)
  assert.equal(collectIds(await read(room, '', '')), ids)
  assert.equal(collectIds(await read(room, '?tail=3', '')), ids.slice(7))
  isError(
    await getJson(`${eventUrl(gateway, room)}/stream?last_message_db_id=x`, { headers: { 'last-event-id': '1' } }),
    400,
    'invalid_query',
  )
})

cursors('start at the end with latest, and resume there without a message seen', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(5))
  const stream = await openSse(`${eventUrl(gateway, room)}/stream?last_message_db_id=latest`)
  await stream.next('caught_up')
  assert.equal([collectIds(stream), stream.lastEventId], [[], String(ids[4])])
  stream.close()
  const missed = await publish(gateway, room, chats(3))
  assert.equal(collectIds(await read(room, '?last_message_db_id=latest', stream.lastEventId)), missed)
})

cursors('start a tail of N messages, counted behind the filters', async () => {
  const room = newRoom()
  const types = ['a', 'b', 'c']
  const ids = await publish(
    gateway,
    room,
    chats(30, (n) => chat(n, { message_type: types[n % 3] })),
  )
  for (const tail of [1, 7, 30, 31, 5_000]) {
    const stream = await read(room, `?tail=${tail}`)
    assert.equal(collectIds(stream), ids.slice(-tail), `tail ${tail}`)
    assert.equal(named(stream, 'reset'), [])
  }
  assert.equal(collectIds(await read(room, '?tail=0')), [])
  const ofA = ids.filter((_, index) => (index + 1) % 3 === 0)
  assert.equal(collectIds(await read(room, '?tail=4&message_type=a')), ofA.slice(-4))
  assert.equal(collectIds(await read(room, '?tail=11&message_type=a')), ofA)
  assert.equal(collectIds(await read(room, '?tail=5&message_type=none')), [])
  assert.equal(collectIds(await read(newRoom(), '?tail=5')), [])
})

cursors('answer one from the future with a reset and the whole history', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(4))
  isReset(await read(room, '', '9007199254740991'), 'cursor_ahead', ids)
  isReset(await read(room, '?last_message_db_id=9007199254740991'), 'cursor_ahead', ids)
  isReset(await read(newRoom(), '', String(ids[3]! + 1)), 'cursor_ahead', [])
  const [next] = await publish(gateway, newRoom(), chat(1))
  assert.equal(collectIds(await read(room, '', String(next))), [])
})

cursors('answer one that is none with a reset and the whole history', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(4))
  const junk = [
    'abc',
    '-1',
    '1.5',
    '1e3',
    '99999999999999999999',
    '9007199254740992',
    '0x1',
    'NaN',
    'null',
    '1 2',
    '1,2',
  ]
  for (const header of junk) isReset(await read(room, '', header), 'cursor_invalid', ids)
})

cursors('tell in hello where the events asked for begin and end', async () => {
  const [a, b] = [newRoom(), newRoom()]
  const ofA = await publish(gateway, a, chats(3))
  const ofB = await publish(gateway, b, chats(3))
  const hello = async (query: string): Promise<Json> => {
    const stream = await openSse(`${gateway.url}/api/stream?${query}`)
    const { data } = await stream.next('hello')
    stream.close()
    return data
  }
  const one = await hello(`event_id=${a}&message_type=none`)
  assert.equal([one.first_db_id, one.last_db_id, one.cursor], [ofA[0], ofA[2], 0])
  const both = await hello(`event_id=${b}&event_id=${a}`)
  assert.equal([both.first_db_id, both.last_db_id], [ofA[0], ofB[2]])
  const all = await hello('event_id=*&last_message_db_id=latest')
  assert.equal([all.last_db_id, all.cursor], [ofB[2], ofB[2]])
  assert.is(all.first_db_id, 1)
  const none = await hello(`event_id=${newRoom()}`)
  assert.equal([none.first_db_id, none.last_db_id], [0, 0])
})

cursors.run()

const restarts = suite('streams and restarts', { timeoutMs: 120_000 })
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
