// needs: rabbitmq, pika
import { readdirSync, readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { createDeliveryFrameLoop } from '../../../src/amqp/deliveries.ts'
import { AmqpConnection } from '../../../src/amqp/rabbitmq-client-patch.ts'
import { PikaPublisher } from '../../support/clients/pika.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, until } from '../../support/harness/wait.ts'
import { faultsOf } from '../../support/resilience/observe.ts'
import { holdWriteLock, messageRows, rejectedRows } from '../../support/servers/database.ts'
import { startGateway, workersOf } from '../../support/servers/gateway.ts'
import { startProxy } from '../../support/servers/proxy.ts'
import {
  controlledBroker,
  deleteNames,
  erlangBinary,
  queueReady,
  sharedBroker,
  startBroker,
  uniqueNames,
} from '../../support/servers/rabbitmq.ts'
import { brokerEnv, KEY } from '../../support/stages/stage.ts'

const test = suite('frozen-consumer')

const isStopped = (pid: number): boolean =>
  readdirSync(`/proc/${pid}/task`).every((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').includes(') T '),
  )

test('a worker that was frozen until another one took over stores nothing again', async () => {
  const broker = await controlledBroker()
  // A proxy ends a connection after its last bytes, where the broker itself resets it.
  const proxy = await startProxy(broker.port)
  const names = uniqueNames('frozen')
  const env = { WORKERS: '2', WORKER_TIMEOUT_SECONDS: '60' }
  const gateway = await startGateway({ env: brokerEnv(`amqp://127.0.0.1:${proxy.port}`, names, env) })
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: true })
  const nOf = ({ body }: { body: string | Buffer }): string => JSON.parse(String(body)).n
  const stored = (): string[] => messageRows(gateway.dbFile).map(nOf).sort()
  const rejected = (): string[] => rejectedRows(gateway.dbFile).map(nOf).sort()
  // A passive declaration counts only the active one.
  const queue = `rabbit_misc:r(<<"/">>, queue, ${erlangBinary(names.queue)})`
  const consumers = async (): Promise<number> =>
    Number(await broker.evaluate(`length(rabbit_amqqueue:consumers(element(2, rabbit_amqqueue:lookup(${queue}))))`))
  try {
    await gateway.ready()
    // Either of them can be the active consumer.
    for (const [round, victim] of workersOf(gateway).entries()) {
      await until(async () => (await consumers()) === 2, { what: 'two consumers' })
      const lock = holdWriteLock(gateway.dbFile)
      await agent.publish({ key: KEY, body: `{"n":"${round} in the writer"}` })
      await until(async () => (await queueReady(broker.url, names.queue))?.messages === 0, { what: 'it is delivered' })
      process.kill(victim, 'SIGSTOP')
      // A thread that still runs could take the lock, and keep it.
      await until(() => isStopped(victim), { what: 'all threads are stopped', everyMs: 1 })
      lock.release()
      // Neither has a message_id by which a second copy would be recognised.
      await agent.publish({ key: KEY, body: `{"event_id":"frozen","n":"${round} in the socket"}` })
      await agent.publish({ key: KEY, body: `{"n":"${round} in the socket"}` })
      await until(() => stored().length > round && rejected().length >= 2 * (round + 1), {
        what: 'all from the other worker',
      })
      process.kill(victim, 'SIGCONT')
      await until(async () => (await consumers()) === 2, { what: 'a new connection of the worker' })
    }
    const places = (...names: string[]) => [0, 1].flatMap((round) => names.map((name) => `${round} ${name}`)).sort()
    assert.equal(stored(), places('in the socket'))
    assert.equal(rejected(), places('in the writer', 'in the socket'))
  } finally {
    await agent.kill9()
    await gateway.dispose()
    await proxy.close()
    await deleteNames(broker.url, names)
    await broker.dispose()
  }
})

test('deliveries in a full buffer are left to RabbitMQ if the connection was cut meanwhile', async () => {
  // RabbitMQ then gives up a connection before the writer gives up the lock.
  const broker = await startBroker({ config: 'heartbeat = 1' })
  const proxy = await startProxy(broker.port)
  const names = uniqueNames('paused')
  const env = { INGEST_BUFFER_BYTES: '5000' }
  const gateway = await startGateway({ env: brokerEnv(`amqp://127.0.0.1:${proxy.port}`, names, env) })
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: true })
  const stored = (): number[] => messageRows(gateway.dbFile).map(({ body }) => JSON.parse(String(body)).n)
  const ready = async () => (await queueReady(broker.url, names.queue))?.messages
  const read = async (): Promise<void> => {
    await until(async () => (await ready()) === 0, { what: 'everything is delivered' })
    // The gateway has read what had arrived before these requests.
    for (let n = 0; n < 5; n++) await getJson(`${gateway.url}/readyz`)
  }
  try {
    await gateway.ready()
    const lock = holdWriteLock(gateway.dbFile)
    await agent.publish({ key: KEY, body: '{"event_id":"e","message_id":"in the writer","n":1}' })
    await read()
    for (let n = 2; n <= 8; n++) await agent.publish({ key: KEY, body: `{"event_id":"e","n":${n}}` })
    await read()
    proxy.freeze()
    await until(async () => (await ready()) === 8, { what: 'RabbitMQ has given up the connection' })
    lock.release()
    await until(async () => (await faultsOf(gateway)).some(({ component }) => component === 'consumer'), {
      what: 'the gateway has given up the connection',
    })
    proxy.thaw()
    await until(() => new Set(stored()).size === 8, { what: 'all messages' })
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
    assert.equal(stored(), [1, 2, 3, 4, 5, 6, 7, 8])
  } finally {
    await agent.kill9()
    await gateway.dispose()
    await proxy.close()
    await deleteNames(broker.url, names)
    await broker.dispose()
  }
})

test('what is read after a pause does not show that the connection is still open, an answer does', async () => {
  const broker = await sharedBroker()
  let pause: PromiseWithResolvers<void> | null = null
  const readFrames = createDeliveryFrameLoop(() => pause?.promise ?? null)
  const connection = new AmqpConnection({ url: broker.url, heartbeat: 60 }, readFrames)
  try {
    await connection.opened
    const channel = await connection.acquire()
    pause = Promise.withResolvers()
    // The reader pauses after this answer.
    await channel.basicQos({ prefetchCount: 1 })
    const before = connection.exclusiveUntil
    // A connection of its own takes longer than the millisecond by which the times differ.
    await queueReady(broker.url, 'none')
    pause.resolve()
    pause = null
    await channel.basicQos({ prefetchCount: 1 })
    assert.is(connection.exclusiveUntil, before)
    connection.noteAnswer(before)
    const noted = connection.exclusiveUntil
    assert.ok(noted > before)
    await channel.basicQos({ prefetchCount: 1 })
    assert.is.not(connection.exclusiveUntil, noted)
    await channel.close()
    await connection.close()
  } finally {
    connection.unsafeDestroy()
    await broker.dispose()
  }
})

test.run()
