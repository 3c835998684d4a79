// needs: rabbitmq
import * as assert from 'uvu/assert'
import { Publisher, type PublisherOptions, type PublisherState } from '../../../src/publisher/index.ts'
import { assertInOrder, declareQueue, rejection, takeAll } from '../../support/clients/agents.ts'
import { WAIT_MS } from '../../support/harness/limits.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, until } from '../../support/harness/wait.ts'
import { startProxy } from '../../support/servers/proxy.ts'
import {
  deleteNames,
  type Names,
  type SharedBroker,
  sharedBroker,
  uniqueNames,
  withChannel,
} from '../../support/servers/rabbitmq.ts'

const test = suite('publisher')

let broker: SharedBroker
let names: Names
const open: Publisher[] = []

test.before(async () => {
  broker = await sharedBroker()
})

test.after(async () => {
  await broker?.dispose()
})

test.before.each(() => {
  names = uniqueNames('publisher')
})

test.after.each(async () => {
  for (const publisher of open.splice(0)) await publisher.close({ timeoutMs: 1 })
  await deleteNames(broker.url, names)
})

const publisherOf = (options: PublisherOptions = {}): Publisher => {
  const publisher = new Publisher({ url: broker.url, exchange: names.exchange, ...options })
  open.push(publisher)
  return publisher
}

/** URL of the broker through a proxy that can fail. */
const lineTo = async () => {
  const line = await startProxy(Number(new URL(broker.url).port))
  const url = new URL(broker.url)
  url.port = String(line.port)
  return { line, url: url.href }
}

test('a message is in the queue, persistent and with its id, when send resolves', async () => {
  await declareQueue(broker.url, names)
  const publisher = publisherOf()
  const { message_id } = await publisher.send({
    event_id: 'war.room 1',
    message_from: '_captain',
    message_type: 'llm_response',
    message_content: 'x',
  })
  await withChannel(broker.url, async (channel) => {
    const message = await channel.basicGet({ queue: names.queue, noAck: true })
    assert.ok(message)
    assert.is(message.routingKey, 'notifications.frontend.war_room_1.llm_response')
    assert.is(message.messageId, message_id)
    assert.is(message.durable, true)
    assert.is(message.contentType, 'application/json')
    assert.equal(message.body, {
      event_id: 'war.room 1',
      message_from: '_captain',
      message_type: 'llm_response',
      message_content: 'x',
      message_id,
    })
  })
  assert.equal(publisher.state, { status: 'ready', error: null, queued: 0 })
})

test('bodies of many frames arrive byte for byte', async () => {
  await declareQueue(broker.url, names)
  const publisher = publisherOf({ maxMessageBytes: 4_000_000 })
  const texts = [1, 131_000, 131_072, 300_000, 3_000_000].map((size) => '内x'.repeat(Math.ceil(size / 4)))
  await Promise.all(texts.map((text, n) => publisher.send({ event_id: 'e', n, text })))
  await withChannel(broker.url, async (channel) => {
    for (const [n, text] of texts.entries()) {
      const message = await channel.basicGet({ queue: names.queue, noAck: true })
      assert.is(message?.body.n, n)
      assert.ok(message?.body.text === text, `${text.length} characters`)
    }
  })
})

test('an unroutable message is refused, and only that one', async () => {
  await declareQueue(broker.url, { ...names, binding: 'notifications.frontend.*.good' })
  const publisher = publisherOf()
  const ids = ['m', '消息'.repeat(127), `a${'😀'.repeat(64)}`, '']
  const sends = ids.flatMap((id) => {
    const message_id = id === '' ? null : id
    return ['bad', 'good', 'bad', 'good'].map((message_type) =>
      publisher.send({ event_id: 'e', message_type, message_id }),
    )
  })
  const outcomes = await Promise.allSettled(sends)
  assert.equal(
    outcomes.map(({ status }) => status),
    ids.flatMap(() => ['rejected', 'fulfilled', 'rejected', 'fulfilled']),
  )
  const error = await rejection(sends[0]!, 'publish_unroutable')
  assert.is(error.deliveryStatus, 'refused')
  assert.is(error.message_id, 'm')
  assert.ok(error.message.includes('notifications.frontend.e.bad'))
  assert.is((await takeAll(broker.url, names.queue)).length, 8)
})

