import { startGatewayPeer } from '../peers/gateway.ts'
import { startNchan } from '../peers/nchan.ts'
import { NAMES } from '../peers/peer.ts'
import { startSocketio } from '../peers/socketio.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { atMost, type PeerEntry, samplePeers, steady } from './measure.ts'

const run = async (context: Context): Promise<Sample[]> => {
  const { quick } = context
  const events = quick ? 10 : 1_000
  const readers = quick ? 50 : 10_000
  const point = `${events} × ${readers / events}`
  const peers: PeerEntry[] = [
    [NAMES.gateway, () => startGatewayPeer(context)],
    [NAMES.gatewayAmqp, async () => startGatewayPeer(context, { broker: await context.broker() })],
    [
      NAMES.gatewaySearch,
      async () => startGatewayPeer(context, { broker: await context.broker(), env: { SEARCH: 'on' } }),
    ],
    [NAMES.nchan, () => startNchan()],
    [NAMES.socketio, startSocketio],
  ]
  return samplePeers(context, peers, point, (peer) =>
    steady(context, peer, {
      events,
      readers,
      rate: quick ? 50 : 1_000,
      seconds: quick ? 1 : 6,
      sampleEvery: quick ? 1 : 97,
    }),
  )
}

const POINT = '1000 × 10'

/** Many events with few readers each. */
export const channels: Series = {
  name: 'channels',
  title: 'Many small channels: one message a second to each of 1,000 events with 10 readers',
  columns: [
    { key: 'deliveries', label: 'deliveries/s', digits: 0 },
    { key: 'taken', label: 'messages taken/s', digits: 0 },
    { key: 'cpu', label: 'server CPU µs a delivery', digits: 2 },
    { key: 'core', label: 'server, cores', digits: 2 },
    { key: 'p50', label: 'p50 ms', digits: 1 },
    { key: 'p99', label: 'p99 ms', digits: 1 },
    { key: 'missing', label: 'missing', digits: 0 },
  ],
  targets: [
    atMost(1.4, 'CPU per delivery: gateway (RabbitMQ) / nchan', 'cpu', [NAMES.gatewayAmqp, NAMES.nchan], POINT),
    atMost(2, 'CPU per delivery: gateway / nchan', 'cpu', [NAMES.gateway, NAMES.nchan], POINT),
    {
      what: 'p50 from publish to reader over RabbitMQ',
      bound: 'at most',
      value: 8,
      unit: 'ms',
      of: (at) => at(NAMES.gatewayAmqp, POINT, 'p50'),
    },
  ],
  plots: [{ kind: 'bars', key: 'cpu', label: 'server CPU, µs a delivery' }],
  run,
}
