// needs: rabbitmq, pika
// workers: 1; full: 1, 3
import { createHash } from 'node:crypto'
import * as assert from 'uvu/assert'
import { openSse } from '../../support/clients/sse.ts'
import { failpointProgram } from '../../support/harness/program.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, until } from '../../support/harness/wait.ts'
import { messageRows, type RejectedRow, rejectedRows } from '../../support/servers/database.ts'
import { type SharedBroker, sharedBroker } from '../../support/servers/rabbitmq.ts'
import { KEY, openStage, type Stage, streamUrl, waitForMessages } from '../../support/stages/stage.ts'

const test = suite('quarantine')

const LIMIT = 1_048_576
const MB = 1_000_000

/** Escaped, so that the body is valid UTF-8 and only the id is not text. */
const LONE_SURROGATE = '"\\ud800"'
const DEEP = '['.repeat(100_000)

/** pika sends an integer of this size as type `l`. */
const BIG = { type: 'l', value: '12302548181076029' }

const BAD: [what: string, reason: string, body: string | Buffer][] = [
  ['invalid UTF-8', 'invalid_utf8', Buffer.from('{"event_id":"e","x":"\xff"}', 'latin1')],
  ['a cut UTF-8 sequence', 'invalid_utf8', Buffer.concat([Buffer.from('{"event_id":"'), Buffer.from([0xe4, 0xb8])])],
  ['UTF-8 of a surrogate', 'invalid_utf8', Buffer.from('{"event_id":"\xed\xa0\x80"}', 'latin1')],
  ['UTF-16', 'invalid_utf8', Buffer.from('\ufeff{"event_id":"e"}', 'utf16le')],
  ['an empty body', 'invalid_json', ''],
  ['white space', 'invalid_json', '  \n'],
  ['NaN', 'invalid_json', '{"event_id":"e","x":NaN}'],
  ['-Infinity', 'invalid_json', '{"event_id":"e","x":-Infinity}'],
  ['truncated JSON', 'invalid_json', '{"event_id":"e","x":['],
  ['two objects', 'invalid_json', '{"event_id":"e"}{"event_id":"e"}'],
  ['a raw control character in a string', 'invalid_json', '{"event_id":"e","x":"\u0001"}'],
  ['a byte order mark', 'invalid_json', '\ufeff{"event_id":"e"}'],
  ['a Python literal', 'invalid_json', "{'event_id': 'e'}"],
  ['brackets without end', 'invalid_json', DEEP],
  ['an array', 'not_an_object', '[{"event_id":"e"}]'],
  ['deep arrays', 'not_an_object', DEEP + DEEP.replaceAll('[', ']')],
  ['a number', 'not_an_object', '12302548181076029'],
  ['a string', 'not_an_object', '"event_id"'],
  ['null', 'not_an_object', 'null'],
  ['true', 'not_an_object', 'true'],
  ['no event_id', 'invalid_event_id', '{"message_id":"m"}'],
  ['an empty object', 'invalid_event_id', '{}'],
  ['event_id null', 'invalid_event_id', '{"event_id":null}'],
  ['an empty event_id', 'invalid_event_id', '{"event_id":""}'],
  ['an event_id of 256 characters', 'invalid_event_id', JSON.stringify({ event_id: 'x'.repeat(256) })],
  ['an event_id of 256 characters beyond the BMP', 'invalid_event_id', JSON.stringify({ event_id: '𝄞'.repeat(256) })],
  ['a line break in event_id', 'invalid_event_id', '{"event_id":"a\\nb"}'],
  ['NUL in event_id', 'invalid_event_id', '{"event_id":"a\\u0000"}'],
  ['DEL in event_id', 'invalid_event_id', '{"event_id":"a\\u007f"}'],
  ['a C1 control in event_id', 'invalid_event_id', '{"event_id":"a\\u0085"}'],
  ['a lone surrogate as event_id', 'invalid_event_id', `{"event_id":${LONE_SURROGATE}}`],
  ['. as event_id', 'invalid_event_id', '{"event_id":"."}'],
  ['.. as event_id', 'invalid_event_id', '{"event_id":".."}'],
  ['event_id as a number', 'invalid_event_id', '{"event_id":5}'],
  ['event_id as an array', 'invalid_event_id', '{"event_id":["e"]}'],
  ['event_id as an object', 'invalid_event_id', '{"event_id":{"toString":"e"}}'],
  ['event_id twice, the last one wrong', 'invalid_event_id', '{"event_id":"e","event_id":7}'],
  ['event_id only in __proto__', 'invalid_event_id', '{"__proto__":{"event_id":"e"}}'],
  ['message_id as a number', 'invalid_message_id', '{"event_id":"e","message_id":12302548181076029}'],
  ['message_id as an object', 'invalid_message_id', '{"event_id":"e","message_id":{}}'],
  ['message_id false', 'invalid_message_id', '{"event_id":"e","message_id":false}'],
  ['an empty message_id', 'invalid_message_id', '{"event_id":"e","message_id":""}'],
  ['a message_id of 256', 'invalid_message_id', JSON.stringify({ event_id: 'e', message_id: 'x'.repeat(256) })],
  ['a lone surrogate as message_id', 'invalid_message_id', `{"event_id":"e","message_id":${LONE_SURROGATE}}`],
  ['message_from as a number', 'invalid_message_from', '{"event_id":"e","message_from":1}'],
  ['source as an object', 'invalid_message_from', '{"event_id":"e","source":{}}'],
  ['message_type as an array', 'invalid_message_type', '{"event_id":"e","message_type":[]}'],
  ['type as a boolean', 'invalid_message_type', '{"event_id":"e","type":true}'],
  ['round_id 1.5', 'invalid_round_id', '{"event_id":"e","round_id":1.5}'],
  ['round_id 1e300', 'invalid_round_id', '{"event_id":"e","round_id":1e300}'],
  ['round_id beyond 2^53', 'invalid_round_id', '{"event_id":"e","round_id":9007199254740993}'],
  ['round_id as a word', 'invalid_round_id', '{"event_id":"e","round_id":"one"}'],
  ['3 MB', 'body_too_large', JSON.stringify({ event_id: 'e', pad: 'x'.repeat(3 * MB) })],
  ['one byte too many', 'body_too_large', `{"event_id":"e","pad":"${'x'.repeat(LIMIT - 24)}"}`],
  ['20 MB', 'body_too_large', Buffer.alloc(20 * MB, '{"event_id":"e"} ')],
]