test('a missing exchange is reported immediately, and messages are sent once it exists', async () => {
  const publisher = publisherOf()
  const error = await rejection(publisher.send({ event_id: 'e' }), 'exchange_missing')
  assert.is(error.deliveryStatus, 'not_sent')
  assert.ok(error.cause)
  assert.is(publisher.state.status, 'waiting')
  assert.is(publisher.state.error?.code, 'exchange_missing')
  await declareQueue(broker.url, names)
  await until(() => publisher.state.status === 'ready')
  await publisher.send({ event_id: 'e' })
})

test('an exchange that is deleted under the publisher fails no message silently', async () => {
  await declareQueue(broker.url, names)
  const publisher = publisherOf({ sendTimeoutMs: WAIT_MS })
  await publisher.send({ event_id: 'e' })
  await withChannel(broker.url, (channel) => channel.exchangeDelete({ exchange: names.exchange }))
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => publisher.send({ event_id: 'e' })))
  for (const outcome of outcomes) {
    assert.is(outcome.status, 'rejected')
    const { code, deliveryStatus, cause } = (outcome as PromiseRejectedResult).reason
    // They were sent before the broker reported it.
    assert.is(`${code} ${deliveryStatus}`, 'publish_confirm_timeout unknown')
    assert.is(cause.code, 'exchange_missing')
  }
})

test('messages that a full queue refuses are reported as refused; the others are confirmed', async () => {
  await declareQueue(broker.url, names, { 'x-max-length': 3, 'x-overflow': 'reject-publish' })
  const publisher = publisherOf()
  const outcomes: string[] = []
  for (let n = 0; n < 6; n++) {
    await publisher.send({ event_id: 'e', n }).then(
      () => outcomes.push('confirmed'),
      ({ code, deliveryStatus }) => outcomes.push(`${code} ${deliveryStatus}`),
    )
  }
  const refused = 'publish_nacked refused'
  assert.equal(outcomes, ['confirmed', 'confirmed', 'confirmed', refused, refused, refused])
  const [first, second, third, ...more] = await takeAll(broker.url, names.queue)
  assert.equal([first?.n, second?.n, third?.n, more.length], [0, 1, 2, 0])
})

test('a refused login, a missing vhost and a closed port are each reported with their own error', async () => {
  const login = new URL(broker.url)
  login.password = 'wrong'
  const vhost = new URL(broker.url)
  vhost.pathname = '/nowhere'
  const cases = [
    [login.href, 'broker_auth_failed'],
    [vhost.href, 'broker_vhost_missing'],
    [`amqp://127.0.0.1:${await freePort()}`, 'broker_unreachable'],
  ] as const
  for (const [url, code] of cases) {
    const error = await rejection(publisherOf({ url, sendTimeoutMs: 3_000 }).send({ event_id: 'e' }), code)
    assert.is(error.deliveryStatus, 'not_sent')
    assert.ok(error.cause instanceof Error, 'the cause is there')
    assert.ok(error.hint.length > 10)
    assert.not.match(`${error.message} ${error.cause}`, 'wrong')
  }
})

test('messages above the queue limit are refused immediately', async () => {
  const publisher = publisherOf({ url: 'amqp://127.0.0.1:1', maxQueued: 3, sendTimeoutMs: 1_000 })
  const waiting = [1, 2, 3].map(() => publisher.send({ event_id: 'e' }))
  const over: unknown[] = []
  for (const one of waiting) one.catch((error) => over.push(error))
  const error = await rejection(publisher.send({ event_id: 'e' }), 'queue_full')
  assert.equal(over, [], 'before the deadline of those that wait')
  assert.is(error.deliveryStatus, 'not_sent')
  assert.is(publisher.queued, 3)
  for (const one of waiting) await rejection(one, 'broker_unreachable')
  assert.is(publisher.queued, 0)
  const small = publisherOf({ url: 'amqp://127.0.0.1:1', maxQueuedBytes: 300, sendTimeoutMs: 1_000 })
  const first = small.send({ event_id: 'e', text: 'x'.repeat(400) })
  await rejection(small.send({ event_id: 'e' }), 'queue_full')
  await rejection(first, 'broker_unreachable')
})

