// workers: 1; full: 1, 3
import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import * as assert from 'uvu/assert'
import { collectIds, openSse } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type HttpResult, type Json, postJson } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import {
  chat,
  chats,
  eventUrl,
  isError,
  listDbIds,
  newRoom,
  publish,
  readPages,
  restIds,
} from '../../support/stages/rooms.ts'

let gateway: Gateway
const read = (event_id: string, query = ''): Promise<HttpResult> =>
  getJson(`${eventUrl(gateway, event_id)}/messages${query === '' ? '' : `?${query}`}`)

/** Pages backwards from `before` until has_more is false. */
const readBackwards = async (event_id: string, before: number, query: string): Promise<Json[]> => {
  const messages: Json[] = []
  let from = before
  for (;;) {
    const { status, text, body } = await read(event_id, `before=${from}&${query}`)
    assert.is(status, 200, text)
    messages.unshift(...body.data)
    if (!body.has_more) return messages
    from = body.data[0].db_id
  }
}

const messages = suite('GET /api/events/:event_id/messages')

messages.before(async () => {
  gateway = await startGateway()
})
messages.after(() => gateway.dispose())

messages('answers an event without messages with an empty page', async () => {
  const { status, body } = await read(newRoom('unknown'))
  assert.is(status, 200)
  const { log_id, ...rest } = body
  assert.match(log_id, /^[0-9a-f-]{36}$/)
  assert.equal(rest, { status: 'success', data: [], last_message_db_id: 0, has_more: false })
})

messages('delivers the published text with the keys of the gateway at its end', async () => {
  const room = newRoom()
  const [db_id] = await publish(gateway, room, { playbook: 1, nested: { event_id: 'x' } })
  const own = { message_id: 'mine', event_id: room, db_id: 'theirs', received_at: 'theirs' }
  const [second] = await publish(gateway, room, own)
  const { body, text } = await read(room)
  const [first, last] = body.data
  assert.equal(Object.keys(first), ['playbook', 'nested', 'event_id', 'message_id', 'received_at', 'db_id'])
  assert.equal([first.event_id, first.db_id, first.nested], [room, db_id, { event_id: 'x' }])
  assert.ok(Math.abs(Date.parse(first.received_at) - Date.now()) < 3_600_000, first.received_at)
  assert.is(new Date(first.received_at).toISOString(), first.received_at)
  assert.match(
    text,
    `{"message_id":"mine","event_id":"${room}","db_id":"theirs","received_at":"theirs","received_at":"`,
  )
  assert.equal([last.db_id, last.message_id], [second, 'mine'])
})

messages('keeps every digit and the spelling of a number', async () => {
  const room = newRoom()
  const body = '{"playbook_id": 12302548181076029, "a":1.0, "b":1e2, "c":-0, "d":0.10000000000000000001}'
  await publish(gateway, room, body)
  const { text } = await read(room)
  assert.ok(text.includes(body.slice(0, -1)), text)
})

messages('pages by 500 unless told otherwise, and by at most 5,000', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(5_001))
  const usual = (await read(room)).body
  assert.equal(listDbIds(usual.data), ids.slice(0, 500))
  assert.equal([usual.has_more, usual.last_message_db_id], [true, ids[499]])
  for (const limit of ['5000', '5001', '9007199254740991']) {
    const most = (await read(room, `limit=${limit}`)).body
    assert.is(most.data.length, 5_000)
    assert.is(most.has_more, true)
  }
  const rest = (await read(room, `limit=5000&last_message_db_id=${ids[4_999]}`)).body
  assert.equal(listDbIds(rest.data), ids.slice(5_000))
  assert.is(rest.has_more, false)
})

messages('sets has_more exactly if another message follows', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(10))
  await publish(gateway, newRoom(), chats(3))
  for (const [limit, more] of [
    [9, true],
    [10, false],
    [11, false],
    [1, true],
  ] as const) {
    const { body } = await read(room, `limit=${limit}`)
    assert.is(body.has_more, more, `limit ${limit}`)
    assert.is(body.last_message_db_id, ids[Math.min(limit, 10) - 1])
  }
  const { body } = await read(room, `last_message_db_id=${ids[9]}`)
  assert.equal([body.data, body.has_more, body.last_message_db_id], [[], false, ids[9]])
})

