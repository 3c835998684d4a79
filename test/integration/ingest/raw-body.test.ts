// needs: rabbitmq, pika
import * as assert from 'uvu/assert'
import { Publisher } from '../../../src/publisher/index.ts'
import { rejection } from '../../support/clients/agents.ts'
import { suite } from '../../support/harness/suite.ts'
import { postJson, until } from '../../support/harness/wait.ts'
import { messageRows } from '../../support/servers/database.ts'
import { type ControlledBroker, controlledBroker, erlangBinary, withChannel } from '../../support/servers/rabbitmq.ts'
import { messagesUrl, openStage, type Stage } from '../../support/stages/stage.ts'

const test = suite('raw-body')

const FRAME_MAX = 16_384

const VHOST = `raw-${process.pid}`

let broker: ControlledBroker
/** The broker's default, in bytes. */
let frameMax: string
let url: string
let stage: Stage

const setFrameMax = (bytes: string | number): Promise<string> =>
  broker.evaluate(`application:set_env(rabbit, frame_max, ${bytes})`)

test.before(async () => {
  broker = await controlledBroker()
  url = `${broker.url}/${VHOST}`
  const [vhost, user, all, by] = [VHOST, 'guest', '.*', 'test'].map(erlangBinary)
  await broker.evaluate(`rabbit_vhost:add(${vhost}, ${by})`)
  await broker.evaluate(
    `rabbit_auth_backend_internal:set_permissions(${user}, ${vhost}, ${all}, ${all}, ${all}, ${by})`,
  )
  frameMax = /\d+/.exec(await broker.evaluate('application:get_env(rabbit, frame_max)'))![0]
  // Smaller than the gateway requests, so that the two sizes differ. It also applies to other test files that connect meanwhile.
  await setFrameMax(FRAME_MAX)
  stage = await openStage(url, 'raw')
})

test.after(async () => {
  await stage?.dispose()
  await setFrameMax(frameMax)
  await broker?.evaluate(`rabbit_vhost:delete(${erlangBinary(VHOST)}, ${erlangBinary('test')})`)
  await broker?.dispose()
})

const rowsOf = async (event_id: string, count: number) => {
  await until(() => messageRows(stage.gateway.dbFile, event_id).length >= count, { what: `${count} of ${event_id}` })
  return messageRows(stage.gateway.dbFile, event_id)
}

/** Returns the number of broker connections since the start; more than one means that one was reset. */
const consumerStarts = (): number =>
  stage.gateway.logs().filter(({ component, msg }) => component === 'consumer' && msg === 'component recovered').length

test('the broker has negotiated smaller frames than requested', async () => {
  // A connection of another test file can end between the two calls.
  const sizes = await broker.evaluate(`[Size || Pid <- rabbit_networking:connections(),
    [{vhost, ${erlangBinary(VHOST)}}, {frame_max, Size}] <- [catch rabbit_reader:info(Pid, [vhost, frame_max])]]`)
  assert.is(sizes, `[${FRAME_MAX}, ${FRAME_MAX}]`)
})

test('a body with content type application/json arrives byte for byte', async () => {
  const body = '{"event_id":"bytes", "message_id":"b","n":12302548181076029,"f":1.10,"e":"\\u0041","d":1,"d":2}'
  await stage.publish([body], { content_type: 'application/json' })
  const [row] = await rowsOf('bytes', 1)
  assert.is(row!.body, body)
})

test('bytes that are not UTF-8 are kept as they are, not replaced', async () => {
  const body = Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])
  await stage.publish([body], { content_type: 'application/json' })
  const rejected = await stage.rejected(1)
  assert.is(rejected.at(-1)!.reason, 'invalid_utf8')
  assert.ok(rejected.at(-1)!.body.equals(body))
})

for (const size of [FRAME_MAX - 8, FRAME_MAX - 7, 40_000, 300_000, 900_000]) {
  test(`a body of ${size} bytes arrives whole over frames of ${FRAME_MAX}, and so do its neighbours`, async () => {
    const event_id = `size-${size}`
    const head = `{"event_id":"${event_id}","message_id":"big","pad":"`
    let pad = ''
    // All parts differ, so that a lost or duplicated frame is detected.
    for (let n = 0; pad.length < size; n++) pad += n.toString(36).padStart(6, '-')
    const body = `${head}${pad.slice(0, size - head.length - 2)}"}`
    assert.is(body.length, size)
    const neighbour = (n: number): string => `{"event_id":"${event_id}","message_id":"n${n}"}`
    await stage.publish([neighbour(1), body, neighbour(2), body.replace('"big"', '"BIG"'), neighbour(3)])
    const rows = await rowsOf(event_id, 5)
    assert.equal(
      rows.map(({ message_id }) => message_id),
      ['n1', 'big', 'n2', 'BIG', 'n3'],
    )
    assert.ok(rows[1]!.body === body, 'the big body is whole')
    assert.ok(rows[3]!.body === body.replace('"big"', '"BIG"'))
  })
}

