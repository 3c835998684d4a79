import { startGatewayPeer } from '../peers/gateway.ts'
import { startNchan } from '../peers/nchan.ts'
import { NAMES, type Peer } from '../peers/peer.ts'
import { cpuMicros } from '../support/stats.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { atMost, MESSAGE_BYTES, type PeerEntry, samplePeers } from './measure.ts'

const EVENTS = 100

const formatPoint = (connections: number): string => `${connections} connection${connections === 1 ? '' : 's'}`

/** Posts without a reader; each connection has one request under way. */
const post = async ({ publisher }: Context, peer: Peer, connections: number, messages: number) => {
  const load = { to: peer.destination, prefix: 'e', events: EVENTS, size: MESSAGE_BYTES, connections }
  // What a server compiles or sets up first is not counted.
  await publisher.fill({ ...load, messages: messages / 5 })
  const [before, startedAt] = [cpuMicros(peer.pids), performance.now()]
  await publisher.fill({ ...load, messages })
  const seconds = (performance.now() - startedAt) / 1000
  return {
    cpu: (cpuMicros(peer.pids) - before) / messages,
    rate: messages / seconds,
    ms: (seconds * connections * 1000) / messages,
  }
}

const run = async (context: Context): Promise<Sample[]> => {
  const { quick } = context
  const peers: PeerEntry[] = [
    [NAMES.gateway, () => startGatewayPeer(context)],
    [NAMES.nchan, () => startNchan()],
  ]
  const samples: Sample[] = []
  for (const [connections, messages] of quick
    ? ([
        [1, 100],
        [10, 500],
      ] as const)
    : ([
        [1, 3_000],
        [16, 15_000],
        [100, 20_000],
      ] as const)) {
    samples.push(
      ...(await samplePeers(context, peers, formatPoint(connections), (peer) =>
        post(context, peer, connections, messages),
      )),
    )
  }
  return samples
}

/** What taking a message over HTTP costs. */
export const posts: Series = {
  name: 'post',
  title: 'A POST: 300-byte messages to 100 events without a reader',
  columns: [
    { key: 'cpu', label: 'server CPU µs a message', digits: 0 },
    { key: 'rate', label: 'messages/s', digits: 0 },
    { key: 'ms', label: 'mean answer, ms', digits: 2 },
  ],
  targets: [
    atMost(1.5, 'CPU of a POST, 1 connection: gateway / nchan', 'cpu', [NAMES.gateway, NAMES.nchan], formatPoint(1)),
    atMost(
      1.5,
      'CPU of a POST, 100 connections: gateway / nchan',
      'cpu',
      [NAMES.gateway, NAMES.nchan],
      formatPoint(100),
    ),
  ],
  plots: [{ kind: 'bars', key: 'cpu', label: 'server CPU, µs a message', logarithmic: true }],
  run,
}
