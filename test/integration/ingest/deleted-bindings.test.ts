// needs: rabbitmq, pika
import type { Channel } from 'rabbitmq-client'
import * as assert from 'uvu/assert'
import { assertNothingLost, Load } from '../../support/clients/load.ts'
import { PikaPublisher } from '../../support/clients/pika.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, until } from '../../support/harness/wait.ts'
import { messageRows } from '../../support/servers/database.ts'
import { type LogLine, startGateway } from '../../support/servers/gateway.ts'
import {
  type Broker,
  deleteNames,
  erlangBinary,
  type Names,
  startBroker,
  uniqueNames,
  withChannel,
} from '../../support/servers/rabbitmq.ts'
import { metric } from '../../support/stages/rooms.ts'
import { brokerEnv, KEY, openStage, type Stage } from '../../support/stages/stage.ts'

const test = suite('deleted-bindings')

/** Released gateways have declared this text; another one would be a third binding. */
const SECOND = { note: 'second binding with this key, in case the other one is deleted' }
const DELETIONS = 'gateway_exchange_deletions_total'
const DELETED = 'the exchange was deleted; it is declared and bound again'
const UNAVAILABLE = 'deletions of the exchange cannot be detected'
const BINDING_DELETED = 'a binding of the queue was deleted; it is declared again'
const BINDING_DELETIONS = 'gateway_binding_deletions_total'

let broker: Broker

test.before(async () => {
  broker = await startBroker({ plugins: ['rabbitmq_event_exchange'] })
})

test.after(async () => {
  await broker?.dispose()
})

/** Returns the exchanges and bindings with these names, as Erlang prints them. */
const topologyOf = async ({ exchange, queue }: Names): Promise<string> => {
  const names = [exchange, `${exchange}.dead`, queue, `${queue}.dead`].map(erlangBinary).join()
  return broker.evaluate(`{lists:sort([X || [{name, {resource, _, _, Name}} | _] = X
      <- rabbit_exchange:info_all(<<"/">>, [name, type, durable, auto_delete, internal]), lists:member(Name, [${names}])]),
    lists:sort([B || [{source_name, Source} | _] = B
      <- rabbit_binding:info_all(<<"/">>, [source_name, destination_name, routing_key, arguments]), lists:member(Source, [${names}])])}`)
}

const sameTopology = async (names: Names, expected: string, what: string): Promise<void> => {
  let seen = ''
  await until(async () => (seen = await topologyOf(names)) === expected, { what, saw: () => seen })
}

const recreateExchange = ({ exchange }: Names): Promise<void> =>
  withChannel(broker.url, async (channel) => {
    await channel.exchangeDelete({ exchange })
    await channel.exchangeDeclare({ exchange, type: 'topic', durable: true })
  })

/** Creates a broker user whose permissions are those that docs/OPERATIONS.md names. @returns its URL */
const addUser = async (user: string, { exchange, queue }: Names): Promise<string> => {
  const pattern = `^(${[exchange, queue].map((name) => name.replaceAll('.', '\\.')).join('|')})(\\.dead)?$`
  const [name, vhost, names, by] = [user, '/', pattern, 'test'].map(erlangBinary)
  const calls = [
    `add_user(${name}, ${erlangBinary('right')}, ${by})`,
    `set_permissions(${name}, ${vhost}, ${names}, ${names}, ${names}, ${by})`,
  ]
  for (const call of calls) assert.is(await broker.evaluate(`rabbit_auth_backend_internal:${call}`), 'ok')
  return `amqp://${user}:right@127.0.0.1:${broker.port}`
}

const logged = ({ gateway }: Pick<Stage, 'gateway'>, msg: string) => gateway.logs().filter((line) => line.msg === msg)

test('a gateway that watches both closes its connection in order when it stops', async () => {
  const names = uniqueNames('stop')
  const gateway = await startGateway({ env: brokerEnv(broker.url, names) })
  try {
    await gateway.ready()
    await gateway.term()
    const closing = () =>
      broker
        .log()
        .split('\n')
        .filter((line) => line.includes('closing AMQP connection') && line.includes('gateway consumer'))
    await until(() => closing().length > 0, { what: 'a closed connection in the log of RabbitMQ' })
    // A connection that is only cut is logged as a warning.
    assert.match(closing()[0]!, '[info]')
  } finally {
    await gateway.dispose()
    await deleteNames(broker.url, names)
  }
})

test('while one binding after the other is deleted, no message of a publisher without the mandatory flag is lost', async () => {
  const stage = await openStage(broker.url, 'one-binding')
  const { names, gateway } = stage
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: false })
  const load = new Load(agent, 'one binding', { everyMs: 2 })
  const binding = { queue: names.queue, exchange: names.exchange, routingKey: names.binding }
  try {
    const before = await topologyOf(names)
    load.start()
    for (let round = 0; round < 3; round++) {
      for (const unbound of [binding, { ...binding, arguments: SECOND }]) {
        await withChannel(broker.url, (channel) => channel.queueUnbind(unbound))
        await load.more(50)
        await sameTopology(names, before, 'both bindings')
      }
    }
    await load.stop()
    await assertNothingLost(gateway.dbFile, [load], [])
    assert.is(await metric(gateway, DELETIONS), 0)
    // Counted at the end of the round that declares the binding again.
    await until(async () => (await metric(gateway, BINDING_DELETIONS)) >= 6, { what: 'all deletions are counted' })
    assert.is(await metric(gateway, BINDING_DELETIONS), 6)
    const lines = logged(stage, BINDING_DELETED)
    assert.is(
      lines.reduce((sum, { deletions }) => sum + Number(deletions), 0),
      6,
      'each deletion is logged once',
    )
    assert.match(String(lines[0]?.hint), 'mandatory')
    assert.is(messageRows(gateway.dbFile).length, load.confirmed.length, 'each message is delivered once')
  } finally {
    await agent.kill9()
    await stage.dispose()
  }
})