const bytesOf = (body: string | Buffer): Buffer => (typeof body === 'string' ? Buffer.from(body) : body)
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

let broker: SharedBroker
let stage: Stage

test.before(async () => {
  broker = await sharedBroker()
  stage = await openStage(broker.url, 'quarantine', { env: { MAX_MESSAGE_BYTES: String(LIMIT) } })
})

test.after(async () => {
  await stage?.dispose()
  await broker?.dispose()
})

test('every bad body is quarantined whole and with its reason, between neighbours that arrive in order', async () => {
  const stream = await stage.open('neighbours')
  const good = (n: number) => ({ key: KEY, body: `{"event_id":"neighbours","message_id":"n${n}"}` })
  const bad = (n: number) => ({
    key: `notifications.frontend.bad.${n}`,
    body_base64: bytesOf(BAD[n]![2]).toString('base64'),
    properties: { headers: { n, big: BIG }, app_id: 'test', message_id: `bad-${n}` },
  })
  await stage.agent.publishAll(BAD.flatMap((_, n) => [good(n), bad(n)]))
  await stage.agent.publish(good(BAD.length))
  const events = await waitForMessages(stream, BAD.length + 1)
  assert.equal(
    events.map(({ data }) => data.message_id),
    Array.from({ length: BAD.length + 1 }, (_, n) => `n${n}`),
  )
  const rows = rejectedRows(stage.gateway.dbFile)
  assert.equal(
    rows.map(({ reason }, n) => [BAD[n]?.[0], reason]),
    BAD.map(([what, reason]) => [what, reason]),
  )
  for (const [n, row] of rows.entries()) {
    const [what, , body] = BAD[n]!
    const whole = bytesOf(body)
    assert.is(row.body_bytes, whole.length, what)
    assert.is(row.sha256, sha256(whole), what)
    assert.ok(row.body.equals(whole.subarray(0, LIMIT)), `${what}: the body as far as the limit`)
    assert.is(row.routing_key, `notifications.frontend.bad.${n}`)
    assert.is(row.exchange, stage.names.exchange)
    assert.equal(JSON.parse(row.headers), { n, big: '12302548181076029' }, what)
    const properties = JSON.parse(row.properties)
    assert.is(properties.messageId, `bad-${n}`)
    assert.is(properties.appId, 'test')
    assert.ok(row.detail.length > 0, `${what}: a detail`)
  }
  assert.equal(messageRows(stage.gateway.dbFile, 'e'), [])
  stream.close()
})

