// needs: rabbitmq, pika
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { Publisher, type PublisherOptions } from '../../../src/publisher/index.ts'
import {
  type Agent,
  type AgentOptions,
  assertInOrder,
  declareQueue,
  firstCopies,
  pythonAgent,
  pythonWithPika,
  rejection,
  takeAll,
} from '../../support/clients/agents.ts'
import { assertNothingLost, IdReader, type Load } from '../../support/clients/load.ts'
import { killAtExit } from '../../support/harness/cleanup.ts'
import { limit, WAIT_MS, within } from '../../support/harness/limits.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { tempDir, until } from '../../support/harness/wait.ts'
import { startAlarmProxy } from '../../support/servers/alarm-proxy.ts'
import { type Gateway, ROOT, startGateway } from '../../support/servers/gateway.ts'
import {
  type Broker,
  deleteNames,
  erlangBinary,
  type Names,
  startBroker,
  uniqueNames,
} from '../../support/servers/rabbitmq.ts'
import { brokerEnv } from '../../support/stages/stage.ts'

const test = suite('publisher-faults')

const MESSAGES = runs(3_400, 10_000)
const DEATHS = runs(1, 3)

let broker: Broker
let names: Names
const open: Publisher[] = []

test.before(async () => {
  broker = await startBroker()
})

test.after(async () => {
  await broker?.dispose()
})

test.before.each(() => {
  names = uniqueNames('faults')
})

test.after.each(async () => {
  for (const publisher of open.splice(0)) await publisher.close({ timeoutMs: 1 })
  await deleteNames(broker.url, names)
})

const publisherOf = (options: PublisherOptions = {}): Publisher => {
  const publisher = new Publisher({ url: broker.url, exchange: names.exchange, ...options })
  open.push(publisher)
  return publisher
}

const outboxOf = (name: string): string => join(tempDir('gateway-outbox-'), `${name}.db`)

test('a memory alarm is reported as such, and loses neither messages nor their order', async () => {
  await declareQueue(broker.url, names, { 'x-queue-type': 'quorum' })
  const states: string[] = []
  const onState = ({ status, error }: Publisher['state']) => states.push(`${status} ${error?.code ?? ''}`.trim())
  const direct = publisherOf({ sendTimeoutMs: 1_500, onState })
  const patient = publisherOf({ sendTimeoutMs: WAIT_MS })
  const kept = publisherOf({ outbox: outboxOf('alarm') })
  for (const one of [direct, patient, kept]) await one.send({ event_id: 'warm' })
  await kept.flush()
  await broker.alarmOn()
  try {
    const waiting = Array.from({ length: 200 }, (_, n) => patient.send({ event_id: 'patient', message_id: `p${n}`, n }))
    // RabbitMQ notifies a connection only when it publishes, so the outcome of this message is unknown.
    assert.is(
      (await rejection(direct.send({ event_id: 'direct', n: 0, message_id: 'd0' }), 'broker_blocked')).deliveryStatus,
      'unknown',
    )
    assert.is(direct.state.status, 'blocked')
    assert.is(
      (await rejection(direct.send({ event_id: 'direct', n: 1, message_id: 'd1' }), 'broker_blocked')).deliveryStatus,
      'not_sent',
    )
    for (let n = 0; n < 50; n++) await kept.send({ event_id: 'kept', message_id: `k${n}`, n })
    assert.is(kept.queued, 50)
    await broker.alarmOff()
    await Promise.all(waiting)
    assert.ok(await kept.flush({ timeoutMs: WAIT_MS }))
    await until(() => direct.state.status === 'ready')
    await direct.send({ event_id: 'direct', n: 0, message_id: 'd0' })
  } finally {
    await broker.alarmOff()
  }
  assert.equal(states, ['connecting', 'ready', 'blocked broker_blocked', 'ready'])
  const taken = (await takeAll(broker.url, names.queue)).filter(({ event_id }) => event_id !== 'warm')
  assertInOrder(taken, 251)
})

