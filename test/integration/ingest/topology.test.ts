// needs: rabbitmq, pika
import * as assert from 'uvu/assert'
import { assertNothingLost, IdReader, Load } from '../../support/clients/load.ts'
import { PikaPublisher } from '../../support/clients/pika.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, until } from '../../support/harness/wait.ts'
import { messageRows } from '../../support/servers/database.ts'
import { startGateway } from '../../support/servers/gateway.ts'
import {
  type Broker,
  type Names,
  queueReady,
  startBroker,
  uniqueNames,
  withChannel,
} from '../../support/servers/rabbitmq.ts'
import { brokerEnv, KEY, openStage } from '../../support/stages/stage.ts'

const test = suite('broker-topology')

let broker: Broker

test.before(async () => {
  broker = await startBroker()
})

test.after(async () => {
  await broker?.dispose()
})

const rows = async (command: string, columns: string[], about: Names): Promise<string[][]> => {
  const text = await broker.ctl('-q', '--no-table-headers', command, ...columns)
  return text
    .split('\n')
    .filter((line) => line.includes(about.queue) || line.includes(about.exchange))
    .map((line) => line.split('\t'))
    .sort()
}

/** The arguments of a queue as rabbitmqctl prints them, `[{"name",value},…]`, in order. */
const argumentsOf = (text: string | undefined): string[] => (text?.match(/\{[^}]*\}/g) ?? []).sort()

for (const type of ['quorum', 'classic'] as const) {
  test(`exchanges, ${type} queues and bindings are as the contract says, and another start changes nothing`, async () => {
    const env = type === 'quorum' ? {} : { RABBITMQ_QUEUE_TYPE: type }
    const stage = await openStage(broker.url, type, { env })
    try {
      const { names, gateway } = stage
      const { exchange, queue } = names
      const look = async () => {
        const queues = await rows('list_queues', ['name', 'durable', 'auto_delete', 'type', 'arguments'], names)
        return {
          queues: queues.map((row) => [...row.slice(0, 4), ...argumentsOf(row[4])]),
          exchanges: await rows('list_exchanges', ['name', 'type', 'durable', 'auto_delete', 'internal'], names),
          bindings: (
            await rows('list_bindings', ['source_name', 'destination_name', 'routing_key', 'arguments'], names)
          ).filter(([source]) => source !== ''),
        }
      }
      const own = [
        `{"x-dead-letter-exchange","${exchange}.dead"}`,
        ...(type === 'quorum' ? ['{"x-dead-letter-strategy","at-least-once"}', '{"x-overflow","reject-publish"}'] : []),
        `{"x-queue-type","${type}"}`,
        '{"x-single-active-consumer",true}',
      ]
      const dead = [`{"x-queue-type","${type}"}`, '{"x-single-active-consumer",true}']
      const expected = {
        queues: [
          [queue, 'true', 'false', type, ...own.sort()],
          [`${queue}.dead`, 'true', 'false', type, ...dead],
        ],
        exchanges: [
          [exchange, 'topic', 'true', 'false', 'false'],
          [`${exchange}.dead`, 'topic', 'true', 'false', 'false'],
        ],
        bindings: [
          [exchange, queue, 'notifications.frontend.#', '[]'],
          [`${exchange}.dead`, `${queue}.dead`, '#', '[]'],
        ],
      }
      assert.equal(await look(), expected)
      await stage.publish(['{"event_id":"one","message_id":"1"}'])
      await stage.stored(1)
      await gateway.restart()
      await gateway.ready()
      assert.equal(await look(), expected)
      await stage.publish(['{"event_id":"one","message_id":"2"}'])
      await stage.stored(2)
    } finally {
      await stage.dispose()
    }
  })
}

