import { setTimeout as sleep } from 'node:timers/promises'
import { type GatewayPeer, startGatewayPeer } from '../peers/gateway.ts'
import { NAMES, type Peer } from '../peers/peer.ts'
import { startFlask } from '../peers/socketio.ts'
import { cpuMicros } from '../support/stats.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import {
  atMost,
  livePeers,
  MESSAGE_BYTES,
  openReaders,
  type PeerEntry,
  ratio,
  samplePeers,
  startPublishing,
  withPeer,
} from './measure.ts'

const LOAD = { events: 1, rate: 100 }
const INGEST = 2_000
const ALONE = 'end to end'
const BESIDE = `beside ${INGEST}/s`

/** Latencies of one live event over some seconds. */
const listen = async (context: Context, peer: Peer, seconds: number): Promise<Record<string, number>> => {
  await context.driver.latencies()
  const [before, startedAt] = [cpuMicros(peer.pids), performance.now()]
  await sleep(seconds * 1000)
  const { p50, p99, max, samples } = await context.driver.latencies()
  const core = (cpuMicros(peer.pids) - before) / 1000 / (performance.now() - startedAt)
  return { p50, p99, max, samples, core }
}

const startLive = async (context: Context, peer: Peer): Promise<number> => {
  await openReaders(context, peer, { events: 1, readers: context.quick ? 20 : 100, sampleEvery: 1 })
  return startPublishing(context, peer.destination, LOAD)
}

/** The same live event without and with ingest to other events, on one gateway. */
const beside = async (context: Context, peer: GatewayPeer, seconds: number) => {
  const { publisher } = context
  const stream = await startLive(context, peer)
  const alone = await listen(context, peer, seconds)
  const rate = context.quick ? 200 : INGEST
  const other = await publisher.start({
    to: peer.destination,
    rate,
    prefix: 'other',
    events: 100,
    size: MESSAGE_BYTES,
  })
  await sleep(context.quick ? 300 : 1_000)
  const besides = await listen(context, peer, seconds)
  await publisher.stop(other)
  await publisher.stop(stream)
  return { alone, besides }
}

const run = async (context: Context): Promise<Sample[]> => {
  const seconds = context.quick ? 1 : 8
  const peers: PeerEntry[] = [...livePeers(context), [NAMES.flask, startFlask]]
  const samples = await samplePeers(context, peers, ALONE, async (peer) => {
    const stream = await startLive(context, peer)
    const heard = await listen(context, peer, seconds)
    await context.publisher.stop(stream)
    return heard
  })
  const both = await withPeer(
    context,
    NAMES.gatewayAmqp,
    async () => startGatewayPeer(context, { broker: await context.broker() }),
    (peer) => beside(context, peer, seconds),
  )
  if (both !== null) {
    samples.push({ peer: NAMES.gatewayAmqp, point: ALONE, values: both.alone })
    samples.push({ peer: NAMES.gatewayAmqp, point: BESIDE, values: both.besides })
  }
  return samples
}

/** How long a message takes from the agent to the reader. */
export const latency: Series = {
  name: 'latency',
  title: 'Latency, publish → reader: 100 msg/s × 100 readers; then beside ingest to other events',
  columns: [
    { key: 'p50', label: 'p50 ms', digits: 2 },
    { key: 'p99', label: 'p99 ms', digits: 2 },
    { key: 'max', label: 'max ms', digits: 1 },
    { key: 'core', label: 'server, cores', digits: 2 },
    { key: 'samples', label: 'samples', digits: 0 },
  ],
  targets: [
    atMost(1.5, 'live p50: gateway / nchan', 'p50', [NAMES.gateway, NAMES.nchan], ALONE),
    atMost(2, 'live p99: gateway / nchan', 'p99', [NAMES.gateway, NAMES.nchan], ALONE),
    {
      what: `live p99 beside ${INGEST} msg/s to other events / without`,
      bound: 'at most',
      value: 3,
      of: (at) => ratio(at(NAMES.gatewayAmqp, BESIDE, 'p99'), at(NAMES.gatewayAmqp, ALONE, 'p99')),
    },
  ],
  plots: [
    { kind: 'bars', key: 'p50', label: 'p50, milliseconds' },
    { kind: 'bars', key: 'p99', label: 'p99, milliseconds' },
  ],
  run,
}