/** What Python does: it publishes while the queue does not answer, until the first fault is reported, and then again. */
const UNANSWERED = `
import os, sys, threading
import agent
agent.ANSWER_TIMEOUT = 0.5
faults = []
reported = threading.Event()
publisher = agent.Publisher(outbox=sys.argv[1], on_fault=lambda error: (faults.append(error.code), reported.set()))
publisher.send({"event_id": "e", "message_id": "m"})
reported.wait()
agent.ANSWER_TIMEOUT = 600
print(faults[0], flush=True)
sys.stdin.read()
print(publisher.close(3600), flush=True)
`

test('a message that RabbitMQ does not confirm in time is sent again', async () => {
  await declareQueue(broker.url, names)
  const queue = (what: string): Promise<string> =>
    broker.evaluate(`begin
      {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, ${erlangBinary(names.queue)})),
      sys:${what}(amqqueue:get_pid(Q))
    end`)
  await queue('suspend')
  const child = spawn(pythonWithPika(), ['-B', '-c', UNANSWERED, outboxOf('unanswered')], {
    env: {
      PATH: process.env.PATH,
      PYTHONPATH: join(ROOT, 'examples/python'),
      RABBITMQ_URL: broker.url,
      RABBITMQ_EXCHANGE: names.exchange,
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.once('exit', killAtExit(child.pid!))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  try {
    await until(() => output === 'broker_unreachable\n', { what: 'the fault', saw: () => output })
  } finally {
    await queue('resume')
  }
  child.stdin.end()
  await until(() => child.exitCode !== null, { what: 'an empty outbox', saw: () => output })
  assert.is(output, 'broker_unreachable\n0\n')
  assert.equal(
    firstCopies(await takeAll(broker.url, names.queue)).map(({ message_id }) => message_id),
    ['m'],
  )
})

test.full('an alarm while the channel is being opened delays ready until both are over', async () => {
  await declareQueue(broker.url, names)
  for (const endsFirst of ['the alarm', 'the opening']) {
    const proxy = await startAlarmProxy(Number(new URL(broker.url).port))
    const states: string[] = []
    const url = Object.assign(new URL(broker.url), { port: String(proxy.port) })
    const publisher = publisherOf({ url: url.href, onState: ({ status }) => states.push(status) })
    await until(() => states.includes('blocked'))
    const steps = [proxy.endAlarm, proxy.openChannel]
    for (const step of endsFirst === 'the alarm' ? steps : steps.reverse()) step()
    await publisher.send({ event_id: 'e' })
    assert.equal(states, ['connecting', 'blocked', 'ready'], endsFirst)
    await publisher.close()
    await proxy.close()
  }
})

test.full('close does not wait for the end of an alarm, and an outbox goes on where it was', async () => {
  await declareQueue(broker.url, names, { 'x-queue-type': 'quorum' })
  const outbox = outboxOf('closed')
  const first = publisherOf({ outbox })
  await first.send({ event_id: 'e', message_id: 'm0', n: 0 })
  await first.flush()
  await broker.alarmOn()
  try {
    for (let n = 1; n < 20; n++) await first.send({ event_id: 'e', message_id: `m${n}`, n })
    await until(() => first.state.status === 'blocked')
    // The alarm lasts until it has closed.
    const { queued } = await within(first.close({ timeoutMs: 200 }), 'close during an alarm')
    assert.is(queued, 19)
  } finally {
    await broker.alarmOff()
  }
  const second = publisherOf({ outbox })
  assert.ok(await second.flush({ timeoutMs: WAIT_MS }))
  assertInOrder(await takeAll(broker.url, names.queue), 20)
})

test('a message above the limit of RabbitMQ affects no other one, and is quarantined in an outbox', async () => {
  await declareQueue(broker.url, names)
  const before = await broker.evaluate('application:get_env(rabbit, max_message_size)')
  await broker.evaluate('application:set_env(rabbit, max_message_size, 2000)')
  try {
    const direct = publisherOf()
    const refused: string[] = []
    const kept = publisherOf({
      outbox: outboxOf('large'),
      onRefused: ({ code, message_id, deliveryStatus }) => refused.push(`${code} ${message_id} ${deliveryStatus}`),
    })
    const message = (event_id: string, n: number, size = 10) => ({
      event_id,
      n,
      message_id: `m${n}`,
      text: 'x'.repeat(size),
    })
    const sends = [0, 1, 2, 3].map((n) => direct.send(message('direct', n)))
    const large = direct.send(message('direct', 99, 5_000))
    const more = [4, 5, 6].map((n) => direct.send(message('direct', n)))
    const error = await rejection(large, 'message_too_large')
    assert.is(error.deliveryStatus, 'refused')
    assert.is(error.message_id, 'm99')
    await Promise.all([...sends, ...more])
    for (const n of [0, 1, 2]) await kept.send(message('kept', n))
    await kept.send(message('kept', 98, 6_000))
    for (const n of [3, 4]) await kept.send(message('kept', n))
    assert.ok(await kept.flush({ timeoutMs: WAIT_MS }))
    assert.equal(refused, ['message_too_large m98 refused'])
    assertInOrder(await takeAll(broker.url, names.queue), 12)
  } finally {
    const [, value] = /\{ok, *(\d+)\}/.exec(before) ?? []
    await broker.evaluate(
      value === undefined
        ? 'application:unset_env(rabbit, max_message_size)'
        : `application:set_env(rabbit, max_message_size, ${value})`,
    )
  }
})

/** Returns the number of open channels at the broker. */
const channels = async (): Promise<number> => Number(await broker.evaluate('length(rabbit_channel:list())'))

/** More than RabbitMQ takes from one channel at a time. */
const BURST = runs(3_000, 9_000)

/** Sends to 50 events at once. */
const burst = async (publisher: Publisher, from: number, count: number): Promise<void> => {
  const sends = Array.from({ length: count }, (_, i) => {
    const n = from + i
    return publisher.send({ event_id: `e${n % 50}`, message_id: `m${n}`, n: Math.floor(n / 50) })
  })
  await Promise.all(sends)
}

test.full('a burst uses one channel, and each event stays in order', async () => {
  await declareQueue(broker.url, names, { 'x-queue-type': 'quorum' })
  const others = await channels()
  const publisher = publisherOf({ sendTimeoutMs: WAIT_MS })
  await burst(publisher, 0, 20)
  assert.is(await channels(), others + 1)
  await burst(publisher, 20, BURST)
  assert.is(await channels(), others + 1)
  assertInOrder(await takeAll(broker.url, names.queue), 20 + BURST)
})

test.full('a burst succeeds if the broker allows a single channel', async () => {
  await declareQueue(broker.url, names, { 'x-queue-type': 'quorum' })
  const others = await channels()
  await broker.evaluate('application:set_env(rabbit, channel_max, 1)')
  await broker.ctl('set_user_limits', 'guest', JSON.stringify({ 'max-channels': others + 1 }))
  try {
    const faults: string[] = []
    const onState = ({ error }: Publisher['state']) => faults.push(...(error === null ? [] : [error.code]))
    const publisher = publisherOf({ sendTimeoutMs: WAIT_MS, onState })
    await burst(publisher, 0, BURST / 2)
    await burst(publisher, BURST / 2, BURST / 2)
    assert.is(await channels(), others + 1)
    assert.equal(faults, [])
  } finally {
    await broker.ctl('clear_user_limits', 'guest', 'max-channels')
    await broker.evaluate('application:set_env(rabbit, channel_max, 2047)')
  }
  assertInOrder(await takeAll(broker.url, names.queue), BURST)
})

/** Messages sent by the agent of one event, in the format that `assertNothingLost` compares. */
class Burst {
  readonly confirmed: string[] = []
  readonly event_id: string
  readonly #publisher: Publisher

  constructor(publisher: Publisher, event_id: string) {
    this.#publisher = publisher
    this.event_id = event_id
  }

  /**
   * Sends so many, with some dozens under way at a time; every one of them must be kept.
   *
   * @param read how many of them the slowest reader has: the burst is to last until the last death
   */
  async send(count: number, read: () => number): Promise<void> {
    const under: Promise<void>[] = []
    for (let n = 0; n < count; n++) {
      if (n % 50 === 0) await until(() => n < read() + 500, { everyMs: 5, timeoutMs: limit(240_000) })
      const message_id = `${this.event_id}-${n}`
      const sent = this.#publisher.send({ event_id: this.event_id, message_id, n, text: '内容'.repeat(40) })
      under.push(sent.then(() => void this.confirmed.push(message_id)))
      if (under.length >= 60) await under.shift()
    }
    await Promise.all(under)
  }
}

test(`${MESSAGES} messages get through ${DEATHS} ${DEATHS === 1 ? 'death' : 'deaths'} of the broker: none lost, none twice, all in order`, async () => {
  let gateway: Gateway | undefined
  const readers: IdReader[] = []
  try {
    gateway = await startGateway({ env: brokerEnv(broker.url, names) })
    await gateway.ready()
    const { dbFile } = gateway
    const patient = { sendTimeoutMs: limit(240_000) }
    const kept = publisherOf({ outbox: outboxOf('burst') })
    const direct = publisherOf(patient)
    const bursts = [new Burst(kept, 'kept 1'), new Burst(kept, 'kept.2'), new Burst(direct, 'direct')]
    const late: Burst[] = []
    for (const { event_id } of bursts) readers.push(new IdReader(gateway, event_id))
    for (const reader of readers) reader.start()
    const work: Promise<void>[] = []
    const share = (MESSAGES - 400) / 3
    const done = () => Math.min(...readers.map(({ messageIds }) => messageIds.length))
    for (const burst of bursts) work.push(burst.send(share, done))
    for (let death = 1; death <= DEATHS; death++) {
      await until(() => done() >= (share * (death - 0.6)) / (DEATHS + 1), { everyMs: 2 })
      await broker.kill9()
      if (death === 1) {
        // These start while the broker is down.
        late.push(
          new Burst(publisherOf({ outbox: outboxOf('late') }), 'late kept'),
          new Burst(publisherOf(patient), 'late'),
        )
        for (const burst of late) work.push(burst.send(200, () => 200))
      }
      await broker.start()
    }
    await Promise.all(work)
    assert.is(
      [...bursts, ...late].reduce((sum, { confirmed }) => sum + confirmed.length, 0),
      MESSAGES,
    )
    for (const publisher of open) assert.ok(await publisher.flush({ timeoutMs: WAIT_MS }))
    await assertNothingLost(dbFile, bursts as unknown as Load[], readers)
    await assertNothingLost(dbFile, late as unknown as Load[], [])
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
  } finally {
    for (const reader of readers) await reader.stop()
    await gateway?.dispose()
  }
})

test.full('a broker crash in the middle of a burst of Python agents loses nothing and keeps the order', async () => {
  await declareQueue(broker.url, names, { 'x-queue-type': 'quorum' })
  const other = { ...names, exchange: `${names.exchange}.kept`, queue: `${names.queue}.kept` }
  await declareQueue(broker.url, other, { 'x-queue-type': 'quorum' })
  const outbox = outboxOf('python')
  const agentOf = (options: Partial<AgentOptions>): Agent =>
    pythonAgent({ url: broker.url, exchange: names.exchange, outbox: '-', count: 1, ...options })
  const direct = agentOf({ count: 600, events: 2 })
  const kept = agentOf({ exchange: other.exchange, outbox, count: 600, events: 2 })
  await direct.hasAccepted(100)
  await broker.kill9()
  const late = agentOf({ count: 1, from: 600, events: 601 })
  await kept.hasAccepted(600)
  await broker.start()
  // As a gateway does every second: after one kill of many the binding of a durable queue was gone.
  for (const each of [names, other]) await declareQueue(broker.url, each, { 'x-queue-type': 'quorum' })
  for (const agent of [direct, kept, late]) {
    await agent.ended()
    assert.is(agent.fault, undefined, agent.output)
  }
  assert.is(kept.queued, 0)
  const taken = await takeAll(broker.url, names.queue)
  assertInOrder(
    taken.filter(({ event_id }) => event_id !== 'e600'),
    600,
  )
  assert.is(firstCopies(taken).length, 601)
  assertInOrder(await takeAll(broker.url, other.queue), 600)
  await deleteNames(broker.url, other)
})

test.run()
