// needs: rabbitmq, pika
// workers: 1; full: 1, 3
import { deflateSync, gzipSync } from 'node:zlib'
import * as assert from 'uvu/assert'
import { PikaPublisher } from '../../support/clients/pika.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, postJson, until } from '../../support/harness/wait.ts'
import { messageRows, rejectedRows } from '../../support/servers/database.ts'
import { type SharedBroker, sharedBroker } from '../../support/servers/rabbitmq.ts'
import {
  FIXTURE,
  FIXTURE_EVENT,
  KEY,
  listMessages,
  openStage,
  type Stage,
  waitForMessages,
} from '../../support/stages/stage.ts'

const test = suite('ingest')

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

let broker: SharedBroker
let stage: Stage

test.before(async () => {
  broker = await sharedBroker()
  stage = await openStage(broker.url, 'ingest')
})

test.after(async () => {
  await stage?.dispose()
  await broker?.dispose()
})

/** Publishes bodies to one event and returns its rows once all are stored. */
const storedAs = async (event_id: string, bodies: string[], properties = {}) => {
  await stage.publish(bodies, properties)
  await until(() => messageRows(stage.gateway.dbFile, event_id).length >= bodies.length, {
    what: `${bodies.length} rows of ${JSON.stringify(event_id.slice(0, 40))}`,
  })
  return messageRows(stage.gateway.dbFile, event_id)
}

