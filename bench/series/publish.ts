import { declareTopology } from '../../src/ingest/topology.ts'
import { deleteNames, uniqueNames, withChannel } from '../../test/support/servers/rabbitmq.ts'
import { NAMES } from '../peers/peer.ts'
import { type Published, type PublishLoad, publishNode, publishPika } from '../peers/publishers.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { ratio } from './measure.ts'

const MANY = '100 events'
const ONE = 'one event'

const run = async (context: Context): Promise<Sample[]> => {
  const broker = await context.broker()
  const full = context.quick ? 2_000 : 40_000
  const few = context.quick ? 100 : 1_500
  const rows: [string, string, number, (load: PublishLoad) => Promise<Published>][] = [
    [NAMES.library, MANY, full, (load) => publishNode('library', load)],
    [NAMES.outbox, MANY, full, (load) => publishNode('outbox', load)],
    [NAMES.client, MANY, full, (load) => publishNode('client', load)],
    [NAMES.pikaConfirms, MANY, few, publishPika],
    [NAMES.library, ONE, full, (load) => publishNode('library', load)],
    // Of one event an outbox has one message under way.
    [NAMES.outbox, ONE, few * 2, (load) => publishNode('outbox', load)],
  ]
  const samples: Sample[] = []
  for (const [peer, point, messages, publish] of rows) {
    context.say(`${peer}, ${point}`)
    const names = uniqueNames('bench')
    try {
      await withChannel(broker.url, (channel) => declareTopology(channel, { ...names, queueType: 'quorum' }, true))
      const events = point === ONE ? 1 : 100
      const { seconds, promised, cpu } = await publish({ url: broker.url, exchange: names.exchange, messages, events })
      const values = { rate: messages / seconds, promised: messages / promised, cpu: cpu / messages }
      samples.push({ peer, point, values, note: `${messages} messages` })
    } catch (error) {
      context.missing(peer, (error as Error).message.split('\n')[0]!)
    } finally {
      await deleteNames(broker.url, names)
    }
  }
  return samples
}

const compareRates = (a: string, b: string) => (at: (peer: string, point: string, key: string) => number | undefined) =>
  ratio(at(a, MANY, 'rate'), at(b, MANY, 'rate'))

/** One agent that publishes as fast as it can: confirmed by a quorum queue. */
export const publish: Series = {
  name: 'publish',
  title: 'Publishing: one agent, 300-byte messages, persistent and confirmed by a quorum queue',
  columns: [
    { key: 'rate', label: 'confirmed/s', digits: 0 },
    { key: 'promised', label: 'sends resolved/s', digits: 0 },
    { key: 'cpu', label: 'publisher CPU µs a message', digits: 1 },
  ],
  targets: [
    {
      what: 'confirmed a second: publisher / pika with confirms',
      bound: 'at least',
      value: 20,
      of: compareRates(NAMES.library, NAMES.pikaConfirms),
    },
    {
      what: 'confirmed a second: publisher with outbox / without',
      bound: 'at least',
      value: 0.5,
      of: compareRates(NAMES.outbox, NAMES.library),
    },
    {
      what: "confirmed a second: publisher / rabbitmq-client's own",
      bound: 'at least',
      value: 0.9,
      of: compareRates(NAMES.library, NAMES.client),
    },
  ],
  plots: [{ kind: 'bars', key: 'rate', label: 'confirmed messages a second' }],
  run,
}
