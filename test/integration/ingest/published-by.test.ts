// needs: rabbitmq, pika
import * as assert from 'uvu/assert'
import { bearer, guarded, makePair, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type Json, postJson, until } from '../../support/harness/wait.ts'
import { messageRows } from '../../support/servers/database.ts'
import type { Env } from '../../support/servers/gateway.ts'
import { type SharedBroker, sharedBroker, withChannel } from '../../support/servers/rabbitmq.ts'
import { messagesUrl, openStage, type Stage } from '../../support/stages/stage.ts'

const HEADER = 'x-published-by-mac'

const test = suite('published_by through the exchange')

let broker: SharedBroker

test.before(async () => {
  broker = await sharedBroker()
})
test.after(() => broker?.dispose())

/** Waits for this many messages of an event. */
const messagesOf = async (stage: Stage, event_id: string, count: number, token: string): Promise<Json[]> => {
  const rows = () => messageRows(stage.gateway.dbFile, event_id).length
  await until(() => rows() >= count, { what: `${count} messages`, saw: rows })
  return (await getJson(messagesUrl(stage.gateway, event_id), { headers: bearer(token) })).body.data
}

/** Binds a queue to the exchange, publishes through the gateway, and returns what every consumer there can read. */
const eavesdrop = (stage: Stage, publish: () => Promise<void>): Promise<{ body: string; header: string }> =>
  withChannel(broker.url, async (channel) => {
    const { exchange } = stage.names
    const { queue } = await channel.queueDeclare({ exclusive: true })
    await channel.queueBind({ queue, exchange, routingKey: '#' })
    await publish()
    let seen: { body: unknown; headers?: Record<string, unknown> } | undefined
    await until(async () => (seen = (await channel.basicGet({ queue, noAck: true })) || undefined) !== undefined, {
      what: 'the copy',
    })
    const { body } = seen!
    const text = Buffer.isBuffer(body) ? body.toString() : typeof body === 'string' ? body : JSON.stringify(body)
    return { body: text, header: String(seen!.headers?.[HEADER]) }
  })

const keys: [string, Env, Parameters<typeof sign>[1]][] = (() => {
  const pair = makePair('ES256')
  return [
    ['a secret', guarded(), {}],
    ['a public key', { JWT_PUBLIC_KEY: pair.publicPem }, { key: pair.privateKey, alg: 'ES256' }],
  ]
})()

for (const [what, env, key] of keys) {
  test(`is the sub of the token for a message over HTTP, and null for one of an agent, with ${what}`, async () => {
    const stage = await openStage(broker.url, 'published', { env })
    try {
      const token = await sign({ sub: 'ann', events: '*', scope: 'publish' }, key)
      const post = async (event_id: string, message: Json): Promise<void> => {
        const answer = await postJson(messagesUrl(stage.gateway, event_id), message, { headers: bearer(token) })
        assert.is(answer.status, 202, answer.text)
      }
      await post('over http', [{ n: 1 }, { n: 2, message_id: 'é'.repeat(200), published_by: 'root' }])
      const overHttp = await messagesOf(stage, 'over http', 2, token)
      assert.equal(
        overHttp.map(({ published_by }) => published_by),
        ['ann', 'ann'],
      )
      const copy = await eavesdrop(stage, () => post('copied', { message_id: 'one', text: 'block 203.0.113.9' }))
      assert.match(copy.header, /^[\w-]{43}$/)
      const forged = copy.body.replace('203.0.113.9', '10.0.0.1')
      assert.is.not(forged, copy.body)
      const headers = { [HEADER]: copy.header }
      await stage.publish([forged.replace('"one"', '"two"'), copy.body.replace('"one"', '"three"')], { headers })
      await stage.publish(['{"event_id":"copied","message_id":"four","published_by":"ann"}'])
      // The same message once more is no second one.
      await stage.publish([copy.body], { headers, message_id: 'one' })
      await stage.publish(['{"event_id":"copied","message_id":"last"}'])
      const copied = await messagesOf(stage, 'copied', 5, token)
      assert.equal(
        copied.map(({ message_id, published_by }) => [message_id, published_by]),
        [
          ['one', 'ann'],
          ['two', null],
          ['three', null],
          ['four', null],
          ['last', undefined],
        ],
      )
    } finally {
      await stage.dispose()
    }
  })
}

test.run()
