// needs: rabbitmq
import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { parseTraceparent } from '../../../src/core/trace.ts'
import { openSse } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type Json, postJson, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { type Otlp, startOtlp } from '../../support/servers/otlp.ts'
import {
  type Names,
  type SharedBroker,
  sharedBroker,
  uniqueNames,
  withChannel,
} from '../../support/servers/rabbitmq.ts'
import { eventUrl, newRoom } from '../../support/stages/rooms.ts'
import { brokerEnv, KEY } from '../../support/stages/stage.ts'

const traces = suite('traces')

const CONSUMER = 5
const SERVER = 2
const ERROR = 2

let broker: SharedBroker
let otlp: Otlp
let names: Names
/** In broker mode, with a span receiver. */
let traced: Gateway
/** Embedded, without a span receiver. */
let plain: Gateway

traces.before(async () => {
  ;[broker, otlp] = await Promise.all([sharedBroker(), startOtlp()])
  names = uniqueNames('tracing')
  const OTEL = { OTEL_EXPORTER_OTLP_ENDPOINT: `${otlp.endpoint}/`, OTEL_EXPORTER_OTLP_HEADERS: 'x-key=a%20key, b=2' }
  traced = await startGateway({ env: brokerEnv(broker.url, names, OTEL) })
  plain = await startGateway()
  await traced.ready()
})

traces.after(async () => {
  await plain?.dispose()
  await traced?.dispose()
  await otlp?.dispose()
  await broker?.dispose()
})