test('a body of exactly the limit is a message', async () => {
  const body = `{"event_id":"limit","pad":"${'x'.repeat(LIMIT - 29)}"}`
  assert.is(Buffer.byteLength(body), LIMIT)
  await stage.publish([body])
  await until(() => messageRows(stage.gateway.dbFile, 'limit').length === 1)
  assert.is(messageRows(stage.gateway.dbFile, 'limit')[0]!.body, body)
})

test('unusual but valid bodies are messages: duplicate keys, deep nesting, prototype names, nulls', async () => {
  const before = rejectedRows(stage.gateway.dbFile).length
  const deep = DEEP + DEEP.replaceAll('[', ']')
  const bodies = [
    '{"event_id":"first","event_id":"odd","message_id":"twice","message_id":"o0"}',
    `{"event_id":"odd","message_id":"o1","message_content":${deep}}`,
    '{"event_id":"odd","message_id":"o2","__proto__":{"event_id":"x"},"constructor":1,"hasOwnProperty":null}',
    '{"event_id":"odd","message_id":"o3","message_from":null,"message_type":null,"round_id":null,"source":"s","type":"t"}',
    '{"event_id":"odd","message_id":"o4","round_id":3.0,"received_at":"mine","db_id":7}',
    '{"event_id":"odd","message_id":"__proto__","toString":"x"}',
  ]
  await stage.publish(bodies)
  await until(() => messageRows(stage.gateway.dbFile, 'odd').length === bodies.length)
  const rows = messageRows(stage.gateway.dbFile, 'odd')
  assert.equal(
    rows.map(({ body }) => body),
    bodies,
  )
  assert.equal(
    rows.map(({ message_id }) => message_id),
    ['o0', 'o1', 'o2', 'o3', 'o4', '__proto__'],
  )
  assert.is(rows[3]!.message_from, 's')
  assert.is(rows[3]!.message_type, 't')
  assert.is(rows[4]!.round_id, 3)
  assert.is(rejectedRows(stage.gateway.dbFile).length, before)
  assert.equal(messageRows(stage.gateway.dbFile, 'first'), [])
  const stream = await stage.open('odd')
  const events = await waitForMessages(stream, bodies.length)
  assert.is(events[4]!.data.db_id, rows[4]!.db_id, 'the key of the gateway wins')
  assert.is(events[0]!.data.message_id, 'o0')
  stream.close()
  const plain = await stage.open('plain')
  await stage.publish(['{"event_id":"plain","message_id":"p"}'])
  const [event] = await waitForMessages(plain, 1)
  assert.equal(Object.keys(event!.data).sort(), ['db_id', 'event_id', 'message_id', 'received_at'])
  plain.close()
})

test('a rejected message is visible to SQL by the time a later neighbour is sent', async () => {
  const rounds = 200
  const before = rejectedRows(stage.gateway.dbFile).length
  const late: string[] = []
  const stream = await openSse(streamUrl(stage.gateway, 'commit'), {
    onEvent: ({ event, data }) => {
      if (event !== 'new_message') return
      const set_aside = rejectedRows(stage.gateway.dbFile).length - before
      if (set_aside < data.n) late.push(`${data.n}: ${set_aside}`)
    },
  })
  const bodies = Array.from({ length: rounds }, (_, n) => [
    `{"bad":${n}}`,
    `{"event_id":"commit","message_id":"c${n}","n":${n + 1}}`,
  ])
  await stage.publish(bodies.flat())
  await waitForMessages(stream, rounds)
  assert.equal(late, [])
  stream.close()
})