test('an exchange that another client deletes and declares again is bound again; each time is logged and counted', async () => {
  const names = uniqueNames('recreated')
  const user = names.queue.replace('.queue', '-user')
  const gateway = await startGateway({ env: brokerEnv(await addUser(user, names), names) })
  try {
    await gateway.ready()
    const before = await topologyOf(names)
    assert.is(await metric(gateway, DELETIONS), 0)
    for (let times = 1; times <= 2; times++) {
      await recreateExchange(names)
      await until(() => logged({ gateway }, DELETED).length === times, { what: 'the warning' })
      assert.is(await metric(gateway, DELETIONS), times)
      await sameTopology(names, before, 'all bindings')
      await withChannel(broker.url, async (channel) => {
        await channel.confirmSelect()
        const body = `{"event_id":"recreated","message_id":"${times}"}`
        await channel.basicPublish({ exchange: names.exchange, routingKey: KEY }, body)
      })
      await until(() => messageRows(gateway.dbFile).length === times, { what: 'a message through the new exchange' })
    }
    assert.is((await getJson(`${gateway.url}/readyz`)).status, 200)
    assert.equal(logged({ gateway }, UNAVAILABLE), [], 'the documented permissions are enough')
    assert.is(logged({ gateway }, UNAVAILABLE.replace('the exchange', 'the bindings')).length, 1, 'not for the events')
    assert.equal(logged({ gateway }, 'component failed'), [], 'the consumer goes on')
  } finally {
    await gateway.dispose()
    await deleteNames(broker.url, names)
    const [name, by] = [user, 'test'].map(erlangBinary)
    await broker.evaluate(`rabbit_auth_backend_internal:delete_user(${name}, ${by})`)
  }
})

test.full('each exchange and binding that is deleted by itself comes back', async () => {
  const stage = await openStage(broker.url, 'one-by-one')
  try {
    const { names } = stage
    const { exchange, queue, binding: routingKey } = names
    const before = await topologyOf(names)
    const deletions: Record<string, (channel: Channel) => Promise<void>> = {
      exchange: (channel) => channel.exchangeDelete({ exchange }),
      'dead-letter exchange': (channel) => channel.exchangeDelete({ exchange: `${exchange}.dead` }),
      marker: (channel) => channel.exchangeDelete({ exchange: queue }),
      'binding of the marker': (channel) => channel.exchangeUnbind({ source: queue, destination: exchange }),
      binding: (channel) => channel.queueUnbind({ queue, exchange, routingKey }),
      'second binding': (channel) => channel.queueUnbind({ queue, exchange, routingKey, arguments: SECOND }),
      'dead-letter binding': (channel) =>
        channel.queueUnbind({ queue: `${queue}.dead`, exchange: `${exchange}.dead`, routingKey: '#' }),
    }
    for (const [what, remove] of Object.entries(deletions)) {
      await withChannel(broker.url, async (channel) => {
        await remove(channel)
        await sameTopology(names, before, what)
      })
    }
    await stage.publish(['{"event_id":"one by one","message_id":"1"}'])
    await stage.stored(1)
    // An exchange that is deleted between its declaration and its bindings, in the same round, ends the channel.
    const isRace = ({ cause }: LogLine): boolean => /NOT_FOUND - no exchange/.test(String(cause))
    assert.equal(
      logged(stage, 'component failed').filter((line) => !isRace(line)),
      [],
    )
  } finally {
    await stage.dispose()
  }
})

test('where RabbitMQ refuses the marker, the gateway works without it and reports that once', async () => {
  const names = uniqueNames('no-marker')
  const taken = { exchange: names.queue, type: 'topic', durable: true }
  await withChannel(broker.url, (channel) => channel.exchangeDeclare(taken))
  const gateway = await startGateway({ env: brokerEnv(broker.url, names) })
  try {
    await gateway.ready()
    const { exchange, queue, binding } = names
    const before = await topologyOf(names)
    await withChannel(broker.url, (channel) => channel.queueUnbind({ queue, exchange, routingKey: binding }))
    await sameTopology(names, before, 'the binding, by a later round')
    const [line, ...more] = logged({ gateway }, UNAVAILABLE)
    assert.equal(more, [])
    assert.is(line?.level, 'info')
    assert.match(String(line?.cause), names.queue)
    assert.equal(logged({ gateway }, 'component failed'), [])
    assert.is((await getJson(`${gateway.url}/readyz`)).status, 200)
  } finally {
    await gateway.dispose()
    await withChannel(broker.url, (channel) => channel.exchangeDelete({ exchange: names.queue }))
    await deleteNames(broker.url, names)
  }
})

test.run()