/** Returns a new trace and span, as a tracing agent sends them. */
const newTrace = (flags = '01') => {
  const traceId = randomBytes(16).toString('hex')
  const spanId = randomBytes(8).toString('hex')
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${flags}` }
}

const send = (body: string, headers: Record<string, Json>, own = names): Promise<void> =>
  withChannel(broker.url, (channel) =>
    channel.basicPublish({ exchange: own.exchange, routingKey: KEY, headers }, Buffer.from(body)),
  )

/** Returns the messages of an event as a subscriber receives them, once there are `count`. */
const read = async (gateway: Gateway, room: string, count = 1): Promise<Json[]> => {
  const stream = await openSse(`${eventUrl(gateway, room)}/stream`)
  const messages = []
  for (let n = 0; n < count; n++) messages.push((await stream.next('new_message')).data)
  stream.close()
  const { body } = await getJson(`${eventUrl(gateway, room)}/messages`)
  assert.equal(body.data, messages, 'over REST as on the stream')
  return messages
}

traces('lead from the agent through the gateway’s span to the delivered message', async () => {
  const room = newRoom()
  const { traceId, spanId, traceparent } = newTrace()
  const sentAt = performance.now()
  await send(`{"event_id":"${room}","message_id":"m-1","n":1.10}`, { traceparent })
  const [message] = await read(traced, room)
  const span = await otlp.span((one) => one.traceId === traceId, 'of the delivery')
  assert.is(message.traceparent, `00-${traceId}-${span.spanId}-01`, 'whoever reads goes on below it')
  assert.equal([span.parentSpanId, span.kind, span.name], [spanId, CONSUMER, `process ${names.queue}`])
  assert.ok(span.tookMs >= 0, `${span.tookMs} ms`)
  // Its times are whole milliseconds.
  assert.ok(performance.now() - sentAt + 1 >= span.tookMs, `${span.tookMs} ms`)
  assert.is(span.facts['messaging.system'], 'rabbitmq')
  assert.is(span.facts['messaging.destination.name'], names.exchange)
  assert.is(span.facts['messaging.message.id'], 'm-1')
  assert.equal([span.facts['gateway.event_id'], span.facts['gateway.outcome']], [room, 'stored'])
  assert.is(span.facts['gateway.db_id'], message.db_id)
  assert.is(span.resource['service.name'], 'deepsoc-gateway')
  assert.is(span.resource['service.version'], (await getJson(`${traced.url}/readyz`)).body.data.version)
  assert.equal([otlp.headers['x-key'], otlp.headers.b], ['a key', '2'])
})

traces('of an HTTP call continue through the exchange to the consumer', async () => {
  const room = newRoom()
  const { traceId, spanId, traceparent } = newTrace()
  const { status, headers } = await postJson(`${eventUrl(traced, room)}/messages`, [{ n: 1 }, { n: 2 }], {
    headers: { traceparent },
  })
  assert.is(status, 202)
  const messages = await read(traced, room, 2)
  const call = await otlp.span((one) => one.parentSpanId === spanId, 'of the call')
  assert.equal([call.traceId, call.kind, call.name], [traceId, SERVER, 'POST /api/events/:event_id/messages'])
  assert.is(call.facts['gateway.request_id'], headers['x-request-id'])
  assert.is(call.facts['http.response.status_code'], 202)
  for (const { traceparent: own, db_id } of messages) {
    const span = await otlp.span((one) => one.facts['gateway.db_id'] === db_id, `of message ${db_id}`)
    assert.equal([span.traceId, span.parentSpanId], [traceId, call.spanId])
    assert.is(own, `00-${traceId}-${span.spanId}-01`)
  }
})

traces('record errors', async () => {
  const { spanId, traceparent } = newTrace()
  await send('{"event_id":"failing",', { traceparent })
  const span = await otlp.span((one) => one.parentSpanId === spanId, 'of the rejection')
  assert.is(span.status.code, ERROR)
  assert.match(span.status.message!, /^invalid_json: /)
  const conflict = newTrace()
  const room = newRoom()
  for (const n of [1, 2])
    await send(`{"event_id":"${room}","message_id":"m","n":${n}}`, { traceparent: conflict.traceparent })
  const second = await otlp.span((one) => one.facts['gateway.outcome'] === 'conflict', 'of the conflict')
  assert.equal([second.parentSpanId, second.status.message], [conflict.spanId, 'message_conflict'])
  const call = newTrace()
  await postJson(`${eventUrl(traced, 'e')}/messages`, { round_id: 'x' }, { headers: { traceparent: call.traceparent } })
  const failed = await otlp.span((one) => one.parentSpanId === call.spanId, 'of the call')
  assert.is(failed.status.code, ERROR)
  assert.match(failed.status.message!, /^invalid_round_id: /)
  assert.is(failed.facts['http.response.status_code'], 400)
})

traces.full('that are unsampled, or not started by an agent, produce no span', async () => {
  const [quiet, none, last] = [newRoom(), newRoom(), newRoom()]
  const unsampled = newTrace('00')
  await send(`{"event_id":"${quiet}"}`, { traceparent: unsampled.traceparent })
  await send(`{"event_id":"${none}"}`, { traceparent: 'nonsense', other: 1 })
  const sampled = newTrace()
  await send(`{"event_id":"${last}"}`, { traceparent: sampled.traceparent })
  assert.is((await read(traced, quiet))[0].traceparent, unsampled.traceparent, 'passed on all the same')
  assert.is('traceparent' in (await read(traced, none))[0], false)
  await otlp.span((one) => one.parentSpanId === sampled.spanId, 'of the last one')
  const events = otlp.spans.map(({ facts }) => facts['gateway.event_id'])
  assert.equal(
    [quiet, none].filter((room) => events.includes(room)),
    [],
  )
})

traces('pass through unchanged without an endpoint, and override a traceparent in the body', async () => {
  const { traceparent } = newTrace()
  const room = newRoom()
  const body = { traceparent: 'of the body', n: 1 }
  await postJson(`${eventUrl(plain, room)}/messages`, body, { headers: { traceparent } })
  await postJson(`${eventUrl(plain, room)}/messages`, body)
  const [first, second] = await read(plain, room, 2)
  assert.equal([first.traceparent, second.traceparent], [traceparent, 'of the body'])
  await plain.kill9()
  await plain.restart()
  assert.is((await read(plain, room, 2))[0].traceparent, traceparent, 'it is kept with the message')
  const own = uniqueNames('untraced')
  const gateway = await startGateway({ env: brokerEnv(broker.url, own) })
  await gateway.ready()
  const sent = newTrace()
  const before = otlp.spans.length
  await send(`{"event_id":"${room}"}`, { traceparent: sent.traceparent }, own)
  assert.is((await read(gateway, room))[0].traceparent, sent.traceparent)
  await gateway.dispose()
  assert.is(otlp.spans.length, before)
})

traces(
  'delay nothing while the collector is unreachable; the outage and the recovery are logged once each',
  async () => {
    const own = await startOtlp()
    own.answer = 400
    // It must stop without reaching the deadline.
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: own.endpoint, SHUTDOWN_SECONDS: '60' }
    const gateway = await startGateway({ env })
    const room = newRoom()
    const post = async (): Promise<void> => {
      const { traceparent } = newTrace()
      const { status } = await postJson(`${eventUrl(gateway, room)}/messages`, { n: 1 }, { headers: { traceparent } })
      assert.is(status, 201)
    }
    await post()
    await until(() => /trace export failed/.test(gateway.output()), { what: 'the line' })
    assert.is((await getJson(`${gateway.url}/readyz`)).status, 200)
    own.answer = 200
    await post()
    await until(() => /trace export recovered/.test(gateway.output()), { what: 'the line that it is back' })
    await own.dispose()
    await post()
    await until(() => gateway.output().match(/trace export failed/g)?.length === 2, { what: 'the line' })
    await post()
    assert.is((await gateway.term()).code, 0, gateway.output())
    assert.is(gateway.output().match(/trace export failed/g)?.length, 2)
    await gateway.dispose()
  },
)

traces.full('pending spans are sent before exit', async () => {
  const gateway = await startGateway({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: otlp.endpoint, OTEL_SERVICE_NAME: 'mine' } })
  const { spanId, traceparent } = newTrace()
  await postJson(`${eventUrl(gateway, 'e')}/messages`, { n: 1 }, { headers: { traceparent } })
  await gateway.term()
  const span = await otlp.span((one) => one.parentSpanId === spanId, 'of the call')
  assert.is(span.resource['service.name'], 'mine')
  assert.not.match(gateway.output(), 'trace export recovered', 'no export had failed')
  await gateway.dispose()
})

traces('are parsed exactly as W3C Trace Context defines', () => {
  const good = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  assert.is(parseTraceparent(good), good)
  assert.is(parseTraceparent(`cc${good.slice(2)}-what-comes-later`), good)
  assert.is(parseTraceparent(`cc${good.slice(2)}`), good)
  for (const bad of [
    undefined,
    7,
    '',
    `${good}-more`,
    `${good}0`,
    ` ${good}`,
    good.toUpperCase(),
    `ff${good.slice(2)}`,
    `cc${good.slice(2)}more`,
    good.replace(/4b\w+36/, '0'.repeat(32)),
    good.replace('00f067aa0ba902b7', '0'.repeat(16)),
    good.slice(0, -1),
    `${good}"\n`,
  ]) {
    assert.is(parseTraceparent(bad), null, String(bad))
  }
})

traces.run()
