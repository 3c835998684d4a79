// workers: 1; full: 1, 3
// transports: http1, http2
import net from 'node:net'
import * as assert from 'uvu/assert'
import { collectIds, openSse, type ParsedEvent, type SseStream } from '../../support/clients/sse.ts'
import { WAIT_MS } from '../../support/harness/limits.ts'
import { suite } from '../../support/harness/suite.ts'
import { TRANSPORT } from '../../support/harness/transport.ts'
import { getJson, type Json, request, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import {
  chat,
  chats,
  eventUrl,
  isError,
  listDbIds,
  metric,
  newRoom,
  publish,
  restIds,
} from '../../support/stages/rooms.ts'

let gateway: Gateway
const open: SseStream[] = []

const stream = async (path: string, headers: Record<string, string> = {}): Promise<SseStream> => {
  const opened = await openSse(`${gateway.url}${path}`, { headers })
  open.push(opened)
  return opened
}

const streamOf = (event_id: string, query = '', headers: Record<string, string> = {}): Promise<SseStream> =>
  stream(`/api/events/${encodeURIComponent(event_id)}/stream${query}`, headers)

const several = (event_ids: string[], query = ''): string =>
  `/api/stream?${event_ids.map((id) => `event_id=${encodeURIComponent(id)}`).join('&')}${query}`

const received = async (path: string): Promise<number[]> => {
  const opened = await stream(path)
  await opened.next('caught_up')
  return collectIds(opened)
}

const streams = suite('streams')

streams.before(async () => {
  gateway = await startGateway({ env: { HEARTBEAT_SECONDS: '1' } })
})
streams.after.each(() => {
  for (const opened of open.splice(0)) opened.close()
})
streams.after(() => gateway.dispose())

streams('have the headers of an event stream that must not be buffered or changed', async () => {
  const { status, headers } = await streamOf(newRoom())
  assert.is(status, 200)
  assert.is(headers['content-type'], 'text/event-stream; charset=utf-8')
  assert.is(headers['cache-control'], 'no-cache, no-transform')
  assert.is(headers['x-accel-buffering'], 'no')
  assert.is(headers['content-encoding'], undefined)
  assert.is(headers['content-length'], undefined)
})

streams('send retry, hello, the history and caught_up in this order, then live messages', async () => {
  const room = newRoom()
  await publish(gateway, newRoom(), chats(3))
  const [first, second] = await publish(gateway, room, chats(2))
  const opened = await streamOf(room)
  await opened.next('caught_up')
  const [third] = await publish(gateway, room, chat(3))
  await opened.next('new_message')
  const told = opened.events.filter(({ event }) => event !== 'heartbeat').map(({ event, id }) => [event, id])
  assert.equal(told, [
    ['hello', '0'],
    ['new_message', String(first)],
    ['new_message', String(second)],
    ['caught_up', undefined],
    ['new_message', String(third)],
  ])
  assert.is(opened.retry, 2_000)
  assert.match(opened.raw().toString(), /^retry: 2000\nid: 0\nevent: hello\ndata: \{/)
  const [{ data: hello }] = opened.events as [Json]
  const keys = ['log_id', 'cursor', 'first_db_id', 'last_db_id', 'server_time', 'events', 'filters']
  assert.equal(Object.keys(hello), keys)
  assert.equal([hello.cursor, hello.first_db_id, hello.last_db_id], [0, first, second])
  assert.ok(Math.abs(Date.parse(hello.server_time) - Date.now()) < 3_600_000)
  const caughtUp = opened.events.find(({ event }) => event === 'caught_up')
  assert.equal(caughtUp?.data, { last_message_db_id: second })
  assert.equal([opened.parseErrors, opened.comments], [[], []])
})

streams('report in hello which events and filters hold, so that a misspelled one is seen', async () => {
  const room = newRoom()
  const selectionOf = async (path: string): Promise<Json> => {
    const { events, filters } = (await (await stream(path)).next('hello')).data
    return { events, ...filters }
  }
  const none = { message_type: null, message_from: null }
  assert.equal(await selectionOf(several(['b', room, 'b'])), { events: ['b', room], ...none })
  assert.equal(await selectionOf('/api/stream?event_id=*&mesage_type=a'), { events: '*', ...none })
  assert.equal(await selectionOf(`${eventUrl({ url: '' }, room)}/stream?message_type=b,a&message_from=_captian`), {
    events: [room],
    message_type: ['a', 'b'],
    message_from: ['_captian'],
  })
})

streams('send messages without a name for ?event=message, in history and live, filtered and resumed', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(3))
  const query = '?event=message&message_type=llm_response'
  const opened = [await streamOf(room, query), await streamOf(room, query, { 'last-event-id': String(ids[1]) })]
  for (const each of opened) await each.next('caught_up')
  ids.push(...(await publish(gateway, room, chat(4))))
  for (const [index, each] of opened.entries()) {
    await each.waitFor(({ events }) => events.some(({ id }) => id === String(ids[3])))
    const seen = each.events.filter(({ event }) => event !== 'heartbeat')
    const before = ids.slice(index * 2, 3).map(() => 'message')
    assert.equal(
      seen.map(({ event }) => event),
      ['hello', ...before, 'caught_up', 'message'],
    )
    const messages = seen.filter(({ event }) => event === 'message')
    assert.equal(
      messages.map(({ id, data }) => [id, data.db_id]),
      ids.slice(index * 2).map((id) => [String(id), id]),
    )
  }
  assert.equal(await received(`${eventUrl({ url: '' }, room)}/stream`), ids)
})

