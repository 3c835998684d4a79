// needs: postgres, rabbitmq, pika
// full
import * as assert from 'uvu/assert'
import { assertReadOnce, assertSameOnce, IdReader, Load } from '../support/clients/load.ts'
import { PikaPublisher } from '../support/clients/pika.ts'
import { suite } from '../support/harness/suite.ts'
import { getJson, until } from '../support/harness/wait.ts'
import { faultNamed } from '../support/resilience/observe.ts'
import { type Gateway, startGateway } from '../support/servers/gateway.ts'
import { freshSchema, messagesIn, type Postgres, startPostgres } from '../support/servers/postgres.ts'
import { type Line, startProxy } from '../support/servers/proxy.ts'
import {
  type ControlledBroker,
  controlledBroker,
  deleteNames,
  limitDeliveries,
  type Names,
  queueReady,
  uniqueNames,
  unlimitDeliveries,
} from '../support/servers/rabbitmq.ts'
import { brokerEnv, streamUrl } from '../support/stages/stage.ts'

const test = suite('a host that is cut off from PostgreSQL')

let postgres: Postgres
let broker: ControlledBroker

test.before(async () => {
  ;[postgres, broker] = await Promise.all([startPostgres(), controlledBroker()])
})
test.after(async () => {
  await broker?.dispose()
  await postgres?.dispose()
})

interface Hosts {
  /** The line of the first host to the database; with `bothCut` also that of the other one. */
  readonly line: Line
  readonly url: string
  readonly names: Names
  /** The active consumer. */
  readonly first: Gateway
  readonly other: Gateway
  readonly agent: PikaPublisher
}

const withHosts = async (work: (hosts: Hosts) => Promise<void>, { bothCut = false } = {}): Promise<void> => {
  const line = await startProxy(postgres.port)
  const url = freshSchema(postgres.url)
  const names = uniqueNames('cut')
  const start = async (DATABASE_URL: string): Promise<Gateway> => {
    const gateway = await startGateway({ env: brokerEnv(broker.url, names, { DATABASE_URL }) })
    await gateway.ready()
    return gateway
  }
  const cutUrl = url.replace(`:${postgres.port}/`, `:${line.port}/`)
  // The first one becomes the active consumer.
  const first = await start(cutUrl)
  const other = await start(bothCut ? cutUrl : url)
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: true, retry: true })
  try {
    await work({ line, url, names, first, other, agent })
  } finally {
    await agent.kill9()
    await Promise.all([first.dispose(), other.dispose(), line.close()])
    await deleteNames(broker.url, names)
  }
}

const storedIds = async (url: string): Promise<string[]> =>
  (await messagesIn(url, 'cut')).map(({ message_id }) => message_id)

test('names it within 10 s, hands the queue and its streams to another host, in order, and comes back', () =>
  withHosts(async ({ line, url, first: cut, other, agent }) => {
    const load = new Load(agent, 'cut', { everyMs: 10 })
    // A load balancer sends the client to a host that is ready.
    const balancer = { ...cut, url: cut.url }
    const readers = [new IdReader(balancer, 'cut'), new IdReader(other, 'cut')]
    try {
      for (const reader of readers) reader.start()
      load.start()
      await load.more(100)
      line.freeze()
      const startedAt = Date.now()
      const before = (await storedIds(url)).length
      for (const component of ['store_write', 'store_read']) {
        await faultNamed(cut, { component, code: 'database_unreachable' }, startedAt)
      }
      const refused = await getJson(streamUrl(cut, 'cut'))
      assert.equal([refused.status, refused.body.code], [503, 'database_unreachable'])
      await until(async () => (await storedIds(url)).length > before + 100, {
        what: 'messages that the other host stores',
      })
      balancer.url = other.url
      await until(() => readers[0]!.counts.closing === 1, { what: 'the end of the stream' })
      assert.equal(readers[0]!.control.find(({ event }) => event === 'closing')!.data, {
        reason: 'database_unreachable',
      })
      await load.more(100)
      line.thaw()
      await cut.ready()
      await load.stop()
      await until(async () => (await storedIds(url)).length >= load.confirmed.length, { what: 'all messages' })
      assertSameOnce(await storedIds(url), load.confirmed, 'the rows')
      await assertReadOnce([load, load], readers)
      assert.is(readers[1]!.connections, 1, 'no stream of the other host was ended')
    } finally {
      for (const reader of readers) await reader.stop()
    }
  }))

test('gives deliveries back once while no host can write, so that a delivery limit of 1 drops none', () =>
  withHosts(
    async ({ line, url, names, first, other, agent }) => {
      await limitDeliveries(broker, names.queue, { limit: 1 })
      const load = new Load(agent, 'cut', { everyMs: 10 })
      try {
        load.start()
        await load.more(50)
        line.freeze()
        await load.more(100)
        await load.stop()
        for (const gateway of [first, other]) {
          await faultNamed(gateway, { component: 'store_write', code: 'database_unreachable' })
        }
        const ready = () => queueReady(broker.url, names.queue)
        await until(async () => (await ready())!.consumers === 0, { what: 'a queue without consumers', saw: ready })
        const dead = await broker.queueDepth(`${names.queue}.dead`)
        assert.equal([dead, (await ready())!.messages >= 100], [0, true])
        line.thaw()
        await Promise.all([first.ready(), other.ready()])
        await until(async () => (await storedIds(url)).length >= load.confirmed.length, { what: 'all messages' })
        assertSameOnce(await storedIds(url), load.confirmed, 'the rows')
      } finally {
        await unlimitDeliveries(broker, names.queue)
      }
    },
    { bothCut: true },
  ))

test.run()
