// needs: rabbitmq, pika
// workers: 1; full: 1, 3
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { assertNothingLost, IdReader, Load } from '../support/clients/load.ts'
import { PikaPublisher } from '../support/clients/pika.ts'
import { suite } from '../support/harness/suite.ts'
import { FULL } from '../support/harness/tier.ts'
import { until } from '../support/harness/wait.ts'
import { countMessages } from '../support/servers/database.ts'
import { RUN_WORKERS, startGateway } from '../support/servers/gateway.ts'
import { type Broker, startBroker, uniqueNames } from '../support/servers/rabbitmq.ts'
import { brokerEnv } from '../support/stages/stage.ts'

// A life of several workers costs as much processor as that many lives of one.
const ROUNDS = FULL ? 200 : RUN_WORKERS === 1 ? 10 : 8
const FAILPOINT_ROUNDS = FULL ? 20 : RUN_WORKERS === 1 ? 3 : 2
/** The longest that a round lets the gateway live, in milliseconds after it listens. */
const LIFE_MS = 1_200

const test = suite('kill')

let broker: Broker

test.before(async () => {
  broker = await startBroker()
})

test.after(async () => {
  await broker?.dispose()
})

test(`a gateway that is killed ${ROUNDS} times under load loses nothing and doubles nothing`, async () => {
  const names = uniqueNames('kill')
  const gateway = await startGateway({ env: brokerEnv(broker.url, names) })
  const options = { url: broker.url, exchange: names.exchange, mandatory: true, retry: true }
  const agents = [0, 1].map(() => new PikaPublisher(options))
  const loads = agents.map((agent, n) => new Load(agent, `event-${n}`, { everyMs: 10 }))
  const readers = loads.map(({ event_id }) => new IdReader(gateway, event_id, { retryMs: 50 }))
  try {
    await gateway.ready()
    for (const one of [...loads, ...readers]) one.start()
    let alive = 0
    for (let round = 0; round < ROUNDS; round++) {
      const before = countMessages(gateway.dbFile)
      // Every other life ends in the middle of its work, the others at a random moment of their start.
      if (round % 2 === 0) await until(() => countMessages(gateway.dbFile) > before, { what: 'a message of this life' })
      else await sleep(Math.random() * LIFE_MS)
      await gateway.kill9()
      if (countMessages(gateway.dbFile) > before) alive += 1
      await gateway.restart()
    }
    for (const load of loads) await load.stop()
    await assertNothingLost(gateway.dbFile, loads, readers)
    assert.ok(alive >= ROUNDS / 2, `only ${alive} of ${ROUNDS} lives stored anything`)
    for (const reader of readers) {
      assert.ok(reader.connections > ROUNDS / 10, `${reader.connections} connections`)
    }
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
    assert.is(await broker.queueDepth(`${names.queue}.dead`), 0)
  } finally {
    for (const reader of readers) await reader.stop()
    for (const agent of agents) await agent.kill9()
    await gateway.dispose()
  }
})

/** Lets the gateway kill itself there round after round, each time a transaction later. */
const failAt = async (stage: string): Promise<void> => {
  const names = uniqueNames(stage)
  const env = { ...brokerEnv(broker.url, names), FAILPOINT_STAGE: stage }
  const entry = 'test/support/servers/failpoint-gateway.ts'
  const gateway = await startGateway({ entry, env: { ...env, FAILPOINT_NTH: '1' } })
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: true, retry: true })
  const load = new Load(agent, stage, { everyMs: 10 })
  const reader = new IdReader(gateway, stage, { retryMs: 50 })
  try {
    // Only then is there a queue that keeps what is published.
    await gateway.ready()
    load.start()
    reader.start()
    for (let round = 0; round < FAILPOINT_ROUNDS; round++) {
      await until(() => !gateway.running, { what: `the crash of round ${round}` })
      // The first transaction of the first life is the one that dies here, so a commit is seen, or is not.
      if (round === 0) assert.is(countMessages(gateway.dbFile) > 0, stage === 'committed')
      await gateway.restart({ FAILPOINT_NTH: String(round + 2) })
    }
    await gateway.restart({ FAILPOINT_STAGE: undefined })
    await load.more(20)
    await load.stop()
    await assertNothingLost(gateway.dbFile, [load], [reader])
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
  } finally {
    await reader.stop()
    await agent.kill9()
    await gateway.dispose()
  }
}

test('a crash between the commit and the acknowledgement doubles nothing', () => failAt('committed'))

test('a crash inside the transaction loses nothing and leaves nothing half done', () => failAt('in_transaction'))

test.run()