streams('deliver the same object as REST', async () => {
  const room = newRoom()
  await publish(gateway, room, chats(3))
  const opened = await streamOf(room)
  await opened.next('caught_up')
  await publish(gateway, room, [chat(4), chat(5)])
  await opened.waitFor((seen) => collectIds(seen).length === 5)
  const { text } = await getJson(`${eventUrl(gateway, room)}/messages`)
  for (const { event, rawData } of opened.events) if (event === 'new_message') assert.ok(text.includes(rawData))
})

streams('send a heartbeat every HEARTBEAT_SECONDS, without an id', async () => {
  const opened = await streamOf(newRoom())
  await opened.waitFor(({ events }) => events.filter(({ event }) => event === 'heartbeat').length >= 3)
  const beats = opened.events.filter(({ event }) => event === 'heartbeat')
  const times = beats.map(({ data }) => Date.parse(data.server_time))
  for (const beat of beats) assert.equal([beat.id, Object.keys(beat.data)], [undefined, ['server_time']])
  for (const [index, time] of times.slice(1).entries()) assert.ok(time - times[index]! > 400, times.join())
  assert.is(opened.lastEventId, '0')
})

streams('carry one event only, and an unknown event is an empty channel', async () => {
  const room = newRoom()
  const opened = await streamOf(room)
  assert.equal((await opened.next('caught_up')).data, { last_message_db_id: 0 })
  await publish(gateway, newRoom(), chats(5))
  const [id] = await publish(gateway, room, chat(1))
  await opened.next('new_message')
  assert.equal(collectIds(opened), [id])
})

streams('send a message whose JSON has line breaks as one event', async () => {
  const room = newRoom()
  const body = '{\r\n  "a": 1,\r"b": [\n1,\n\n2],\r\n\r\n"text": "line\\nline\\r\\n\\u2028\u2028"\n}\n'
  const [id] = await publish(gateway, room, body)
  const opened = await streamOf(room)
  await opened.next('caught_up')
  await publish(gateway, room, body)
  const messages = (): ParsedEvent[] => opened.events.filter(({ event }) => event === 'new_message')
  await opened.waitFor(() => messages().length === 2)
  const [history, live] = messages()
  assert.ok(history?.data && live?.data, `no JSON: ${live?.rawData}`)
  for (const { data } of [history, live]) {
    assert.equal([data.a, data.b, data.text], [1, [1, 2], 'line\nline\r\n\u2028\u2028'])
  }
  assert.is(history.data.db_id, id)
  assert.not.match(opened.raw().toString(), /\r/)
})