test('a queue that is deleted under its consumer is declared and bound again', async () => {
  const stage = await openStage(broker.url, 'deleted-queue')
  try {
    const { names, gateway } = stage
    await withChannel(broker.url, (channel) => channel.queueDelete({ queue: names.queue }))
    await gateway.waitForLog(({ component, code }) => component === 'consumer' && code !== undefined)
    await gateway.ready()
    await until(async () => ((await queueReady(broker.url, names.queue))?.consumers ?? 0) > 0)
    await stage.publish(['{"event_id":"q","message_id":"after"}'])
    await stage.stored(1)
  } finally {
    await stage.dispose()
  }
})

test('an exchange that is deleted under a consumer, which nobody reports, comes back', async () => {
  const stage = await openStage(broker.url, 'deleted-exchange')
  try {
    const { exchange } = stage.names
    await withChannel(broker.url, async (channel) => {
      await channel.exchangeDelete({ exchange })
      await channel.exchangeDelete({ exchange: `${exchange}.dead` })
    })
    // pika's channel does not survive a missing exchange, so each attempt is an agent of its own.
    await until(
      async () => {
        const agent = new PikaPublisher({ url: broker.url, exchange, mandatory: true })
        try {
          await agent.publish({ key: KEY, body: '{"event_id":"x","message_id":"after"}' })
          return true
        } finally {
          await agent.close()
        }
      },
      { what: 'the exchange', everyMs: 500 },
    )
    await stage.stored(1)
    assert.match(await broker.ctl('-q', 'list_exchanges', 'name'), `${exchange}.dead`)
    await stage.gateway.ready()
  } finally {
    await stage.dispose()
  }
})

test('of two gateways on one queue one consumes; when it is killed the other takes over, and nothing is lost', async () => {
  const names = uniqueNames('two')
  const first = await startGateway({ env: brokerEnv(broker.url, names) })
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: true, retry: true })
  const second = await first.ready().then(() => startGateway({ env: brokerEnv(broker.url, names) }))
  const load = new Load(agent, 'shared', { everyMs: 2 })
  const reader = new IdReader(second, 'shared')
  try {
    await second.ready()
    reader.start()
    load.start()
    await load.more(200)
    await until(() => messageRows(first.dbFile).length >= 100)
    assert.equal(messageRows(second.dbFile), [], 'the second one waits')
    assert.is((await getJson(`${second.url}/readyz`)).status, 200, 'and is ready')
    await first.kill9()
    await load.more(200)
    await load.stop()
    const taken = messageRows(first.dbFile).map(({ message_id }) => message_id)
    const last = load.confirmed.at(-1)!
    await until(() => messageRows(second.dbFile).some(({ message_id }) => message_id === last))
    const rest = messageRows(second.dbFile).map(({ message_id }) => message_id)
    // What the first had committed and not acknowledged may be in both, each of which then has it once.
    const start = load.confirmed.indexOf(rest[0]!)
    assert.ok(start > 0 && start <= taken.length, `from ${start}, ${taken.length} taken`)
    assert.equal(taken, load.confirmed.slice(0, taken.length))
    assert.equal(rest, load.confirmed.slice(start))
    await reader.waitForCount(rest.length)
    assert.equal(reader.messageIds, rest)
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
  } finally {
    await reader.stop()
    await agent.kill9()
    await first.dispose()
    await second.dispose()
  }
})

test('a load over a classic queue survives the death of its gateway too', async () => {
  const stage = await openStage(broker.url, 'classic', { env: { RABBITMQ_QUEUE_TYPE: 'classic' } })
  const { exchange } = stage.names
  const agent = new PikaPublisher({ url: broker.url, exchange, mandatory: true, retry: true })
  const load = new Load(agent, 'classic', { everyMs: 1 })
  const reader = new IdReader(stage.gateway, 'classic', { retryMs: 50 })
  try {
    load.start()
    reader.start()
    await load.more(200)
    await stage.gateway.kill9()
    await load.more(100)
    await stage.gateway.restart()
    await load.more(200)
    await load.stop()
    await assertNothingLost(stage.gateway.dbFile, [load], [reader])
  } finally {
    await reader.stop()
    await agent.kill9()
    await stage.dispose()
  }
})

test.run()
