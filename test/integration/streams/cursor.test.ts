// workers: 1; full: 1, 3
// transports: http1, https1, http2
import * as assert from 'uvu/assert'
import { collectIds, openSse, type SseStream } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { TRANSPORT } from '../../support/harness/transport.ts'
import { getJson, type Json } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { isReset, named, readStream } from '../../support/stages/read-stream.ts'
import { chat, chats, eventUrl, isError, newRoom, publish } from '../../support/stages/rooms.ts'

let gateway: Gateway

const read = (event_id: string, query?: string, header?: string): Promise<SseStream> =>
  readStream(gateway, event_id, query, header)

const cursors = suite('cursors of streams')

cursors.before(async () => {
  gateway = await startGateway()
})
cursors.after(() => gateway.dispose())

cursors('send the messages after last_message_db_id, without duplicates', async () => {
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

cursors('prefer Last-Event-ID to the query, unless it is empty', async () => {
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

cursors('take lastEventId from the query of clients that cannot set headers', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(10))
  const at = (index: number): string => String(ids[index])
  for (const query of ['', '&last_message_db_id=0', '&last_message_db_id=latest', '&tail=9']) {
    assert.equal(collectIds(await read(room, `?lastEventId=${at(3)}${query}`)), ids.slice(4), query)
    assert.equal(collectIds(await read(room, `?lastEventId=${at(3)}${query}`, at(6))), ids.slice(7), query)
  }
  assert.equal(collectIds(await read(room, `?lastEventId=&last_message_db_id=${at(5)}`)), ids.slice(6))
  // Such a client appends its own value to those of the address.
  assert.equal(collectIds(await read(room, `?lastEventId=${at(1)}&lastEventId=${at(4)}`)), ids.slice(5))
  isReset(await read(room, '?lastEventId=9007199254740991'), 'cursor_ahead', ids)
  isReset(await read(room, '?lastEventId=abc'), 'cursor_invalid', ids)
})

cursors('take a header that was sent twice with one value as that value', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(4))
  const [first, second] = ids.map(String) as [string, string]
  assert.equal(collectIds(await read(room, '', `${second}, ${second}`)), ids.slice(2))
  if (TRANSPORT === 'http1') {
    const twice = await openSse(`${eventUrl(gateway, room)}/stream`, {
      headers: { 'last-event-id': [second, second] as unknown as string },
    })
    await twice.next('caught_up')
    assert.equal(collectIds(twice), ids.slice(2))
    twice.close()
  }
  isReset(await read(room, '', `${first}, ${second}`), 'cursor_invalid', ids)
  isReset(await read(room, '', `${second},`), 'cursor_invalid', ids)
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

cursors('start a tail of N messages, counted after filtering', async () => {
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

cursors('respond to one from the future with a reset and the whole history', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(4))
  isReset(await read(room, '', '9007199254740991'), 'cursor_ahead', ids)
  isReset(await read(room, '?last_message_db_id=9007199254740991'), 'cursor_ahead', ids)
  isReset(await read(newRoom(), '', String(ids[3]! + 1)), 'cursor_ahead', [])
  const [next] = await publish(gateway, newRoom(), chat(1))
  assert.equal(collectIds(await read(room, '', String(next))), [])
})

cursors('respond to a malformed one with a reset and the whole history', async () => {
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

cursors('report in hello where the requested events begin and end', async () => {
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
