// workers: 1; full: 1, 3
import net from 'node:net'
import { deflateSync, gzipSync } from 'node:zlib'
import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type HttpResult, type Json, postJson, request, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway, tellsOfFault } from '../../support/servers/gateway.ts'
import { startLocalGateway } from '../../support/servers/local-gateway.ts'
import { chat, chats, eventUrl, isError, listDbIds, newRoom, publish, restIds } from '../../support/stages/rooms.ts'

const MAX = 1024 * 1024

let gateway: Gateway

const post = (event_id: string, payload: unknown, headers: Record<string, string> = {}): Promise<HttpResult> =>
  postJson(`${eventUrl(gateway, event_id)}/messages`, payload, { headers })

/** Sends the raw bytes of a request. Resolves with the data received until the end or until `done` is true. */
const raw = (text: string, done: (answer: string) => boolean): Promise<string> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(gateway.url)
    const socket = net.connect(Number(port), hostname, () => socket.write(text))
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk
      if (done(answer)) socket.destroy()
    })
    socket.once('error', reject)
    socket.once('close', () => resolve(answer))
  })

const publishing = suite('POST /api/events/:event_id/messages')

publishing.before(async () => {
  gateway = await startGateway()
})
publishing.after(() => gateway.dispose())

publishing('stores one message and returns its ids', async () => {
  const room = newRoom()
  const { status, body } = await post(room, chat(1))
  assert.is(status, 201)
  assert.is(body.status, 'success')
  assert.equal(Object.keys(body.data).sort(), ['db_id', 'message_id'])
  assert.match(body.data.message_id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  const named = await post(room, chat(2, { message_id: 'mine', event_id: room }))
  assert.is(named.body.data.message_id, 'mine')
  assert.ok(named.body.data.db_id > body.data.db_id)
  assert.equal(await restIds(gateway, room), [body.data.db_id, named.body.data.db_id])
})

publishing('stores an array in order, with whitespace anywhere JSON allows it', async () => {
  const room = newRoom()
  const { status, body } = await post(room, ` \r\n\t[ {"n":1} ,\n\n{"n":2, "message_id":"two"},\t{ } ]\n `)
  assert.is(status, 201)
  assert.is(body.data.length, 3)
  assert.is(body.data[1].message_id, 'two')
  const stored = (await getJson(`${eventUrl(gateway, room)}/messages`)).body.data
  assert.equal(
    stored.map(({ n }: Json) => n),
    [1, 2, undefined],
  )
  assert.equal(listDbIds(stored), listDbIds(body.data))
})

publishing('keeps numbers, escapes and brackets of an array as they were written', async () => {
  const room = newRoom()
  const bodies = [
    '{"id":12302548181076029,"a":[1.0,[2e2]],"b":-0}',
    '{"text":"],[ \\"} , { \\\\","u":"\\u4e8b\\u4ef6"}',
    '{"deep":{"list":[{"n":123456789012345678901234567890}]}, "end":"\\\\"}',
  ]
  const { status } = await post(room, `[${bodies.join(',')}]`)
  assert.is(status, 201)
  const { text } = await getJson(`${eventUrl(gateway, room)}/messages`)
  for (const body of bodies) assert.ok(text.includes(body.slice(0, -1)), `${body} in ${text}`)
})

publishing('rejects a whole array for one invalid message, and reports its index', async () => {
  const room = newRoom()
  const cases: [unknown, string][] = [
    [[chat(1), chat(2), { message_type: 5 }, { round_id: 'x' }], 'invalid_message_type'],
    [[chat(1), chat(2), 7], 'not_an_object'],
    [[chat(1), chat(2), []], 'not_an_object'],
    [[chat(1), chat(2), { round_id: 1.5 }], 'invalid_round_id'],
    [[chat(1), chat(2), { message_from: {} }], 'invalid_message_from'],
    [[chat(1), chat(2), { message_id: '' }], 'invalid_message_id'],
    [[chat(1), chat(2), { event_id: 'other' }], 'event_mismatch'],
  ]
  for (const [payload, code] of cases) {
    const answer = await post(room, payload)
    isError(answer, 400, code)
    assert.is(answer.body.index, 2)
  }
  assert.equal(await restIds(gateway, room), [])
})

publishing('accepts 1 to 1,000 messages at once', async () => {
  const room = newRoom()
  isError(await post(room, '[]'), 400, 'empty_batch')
  isError(await post(room, ' [ \n ] '), 400, 'empty_batch')
  isError(await post(room, chats(1_001)), 413, 'batch_too_large')
  assert.equal(await restIds(gateway, room), [])
  const { status, body } = await post(room, chats(1_000))
  assert.is(status, 201)
  assert.equal(await restIds(gateway, room), listDbIds(body.data))
})

publishing('rejects each kind of invalid message with its own code', async () => {
  const room = newRoom()
  const cases: [string | Buffer, string][] = [
    ['', 'invalid_json'],
    ['{"a":1', 'invalid_json'],
    ['{"a":NaN}', 'invalid_json'],
    ['{"a":-Infinity}', 'invalid_json'],
    ["{'a':1}", 'invalid_json'],
    ['{"a":1,}', 'invalid_json'],
    ['{"a":"\n"}', 'invalid_json'],
    ['\uFEFF{"a":1}', 'invalid_json'],
    ['{"a":1} {"b":2}', 'invalid_json'],
    ['[{"a":1},]', 'invalid_json'],
    ['[{"a":1}] x', 'invalid_json'],
    ['[{"a":1} {"b":2}]', 'invalid_json'],
    ['[{"a":1},\u00a0{"b":2}]', 'invalid_json'],
    ['[{]', 'invalid_json'],
    ['[[[[', 'invalid_json'],
    ['[[]]', 'not_an_object'],
    ['"text"', 'not_an_object'],
    ['12', 'not_an_object'],
    ['null', 'not_an_object'],
    [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'invalid_utf8'],
    [Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]), 'invalid_utf8'],
    [JSON.stringify({ message_id: 'x'.repeat(256) }), 'invalid_message_id'],
    [JSON.stringify({ event_id: 5 }), 'invalid_event_id'],
    [JSON.stringify({ event_id: 'another' }), 'event_mismatch'],
  ]
  for (const [payload, code] of cases) {
    const answer = await post(room, payload)
    assert.is(answer.body?.code, code, `${payload}: ${answer.text}`)
    isError(answer, 400, code)
  }
  assert.equal(await restIds(gateway, room), [])
})