test('an unanswered message has the delivery status unknown at its deadline, and can be sent again', async () => {
  await declareQueue(broker.url, names)
  const { line, url } = await lineTo()
  const publisher = publisherOf({ url, sendTimeoutMs: 1_000 })
  await publisher.send({ event_id: 'e', message_id: 'm', n: 0 })
  line.freeze()
  const error = await rejection(publisher.send({ event_id: 'e', message_id: 'm2', n: 1 }), 'publish_confirm_timeout')
  assert.is(error.deliveryStatus, 'unknown')
  assert.is(error.message_id, 'm2')
  assert.ok(error.retryable)
  line.thaw()
  await publisher.send({ event_id: 'e', message_id: 'm2', n: 1 })
  const taken = await takeAll(broker.url, names.queue)
  assertInOrder(taken, 2)
  await line.close()
})

test('a message that was never sent has the delivery status not_sent', async () => {
  const { line, url } = await lineTo()
  line.freeze()
  const error = await rejection(publisherOf({ url, sendTimeoutMs: 500 }).send({ event_id: 'e' }), 'publish_timed_out')
  assert.is(error.deliveryStatus, 'not_sent')
  await line.close()
})

test('lost connections in the middle of a burst lose nothing and keep the order of each event', async () => {
  await declareQueue(broker.url, names, { 'x-queue-type': 'quorum' })
  const { line, url } = await lineTo()
  const publisher = publisherOf({ url, sendTimeoutMs: WAIT_MS })
  let confirmed = 0
  const sends = Array.from({ length: 6_000 }, (_, n) =>
    publisher
      .send({ event_id: `e${n % 3}`, message_id: `m${n}`, n: Math.floor(n / 3), text: 'x'.repeat(300) })
      .then(() => {
        confirmed++
      }),
  )
  for (let round = 1; round <= 4; round++) {
    await until(() => confirmed >= round * 1_000, { everyMs: 1 })
    line.reset()
  }
  await Promise.all(sends)
  assert.ok(line.connections >= 5, `${line.connections} connections`)
  assertInOrder(await takeAll(broker.url, names.queue), 6_000)
  await line.close()
})

test('close waits for messages in flight, and nothing is accepted afterwards', async () => {
  await declareQueue(broker.url, names)
  const states: string[] = []
  const publisher = publisherOf({ onState: ({ status }: PublisherState) => states.push(status) })
  const sends = Array.from({ length: 500 }, (_, n) => publisher.send({ event_id: 'e', n }))
  assert.equal(await publisher.close({ timeoutMs: WAIT_MS }), { queued: 0 })
  await Promise.all(sends)
  await rejection(publisher.send({ event_id: 'e' }), 'publisher_closed')
  assert.equal(states, ['connecting', 'ready', 'closed'])
  assertInOrder(
    (await takeAll(broker.url, names.queue)).map((one) => ({ ...one, n: one.n })),
    500,
  )
})

test('close and flush accept time limits that no timer has, and an infinite one', async () => {
  await declareQueue(broker.url, names)
  const { line, url } = await lineTo()
  const publisher = publisherOf({ url, sendTimeoutMs: 2 ** 40 })
  await publisher.send({ event_id: 'e', n: 0 })
  line.freeze()
  const sent = publisher.send({ event_id: 'e', n: 1 }).catch((error: unknown) => error)
  const flushed = publisher.flush({ timeoutMs: 2 ** 40 })
  const closed = publisher.close({ timeoutMs: Number.POSITIVE_INFINITY })
  // Long enough for a timer of 1 ms.
  for (let n = 0; n < 20; n++) await publisherOf().send({ event_id: 'other', n })
  line.thaw()
  assert.equal([await flushed, await closed], [true, { queued: 0 }])
  assert.type(((await sent) as { message_id?: unknown }).message_id, 'string')
  await line.close()
})

test('messages that are unconfirmed at the deadline of close reject', async () => {
  const publisher = publisherOf({ url: 'amqp://127.0.0.1:1', sendTimeoutMs: WAIT_MS })
  const sent = publisher.send({ event_id: 'e' })
  const told = rejection(sent, 'broker_unreachable')
  assert.equal(await publisher.close({ timeoutMs: 300 }), { queued: 1 })
  assert.is((await told).deliveryStatus, 'not_sent')
})

test('a connection without responses does not delay close', async () => {
  await declareQueue(broker.url, names)
  const { line, url } = await lineTo()
  const publisher = publisherOf({ url })
  await publisher.send({ event_id: 'e' })
  line.freeze()
  const told = rejection(publisher.send({ event_id: 'e' }), 'publish_confirm_timeout')
  // The line is frozen for good: a close that waited for it would never resolve.
  await publisher.close({ timeoutMs: 200 })
  assert.is((await told).deliveryStatus, 'unknown')
  await line.close()
})

test.run()