test('messages of agents reach a subscriber of their event, in order and digit for digit', async () => {
  const stream = await stage.open(FIXTURE_EVENT)
  await stage.publish(FIXTURE)
  const events = await waitForMessages(stream, FIXTURE.length)
  assert.is(FIXTURE.length, 10)
  assert.equal(
    events.map(({ data }) => data.message_id),
    FIXTURE.map((text) => JSON.parse(text).message_id),
  )
  const ids = events.map(({ data }) => data.db_id as number)
  assert.ok(ids.every((id, index) => Number.isInteger(id) && id > (ids[index - 1] ?? 0)))
  for (const [index, { id, data, rawData }] of events.entries()) {
    const published = FIXTURE[index]!
    assert.is(id, String(data.db_id))
    const published_at_front = published.slice(0, published.lastIndexOf('}'))
    assert.ok(rawData.startsWith(`${published_at_front},`), `message ${index} is not the text that was published`)
    assert.match(data.received_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  }
  const digits = events.filter(({ rawData }) => rawData.includes('12302548181076029')).length
  assert.is(digits, FIXTURE.filter((text) => text.includes('12302548181076029')).length)
  assert.ok(digits > 0)
  stream.close()
})

test('the stored text is the published text, byte for byte', () => {
  const rows = messageRows(stage.gateway.dbFile, FIXTURE_EVENT)
  assert.equal(
    rows.map(({ body }) => body),
    FIXTURE,
  )
  assert.is(rows[0]!.message_from, 'system')
  assert.is(rows[0]!.message_type, 'llm_request')
  assert.is(rows[0]!.round_id, 1)
})

test('the same messages published again are stored once and not sent again', async () => {
  const before = messageRows(stage.gateway.dbFile, FIXTURE_EVENT)
  const stream = await stage.open(FIXTURE_EVENT)
  await waitForMessages(stream, FIXTURE.length)
  await stage.publish(FIXTURE)
  const last = JSON.stringify({ event_id: FIXTURE_EVENT, message_id: 'after the second time' })
  await stage.publish([last])
  const events = await waitForMessages(stream, FIXTURE.length + 1)
  assert.is(events.length, FIXTURE.length + 1)
  assert.is(events.at(-1)!.data.message_id, 'after the second time')
  assert.equal(messageRows(stage.gateway.dbFile, FIXTURE_EVENT).slice(0, -1), before)
  assert.equal(rejectedRows(stage.gateway.dbFile), [])
  stream.close()
})

test('the message_id of the AMQP property serves where the body has none, and makes the message unique', async () => {
  const body = '{"event_id":"property","message_content":1}'
  await stage.publish([body, body], { message_id: 'from-the-property' })
  await stage.publish(['{"event_id":"property","message_id":"in-the-body"}'], { message_id: 'loses' })
  await until(() => messageRows(stage.gateway.dbFile, 'property').length === 2)
  assert.equal(
    messageRows(stage.gateway.dbFile, 'property').map(({ message_id }) => message_id),
    ['from-the-property', 'in-the-body'],
  )
  const stream = await stage.open('property')
  const [first, second] = await waitForMessages(stream, 2)
  assert.is(first!.data.message_id, 'from-the-property')
  assert.ok(second!.rawData.startsWith('{"event_id":"property","message_id":"in-the-body","received_at":'))
  stream.close()
})

test('each message without a message_id gets its own UUIDv7', async () => {
  const body = '{"event_id":"unnamed","message_content":"same"}'
  const rows = await storedAs('unnamed', [body, body])
  assert.is(rows.length, 2)
  assert.is.not(rows[0]!.message_id, rows[1]!.message_id)
  for (const { message_id } of rows) assert.match(message_id, UUID_V7)
})

test('numbers, signs and line separators are stored and sent as they were written', async () => {
  const body = `{"event_id":"text","message_id":"t","a":1.10,"b":-0,"c":1E+2,"d":12302548181076029,"e":"\u2028\u2029","f":"\\u00e9" , "g":"é𝄞"}`
  const [row] = await storedAs('text', [body])
  assert.is(row!.body, body)
  const stream = await stage.open('text')
  const [event] = await waitForMessages(stream, 1)
  assert.ok(event!.rawData.startsWith(body.slice(0, -1)))
  assert.equal(stream.parseErrors, [])
  stream.close()
})

test('line breaks between tokens are stored as they are and do not break the stream', async () => {
  const body = '{\r\n  "event_id": "lines",\n  "message_id": "l",\r  "n": 12302548181076029\n}\n'
  const [row] = await storedAs('lines', [body])
  assert.is(row!.body, body)
  const stream = await stage.open('lines')
  const [event] = await waitForMessages(stream, 1)
  assert.is(event!.data.message_id, 'l')
  assert.ok(event!.rawData.includes('12302548181076029'))
  assert.is(listMessages(stream).length, 1)
  stream.close()
})

test('Python’s NaN is quarantined, and messages next to it arrive', async () => {
  const before = rejectedRows(stage.gateway.dbFile).length
  const lines = [
    { key: KEY, py: '{"event_id":"py","message_id":"1","message_content":{"score":0.5}}' },
    { key: KEY, py: '{"event_id":"py","message_id":"2","message_content":{"score":NaN}}' },
    { key: KEY, py: '{"event_id":"py","message_id":"3","message_content":{"score":Infinity}}' },
    { key: KEY, py: '{"event_id":"py","message_id":"4","message_content":"中文"}' },
  ]
  await stage.agent.publishAll(lines)
  const rejected = (await stage.rejected(before + 2)).slice(before)
  assert.equal(
    rejected.map(({ reason }) => reason),
    ['invalid_json', 'invalid_json'],
  )
  assert.ok(rejected[0]!.body.toString().includes('NaN'))
  await until(() => messageRows(stage.gateway.dbFile, 'py').length === 2)
  const rows = messageRows(stage.gateway.dbFile, 'py')
  assert.equal(
    rows.map(({ message_id }) => message_id),
    ['1', '4'],
  )
  assert.ok(rows[1]!.body.includes('\\u4e2d\\u6587'), 'json.dumps escapes, and so it stays')
})

test('a body is read by its bytes, whatever its content type and the character set that it names', async () => {
  const kinds = [
    { content_type: 'text/plain' },
    { content_type: '' },
    { content_type: 'application/json; charset=gbk' },
    { content_type: 'application/octet-stream' },
    { content_type: 'application/json', content_encoding: 'utf-8' },
    { content_type: 'application/json', content_encoding: 'identity' },
  ]
  for (const [n, kind] of kinds.entries()) {
    await stage.publish([`{"event_id":"kinds","message_id":"k${n}","n":12302548181076029}`], kind)
  }
  const agent = new PikaPublisher({ url: broker.url, exchange: stage.names.exchange })
  const none = { content_type: null } as unknown as { content_type: string }
  await agent.publish({ key: KEY, body: '{"event_id":"kinds","message_id":"last"}', properties: none })
  await agent.close()
  await until(() => messageRows(stage.gateway.dbFile, 'kinds').length === kinds.length + 1)
  const rows = messageRows(stage.gateway.dbFile, 'kinds')
  assert.is(rows[4]!.body, '{"event_id":"kinds","message_id":"k4","n":12302548181076029}')
})

test('a compressed body is stored as the text that was compressed', async () => {
  const text = (n: number) => `{"event_id":"compressed","message_id":"z${n}","n":12302548181076029}`
  await stage.publish([gzipSync(text(0))], { content_encoding: 'gzip' })
  await stage.publish([deflateSync(text(1))], { content_encoding: 'deflate' })
  await stage.publish([text(0)])
  await until(() => messageRows(stage.gateway.dbFile, 'compressed').length === 2, { what: 'both messages' })
  assert.equal(
    messageRows(stage.gateway.dbFile, 'compressed').map(({ body }) => body),
    [text(0), text(1)],
  )
})

test('a body that cannot be decompressed is quarantined as it arrived, with what is wrong', async () => {
  const before = rejectedRows(stage.gateway.dbFile).length
  const text = '{"event_id":"compressed","message_id":"z9"}'
  const bomb = gzipSync(Buffer.alloc(20 * 1024 * 1024))
  await stage.publish([text], { content_encoding: 'klingon' })
  await stage.publish([text], { content_encoding: 'gzip' })
  await stage.publish([bomb], { content_encoding: 'gzip' })
  await stage.publish([gzipSync('{"event_id":"compressed","message_id":"z0"}')], { content_encoding: 'gzip' })
  const rows = (await stage.rejected(before + 4)).slice(before)
  assert.equal(
    rows.map(({ reason }) => reason),
    ['unsupported_content_encoding', 'invalid_content_encoding', 'body_too_large', 'message_conflict'],
  )
  assert.match(rows[0]!.detail, '"klingon"')
  assert.equal(Buffer.from(rows[2]!.body), bomb)
  // The conflict is stored as text, so a replay must not decompress it again.
  const { body } = await postJson(`${stage.gateway.url}/api/rejected/${rows[3]!.rejected_id}/replay`, '')
  assert.is(body.data.reason, 'message_conflict', JSON.stringify(body))
})

test('an event id may hold dots, Chinese, slashes and 255 characters, and its stream is its own', async () => {
  const ids = ['a.b.c', '事件.一', 'with/slash & space?#%', 'é'.repeat(255), '𝄞'.repeat(255), '*', '#', ' ']
  await stage.publish(ids.map((event_id, n) => JSON.stringify({ event_id, message_id: `id-${n}` })))
  for (const [n, event_id] of ids.entries()) {
    const stream = await stage.open(event_id)
    const [event] = await waitForMessages(stream, 1)
    assert.is(event!.data.message_id, `id-${n}`)
    assert.is(event!.data.event_id, event_id)
    stream.close()
  }
})

test('the event comes from the body, whatever the routing key says', async () => {
  const keys = ['notifications.frontend.other.chat', 'notifications.frontend', 'notifications.frontend.a.b.c.d']
  const lines = keys.map((key, n) => ({ key, body: JSON.stringify({ event_id: 'by-body', message_id: `${n}` }) }))
  await stage.agent.publishAll(lines)
  await until(() => messageRows(stage.gateway.dbFile, 'by-body').length === keys.length)
  assert.equal(messageRows(stage.gateway.dbFile, 'other'), [])
})

test('thousands of messages of several agents keep the order of each', async () => {
  const agents = await Promise.all(
    [0, 1, 2].map(() => new PikaPublisher({ url: broker.url, exchange: stage.names.exchange, confirms: false })),
  )
  const each = [2_000, 2_000, 1_000]
  const total = 5_000
  const stream = await stage.open('many')
  await Promise.all(
    agents.map((agent, who) =>
      agent.publishAll(
        Array.from({ length: each[who]! }, (_, n) => ({
          key: KEY,
          body: JSON.stringify({ event_id: 'many', message_id: `${who}-${n}`, message_from: `agent-${who}`, n }),
        })),
      ),
    ),
  )
  const events = await waitForMessages(stream, total)
  for (const [who, count] of each.entries()) {
    const mine = events.filter(({ data }) => data.message_from === `agent-${who}`).map(({ data }) => data.n as number)
    assert.is(mine.length, count)
    assert.ok(
      mine.every((n, index) => n === index),
      `agent ${who} is out of order`,
    )
  }
  await Promise.all(agents.map((agent) => agent.close()))
  stream.close()
})

test('everything was acknowledged: nothing returns to the queue when the gateway exits', async () => {
  assert.is((await getJson(`${stage.gateway.url}/readyz`)).status, 200)
  assert.is(await stage.leftInQueue(), 0)
  const connects = stage.gateway
    .logs()
    .filter(({ component, msg }) => component === 'consumer' && msg === 'component recovered')
  const workers = new Set(connects.map(({ worker }) => worker))
  assert.ok(workers.size > 0 && connects.length === workers.size, 'no acknowledgement was refused by the broker')
})

test.run()
