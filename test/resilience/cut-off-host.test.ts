// needs: postgres, rabbitmq, pika
// full
import * as assert from 'uvu/assert'
import { assertReadOnce, assertSameOnce, IdReader, Load } from '../support/clients/load.ts'
import { PikaPublisher } from '../support/clients/pika.ts'
import { suite } from '../support/harness/suite.ts'
import { getJson, until } from '../support/harness/wait.ts'
import { faultNamed } from '../support/resilience/observe.ts'
import { type Gateway, startGateway } from '../support/servers/gateway.ts'
import { freshSchema, messagesIn, startPostgres } from '../support/servers/postgres.ts'
import { startProxy } from '../support/servers/proxy.ts'
import { deleteNames, sharedBroker, uniqueNames } from '../support/servers/rabbitmq.ts'
import { brokerEnv, streamUrl } from '../support/stages/stage.ts'

const test = suite('a host that is cut off from PostgreSQL')

test('names it within 10 s, hands the queue and its streams to another host, in order, and comes back', async () => {
  const [postgres, broker] = await Promise.all([startPostgres(), sharedBroker()])
  const line = await startProxy(postgres.port)
  const url = freshSchema(postgres.url)
  const names = uniqueNames('cut')
  const start = async (DATABASE_URL: string): Promise<Gateway> => {
    const gateway = await startGateway({ env: brokerEnv(broker.url, names, { DATABASE_URL }) })
    await gateway.ready()
    return gateway
  }
  // The first one becomes the active consumer.
  const cut = await start(url.replace(`:${postgres.port}/`, `:${line.port}/`))
  const other = await start(url)
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: true, retry: true })
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
    const stored = async (): Promise<string[]> => (await messagesIn(url, 'cut')).map(({ message_id }) => message_id)
    const before = (await stored()).length
    for (const component of ['store_write', 'store_read']) {
      await faultNamed(cut, { component, code: 'database_unreachable' }, startedAt)
    }
    const refused = await getJson(streamUrl(cut, 'cut'))
    assert.equal([refused.status, refused.body.code], [503, 'database_unreachable'])
    await until(async () => (await stored()).length > before + 100, { what: 'messages that the other host stores' })
    balancer.url = other.url
    await until(() => readers[0]!.counts.closing === 1, { what: 'the end of the stream' })
    assert.equal(readers[0]!.control.find(({ event }) => event === 'closing')!.data, { reason: 'database_unreachable' })
    await load.more(100)
    line.thaw()
    await cut.ready()
    await load.stop()
    await until(async () => (await stored()).length >= load.confirmed.length, { what: 'all messages' })
    assertSameOnce(await stored(), load.confirmed, 'the rows')
    await assertReadOnce([load, load], readers)
    assert.is(readers[1]!.connections, 1, 'no stream of the other host was ended')
  } finally {
    for (const reader of readers) await reader.stop()
    await agent.kill9()
    await Promise.all([cut.dispose(), other.dispose(), line.close()])
    await deleteNames(broker.url, names)
    await Promise.all([broker.dispose(), postgres.dispose()])
  }
})

test.run()
