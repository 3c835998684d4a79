// needs: rabbitmq, pika
// workers: 1; full: 1, 3
import * as assert from 'uvu/assert'
import { assertNothingLost, IdReader, Load } from '../../support/clients/load.ts'
import { PikaPublisher } from '../../support/clients/pika.ts'
import { suite } from '../../support/harness/suite.ts'
import { postJson, until } from '../../support/harness/wait.ts'
import { faultCleared, faultNamed, readFaults } from '../../support/resilience/observe.ts'
import { everyWorker, type Gateway, RUN_WORKERS, startGateway } from '../../support/servers/gateway.ts'
import { type Line, startProxy } from '../../support/servers/proxy.ts'
import { type ControlledBroker, controlledBroker, deleteNames, uniqueNames } from '../../support/servers/rabbitmq.ts'
import { brokerEnv, messagesUrl } from '../../support/stages/stage.ts'

const test = suite('broker-line')

let broker: ControlledBroker

test.before(async () => {
  broker = await controlledBroker()
})

test.after(async () => {
  await broker?.dispose()
})

/** Runs a gateway whose connection to the broker can be cut, under load from agents with separate connections. */
const overProxy = async (
  work: (parts: { proxy: Line; gateway: Gateway; load: Load; pass(): Promise<void> }) => Promise<void>,
): Promise<void> => {
  const proxy = await startProxy(broker.port)
  const names = uniqueNames('line')
  // A host that refuses every connection comes first, so the next one must be tried.
  const url = `amqp://guest:guest@127.0.0.1:1,127.0.0.1:${proxy.port}`
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
    await deleteNames(broker.url, names)
  }
}

const bothLost = async (gateway: Gateway): Promise<void> => {
  const lost = async (): Promise<boolean> => {
    const faults = (await readFaults(gateway)).filter(({ code }) => code === 'broker_unreachable')
    return (
      faults
        .map(({ component }) => component)
        .sort()
        .join() === 'consumer,publisher'
    )
  }
  await until(() => everyWorker(lost), { what: 'both connections are lost', everyMs: 100 })
}

test('a silent connection is detected by heartbeat, and nothing is lost', () =>
  overProxy(async ({ proxy, gateway }) => {
    const startedAt = Date.now()
    proxy.freeze()
    for (const component of ['consumer', 'publisher']) {
      await faultNamed(gateway, { component, code: 'broker_unreachable' }, startedAt)
    }
    await bothLost(gateway)
    const { body } = await postJson(messagesUrl(gateway, 'line'), { message_id: 'refused' })
    // The message of a rejection that did not wait for a confirmation.
    assert.equal([body.code, body.message], ['broker_unreachable', 'There is no connection to RabbitMQ.'])
    proxy.thaw()
    proxy.reset()
    await faultCleared(gateway, Date.now(), RUN_WORKERS)
  }))

test.full('a connection that is silent for a moment loses and duplicates nothing', () =>
  overProxy(async ({ proxy, load, pass }) => {
    const before = proxy.connections
    proxy.freeze()
    await load.more(100)
    proxy.thaw()
    await pass()
    assert.is(proxy.connections, before, 'the connections held')
  }),
)

test.full('a connection that is reset repeatedly loses nothing', () =>
  overProxy(async ({ proxy, gateway, load }) => {
    for (let round = 0; round < 5; round++) {
      const before = proxy.connections
      proxy.reset()
      await until(() => proxy.connections > before, { what: 'a new connection' })
      await load.more(30)
    }
    await gateway.ready()
  }),
)

test.run()
