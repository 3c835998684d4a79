// needs: rabbitmq
import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type Json, postJson, until } from '../../support/harness/wait.ts'
import { messageRows } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { type Broker, type Names, startBroker, uniqueNames, withChannel } from '../../support/servers/rabbitmq.ts'
import { brokerEnv, KEY } from '../../support/stages/stage.ts'

const test = suite('broker-faults')

let broker: Broker

test.before(async () => {
  broker = await startBroker()
})

test.after(async () => {
  await broker?.dispose()
})

/** The fault of a component as /readyz names it. */
const faultOf = async (gateway: Gateway, component: string, code: string): Promise<Json> => {
  let last = ''
  return until(
    async () => {
      const { status, text, body } = await getJson(`${gateway.url}/readyz`)
      last = text
      if (status !== 503) return false
      return body.faults.find((fault: Json) => fault.component === component && fault.code === code)
    },
    { what: `${component}: ${code}` },
  ).catch((error: Error) => {
    throw new Error(`${error.message}; /readyz says ${last}`)
  })
}

const send = (names: Names, event_id: string): Promise<unknown> =>
  withChannel(broker.url, async (channel) => {
    await channel.confirmSelect()
    const body = JSON.stringify({ event_id, message_id: 'm' })
    await channel.basicPublish({ exchange: names.exchange, routingKey: KEY, durable: true, mandatory: true }, body)
  })

/** Starts a gateway that meets a fault, looks, mends it, and proves that everything works then, without a restart. */
const recover = async (
  what: { names?: Names; url?: string; code: string; component?: string },
  mend: (gateway: Gateway) => Promise<unknown>,
): Promise<void> => {
  const { names = uniqueNames('faults'), url = broker.url, code, component = 'consumer' } = what
  const gateway = await startGateway({ env: brokerEnv(url, names) })
  try {
    const fault = await faultOf(gateway, component, code)
    assert.ok(fault.hint.length > 0, 'a hint')
    assert.match(fault.since, /^\d{4}-\d\d-\d\dT/)
    const { status, body } = await getJson(`${gateway.url}/readyz`)
    assert.is(status, 503)
    assert.is(body.code, 'not_ready')
    assert.is((await getJson(`${gateway.url}/livez`)).status, 200)
    assert.is((await getJson(`${gateway.url}/api/events`)).status, 200, 'what is stored can be read meanwhile')
    const { pid } = gateway
    await mend(gateway)
    await gateway.ready()
    assert.is(gateway.pid, pid)
    await send(names, code)
    await until(() => messageRows(gateway.dbFile, code).length === 1, { what: 'the message after the fault' })
    const logged = gateway.logs().filter((line) => line.code === code && line.component === component)
    assert.ok(logged.length >= 1 && logged.length <= 5, `${logged.length} log lines: one says it, a hundred hide it`)
  } finally {
    await gateway.dispose()
  }
}

const urlOf = (user: string, vhost = '/'): string =>
  `amqp://${user}:right@127.0.0.1:${broker.port}/${encodeURIComponent(vhost)}`

const addUser = async (user: string, vhost = '/'): Promise<void> => {
  await broker.ctl('add_user', user, 'right')
  if (vhost === '/') await broker.ctl('set_permissions', user, '.*', '.*', '.*')
}

test('a broker that is down at the start is waited for', async () => {
  await broker.stop()
  await recover({ code: 'broker_unreachable' }, () => broker.start())
})

test('a refused login is named, and a password that is set right is noticed', async () => {
  await addUser('login')
  await broker.ctl('change_password', 'login', 'other')
  await recover({ url: urlOf('login'), code: 'broker_login_refused' }, async (gateway) => {
    assert.not.match(gateway.output(), ':right')
    assert.not.match((await getJson(`${gateway.url}/readyz`)).text, 'right@')
    await broker.ctl('change_password', 'login', 'right')
  })
})

test('a missing vhost is named, and noticed once it is there', async () => {
  await addUser('tenant', 'none')
  const names = uniqueNames('vhost')
  const gateway = await startGateway({ env: brokerEnv(urlOf('tenant', 'tenants'), names) })
  try {
    await faultOf(gateway, 'consumer', 'broker_vhost_missing')
    await faultOf(gateway, 'publisher', 'broker_vhost_missing')
    await broker.ctl('add_vhost', 'tenants')
    await faultOf(gateway, 'consumer', 'broker_access_refused')
    await broker.ctl('set_permissions', '-p', 'tenants', 'tenant', '.*', '.*', '.*')
    await gateway.ready()
  } finally {
    await gateway.dispose()
  }
})

test('a queue of the same name with other arguments is named and left alone; once it is gone, all works', async () => {
  const names = uniqueNames('conflict')
  await withChannel(broker.url, (channel) => channel.queueDeclare({ queue: names.queue, durable: true }))
  await recover({ names, code: 'broker_declaration_conflict' }, async (gateway) => {
    const { body } = await getJson(`${gateway.url}/readyz`)
    assert.match(body.message, names.queue)
    assert.match(await broker.ctl('list_queues', 'name', 'type'), new RegExp(`${names.queue}\\tclassic`))
    await withChannel(broker.url, (channel) => channel.queueDelete({ queue: names.queue }))
  })
})

test('an exchange of another type is named likewise', async () => {
  const names = uniqueNames('conflict')
  const { exchange } = names
  await withChannel(broker.url, (channel) => channel.exchangeDeclare({ exchange, type: 'fanout', durable: true }))
  await recover({ names, code: 'broker_declaration_conflict' }, async (gateway) => {
    assert.match((await getJson(`${gateway.url}/readyz`)).body.message, exchange)
    await withChannel(broker.url, (channel) => channel.exchangeDelete({ exchange }))
  })
})

test('rights that are missing are named, and noticed once they are granted', async () => {
  await addUser('reader')
  await broker.ctl('set_permissions', 'reader', '^$', '^$', '.*')
  await recover({ url: urlOf('reader'), code: 'broker_access_refused' }, () =>
    broker.ctl('set_permissions', 'reader', '.*', '.*', '.*'),
  )
})

test('publishing over HTTP without a broker is refused at once, and nothing is stored', async () => {
  await broker.stop()
  const gateway = await startGateway({ env: brokerEnv(broker.url, uniqueNames('down')) })
  try {
    const from = performance.now()
    const answer = await postJson(`${gateway.url}/api/events/e/messages`, '{}')
    assert.is(answer.status, 503)
    assert.is(answer.body.code, 'broker_unreachable')
    assert.ok(performance.now() - from < 5_000)
    assert.equal(messageRows(gateway.dbFile), [])
  } finally {
    await gateway.dispose()
    await broker.start()
  }
})

test.run()
