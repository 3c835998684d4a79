// needs: rabbitmq, pika
import { readdirSync, readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { PikaPublisher } from '../../support/clients/pika.ts'
import { suite } from '../../support/harness/suite.ts'
import { until } from '../../support/harness/wait.ts'
import { holdWriteLock, messageRows, rejectedRows } from '../../support/servers/database.ts'
import { listWorkerPids, startGateway } from '../../support/servers/gateway.ts'
import { startProxy } from '../../support/servers/proxy.ts'
import { controlledBroker, deleteNames, erlangBinary, queueReady, uniqueNames } from '../../support/servers/rabbitmq.ts'
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
    for (const [round, victim] of listWorkerPids(gateway).entries()) {
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

test.run()
