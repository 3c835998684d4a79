// needs: rabbitmq, pika
// workers: 1; full: 1, 3
import * as assert from 'uvu/assert'
import { PikaPublisher } from '../../support/clients/pika.ts'
import { failpointProgram } from '../../support/harness/program.ts'
import { suite } from '../../support/harness/suite.ts'
import { until } from '../../support/harness/wait.ts'
import { countMessages, messageRows, rejectedRows } from '../../support/servers/database.ts'
import { RUN_WORKERS, startGateway } from '../../support/servers/gateway.ts'
import {
  type ControlledBroker,
  controlledBroker,
  deleteNames,
  limitDeliveries,
  uniqueNames,
  unlimitDeliveries,
  withChannel,
} from '../../support/servers/rabbitmq.ts'
import { metric } from '../../support/stages/rooms.ts'
import { brokerEnv, KEY, openStage, type Stage, type StageOptions } from '../../support/stages/stage.ts'

const test = suite('dead-letters')

let broker: ControlledBroker

test.before(async () => {
  broker = await controlledBroker()
})

test.after(async () => {
  await broker?.dispose()
})

const onStage = async (options: StageOptions, work: (stage: Stage) => Promise<void>): Promise<void> => {
  const stage = await openStage(broker.url, 'dead', options)
  try {
    await work(stage)
  } finally {
    await stage.dispose()
  }
}

const bothEmpty = ({ names }: Stage): Promise<unknown> =>
  until(
    async () => (await broker.queueDepth(names.queue)) === 0 && (await broker.queueDepth(`${names.queue}.dead`)) === 0,
    { what: 'two empty queues' },
  )

test('messages of the dead-letter queue are read back: valid ones once, invalid ones into the quarantine', () =>
  onStage({}, async (stage) => {
    const { names, gateway } = stage
    const undertaker = new PikaPublisher({ url: broker.url, exchange: `${names.exchange}.dead`, mandatory: true })
    const both = '{"event_id":"dead","message_id":"both","n":12302548181076029}'
    try {
      await stage.publish([both])
      await stage.stored(1)
      await undertaker.publishAll([
        { key: KEY, body: both },
        { key: 'any.other.key', body: '{"event_id":"dead","message_id":"only-dead"}' },
        { key: KEY, body: 'no json' },
        { key: KEY, body: both.replace('029}', '030}') },
        { key: KEY, body: '{"event_id":"dead","message_id":"last"}' },
      ])
      await stage.stored(3)
      assert.equal(
        messageRows(gateway.dbFile).map(({ message_id, body }) => [message_id, body.includes('12302548181076029')]),
        [
          ['both', true],
          ['only-dead', false],
          ['last', false],
        ],
      )
      assert.equal(
        rejectedRows(gateway.dbFile).map(({ reason, exchange }) => [reason, exchange]),
        [
          ['invalid_json', `${names.exchange}.dead`],
          ['message_conflict', `${names.exchange}.dead`],
        ],
      )
      await bothEmpty(stage)
    } finally {
      await undertaker.close()
    }
  }))

const CRASH = { FAILPOINT_STAGE: 'in_transaction', FAILPOINT_NTH: '1' }

const publishDead = (exchange: string): Promise<void> =>
  withChannel(broker.url, async (channel) => {
    await channel.confirmSelect()
    const envelope = { exchange: `${exchange}.dead`, routingKey: KEY, durable: true }
    await channel.basicPublish(envelope, '{"event_id":"dead","message_id":"1"}')
  })

for (const stageName of ['committed', 'in_transaction'] as const) {
  test(`messages that the broker gives up on after crashes at ${stageName} arrive all the same, once each`, () =>
    onStage(
      {
        gateway: { entry: failpointProgram() },
        env: { FAILPOINT_STAGE: stageName, FAILPOINT_NTH: '1' },
      },
      async (stage) => {
        const { names, gateway } = stage
        await limitDeliveries(broker, names.queue, { limit: 1 })
        const count = 20
        const total = count + 1
        const ids = Array.from({ length: count }, (_, n) => `d${n}`)
        await stage.publish([
          ...ids.map((message_id) => JSON.stringify({ event_id: 'crash', message_id })),
          '{"event_id":"crash"}',
        ])
        const died = async (): Promise<void> => {
          await until(() => !gateway.running, { what: 'the crash' })
        }
        // The main queue's limit counts crashes; the dead-letter queue has none, so its message brings the next ones.
        for (let crash = 0; crash < 2; crash++) {
          await died()
          await gateway.restart()
        }
        await died()
        assert.ok((await broker.queueDepth(`${names.queue}.dead`)) > 0, 'the broker has given up on some')
        await gateway.restart({ FAILPOINT_STAGE: undefined })
        await until(() => countMessages(gateway.dbFile) >= total, { what: 'all messages' })
        await bothEmpty(stage)
        const rows = messageRows(gateway.dbFile)
        const named = rows.map(({ message_id }) => message_id).filter((id) => ids.includes(id))
        assert.equal([...named].sort(), [...ids].sort())
        const log = gateway.output()
        assert.not.match(log, /uncaught/i)
        assert.equal(rejectedRows(gateway.dbFile), [])
        if (stageName === 'in_transaction') assert.is(rows.length, total, 'nothing was committed twice')
        await unlimitDeliveries(broker, names.queue)
      },
    ))
}

test.full('a dead letter that the broker gives up on is parked, not deleted, whatever the number of crashes', () =>
  onStage({ gateway: { entry: failpointProgram() }, env: CRASH }, async (stage) => {
    const { names, gateway } = stage
    await limitDeliveries(broker, names.queue, { limit: 1, end: '' })
    await publishDead(names.exchange)
    const isParked = async (): Promise<boolean> => (await broker.queueDepth(`${names.queue}.parked`)) === 1
    while (!(await isParked())) {
      await until(async () => !gateway.running || (await isParked()), { what: 'a crash, or the parked message' })
      if (!gateway.running) await gateway.restart()
    }
    await gateway.kill9()
    await gateway.restart({ FAILPOINT_STAGE: undefined })
    await gateway.ready()
    await until(async () => (await metric(gateway, 'gateway_dead_letter_messages_parked')) === 1, {
      what: 'its metric',
    })
    await unlimitDeliveries(broker, names.queue)
  }),
)

test('a dead-letter queue of an earlier version is kept and consumed, with one warning of each worker', async () => {
  const names = uniqueNames('earlier')
  const queue = `${names.queue}.dead`
  await withChannel(broker.url, (channel) =>
    channel.queueDeclare({
      queue,
      durable: true,
      arguments: { 'x-queue-type': 'quorum', 'x-single-active-consumer': true },
    }),
  )
  const gateway = await startGateway({ env: brokerEnv(broker.url, names) })
  try {
    await gateway.ready()
    await publishDead(names.exchange)
    await until(() => countMessages(gateway.dbFile) === 1, { what: 'the dead letter' })
    const warnings = () =>
      gateway.logs().filter(({ msg }) => msg?.startsWith('a delivery limit can delete dead letters'))
    await until(() => warnings().length >= RUN_WORKERS, { what: 'the warnings', saw: () => warnings().length })
    assert.is(new Set(warnings().map(({ worker }) => worker)).size, RUN_WORKERS, gateway.output())
    assert.is(warnings().length, RUN_WORKERS, gateway.output())
  } finally {
    await gateway.dispose()
    await deleteNames(broker.url, names)
  }
})

test.run()