messages('returns no messages, and the cursor to continue from, after the latest message', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(3))
  await publish(gateway, newRoom(), chats(2))
  const { body } = await read(room, 'last_message_db_id=latest')
  assert.equal([body.data, body.has_more, body.last_message_db_id], [[], false, ids[2]])
})

messages('responds to a cursor from the future with a reset and the whole history', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(3))
  const { body } = await read(room, 'last_message_db_id=9007199254740991')
  assert.equal(body.reset, { reason: 'cursor_ahead', first_db_id: ids[0] })
  assert.equal(listDbIds(body.data), ids)
})

messages('refuses malformed parameters', async () => {
  const bad = ['', '-1', '1.5', 'abc', '1e3', '0x10', '+1', '%201', '99999999999999999999', '9007199254740992']
  const queries = [
    ...bad.flatMap((value) => [`limit=${value}`, `last_message_db_id=${value}`, `before=${value}`]),
    'limit=0',
    'before=latest',
    'limit=1&limit=2',
    'last_message_db_id=1&last_message_db_id=1',
    'before=1&last_message_db_id=1',
    `message_type=${'a,'.repeat(101)}`,
  ]
  for (const query of queries) {
    const answer = await read('room', query)
    assert.is(answer.status, 400, `${query}: ${answer.text}`)
    isError(answer, 400, 'invalid_query')
  }
})

messages('pages backwards to the beginning without gaps or duplicates', async () => {
  const room = newRoom()
  const other = newRoom()
  const ids: number[] = []
  for (let round = 0; round < 7; round++) {
    ids.push(...(await publish(gateway, room, chats(3))))
    await publish(gateway, other, chats(2))
  }
  for (const limit of [1, 4, 7, 20, 21, 22]) {
    assert.equal(listDbIds(await readBackwards(room, ids[20]! + 1, `limit=${limit}`)), ids, `limit ${limit}`)
  }
  const { body } = await read(room, `before=${ids[10]}&limit=4`)
  assert.equal(listDbIds(body.data), ids.slice(6, 10))
  assert.is(body.has_more, true)
  assert.is(body.last_message_db_id, ids[9])
  for (const before of [ids[0], 1, 0]) {
    const first = (await read(room, `before=${before}`)).body
    assert.equal([first.data, first.has_more], [[], false], `before ${before}`)
  }
})

const TYPES = ['llm_request', 'llm_response', 'command_result']
const SENDERS = ['_captain', '_manager', 'system', 'ünïcode 用户']
const mixed = (n: number): Json => chat(n, { message_type: TYPES[n % 3], message_from: SENDERS[n % 4] })

messages('filters by type and sender, comma-separated and combined', async () => {
  const room = newRoom()
  const wanted = chats(60, mixed)
  const ids = await publish(gateway, room, wanted)
  await publish(gateway, room, { message_content: 'neither type nor sender' })
  const expect = async (query: string, keep: (message: Json) => boolean): Promise<void> => {
    const expected = ids.filter((_, index) => keep(wanted[index]))
    for (const limit of [1, 7, 500]) {
      assert.equal(await restIds(gateway, room, `${query}&limit=${limit}`), expected, `${query} limit ${limit}`)
      const backwards = await readBackwards(room, ids[59]! + 10, `${query}&limit=${limit}`)
      assert.equal(listDbIds(backwards), expected, `${query} backwards, limit ${limit}`)
    }
  }
  await expect('message_type=llm_request', (m) => m.message_type === TYPES[0])
  await expect('message_type=llm_request,command_result', (m) => m.message_type !== TYPES[1])
  await expect('message_type=llm_request&message_type=command_result', (m) => m.message_type !== TYPES[1])
  await expect(`message_from=${encodeURIComponent(SENDERS[3]!)}`, (m) => m.message_from === SENDERS[3])
  const both = (m: Json): boolean => m.message_type === TYPES[2] && [SENDERS[0], SENDERS[1]].includes(m.message_from)
  await expect('message_type=command_result&message_from=_captain,%20_manager', both)
  await expect('message_type=nothing', () => false)
  await expect('message_type=LLM_REQUEST', () => false)
})

messages('reads the aliases source and type for a filter', async () => {
  const room = newRoom()
  const [id] = await publish(gateway, room, { source: '_expert', type: 'note', content: 'x' })
  assert.equal(await restIds(gateway, room, 'message_from=_expert&message_type=note'), [id])
})

