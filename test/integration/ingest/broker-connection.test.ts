// needs: rabbitmq, pika
// workers: 1; full: 1, 3
import * as assert from 'uvu/assert'
import { assertNothingLost, IdReader, Load } from '../../support/clients/load.ts'
import { PikaPublisher } from '../../support/clients/pika.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type Json, postJson, until } from '../../support/harness/wait.ts'
import { messageRows } from '../../support/servers/database.ts'
import { everyWorker, type Gateway, RUN_WORKERS, startGateway } from '../../support/servers/gateway.ts'
import { type Line, startProxy } from '../../support/servers/proxy.ts'
import { type Broker, startBroker, uniqueNames } from '../../support/servers/rabbitmq.ts'
import { brokerEnv, messagesUrl, openStage } from '../../support/stages/stage.ts'

const test = suite('broker-line')

/** Far below the ten seconds that a confirm may take. */
const QUICK_MS = 5_000

let broker: Broker

test.before(async () => {
  broker = await startBroker()
})

test.after(async () => {
  await broker?.dispose()
})

const faultsOf = async (gateway: Gateway): Promise<Json[]> => (await getJson(`${gateway.url}/readyz`)).body.faults ?? []

test('during a memory alarm publishing is refused quickly, while what is queued still flows', async () => {
  const stage = await openStage(broker.url, 'alarm', { env: { RABBITMQ_PREFETCH: '10' } })
  try {
    const { gateway } = stage
    const url = messagesUrl(gateway, 'alarm')
    assert.is((await postJson(url, { message_id: 'before' })).status, 202)
    await stage.stored(1)
    gateway.freeze()
    await stage.publish(Array.from({ length: 300 }, (_, n) => `{"event_id":"queued","message_id":"q${n}"}`))
    await broker.alarmOn()
    gateway.thaw()
    const from = performance.now()
    // RabbitMQ tells a connection of an alarm only when it publishes: what it had taken by then may yet be stored.
    const answers: string[] = []
    while (answers.at(-1) !== '503 broker_blocked' && answers.length < 20) {
      const { status, body } = await postJson(url, { message_id: `during-${answers.length}` })
      answers.push(`${status} ${body.code}`)
    }
    const took = performance.now() - from
    assert.is(answers.pop(), '503 broker_blocked')
    assert.equal([...new Set(answers)], ['503 publish_unconfirmed'])
    assert.ok(answers.length <= RUN_WORKERS, `each connection learns it by its first message: ${answers.length}`)
    assert.ok(took < QUICK_MS, `the refusals took ${Math.round(took)} ms`)
    await until(() => messageRows(gateway.dbFile, 'queued').length === 300, { what: 'what was queued' })
    const fault = await until(async () => (await faultsOf(gateway)).find(({ code }) => code === 'broker_blocked'))
    assert.is(fault.component, 'publisher')
    await broker.alarmOff()
    await gateway.ready()
    assert.is((await postJson(url, { message_id: 'after' })).status, 202)
    await until(() => messageRows(gateway.dbFile, 'alarm').some(({ message_id }) => message_id === 'after'))
  } finally {
    await broker.alarmOff()
    await stage.dispose()
  }
})

/** A gateway whose line to the broker can be cut, under load from agents with a line of their own. */
const overProxy = async (
  work: (parts: { proxy: Line; gateway: Gateway; load: Load; pass(): Promise<void> }) => Promise<void>,
): Promise<void> => {
  const proxy = await startProxy(broker.port)
  const names = uniqueNames('line')
  const url = `amqp://guest:guest@127.0.0.1:${proxy.port}`
  const gateway = await startGateway({ env: brokerEnv(url, names) })
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: true, retry: true })
  const load = new Load(agent, 'line', { everyMs: 5 })
  const reader = new IdReader(gateway, 'line')
  try {
    await gateway.ready()
    load.start()
    reader.start()
    await load.more(50)
    await work({
      proxy,
      gateway,
      load,
      pass: () => until(() => reader.messageIds.length >= load.confirmed.length).then(() => {}),
    })
    await load.more(50)
    await load.stop()
    await assertNothingLost(gateway.dbFile, [load], [reader])
    assert.is(reader.connections, 1, 'the streams know nothing of it')
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
  } finally {
    await reader.stop()
    await agent.kill9()
    await gateway.dispose()
    await proxy.close()
  }
}

const bothLost = async (gateway: Gateway): Promise<void> => {
  const lost = async (): Promise<boolean> => {
    const faults = (await faultsOf(gateway)).filter(({ code }) => code === 'broker_unreachable')
    return (
      faults
        .map(({ component }) => component)
        .sort()
        .join() === 'consumer,publisher'
    )
  }
  await until(() => everyWorker(lost), { what: 'both connections are lost', everyMs: 100 })
}

test('a line that goes silent is noticed by the heartbeat, and nothing is lost by it', () =>
  overProxy(async ({ proxy, gateway }) => {
    proxy.freeze()
    await bothLost(gateway)
    const from = performance.now()
    const answer = await postJson(messagesUrl(gateway, 'line'), { message_id: 'refused' })
    assert.is(answer.body.code, 'broker_unreachable')
    assert.ok(performance.now() - from < QUICK_MS)
    proxy.thaw()
    proxy.reset()
    await gateway.ready()
  }))

test('a line that is silent for a moment only loses nothing and doubles nothing', () =>
  overProxy(async ({ proxy, load, pass }) => {
    const before = proxy.connections
    proxy.freeze()
    await load.more(100)
    proxy.thaw()
    await pass()
    assert.is(proxy.connections, before, 'the connections held')
  }))

test('a line that is reset again and again loses nothing', () =>
  overProxy(async ({ proxy, gateway, load }) => {
    for (let round = 0; round < 5; round++) {
      const before = proxy.connections
      proxy.reset()
      await until(() => proxy.connections > before, { what: 'a new connection' })
      await load.more(30)
    }
    await gateway.ready()
  }))

test.run()
