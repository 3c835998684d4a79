// full
// needs: rabbitmq
import * as assert from 'uvu/assert'
import { assertNothingLost, IdReader, Load } from '../support/clients/load.ts'
import type { PikaLine } from '../support/clients/pika.ts'
import { suite } from '../support/harness/suite.ts'
import { postJson, until } from '../support/harness/wait.ts'
import { type Gateway, startGateway } from '../support/servers/gateway.ts'
import { type Line, startProxy } from '../support/servers/proxy.ts'
import { type Broker, erlangBinary, type Names, startCluster, uniqueNames } from '../support/servers/rabbitmq.ts'
import { brokerEnv, messagesUrl } from '../support/stages/stage.ts'

const NODES = 3
const ROUNDS = 3

const test = suite('a cluster of RabbitMQ')

let nodes: Broker[]
/** Connects to the first node that runs, as a load balancer does. */
let balancer: Line
let gateway: Gateway
let names: Names

const running = (): Broker => nodes.find(({ pid }) => pid !== undefined)!

test.before(async () => {
  nodes = await startCluster(Array.from({ length: NODES }, () => '127.0.0.1'))
  balancer = await startProxy(() => running().port)
  names = uniqueNames('cluster')
  gateway = await startGateway({ env: brokerEnv(`amqp://guest:guest@127.0.0.1:${balancer.port}`, names) })
  await gateway.ready()
})
test.after(async () => {
  await gateway?.dispose()
  await balancer?.close()
  for (const node of nodes ?? []) await node.dispose()
})

/** Returns a member of the gateway's queue: its leader, or all of them. */
const ofQueue = (field: 'leader' | 'members'): Promise<string> =>
  running().evaluate(`begin
    {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, ${erlangBinary(names.queue)})),
    ${field === 'leader' ? 'element(2, amqqueue:get_pid(Q))' : 'length(maps:get(nodes, amqqueue:get_type_state(Q)))'}
  end`)

const leader = async (): Promise<Broker> => {
  const name = await ofQueue('leader')
  const own = await Promise.all(nodes.map((node) => node.evaluate('node()')))
  return nodes[own.indexOf(name)]!
}

/** Publishes over HTTP, one message after another, each until it is confirmed. */
const createAgent = (): { publish(line: PikaLine): Promise<{ n: number; attempts: number }> } => {
  const refusals = new Map<string, number>()
  let last: Promise<unknown> = Promise.resolve()
  const send = async ({ body = '' }: PikaLine): Promise<{ n: number; attempts: number }> => {
    const accepted = async (): Promise<boolean> => {
      const { status, body: answer } = await postJson(messagesUrl(gateway, 'cluster'), body)
      if (status !== 202) refusals.set(answer.code, (refusals.get(answer.code) ?? 0) + 1)
      return status === 202
    }
    await until(accepted, { what: 'a confirmed message', saw: () => refusals })
    return { n: 0, attempts: 1 }
  }
  return {
    publish(line) {
      const done = last.then(() => send(line))
      last = done.catch(() => undefined)
      return done
    },
  }
}

test(`that loses the leader of the queue ${ROUNDS} times under load costs no confirmed message and doubles none`, async () => {
  assert.is(await ofQueue('members'), String(NODES))
  const load = new Load(createAgent(), 'cluster', { everyMs: 10 })
  const readers = [0, 1].map(() => new IdReader(gateway, 'cluster'))
  try {
    for (const one of [load, ...readers]) one.start()
    for (let round = 0; round < ROUNDS; round++) {
      await load.more(100)
      const victim = await until(leader, { what: 'the leader of the queue' })
      await victim.kill9({ raw: true })
      // Confirmed by the two that are left.
      await load.more(100)
      await victim.start()
      await gateway.ready()
      const all = () => running().evaluate('length(rabbit_nodes:all_running())')
      await until(async () => (await all()) === String(NODES), { what: 'all nodes' })
    }
    await load.more(100)
    await load.stop()
    await assertNothingLost(gateway.dbFile, [load], readers)
    for (const { connections } of readers) assert.is(connections, 1, 'no stream was ended')
    await until(async () => (await running().queueDepth(names.queue)) === 0, { what: 'an empty queue' })
  } finally {
    for (const reader of readers) await reader.stop()
  }
})

test.run()