publishing('a batch that is slow to parse does not block other requests', async () => {
  const local = await startLocalGateway()
  const hard = `{"message_content":[${'{},'.repeat(345_000)}1]}`
  const batch = `[${Array(14).fill(hard).join(',')},nothing]`
  let pending = true
  const refusal = postJson(`${eventUrl(local, 'room')}/messages`, batch).finally(() => (pending = false))
  // CPU time, which does not depend on the load of the machine.
  let [worst, whole] = [0, 0]
  for (let last = process.threadCpuUsage(); pending; last = process.threadCpuUsage()) {
    await new Promise(setImmediate)
    const { user, system } = process.threadCpuUsage(last)
    worst = Math.max(worst, user + system)
    whole += user + system
  }
  isError(await refusal, 400, 'invalid_json')
  await local.stop()
  assert.ok(worst < whole / 2, `${worst} of ${whole} microseconds in one turn of the event loop`)
})

publishing('accepts a message of MAX_MESSAGE_BYTES and rejects one byte more', async () => {
  const room = newRoom()
  const sized = (bytes: number): string => `{"a":"${'x'.repeat(bytes - 8)}"}`
  assert.is((await post(room, sized(MAX))).status, 201)
  isError(await post(room, sized(MAX + 1)), 413, 'body_too_large')
  const inArray = await post(room, `[{"a":1},${sized(MAX + 1)}]`)
  isError(inArray, 413, 'body_too_large')
  assert.is(inArray.body.index, 1)
  assert.is((await post(room, `[${sized(MAX)},${sized(MAX)}]`)).status, 201)
  assert.is((await restIds(gateway, room)).length, 3)
})

publishing('stops reading a request that is too long, announced or not', async () => {
  const room = newRoom()
  const head = `POST /api/events/${room}/messages HTTP/1.1\r\nHost: ${new URL(gateway.url).host}\r\n`
  const complete = (answer: string): boolean => answer.endsWith('}')
  const announced = await raw(`${head}Content-Length: 99999999\r\n\r\n{"a":`, complete)
  const chunk = 'x'.repeat(0x1000000)
  const chunked = await raw(`${head}Transfer-Encoding: chunked\r\n\r\n1000000\r\n${chunk}\r\n4\r\nmore`, complete)
  for (const answer of [announced, chunked]) {
    assert.match(answer, /^HTTP\/1\.1 413 /)
    assert.match(answer, /"code":"body_too_large"/)
    assert.match(answer, /\r\nConnection: close\r\n/i)
  }
  assert.equal(await restIds(gateway, room), [])
})

