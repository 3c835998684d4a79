// needs: rabbitmq, pika
// workers: 1; full: 1, 3
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { assertNothingLost, IdReader, Load } from '../support/clients/load.ts'
import { PikaPublisher } from '../support/clients/pika.ts'
import { suite } from '../support/harness/suite.ts'
import { FULL } from '../support/harness/tier.ts'
import { getJson, until } from '../support/harness/wait.ts'
import { type Gateway, startGateway } from '../support/servers/gateway.ts'
import { type Broker, type Names, startBroker, uniqueNames } from '../support/servers/rabbitmq.ts'
import { brokerEnv } from '../support/stages/stage.ts'

const ROUNDS = FULL ? 12 : 3

const test = suite('broker-kill')

let broker: Broker
let gateway: Gateway
let names: Names

test.before(async () => {
  broker = await startBroker()
  names = uniqueNames('broker-kill')
  gateway = await startGateway({ env: brokerEnv(broker.url, names) })
  await gateway.ready()
})

test.after(async () => {
  await gateway?.dispose()
  await broker?.dispose()
})

/** Publishes and reads through `rounds` outages of the broker, and counts at the end. */
const survive = async (event_id: string, rounds: number, end: () => Promise<void>): Promise<void> => {
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: true, retry: true })
  const load = new Load(agent, event_id, { everyMs: 5 })
  const readers = [0, 1].map(() => new IdReader(gateway, event_id))
  try {
    for (const one of [load, ...readers]) one.start()
    for (let round = 0; round < rounds; round++) {
      await load.more(100)
      await sleep(Math.random() * 500)
      await end()
      assert.is((await getJson(`${gateway.url}/livez`)).status, 200)
      const fault = await until(
        async () =>
          (await getJson(`${gateway.url}/readyz`)).body.faults?.find(
            (one: { component: string }) => one.component === 'consumer',
          ),
        { what: 'the fault of the consumer' },
      )
      assert.is(fault.code, 'broker_unreachable')
      await broker.start()
      await gateway.ready()
    }
    await load.more(100)
    await load.stop()
    await assertNothingLost(gateway.dbFile, [load], readers)
    for (const { connections } of readers) assert.is(connections, 1, 'an outage of the broker ends no stream')
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
  } finally {
    for (const reader of readers) await reader.stop()
    await agent.kill9()
  }
}

test(`a broker that is killed ${ROUNDS} times under load costs no confirmed message and doubles none`, () =>
  survive('killed', ROUNDS, () => broker.kill9()))

test('a broker that is shut down in order and comes back costs nothing either', () =>
  survive('stopped', 1, () => broker.stop()))

test.run()
