// needs: rabbitmq
import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { freePort, getJson, type Json, postJson, until } from '../../support/harness/wait.ts'
import { faultCleared, faultNamed } from '../../support/resilience/observe.ts'
import { messageRows } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { type Line, startProxy } from '../../support/servers/proxy.ts'
import {
  type ControlledBroker,
  controlledBroker,
  deleteNames,
  erlangBinary,
  type Names,
  uniqueNames,
  withChannel,
} from '../../support/servers/rabbitmq.ts'
import { brokerEnv, KEY } from '../../support/stages/stage.ts'

const test = suite('broker-faults')

let broker: ControlledBroker

test.before(async () => {
  broker = await controlledBroker()
})

test.after(async () => {
  await broker?.dispose()
})

/** Returns the fault of a component from /readyz. */
const faultOf = (gateway: Gateway, component: string, code: string): Promise<Json> =>
  faultNamed(gateway, { component, code })

const send = (names: Names, event_id: string): Promise<unknown> =>
  withChannel(broker.url, async (channel) => {
    await channel.confirmSelect()
    const body = JSON.stringify({ event_id, message_id: 'm' })
    await channel.basicPublish({ exchange: names.exchange, routingKey: KEY, durable: true, mandatory: true }, body)
  })

/** Starts a gateway with a fault, checks its report, fixes the fault, and asserts that the gateway then works without a restart. */
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
    await faultCleared(gateway, Date.now(), 1)
    assert.is(gateway.pid, pid)
    await send(names, code)
    await until(() => messageRows(gateway.dbFile, code).length === 1, { what: 'the message after the fault' })
    const logged = gateway.logs().filter((line) => line.code === code && line.component === component)
    assert.ok(logged.length >= 1 && logged.length <= 5, `${logged.length} log lines: one says it, a hundred hide it`)
  } finally {
    await gateway.dispose()
    await deleteNames(broker.url, names)
  }
}

const urlOf = (user: string, vhost = '/'): string =>
  `amqp://${user}:right@127.0.0.1:${broker.port}/${encodeURIComponent(vhost)}`

/** Calls a function of the broker with string arguments; the last one is the acting user. */
const call = async (name: string, ...texts: string[]): Promise<void> => {
  assert.is(await broker.evaluate(`${name}(${[...texts, 'test'].map(erlangBinary).join()})`), 'ok')
}

const setPassword = (user: string, password: string): Promise<void> =>
  call('rabbit_auth_backend_internal:change_password', user, password)

/** Grants the configure, write and read permissions on names that match the patterns. */
const grant = (user: string, vhost: string, [configure, write, read] = ['.*', '.*', '.*']): Promise<void> =>
  call('rabbit_auth_backend_internal:set_permissions', user, vhost, configure, write, read)

/** Creates a broker user with the password `right` and without permissions. */
const withUser = async (work: (user: string) => Promise<void>): Promise<void> => {
  const { queue: user } = uniqueNames('user')
  await call('rabbit_auth_backend_internal:add_user', user, 'right')
  try {
    await work(user)
  } finally {
    await call('rabbit_auth_backend_internal:delete_user', user)
  }
}

test('the gateway waits for a broker that is down at startup', async () => {
  const port = await freePort()
  let line: Line | undefined
  try {
    await recover({ url: `amqp://guest:guest@127.0.0.1:${port}`, code: 'broker_unreachable' }, async () => {
      line = await startProxy(broker.port, port)
    })
  } finally {
    await line?.close()
  }
})

test('a refused login is reported, and a corrected password is detected', () =>
  withUser(async (user) => {
    await grant(user, '/')
    await setPassword(user, 'other')
    await recover({ url: urlOf(user), code: 'broker_auth_failed' }, async (gateway) => {
      assert.not.match(gateway.output(), ':right')
      assert.not.match((await getJson(`${gateway.url}/readyz`)).text, 'right@')
      await setPassword(user, 'right')
    })
  }))

test.full('a missing vhost is reported, and detected once it exists', () =>
  withUser(async (user) => {
    const names = uniqueNames('vhost')
    const vhost = names.queue
    const gateway = await startGateway({ env: brokerEnv(urlOf(user, vhost), names) })
    try {
      await faultOf(gateway, 'consumer', 'broker_vhost_missing')
      await faultOf(gateway, 'publisher', 'broker_vhost_missing')
      await call('rabbit_vhost:add', vhost)
      await faultOf(gateway, 'consumer', 'broker_access_refused')
      await grant(user, vhost)
      await gateway.ready()
    } finally {
      await gateway.dispose()
      await call('rabbit_vhost:delete', vhost)
    }
  }),
)

test('a queue of the same name with other arguments is reported and left unchanged; once it is deleted, everything works', async () => {
  const names = uniqueNames('conflict')
  await withChannel(broker.url, (channel) => channel.queueDeclare({ queue: names.queue, durable: true }))
  await recover({ names, code: 'broker_precondition_failed' }, async (gateway) => {
    const { body } = await getJson(`${gateway.url}/readyz`)
    assert.match(body.message, names.queue)
    await withChannel(broker.url, async (channel) => {
      // The broker would reject these arguments for another queue.
      await channel.queueDeclare({ queue: names.queue, durable: true })
      await channel.queueDelete({ queue: names.queue })
    })
  })
})

test.full('an exchange of another type is reported likewise', async () => {
  const names = uniqueNames('conflict')
  const { exchange } = names
  await withChannel(broker.url, (channel) => channel.exchangeDeclare({ exchange, type: 'fanout', durable: true }))
  await recover({ names, code: 'broker_precondition_failed' }, async (gateway) => {
    assert.match((await getJson(`${gateway.url}/readyz`)).body.message, exchange)
    await withChannel(broker.url, (channel) => channel.exchangeDelete({ exchange }))
  })
})

test('missing permissions are reported, and detected once they are granted', () =>
  withUser(async (user) => {
    await grant(user, '/', ['^$', '^$', '.*'])
    await recover({ url: urlOf(user), code: 'broker_access_refused' }, () => grant(user, '/'))
  }))

test('publishing over HTTP without a broker is refused immediately, and nothing is stored', async () => {
  const url = `amqp://guest:guest@127.0.0.1:${await freePort()}`
  const gateway = await startGateway({ env: brokerEnv(url, uniqueNames('down')) })
  try {
    const { status, body } = await postJson(`${gateway.url}/api/events/e/messages`, '{}')
    assert.is(status, 503)
    // The message of a rejection that did not wait for a confirmation.
    assert.equal([body.code, body.message], ['broker_unreachable', 'There is no connection to RabbitMQ.'])
    assert.equal(messageRows(gateway.dbFile), [])
  } finally {
    await gateway.dispose()
  }
})

test.run()