publishing(
  'stores a message_id once per event: the same body again is a duplicate, another one a conflict',
  async () => {
    const room = newRoom()
    const first = await post(room, chat(1, { message_id: 'm' }))
    const again = await post(room, chat(1, { message_id: 'm' }))
    assert.is(again.status, 201)
    assert.equal(again.body.data, { message_id: 'm', db_id: first.body.data.db_id, duplicate: true })
    const conflict = await post(room, chat(2, { message_id: 'm' }))
    isError(conflict, 409, 'message_conflict')
    const elsewhere = await post(newRoom(), chat(2, { message_id: 'm' }))
    assert.is(elsewhere.status, 201)
    assert.not(elsewhere.body.data.duplicate)
    assert.equal(await restIds(gateway, room), [first.body.data.db_id])
    const quarantined = gateway.logs().filter(({ msg }) => msg === 'messages quarantined')
    assert.equal(quarantined, [], 'a conflict over HTTP is answered, not quarantined')
  },
)

publishing('reports for an array which message was a duplicate and which a conflict', async () => {
  const room = newRoom()
  await post(room, chat(1, { message_id: 'm1' }))
  const twice = chat(3, { message_id: 'm3' })
  const fine = await post(room, [chat(1, { message_id: 'm1' }), chat(2), twice, twice])
  assert.is(fine.status, 201)
  const told = fine.body.data.map(({ duplicate }: Json) => duplicate ?? false)
  assert.equal(told, [true, false, false, true])
  const answer = await post(room, [chat(4, { message_id: 'm4' }), chat(9, { message_id: 'm1' })])
  isError(answer, 409, 'message_conflict')
  assert.equal(
    answer.body.results.map(({ message_id, code }: Json) => [message_id, code]),
    [
      ['m4', undefined],
      ['m1', 'message_conflict'],
    ],
  )
  const stored = await restIds(gateway, room)
  assert.is(stored.length, 4)
  assert.is(stored.at(-1), answer.body.results[0].db_id)
})

publishing('takes Idempotency-Key as the message_id of a single message', async () => {
  const room = newRoom()
  const key = { 'idempotency-key': 'key-1' }
  const first = await post(room, chat(1), key)
  assert.is(first.body.data.message_id, 'key-1')
  assert.equal((await post(room, chat(1), key)).body.data, { ...first.body.data, duplicate: true })
  isError(await post(room, chat(2), key), 409, 'message_conflict')
  isError(await post(room, [chat(1)], key), 400, 'invalid_message_id')
  isError(await post(room, chat(1), { 'idempotency-key': 'x'.repeat(256) }), 400, 'invalid_message_id')
  const own = await post(room, chat(3, { message_id: 'own' }), key)
  assert.is(own.body.data.message_id, 'own')
  assert.is((await restIds(gateway, room)).length, 2)
})

publishing('decompresses a body according to its Content-Encoding, and stores the published text', async () => {
  const room = newRoom()
  const text = '{"n":12302548181076029,"message_content":"先取证"}'
  const sent: [string, Buffer | string][] = [
    ['gzip', gzipSync(text)],
    ['X-GZIP', gzipSync(text)],
    ['deflate', deflateSync(text)],
    ['identity', text],
    ['utf-8', text],
  ]
  for (const [encoding, payload] of sent) {
    assert.is((await post(room, payload, { 'content-encoding': encoding })).status, 201, encoding)
  }
  assert.is((await post(room, gzipSync(`[${text},${text}]`), { 'content-encoding': 'gzip' })).body.data.length, 2)
  const { text: stored } = await getJson(`${eventUrl(gateway, room)}/messages`)
  assert.is(stored.split(text.slice(0, -1)).length - 1, 7)
})