const aside = async (event_id: string, bodies: string[], rows: number): Promise<RejectedRow[]> => {
  const before = rejectedRows(stage.gateway.dbFile).length
  await stage.publish([...bodies, JSON.stringify({ event_id, message_id: 'end' })])
  await until(() => messageRows(stage.gateway.dbFile, event_id).some(({ message_id }) => message_id === 'end'))
  const added = rejectedRows(stage.gateway.dbFile).slice(before)
  assert.is(added.length, rows)
  return added
}

test('a message_id that exists with another body is a conflict, and the first one is kept', async () => {
  const first = '{"event_id":"conflict","message_id":"same","v":1}'
  const second = '{"event_id":"conflict","message_id":"same","v":2}'
  const spaced = '{"event_id":"conflict", "message_id":"same","v":1}'
  const added = await aside('conflict', [first, second, first, spaced], 2)
  assert.equal(
    added.map(({ reason, body, sha256: hash }) => [reason, body.toString(), hash]),
    [second, spaced].map((text) => ['message_conflict', text, sha256(Buffer.from(text))]),
  )
  const rows = messageRows(stage.gateway.dbFile, 'conflict')
  assert.is(rows.length, 2)
  assert.is(rows[0]!.body, first)
  assert.match(added[0]!.detail, new RegExp(`\\b${rows[0]!.db_id}\\b`))
})

test('the same message_id in another event is another message', async () => {
  await aside(
    'event-b',
    ['{"event_id":"event-a","message_id":"shared"}', '{"event_id":"event-b","message_id":"shared"}'],
    0,
  )
  assert.is(messageRows(stage.gateway.dbFile, 'event-a').length, 1)
  assert.is(messageRows(stage.gateway.dbFile, 'event-b').length, 2)
})

test('the metrics count what was quarantined, by its reason', async () => {
  const { text } = await getJson(`${stage.gateway.url}/metrics`)
  assert.match(text, /^\w+\{[^}]*reason="message_conflict"[^}]*\} 2$/m)
})

test('message ids that are not UTF-8 are quarantined, each message by itself, unless the body has an id', async () => {
  const before = rejectedRows(stage.gateway.dbFile).length
  const ids = ['e42d31', 'f62d31', 'fc2d31']
  const withId = (hex: string, body: string) => ({
    key: KEY,
    body,
    properties: { message_id_base64: Buffer.from(hex, 'hex').toString('base64') },
  })
  await stage.agent.publishAll([
    ...ids.map((hex) => withId(hex, '{"event_id":"latin-1","n":1}')),
    withId(ids[0]!, '{"event_id":"latin-1","message_id":"own"}'),
  ])
  const rows = (await stage.rejected(before + ids.length)).slice(before)
  assert.equal(
    rows.map(({ reason, properties }) => [reason, JSON.parse(properties).messageId]),
    [0xe4, 0xf6, 0xfc].map((byte) => ['invalid_message_id', `${String.fromCharCode(0xdc00 + byte)}-1`]),
  )
  await until(() => messageRows(stage.gateway.dbFile, 'latin-1').length === 1)
  assert.is(messageRows(stage.gateway.dbFile, 'latin-1')[0]!.message_id, 'own')
})

test('nothing bad stays in the queue', async () => {
  assert.is(await stage.leftInQueue(), 0)
})

test('an invalid message redelivered after a crash is not quarantined twice, one sent twice is', async () => {
  const crashing = await openStage(broker.url, 'crashing', {
    gateway: { entry: failpointProgram() },
    env: { FAILPOINT_STAGE: 'committed', FAILPOINT_NTH: '1' },
  })
  try {
    await crashing.publish(['{"bad":1}', '{"event_id":"good","message_id":"g"}'])
    await until(() => !crashing.gateway.running, { what: 'the crash' })
    assert.ok(rejectedRows(crashing.gateway.dbFile).length >= 1, 'it was committed before the crash')
    await crashing.gateway.restart({ FAILPOINT_STAGE: undefined })
    await crashing.stored(1)
    await crashing.publish(['{"event_id":"good","message_id":"second"}'])
    await crashing.stored(2)
    assert.is(rejectedRows(crashing.gateway.dbFile).length, 1)
    await crashing.publish(['{"bad":1}', '{"event_id":"good","message_id":"third"}'])
    await crashing.stored(3)
    assert.is(rejectedRows(crashing.gateway.dbFile).length, 2)
  } finally {
    await crashing.dispose()
  }
})

test.run()
