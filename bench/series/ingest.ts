import { setTimeout as sleep } from 'node:timers/promises'
import { declareTopology } from '../../src/ingest/topology.ts'
import { type Broker, deleteNames, type Names, uniqueNames, withChannel } from '../../test/support/servers/rabbitmq.ts'
import { type Batch, type Consumed, consumeBare, consumePika } from '../peers/consumers.ts'
import { type GatewayPeerOptions, startGatewayPeer } from '../peers/gateway.ts'
import { NAMES } from '../peers/peer.ts'
import { cpuMicros } from '../support/stats.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { MESSAGE_BYTES, ratio } from './measure.ts'

/** Declares the gateway's own topology and lets messages wait in its queue. */
export const fillQueue = async (context: Context, broker: Broker, names: Names, messages: number, events: number) => {
  await withChannel(broker.url, (channel) => declareTopology(channel, { ...names, queueType: 'quorum' }, true))
  const to = { kind: 'amqp', url: broker.url, exchange: names.exchange } as const
  await context.publisher.fill({ to, prefix: 'e', events, messages, size: MESSAGE_BYTES })
  while ((await broker.queueDepth(names.queue)) < messages) await sleep(100)
}

/**
 * Lets consumers attach to a queue that has a single active one without getting anything, until released: so none
 * is measured while it starts.
 *
 * @returns releases the queue
 */
export const holdQueue = async (broker: Broker, queue: string): Promise<() => Promise<void>> => {
  let release: () => void = () => undefined
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  let held: () => void = () => undefined
  const holding = new Promise<void>((resolve) => {
    held = resolve
  })
  const work = withChannel(broker.url, async (channel) => {
    await channel.basicQos({ prefetchCount: 1 })
    await channel.basicConsume({ queue }, () => undefined)
    held()
    await released
  })
  await Promise.race([holding, work])
  return async () => {
    release()
    await work
  }
}

/** Lets a gateway take a queue that is full. @returns from the last commit of the warm-up to the last of all */
export const consumeGateway = async (
  context: Context,
  broker: Broker,
  names: Names,
  { warmUp, messages }: Batch,
  options: Pick<GatewayPeerOptions, 'dataDir' | 'env'> = {},
): Promise<Consumed> => {
  const release = await holdQueue(broker, names.queue)
  const peer = await startGatewayPeer(context, { broker, names, ...options })
  /** Waits until `count` messages are stored. @returns the number stored, the time, and the CPU time used so far */
  const waitFor = async (count: number) => {
    const deadline = performance.now() + 120_000
    while (true) {
      const stored = await peer.metric('gateway_messages_stored_total')
      const now = performance.now()
      if (stored >= count) return { stored, at: now, cpu: cpuMicros(peer.pids) }
      if (now > deadline) throw new Error('the gateway did not store everything in time')
      await sleep(50)
    }
  }
  try {
    await release()
    const [first, last] = [await waitFor(warmUp), await waitFor(warmUp + messages)]
    const consumed = {
      seconds: (last.at - first.at) / 1000,
      messages: last.stored - first.stored,
      cpu: last.cpu - first.cpu,
    }
    // Acknowledged as well, not merely stored.
    const deadline = performance.now() + 5_000
    while ((await broker.queueDepth(names.queue)) > 0) {
      if (performance.now() > deadline) throw new Error('stored, but not acknowledged')
      await sleep(50)
    }
    return consumed
  } finally {
    await peer.stop()
  }
}

/** The batch with which a gateway is measured. */
export const fullBatch = ({ quick }: Context): Batch =>
  quick ? { warmUp: 1_000, messages: 20_000 } : { warmUp: 100_000, messages: 200_000 }

const run = async (context: Context): Promise<Sample[]> => {
  const broker = await context.broker()
  const full = fullBatch(context)
  // CPython compiles nothing while it runs.
  const few: Batch = { warmUp: 0, messages: context.quick ? 100 : 1_500 }
  const rows: [string, Batch, (names: Names) => Promise<Consumed>][] = [
    [NAMES.gateway, full, (names) => consumeGateway(context, broker, names, full)],
    [NAMES.bare, full, ({ queue }) => consumeBare(broker, queue, full)],
    [NAMES.pika, few, ({ queue }) => consumePika(broker, queue, few.messages, 'delete')],
    [NAMES.pikaWal, few, ({ queue }) => consumePika(broker, queue, few.messages, 'wal')],
  ]
  const samples: Sample[] = []
  for (const [peer, { warmUp, messages: wanted }, consume] of rows) {
    context.say(peer)
    const names = uniqueNames('bench')
    try {
      await fillQueue(context, broker, names, warmUp + wanted, 100)
      const { seconds, messages, cpu } = await consume(names)
      const values = { rate: messages / seconds, cpu: cpu / messages, seconds }
      samples.push({ peer, point: 'quorum queue', values, note: `${messages} messages` })
    } catch (error) {
      context.missing(peer, (error as Error).message.split('\n')[0]!)
    } finally {
      await deleteNames(broker.url, names)
    }
  }
  return samples
}

const compareRates = (a: string, b: string) => (at: (peer: string, point: string, key: string) => number | undefined) =>
  ratio(at(a, 'quorum queue', 'rate'), at(b, 'quorum queue', 'rate'))

/** A queue that is full: how fast it gets into the log. */
export const ingest: Series = {
  name: 'ingest',
  title: 'Ingest: 300,000 messages waiting in a quorum queue, until durable and acknowledged; the last 200,000 count',
  columns: [
    { key: 'rate', label: 'messages/s', digits: 0 },
    { key: 'cpu', label: 'consumer CPU µs a message', digits: 1 },
    { key: 'seconds', label: 'seconds', digits: 2 },
  ],
  targets: [
    {
      what: 'messages a second: gateway / bare consumer that only acknowledges',
      bound: 'at least',
      value: 1,
      of: compareRates(NAMES.gateway, NAMES.bare),
    },
    {
      what: 'messages a second: gateway / original design (pika, commit and ack for each)',
      bound: 'at least',
      value: 60,
      of: compareRates(NAMES.gateway, NAMES.pika),
    },
  ],
  plots: [{ kind: 'bars', key: 'rate', label: 'messages a second' }],
  run,
}
