// needs: rabbitmq, pika
import * as assert from 'uvu/assert'
import { assertNothingLost, IdReader, Load } from '../../support/clients/load.ts'
import { PikaPublisher } from '../../support/clients/pika.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, until } from '../../support/harness/wait.ts'
import { messageRows } from '../../support/servers/database.ts'
import { startGateway } from '../../support/servers/gateway.ts'
import {
  type ControlledBroker,
  controlledBroker,
  deleteNames,
  erlangBinary,
  type Names,
  queueReady,
  uniqueNames,
  withChannel,
} from '../../support/servers/rabbitmq.ts'
import { brokerEnv, KEY, openStage } from '../../support/stages/stage.ts'

const test = suite('broker-topology')

let broker: ControlledBroker

test.before(async () => {
  broker = await controlledBroker()
})

test.after(async () => {
  await broker?.dispose()
})

/** Returns properties of broker objects with these names as Erlang prints them, one row per match of the pattern. */
const rows = async (
  columns: string[],
  pattern: string,
  source: string,
  { exchange, queue }: Names,
): Promise<string[][]> => {
  const kinds = ['', '.dead', '.parked']
  const names = kinds
    .flatMap((kind) => [exchange + kind, queue + kind])
    .map(erlangBinary)
    .join()
  const format = columns.map((name) => (/^[A-Z]Name$/.test(name) ? '~s' : '~0p')).join('|')
  const text = await broker.evaluate(`base64:encode_to_string(lists:flatten([io_lib:format("${format}~n", [${columns}])
    || ${pattern} <- ${source}, lists:member(${columns[0]}, [${names}])]))`)
  const lines = Buffer.from(text.replaceAll('"', ''), 'base64').toString().trim().split('\n')
  return lines.map((line) => line.split('|')).sort()
}

const queuesOf = (names: Names) =>
  rows(
    ['QName', 'Durable', 'AutoDelete', 'Type', 'Arguments'],
    '[{name, {resource, _, queue, QName}}, {durable, Durable}, {auto_delete, AutoDelete}, {type, Type}, {arguments, Arguments}]',
    `[rabbit_amqqueue:info(Q, [name, durable, auto_delete, type, arguments])
      || {ok, Q} <- [rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, Name))
      || Name <- [${[names.queue, `${names.queue}.dead`, `${names.queue}.parked`].map(erlangBinary)}]]]`,
    names,
  )

const exchangesOf = (names: Names) =>
  rows(
    ['XName', 'Type', 'Durable', 'AutoDelete', 'Internal'],
    '[{name, {resource, _, exchange, XName}}, {type, Type}, {durable, Durable}, {auto_delete, AutoDelete}, {internal, Internal}]',
    'rabbit_exchange:info_all(<<"/">>, [name, type, durable, auto_delete, internal])',
    names,
  )

const bindingsOf = (names: Names) =>
  rows(
    ['XName', 'QName', 'KName', 'Arguments'],
    '[{source_name, XName}, _, {destination_name, QName}, _, {routing_key, KName}, {arguments, Arguments} | _]',
    'rabbit_binding:info_all(<<"/">>)',
    names,
  )

/** Returns the arguments of a queue, `[{<<"name">>,type,value},…]`, in order. */
const argumentsOf = (text: string | undefined): string[] => (text?.match(/\{[^}]*\}/g) ?? []).sort()

/** An argument of a queue as Erlang prints it. */
const argument = (name: string, value: string | boolean): string =>
  typeof value === 'string' ? `{<<"${name}">>,longstr,<<"${value}">>}` : `{<<"${name}">>,bool,${value}}`

const SECOND_BINDING = `[${argument('note', 'second binding with this key, in case the other one is deleted')}]`

for (const type of ['quorum', 'classic'] as const) {
  const add = type === 'quorum' ? test : test.full
  add(`exchanges, ${type} queues and bindings are as the contract says, after another start too`, async () => {
    const env = type === 'quorum' ? {} : { RABBITMQ_QUEUE_TYPE: type }
    const stage = await openStage(broker.url, type, { env })
    try {
      const { names, gateway } = stage
      const { exchange, queue } = names
      const look = async () => ({
        queues: (await queuesOf(names)).map((row) => [...row.slice(0, 4), ...argumentsOf(row[4])]),
        exchanges: await exchangesOf(names),
        bindings: await bindingsOf(names),
      })
      const dead = [argument('x-queue-type', type), argument('x-single-active-consumer', true)]
      const deadLettersTo = (target: string) => [
        argument('x-dead-letter-exchange', target),
        ...(type === 'quorum'
          ? [argument('x-dead-letter-strategy', 'at-least-once'), argument('x-overflow', 'reject-publish')]
          : []),
        ...dead,
      ]
      const own = deadLettersTo(`${exchange}.dead`)
      // A classic queue has no delivery limit.
      const parks = type === 'quorum'
      const expected = {
        queues: [
          [queue, 'true', 'false', type, ...own.sort()],
          [`${queue}.dead`, 'true', 'false', type, ...(parks ? deadLettersTo(`${exchange}.parked`).sort() : dead)],
          ...(parks ? [[`${queue}.parked`, 'true', 'false', type, argument('x-queue-type', type)]] : []),
        ],
        exchanges: [
          [exchange, 'topic', 'true', 'false', 'false'],
          [`${exchange}.dead`, 'topic', 'true', 'false', 'false'],
          ...(parks ? [[`${exchange}.parked`, 'topic', 'true', 'false', 'false']] : []),
          [queue, 'fanout', 'true', 'true', 'true'],
        ],
        bindings: [
          [exchange, queue, 'notifications.frontend.#', '[]'],
          [exchange, queue, 'notifications.frontend.#', SECOND_BINDING],
          [`${exchange}.dead`, `${queue}.dead`, '#', '[]'],
          ...(parks ? [[`${exchange}.parked`, `${queue}.parked`, '#', '[]']] : []),
          [queue, exchange, '', '[]'],
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

test('an exchange that is deleted under a consumer, without a notification, is declared again', async () => {
  const stage = await openStage(broker.url, 'deleted-exchange')
  try {
    const { exchange } = stage.names
    await withChannel(broker.url, async (channel) => {
      await channel.exchangeDelete({ exchange })
      await channel.exchangeDelete({ exchange: `${exchange}.dead` })
      await channel.exchangeDelete({ exchange: `${exchange}.parked` })
    })
    const publish = (): Promise<unknown> =>
      withChannel(broker.url, async (channel) => {
        await channel.confirmSelect()
        await channel.basicPublish({ exchange, routingKey: KEY }, '{"event_id":"x","message_id":"after"}')
      })
    // A message published before the binding exists is lost, and a duplicate is stored once.
    const arrived = async (): Promise<boolean> => {
      await publish()
      return messageRows(stage.gateway.dbFile).length > 0
    }
    await until(arrived, { what: 'a message through the exchange', everyMs: 200 })
    await stage.stored(1)
    // The marker is declared after the bindings.
    await until(async () => (await exchangesOf(stage.names)).length === 4, { what: 'all exchanges' })
    assert.equal(
      (await exchangesOf(stage.names)).map(([name]) => name),
      [exchange, `${exchange}.dead`, `${exchange}.parked`, stage.names.queue],
    )
    await stage.gateway.ready()
    assert.is(messageRows(stage.gateway.dbFile).length, 1)
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
    // Messages that the first committed but did not acknowledge may be in both stores, once in each.
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
    await deleteNames(broker.url, names)
  }
})

test.full('a load over a classic queue survives a crash of its gateway too', async () => {
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