messages('finds a single match after thousands of filtered messages', async () => {
  const room = newRoom()
  await publish(gateway, room, chats(3_000))
  const [needle] = await publish(gateway, room, chat(0, { message_type: 'needle' }))
  await publish(gateway, room, chats(3_000))
  const { body } = await read(room, 'message_type=needle&limit=10')
  assert.equal([listDbIds(body.data), body.has_more], [[needle], false])
  assert.equal(await restIds(gateway, room, 'message_type=needle&limit=1'), [needle])
})

messages('ends a page of large bodies early and sets has_more', async () => {
  const room = newRoom()
  const ids: number[] = []
  for (let n = 0; n < 12; n++) ids.push(...(await publish(gateway, room, chat(n, { filler: 'x'.repeat(900_000) }))))
  const pages = await readPages(gateway, room)
  assert.ok(pages.length > 1, 'one page holds more than 10 MB')
  assert.ok(
    pages.every((page) => page.length > 0),
    'a page is empty',
  )
  assert.equal(listDbIds(pages.flat()), ids)
  assert.equal(listDbIds(await readBackwards(room, ids[11]! + 1, 'limit=500')), ids)
})

messages('distinguishes events with unusual ids', async () => {
  const awkward = [
    'a.b',
    'a/b',
    'a%2Fb',
    'a b',
    'a+b',
    'a?b#c',
    '事件-1',
    '*',
    '%',
    '..a',
    '🙂',
    'A.B',
    "a'b",
    '\u00e9',
    'e\u0301',
  ]
  const ids = new Map<string, number>()
  for (const event_id of awkward) ids.set(event_id, (await publish(gateway, event_id, chat(1)))[0]!)
  for (const event_id of awkward) {
    const { body } = await read(event_id)
    assert.equal(listDbIds(body.data), [ids.get(event_id)], event_id)
    assert.is(body.data[0].event_id, event_id)
  }
})

messages('refuses a path that is no UTF-8 and an id that is too long or holds control characters', async () => {
  for (const path of ['%', '%zz', '%ff', 'a%c3', '%e4%ba']) {
    isError(await getJson(`${gateway.url}/api/events/${path}/messages`), 400, 'invalid_path')
  }
  for (const id of ['a\nb', '\0', '\u007f', 'x'.repeat(256), '字'.repeat(256)]) {
    isError(await read(id), 400, 'invalid_event_id')
  }
  for (const id of ['y'.repeat(255), '字'.repeat(255)]) assert.is((await read(id)).status, 200)
})

messages('refuses the events . and .., which no client can name in a path, wherever they are named', async () => {
  const ask = async (method: string, path: string): Promise<HttpResult> => {
    const { hostname, port } = new URL(gateway.url)
    // fetch and URL resolve such a path.
    const sent = http.request({ hostname, port, method, path }).end(method === 'POST' ? '{}' : undefined)
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    const text = (await response.toArray()).join('')
    return { status: response.statusCode!, headers: response.headers, body: JSON.parse(text), text }
  }
  for (const id of ['.', '..', '%2e', '%2E%2e', '.%2E']) {
    for (const path of [`/api/events/${id}/messages`, `/api/events/${id}/stream`]) {
      isError(await ask('GET', path), 400, 'invalid_event_id')
    }
    isError(await ask('POST', `/api/events/${id}/messages`), 400, 'invalid_event_id')
    isError(await getJson(`${gateway.url}/api/stream?event_id=${id}`), 400, 'invalid_event_id')
  }
  const room = newRoom()
  await publish(gateway, room, chat(1))
  isError(await postJson(`${eventUrl(gateway, room)}/messages`, { event_id: '..' }), 400, 'invalid_event_id')
})

messages('returns the same messages in pages as the stream, whatever the filter', async () => {
  const room = newRoom()
  await publish(gateway, room, chats(700, mixed))
  for (const query of ['', 'message_type=llm_request', 'message_from=system&message_type=llm_request,command_result']) {
    const stream = await openSse(`${eventUrl(gateway, room)}/stream?${query}`)
    await stream.next('caught_up')
    stream.close()
    const pages = await readPages(gateway, room, `${query}&limit=37`)
    assert.equal(listDbIds(pages.flat()), collectIds(stream), query)
    const streamed = stream.events.filter(({ event }) => event === 'new_message').map(({ data }) => data)
    assert.equal(pages.flat(), streamed)
    assert.ok(streamed.length > 50)
  }
})

messages.run()
