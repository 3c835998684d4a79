// needs: rabbitmq, pika
// workers: 1; full: 1, 3
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { assertNothingLost, IdReader, Load } from '../support/clients/load.ts'
import { PikaPublisher } from '../support/clients/pika.ts'
import { failpointProgram } from '../support/harness/program.ts'
import { suite } from '../support/harness/suite.ts'
import { runs } from '../support/harness/tier.ts'
import { until } from '../support/harness/wait.ts'
import { countMessages } from '../support/servers/database.ts'
import { RUN_WORKERS, startGateway } from '../support/servers/gateway.ts'
import { type ControlledBroker, controlledBroker, deleteNames, uniqueNames } from '../support/servers/rabbitmq.ts'
import { brokerEnv } from '../support/stages/stage.ts'

// A life of three workers costs as much processor as three lives of one.
const ROUNDS = runs(4, RUN_WORKERS === 1 ? 200 : 60)
const FAILPOINT_ROUNDS = runs(1, 20)

const test = suite('kill')

let broker: ControlledBroker

test.before(async () => {
  broker = await controlledBroker()
})

test.after(async () => {
  await broker?.dispose()
})

test(`a gateway that is killed ${ROUNDS} times under load loses nothing and doubles nothing`, async () => {
  const names = uniqueNames('kill')
  let from = performance.now()
  const gateway = await startGateway({ env: brokerEnv(broker.url, names) })
  let startMs = performance.now() - from
  const options = { url: broker.url, exchange: names.exchange, mandatory: true, retry: true }
  const agents = [0, 1].map(() => new PikaPublisher(options))
  const loads = agents.map((agent, n) => new Load(agent, `event-${n}`, { everyMs: 10 }))
  const readers = loads.map(({ event_id }) => new IdReader(gateway, event_id, { retryMs: 50 }))
  try {
    await gateway.ready()
    for (const one of [...loads, ...readers]) one.start()
    for (let round = 0; round < ROUNDS; round += 2) {
      const before = countMessages(gateway.dbFile)
      const connections = readers.map((reader) => reader.connections)
      const isAtWork = (): boolean =>
        countMessages(gateway.dbFile) > before && readers.every((reader, n) => reader.connections > connections[n]!)
      if (!gateway.running) {
        from = performance.now()
        await gateway.restart()
        startMs = performance.now() - from
      }
      await until(isAtWork, { what: 'a life that has stored a message and serves all readers' })
      await gateway.kill9()
      // The next run is killed at a random moment of its startup.
      const starting = gateway.restart().catch(() => undefined)
      await sleep(Math.random() * startMs)
      await gateway.kill9()
      await starting
    }
    await gateway.restart()
    for (const load of loads) await load.stop()
    await assertNothingLost(gateway.dbFile, loads, readers)
    for (const reader of readers) {
      assert.ok(reader.connections > ROUNDS / 2, `${reader.connections} connections`)
    }
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
    assert.is(await broker.queueDepth(`${names.queue}.dead`), 0)
  } finally {
    for (const reader of readers) await reader.stop()
    for (const agent of agents) await agent.kill9()
    await gateway.dispose()
    await deleteNames(broker.url, names)
  }
})

/** Makes the gateway kill itself at this stage in each round, one transaction later each time. */
const failAt = async (stage: string): Promise<void> => {
  const names = uniqueNames(stage)
  const env = { ...brokerEnv(broker.url, names), FAILPOINT_STAGE: stage }
  const gateway = await startGateway({ entry: failpointProgram(), env: { ...env, FAILPOINT_NTH: '1' } })
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: true, retry: true })
  const load = new Load(agent, stage, { everyMs: 10 })
  const reader = new IdReader(gateway, stage, { retryMs: 50 })
  try {
    // The queue that stores published messages exists only then.
    await gateway.ready()
    load.start()
    reader.start()
    for (let round = 0; round < FAILPOINT_ROUNDS; round++) {
      await until(() => !gateway.running, { what: `the crash of round ${round}` })
      // The first transaction of the first run is killed here, so its commit is visible or not.
      if (round === 0) assert.is(countMessages(gateway.dbFile) > 0, stage === 'committed')
      const last = round === FAILPOINT_ROUNDS - 1
      await gateway.restart(last ? { FAILPOINT_STAGE: undefined } : { FAILPOINT_NTH: String(round + 2) })
    }
    await load.more(20)
    await load.stop()
    await assertNothingLost(gateway.dbFile, [load], [reader])
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
  } finally {
    await reader.stop()
    await agent.kill9()
    await gateway.dispose()
    await deleteNames(broker.url, names)
  }
}

test('a crash between the commit and the acknowledgement duplicates nothing', () => failAt('committed'))

test('a crash inside the transaction loses nothing and leaves no partial batch', () => failAt('in_transaction'))

test.run()