streams('keep every digit and the bytes of every script', async () => {
  const room = newRoom()
  const opened = await streamOf(room)
  await opened.next('caught_up')
  const text = '安全指挥官 🛡️ \u202e ünï \u0001'
  const number = '{"playbook_id": 12302548181076029, "f": 1.0}'
  await publish(gateway, room, chat(1, { text }))
  await publish(gateway, room, number)
  await opened.waitFor((seen) => collectIds(seen).length === 2)
  const [first, second] = opened.events.filter(({ event }) => event === 'new_message')
  assert.is(first?.data.text, text)
  assert.ok(second?.rawData.startsWith(number.slice(0, -1)), second?.rawData)
})

const TYPES = ['llm_request', 'llm_response', 'command_result']
const mixed = (n: number): Json => chat(n, { message_type: TYPES[n % 3], message_from: n % 2 ? '_captain' : 'system' })

streams('filter by type and sender, in history and live, and send caught_up if nothing matches', async () => {
  const room = newRoom()
  const cases: [string, (message: Json) => boolean][] = [
    ['message_type=llm_request', (m) => m.message_type === TYPES[0]],
    ['message_type=llm_request,command_result', (m) => m.message_type !== TYPES[1]],
    ['message_from=system', (m) => m.message_from === 'system'],
    [
      'message_type=llm_response&message_from=_captain',
      (m) => m.message_type === TYPES[1] && m.message_from[0] === '_',
    ],
    ['message_type=nothing', () => false],
  ]
  const before = chats(30, mixed)
  const ids = await publish(gateway, room, before)
  const readers: SseStream[] = []
  for (const [query, keep] of cases) {
    const opened = await streamOf(room, `?${query}`)
    const { data } = await opened.next('caught_up')
    const expected = ids.filter((_, index) => keep(before[index]))
    assert.equal(collectIds(opened), expected, query)
    assert.is(data.last_message_db_id, expected.at(-1) ?? 0, query)
    readers.push(opened)
  }
  ids.push(...(await publish(gateway, room, before)))
  for (const [index, [query, keep]] of cases.entries()) {
    const expected = ids.filter((_, at) => keep(before[at % 30]))
    const opened = readers[index]!
    await opened.waitFor((seen) => collectIds(seen).length >= expected.length)
    assert.equal(collectIds(opened), expected, query)
  }
})

streams('join several events in one global order with one cursor', async () => {
  const [a, b, c] = [newRoom(), newRoom(), newRoom()]
  const ids: number[] = []
  for (let n = 0; n < 5; n++) for (const room of [b, a, c]) ids.push(...(await publish(gateway, room, chats(2))))
  const opened = await stream(several([a, b, c, a]))
  await opened.next('caught_up')
  for (const room of [c, a, b]) ids.push(...(await publish(gateway, room, chat(9))))
  await opened.waitFor((seen) => collectIds(seen).length >= ids.length)
  assert.equal(collectIds(opened), ids)
  const cursor = ids[15]!
  const resumed = await stream(several([a, b, c]), { 'last-event-id': String(cursor) })
  await resumed.next('caught_up')
  assert.equal(collectIds(resumed), ids.slice(16))
  const two = await received(several([a, c], '&message_type=llm_response'))
  const [ofA, ofC] = [await restIds(gateway, a), await restIds(gateway, c)]
  assert.equal(
    two,
    [...ofA, ...ofC].sort((x, y) => x - y),
  )
})

streams('carry all events for *, future ones included', async () => {
  const opened = await stream('/api/stream?event_id=*&last_message_db_id=latest')
  await opened.next('caught_up')
  const ids: number[] = []
  for (const room of [newRoom(), newRoom('新'), newRoom('a.b/c')]) ids.push(...(await publish(gateway, room, chats(2))))
  await opened.waitFor((seen) => collectIds(seen).length >= 6)
  assert.equal(collectIds(opened), ids)
  const all = await received('/api/stream?event_id=*')
  assert.equal(all.slice(-6), ids)
  const events = (await getJson(`${gateway.url}/api/events?limit=1000`)).body.data
  assert.is(
    all.length,
    events.reduce((sum: number, { messages }: Json) => sum + messages, 0),
  )
})

