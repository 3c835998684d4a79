// needs: rabbitmq, pika
import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { postJson, until } from '../../support/harness/wait.ts'
import { messageRows } from '../../support/servers/database.ts'
import { type SharedBroker, sharedBroker, withChannel } from '../../support/servers/rabbitmq.ts'
import { messagesUrl, openStage, type Stage, waitForMessages } from '../../support/stages/stage.ts'

const test = suite('broker-publish')

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

let broker: SharedBroker
let stage: Stage

test.before(async () => {
  broker = await sharedBroker()
  stage = await openStage(broker.url, 'publish')
})

test.after(async () => {
  await stage?.dispose()
  await broker?.dispose()
})

/** Deletes both bindings of the queue. */
const unbind = (): Promise<void> =>
  withChannel(broker.url, async (channel) => {
    const { exchange, queue, binding: routingKey } = stage.names
    const second = { note: 'second binding with this key, in case the other one is deleted' }
    await Promise.all([
      channel.queueUnbind({ queue, exchange, routingKey }),
      channel.queueUnbind({ queue, exchange, routingKey, arguments: second }),
    ])
  })

test('messages published over HTTP go through the exchange and arrive once', async () => {
  const event_id = 'over http'
  const stream = await stage.open(event_id)
  const answer = await postJson(messagesUrl(stage.gateway, event_id), '{"message_from":"me","n":12302548181076029}')
  assert.is(answer.status, 202, answer.text)
  assert.match(answer.body.data.message_id, UUID_V7)
  const [event] = await waitForMessages(stream, 1)
  assert.is(event!.data.message_id, answer.body.data.message_id)
  assert.is(event!.data.event_id, event_id)
  assert.ok(event!.rawData.includes('12302548181076029'))
  const many = await postJson(messagesUrl(stage.gateway, event_id), '[{"n":1.10},{"n":2,"message_id":"second"}]')
  assert.is(many.status, 202, many.text)
  const ids = many.body.data.map((one: { message_id: string }) => one.message_id)
  assert.is(ids[1], 'second')
  const events = await waitForMessages(stream, 3)
  assert.equal(
    events.slice(1).map(({ data }) => data.message_id),
    ids,
  )
  const rows = messageRows(stage.gateway.dbFile, event_id)
  assert.is(rows.length, 3)
  assert.ok(rows[1]!.body.includes('1.10'))
  stream.close()
})

test('an Idempotency-Key sent twice makes one message', async () => {
  const send = () =>
    postJson(
      messagesUrl(stage.gateway, 'keyed'),
      { message_content: 'once' },
      { headers: { 'Idempotency-Key': 'key-1' } },
    )
  const answers = [await send(), await send()]
  for (const { status, body } of answers) {
    assert.is(status, 202)
    assert.is(body.data.message_id, 'key-1')
  }
  await postJson(messagesUrl(stage.gateway, 'keyed'), { message_id: 'later' })
  await until(() => messageRows(stage.gateway.dbFile, 'keyed').length >= 2)
  assert.equal(
    messageRows(stage.gateway.dbFile, 'keyed').map(({ message_id }) => message_id),
    ['key-1', 'later'],
  )
})

test('an Idempotency-Key of more bytes than the AMQP property holds is kept whole', async () => {
  const url = messagesUrl(stage.gateway, 'long key')
  const headers = { 'Idempotency-Key': 'é'.repeat(120) }
  const answer = await postJson(url, { message_content: 'once' }, { headers })
  assert.is(answer.status, 202, answer.text)
  const { message_id } = answer.body.data
  assert.ok(Buffer.byteLength(message_id) > 255, message_id)
  await until(() => messageRows(stage.gateway.dbFile, 'long key').length === 1)
  assert.is(messageRows(stage.gateway.dbFile, 'long key')[0]!.message_id, message_id)
})

test('an unroutable message is refused over HTTP, and accepted once the binding is back', async () => {
  const url = messagesUrl(stage.gateway, 'unrouted')
  let n = 0
  // The gateway re-declares the topology periodically, so a second attempt may be needed.
  const refusal = await until(
    async () => {
      await unbind()
      const answer = await postJson(url, { message_id: `u${++n}` })
      return answer.status === 503 ? answer : false
    },
    { what: 'a refusal' },
  )
  assert.is(refusal.body.code, 'publish_unroutable')
  assert.is(refusal.body.status, 'error')
  const lost = `u${n}`
  await until(async () => (await postJson(url, { message_id: 'routed' })).status === 202, { what: 'the binding' })
  await until(() => messageRows(stage.gateway.dbFile, 'unrouted').some(({ message_id }) => message_id === 'routed'))
  assert.not.ok(messageRows(stage.gateway.dbFile, 'unrouted').some(({ message_id }) => message_id === lost))
})

test('of requests with one message_id at the same time, none is accepted that no queue takes', async () => {
  const url = messagesUrl(stage.gateway, 'twins')
  let n = 0
  await until(
    async () => {
      await unbind()
      const message_id = `twin-${++n}`
      const answers = await Promise.all(Array.from({ length: 4 }, () => postJson(url, { message_id })))
      const accepted = answers.filter(({ status }) => status === 202).length
      await until(async () => (await postJson(url, { message_id: `after-${n}` })).status === 202)
      await until(() => messageRows(stage.gateway.dbFile, 'twins').some((row) => row.message_id === `after-${n}`))
      const stored = messageRows(stage.gateway.dbFile, 'twins').some((row) => row.message_id === message_id)
      assert.is(stored, accepted > 0, 'what was accepted is stored')
      return accepted === 0
    },
    { what: 'four refusals' },
  )
})

test.run()
