// full
// needs: rabbitmq, pika
// workers: 1; full: 1, 3
import * as assert from 'uvu/assert'
import { assertNothingLost, IdReader, Load } from '../support/clients/load.ts'
import { PikaPublisher } from '../support/clients/pika.ts'
import { suite } from '../support/harness/suite.ts'
import { runs } from '../support/harness/tier.ts'
import { getJson, postJson, until } from '../support/harness/wait.ts'
import { faultCleared, faultNamed } from '../support/resilience/observe.ts'
import { messageRows } from '../support/servers/database.ts'
import { type Gateway, RUN_WORKERS, startGateway } from '../support/servers/gateway.ts'
import { type Broker, type Names, startBroker, uniqueNames } from '../support/servers/rabbitmq.ts'
import { brokerEnv, messagesUrl, openStage } from '../support/stages/stage.ts'

const ROUNDS = runs(1, 6)

const test = suite('broker-kill')

let broker: Broker
let gateway: Gateway
let names: Names

test.before(async () => {
  broker = await startBroker()
  names = uniqueNames('broker-kill')
  gateway = await startGateway({ env: brokerEnv(broker.url, names) })
  await gateway.ready()
})

test.after(async () => {
  await gateway?.dispose()
  await broker?.dispose()
})

/** Publishes and reads during `rounds` outages of the broker, then counts the messages. */
const survive = async (event_id: string, rounds: number, end: () => Promise<void>): Promise<void> => {
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: true, retry: true })
  const load = new Load(agent, event_id, { everyMs: 5 })
  const readers = [0, 1].map(() => new IdReader(gateway, event_id))
  try {
    for (const one of [load, ...readers]) one.start()
    for (let round = 0; round < rounds; round++) {
      await load.more(100 + Math.floor(Math.random() * 100))
      const startedAt = Date.now()
      await end()
      assert.is((await getJson(`${gateway.url}/livez`)).status, 200)
      await faultNamed(gateway, { component: 'consumer', code: 'broker_unreachable' }, startedAt)
      await broker.start()
      await faultCleared(gateway, Date.now(), RUN_WORKERS)
    }
    await load.more(100)
    await load.stop()
    await assertNothingLost(gateway.dbFile, [load], readers)
    for (const { connections } of readers) assert.is(connections, 1, 'an outage of the broker ends no stream')
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
  } finally {
    for (const reader of readers) await reader.stop()
    await agent.kill9()
  }
}

for (const resource of ['memory', 'disk'] as const) {
  const add = resource === 'memory' ? test : test.full
  add(`during a ${resource} alarm publishing is refused immediately, and queued messages are delivered`, async () => {
    // The broker must not close the connections of the frozen gateway, however long a slow machine takes.
    const env = { RABBITMQ_PREFETCH: '10', RABBITMQ_HEARTBEAT_SECONDS: '300' }
    const stage = await openStage(broker.url, `${resource}-alarm`, { env })
    try {
      const url = messagesUrl(stage.gateway, 'alarm')
      assert.is((await postJson(url, { message_id: 'before' })).status, 202)
      await stage.stored(1)
      stage.gateway.freeze()
      await stage.publish(Array.from({ length: 300 }, (_, n) => `{"event_id":"queued","message_id":"q${n}"}`))
      await broker.alarmOn(resource)
      stage.gateway.thaw()
      // RabbitMQ notifies a connection of an alarm only when it publishes: messages accepted before may still be stored.
      const answers: string[] = []
      while (!answers.at(-1)?.startsWith('503 broker_blocked') && answers.length < 20) {
        const { status, body } = await postJson(url, { message_id: `during-${answers.length}` })
        answers.push(`${status} ${body.code}: ${body.message}`)
      }
      assert.match(answers.pop()!, '503 broker_blocked')
      // They were rejected because of the alarm, not by a confirm timeout.
      for (const answer of answers) assert.match(answer, '503 publish_confirm_timeout: RabbitMQ has an alarm')
      assert.ok(answers.length <= RUN_WORKERS, `each connection learns it by its first message: ${answers.length}`)
      await until(() => messageRows(stage.gateway.dbFile, 'queued').length === 300, { what: 'what was queued' })
      await faultNamed(stage.gateway, { component: 'publisher', code: 'broker_blocked' })
      await broker.alarmOff(resource)
      await faultCleared(stage.gateway, Date.now(), RUN_WORKERS)
      assert.is((await postJson(url, { message_id: 'after' })).status, 202)
      await until(() => messageRows(stage.gateway.dbFile, 'alarm').some(({ message_id }) => message_id === 'after'))
    } finally {
      await broker.alarmOff(resource)
      await stage.dispose()
    }
  })
}

test(`a broker that is killed ${ROUNDS} times under load costs no confirmed message and doubles none`, () =>
  survive('killed', ROUNDS, () => broker.kill9()))

test.full('a broker that is shut down gracefully and restarts loses nothing either', () =>
  survive('stopped', 1, () => broker.stop()),
)

test.full('a message above the limit of RabbitMQ is refused with that limit, and costs no neighbour', async () => {
  // A channel keeps the limit with which it was opened, so this gateway starts after the change.
  const setLimit = (bytes: number) => broker.evaluate(`application:set_env(rabbit, max_message_size, ${bytes})`)
  await setLimit(100_000)
  const other = await startGateway({ env: brokerEnv(broker.url, uniqueNames('limited')) })
  try {
    await other.ready()
    const url = messagesUrl(other, 'limited')
    const pad = 'x'.repeat(150_000)
    for (const round of ['unknown', 'known']) {
      const [large, ...small] = await Promise.all([
        postJson(url, { message_id: `large-${round}`, pad }),
        ...Array.from({ length: 20 }, (_, n) => postJson(url, { message_id: `small-${round}-${n}` })),
      ])
      assert.equal([large!.status, large!.body.code], [413, 'body_too_large'], large!.text)
      assert.match(large!.body.message, '100000')
      assert.match(large!.body.hint, 'max_message_size')
      assert.equal(new Set(small.map(({ status }) => status)), new Set([202]))
    }
    await until(() => messageRows(other.dbFile, 'limited').length === 40, { what: 'the small messages' })
    assert.not.match(other.output(), 'component failed')
  } finally {
    await setLimit(134_217_728)
    await other.dispose()
  }
})

test.run()