streams('accept 1 to 100 events, and * only alone', async () => {
  const rooms = chats(100, () => newRoom('many'))
  const [id] = await publish(gateway, rooms[99], chat(1))
  assert.equal(await received(several(rooms)), [id])
  isError(await getJson(`${gateway.url}${several([...rooms, 'one-more'])}`), 400, 'too_many_events')
  isError(await getJson(`${gateway.url}/api/stream`), 400, 'invalid_query')
  isError(await getJson(`${gateway.url}${several(['*', 'a'])}`), 400, 'invalid_query')
  isError(await getJson(`${gateway.url}${several(['*', '*'])}`), 400, 'invalid_query')
  isError(await getJson(`${gateway.url}/api/stream?event_id=`), 400, 'invalid_event_id')
  isError(await getJson(`${gateway.url}/api/stream?event_id=a%0Ab`), 400, 'invalid_event_id')
})

streams('refuse a malformed query with an error that is no event stream', async () => {
  const bad = ['', '-1', '1.5', 'abc', '1e3', '99999999999999999999', 'LATEST']
  const queries = [
    ...bad.flatMap((value) => [`last_message_db_id=${value}`, `tail=${value}`]),
    'tail=latest',
    'tail=5001',
    'tail=1&tail=2',
    'last_message_db_id=1&last_message_db_id=2',
    'event=',
    'event=room',
  ]
  for (const query of queries) {
    isError(await getJson(`${gateway.url}/api/events/room/stream?${query}`), 400, 'invalid_query')
  }
})

streams('end at once for HEAD', async () => {
  const { status, headers, text } = await request('HEAD', `${gateway.url}/api/events/room/stream`)
  assert.equal([status, text, headers['content-type']], [200, '', 'text/event-stream; charset=utf-8'])
})

/** HTTP/2 does not order responses. */
const onlyHttp1 = (name: string, body: () => Promise<void>): void => {
  if (TRANSPORT === 'http1') streams(name, body)
}

/** Writes requests to one connection and returns the data received once `done` is true. */
const pipelined = (paths: string[], done: (answer: string) => boolean): Promise<string> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(gateway.url)
    const socket = net.connect(Number(port), hostname, () =>
      socket.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`).join('')),
    )
    let answer = ''
    const timer = setTimeout(() => socket.destroy(new Error(`not done: ${answer}`)), WAIT_MS)
    socket.on('data', (chunk) => {
      answer += chunk
      if (done(answer)) socket.destroy()
    })
    socket.once('error', reject)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve(answer)
    })
  })

onlyHttp1('stay whole when more requests follow on the same connection', async () => {
  const room = newRoom()
  await publish(gateway, room, chats(2))
  const path = `/api/events/${room}/stream`
  const answer = await pipelined([path, '/livez', path], (seen) => seen.split('event: heartbeat').length > 3)
  assert.is(answer.split('HTTP/1.1 ').length, 2, answer)
  assert.is(answer.split('event: hello').length, 2, answer)
  assert.is(answer.split('event: new_message').length, 3, answer)
})

onlyHttp1('put no byte in front of an earlier answer on the same connection', async () => {
  const room = newRoom()
  await publish(gateway, room, chats(2))
  const stream = `/api/events/${room}/stream`
  const done = (seen: string): boolean => seen.includes('heartbeat') || seen.endsWith('{"live":true}}')
  const answer = await pipelined(['/api/events?limit=1000', stream, stream, '/livez'], done)
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
  const heads = answer.split('HTTP/1.1 ').slice(1)
  const body = heads[0]!.slice(heads[0]!.indexOf('\r\n\r\n') + 4)
  assert.is(JSON.parse(body).status, 'success')
})

streams('release their memory when clients disconnect while they are being served', async () => {
  const room = newRoom()
  await publish(gateway, room, chats(500))
  for (let n = 0; n < 40; n++) (await streamOf(room)).close()
  const gone = async (): Promise<boolean> => (await metric(gateway, 'gateway_subscribers')) === 0
  await until(gone, { what: 'no readers' })
  assert.equal(listDbIds((await getJson(`${eventUrl(gateway, room)}/messages`)).body.data).length, 500)
})

streams.run()
