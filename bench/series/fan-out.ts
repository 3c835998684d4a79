import { NAMES, type Peer } from '../peers/peer.ts'
import { startFlask } from '../peers/socketio.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { atMost, livePeers, type PeerEntry, ratio, samplePeers, steady } from './measure.ts'

const point = (readers: number, rate: number): string => `${readers} × ${rate}/s`

const run = async (context: Context): Promise<Sample[]> => {
  const { quick } = context
  const peers = livePeers(context)
  const loads: { readers: number; rate: number; peers: PeerEntry[] }[] = [
    ...(quick ? [10, 50] : [10, 50, 300, 1_000]).map((rate) => ({ readers: quick ? 50 : 1_000, rate, peers })),
    { readers: quick ? 20 : 200, rate: 20, peers: [peers[0]!, [NAMES.flask, startFlask]] },
  ]
  const samples: Sample[] = []
  for (const load of loads) {
    const { readers, rate } = load
    const seconds = quick ? 1 : 6
    const work = (peer: Peer) =>
      steady(context, peer, { events: 1, readers, rate, seconds, sampleEvery: quick ? 1 : 20 })
    samples.push(...(await samplePeers(context, load.peers, point(readers, rate), work)))
  }
  return samples
}

/** Many readers of one event. */
export const fanOut: Series = {
  name: 'fan-out',
  title: 'Steady fan-out: readers of one event, 300-byte messages over HTTP',
  columns: [
    { key: 'deliveries', label: 'deliveries/s', digits: 0 },
    { key: 'taken', label: 'messages taken/s', digits: 0 },
    { key: 'cpu', label: 'server CPU µs a delivery', digits: 2 },
    { key: 'p50', label: 'p50 ms', digits: 1 },
    { key: 'p99', label: 'p99 ms', digits: 1 },
    { key: 'perRead', label: 'messages a read', digits: 1 },
    { key: 'bytes', label: 'bytes a delivery', digits: 0 },
    { key: 'driver', label: 'driver, cores', digits: 2 },
    { key: 'missing', label: 'missing', digits: 0 },
  ],
  targets: [
    ...[10, 50].map((rate) =>
      atMost(
        1,
        `CPU per delivery, 1,000 readers, ${rate} msg/s: gateway / nchan`,
        'cpu',
        [NAMES.gateway, NAMES.nchan],
        point(1_000, rate),
      ),
    ),
    {
      what: 'deliveries a second at 300 msg/s × 1,000: gateway / nchan',
      bound: 'at least',
      value: 5,
      of: (at) =>
        ratio(at(NAMES.gateway, point(1_000, 300), 'deliveries'), at(NAMES.nchan, point(1_000, 300), 'deliveries')),
    },
    {
      what: 'deliveries a second at 1,000 msg/s × 1,000: gateway / nchan',
      bound: 'at least',
      value: 5,
      of: (at) =>
        ratio(at(NAMES.gateway, point(1_000, 1_000), 'deliveries'), at(NAMES.nchan, point(1_000, 1_000), 'deliveries')),
    },
  ],
  plots: [
    { kind: 'bars', key: 'deliveries', label: 'deliveries a second' },
    { kind: 'bars', key: 'cpu', label: 'server CPU, µs a delivery' },
  ],
  run,
}