publishing(
  'rejects encodings that it does not support or that do not fit, and bodies that decompress to too much',
  async () => {
    const room = newRoom()
    for (const encoding of ['br', 'zstd', 'gzip, gzip']) {
      const refused = await post(room, chat(1), { 'content-encoding': encoding })
      isError(refused, 415, 'unsupported_content_encoding')
      assert.ok(refused.body.message.includes(encoding), refused.text)
      assert.is(refused.headers['accept-encoding'], 'gzip, deflate')
    }
    for (const payload of ['{}', gzipSync('{}').subarray(0, 9), Buffer.alloc(0)]) {
      isError(await post(room, payload, { 'content-encoding': 'gzip' }), 400, 'invalid_content_encoding')
    }
    const large = gzipSync(JSON.stringify({ pad: 'x'.repeat(MAX) }))
    isError(await post(room, large, { 'content-encoding': 'gzip' }), 413, 'body_too_large')
    const bomb = gzipSync(Buffer.alloc(64 * MAX))
    isError(await post(room, Buffer.concat([bomb, bomb, bomb]), { 'content-encoding': 'gzip' }), 413, 'body_too_large')
    const revocation = await request('POST', `${gateway.url}/api/revocations`, gzipSync(Buffer.alloc(MAX)), {
      headers: { 'content-encoding': 'gzip' },
    })
    isError(revocation, 413, 'body_too_large')
    assert.equal(await restIds(gateway, room), [])
  },
)

publishing('rejects pages of other sites, but not its own pages and programs', async () => {
  const room = newRoom()
  const { host } = new URL(gateway.url)
  for (const origin of ['https://evil.example', 'null', `http://${host}.evil.example`, 'http://localhost:1', host]) {
    isError(await post(room, chat(1), { origin }), 403, 'origin_forbidden')
  }
  assert.equal(await restIds(gateway, room), [])
  for (const origin of [`http://${host}`, `https://${host}`]) {
    assert.is((await post(room, chat(1), { origin })).status, 201, origin)
  }
  const url = `${eventUrl(gateway, room)}/messages`
  assert.is((await getJson(url, { headers: { origin: 'https://evil.example' } })).status, 200)
})

publishing('discards an aborted request, and nothing else', async () => {
  const room = newRoom()
  const aborted = async (headers: Record<string, string>): Promise<void> => {
    const abort = new AbortController()
    const { hostname, port } = new URL(gateway.url)
    const socket = net.connect({ host: hostname, port: Number(port), signal: abort.signal })
    socket.on('error', () => {})
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const head = `POST /api/events/${room}/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n${lines.join('')}\r\n`
    await new Promise((resolve) => socket.once('data', resolve).write(head))
    const chunk = headers['Transfer-Encoding'] ? '20\r\n{"a":1' : '{"a":1}'
    await new Promise((resolve) => socket.write(chunk, resolve))
    abort.abort()
  }
  for (let n = 0; n < 20; n++) await aborted(n % 2 ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': '8' })
  const [id] = await publish(gateway, room, chat(1))
  assert.equal(await restIds(gateway, room), [id])
  const open = (): Promise<Json> => getJson(`${gateway.url}/readyz`)
  assert.is((await open()).status, 200)
  assert.not(
    gateway.logs().some(({ msg, level }) => tellsOfFault(level) || msg?.includes('failed')),
    gateway.output(),
  )
})

publishing('stores 200 concurrent requests, each message once and in the order of its ids', async () => {
  const room = newRoom()
  const answers = await Promise.all(
    chats(200).map((message, n) => post(room, n % 10 ? message : [message, chat(1_000 + n)])),
  )
  const ids: number[] = []
  for (const { status, text, body } of answers) {
    assert.is(status, 201, text)
    ids.push(...listDbIds([body.data].flat()))
  }
  assert.is(ids.length, 220)
  assert.is(new Set(ids).size, 220)
  assert.equal(
    await restIds(gateway, room),
    ids.sort((a, b) => a - b),
  )
})

publishing('counts stored messages and duplicates', async () => {
  const figures = async (): Promise<number[]> => {
    const { text } = await request('GET', `${gateway.url}/metrics`)
    return ['stored', 'duplicate'].map((name) =>
      Number(new RegExp(`^gateway_messages_${name}_total (\\d+)$`, 'm').exec(text)?.[1]),
    )
  }
  const [stored, duplicates] = (await figures()) as [number, number]
  await publish(gateway, newRoom(), [chat(1, { message_id: 'a' }), chat(1, { message_id: 'a' }), chat(2)])
  await until(async () => (await figures()).join() === `${stored + 2},${duplicates + 1}`, { what: 'the figures' })
})

publishing.run()