test('a large body published over HTTP is split into frames that the broker accepts', async () => {
  const body = JSON.stringify({ message_id: 'h', pad: 'x'.repeat(300_000) })
  const answer = await postJson(messagesUrl(stage.gateway, 'big-http'), body)
  assert.is(answer.status, 202, answer.text)
  const [row] = await rowsOf('big-http', 1)
  assert.is(row!.body, `${body.slice(0, -1)},"event_id":"big-http"}`)
})

test("the agents' library cuts a big body into frames that the broker takes, and counts those of one that comes back", async () => {
  const publisher = new Publisher({ url, exchange: stage.names.exchange })
  try {
    const pad = 'x'.repeat(300_000)
    await publisher.send({ event_id: 'big-library', message_id: 'first', pad })
    await withChannel(url, async (channel) => {
      await channel.exchangeDeclare({ exchange: 'nowhere', type: 'topic', autoDelete: true })
      const elsewhere = new Publisher({ url, exchange: 'nowhere' })
      for (const message_id of ['one', 'two']) {
        await rejection(elsewhere.send({ event_id: 'big-library', message_id, pad }), 'publish_unroutable')
      }
      await elsewhere.close()
      await channel.exchangeDelete({ exchange: 'nowhere' })
    })
    await publisher.send({ event_id: 'big-library', message_id: 'second', pad })
  } finally {
    await publisher.close()
  }
  const rows = await rowsOf('big-library', 2)
  assert.equal(
    rows.map(({ message_id, body }) => [message_id, JSON.parse(body).pad.length]),
    [
      ['first', 300_000],
      ['second', 300_000],
    ],
  )
})

test('a header of type L resets no connection: its message is accepted, and the quarantine keeps the number digit for digit', async () => {
  const before = (await stage.rejected(0)).length
  const starts = consumerStarts()
  const headers = {
    task: { type: 'L', value: '9007199254740993' },
    small: { type: 'L', value: '2147483648' },
    least: { type: 'L', value: '-9223372036854775808' },
  }
  await stage.publish(['{"event_id":"headers","message_id":"L"}', '{"bad":"L"}'], { headers })
  await rowsOf('headers', 1)
  const rejected = await stage.rejected(before + 1)
  assert.equal(JSON.parse(rejected.at(-1)!.headers), {
    task: '9007199254740993',
    small: 2147483648,
    least: '-9223372036854775808',
  })
  await stage.publish(['{"event_id":"headers","message_id":"after"}'])
  await rowsOf('headers', 2)
  assert.is(consumerStarts(), starts)
  assert.is(starts, 1)
})

test('headers of every kind, nested ones too, and all properties are kept with a quarantined message', async () => {
  const before = (await stage.rejected(0)).length
  const headers = {
    yes: true,
    nothing: null,
    text: '中文',
    list: [1, 'two', { three: 3 }],
    table: { deep: { deeper: { type: 'L', value: '12302548181076029' } } },
    octet: { type: 'b', value: '-1' },
    short: { type: 's', value: '-300' },
    float: { type: 'd', value: '1.5' },
    bytes: { type: 'x', value: 'raw' },
  }
  await stage.publish(['{"bad":"headers"}'], {
    headers,
    message_id: 'id',
    correlation_id: 'correlation',
    content_encoding: 'identity',
    priority: 3,
    timestamp: 1_783_900_800,
    type: 'kind',
    app_id: 'app',
    delivery_mode: 1,
  })
  const row = (await stage.rejected(before + 1)).at(-1)!
  assert.equal(JSON.parse(row.headers), {
    yes: true,
    nothing: null,
    text: '中文',
    list: [1, 'two', { three: 3 }],
    table: { deep: { deeper: '12302548181076029' } },
    octet: -1,
    short: -300,
    float: 1.5,
    bytes: Buffer.from('raw').toString('base64'),
  })
  const { messageId, correlationId, contentEncoding, priority, timestamp, type, appId, contentType, deliveryMode } =
    JSON.parse(row.properties)
  assert.equal(
    { messageId, correlationId, contentEncoding, priority, timestamp, type, appId, contentType, deliveryMode },
    {
      messageId: 'id',
      correlationId: 'correlation',
      contentEncoding: 'identity',
      priority: 3,
      timestamp: 1_783_900_800,
      type: 'kind',
      appId: 'app',
      contentType: 'application/json',
      deliveryMode: 1,
    },
  )
  assert.is(consumerStarts(), 1)
})

test('everything was acknowledged', async () => {
  await until(async () => (await broker.queueDepth(stage.names.queue, VHOST)) === 0, { what: 'an empty queue' })
})

test.run()
