import { startGatewayPeer } from '../peers/gateway.ts'
import { startNchan } from '../peers/nchan.ts'
import { NAMES, type Peer } from '../peers/peer.ts'
import { cpuMicros } from '../support/stats.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { MESSAGE_BYTES, ratio, withPeer } from './measure.ts'

/** Readers from the beginning of an event until all have everything. */
const catchUp = async (
  { driver }: Context,
  peer: Peer,
  event_id: string,
  readers: number,
  messages: number,
): Promise<Record<string, number>> => {
  const [before, driverBefore] = [cpuMicros(peer.pids), cpuMicros([driver.pid])]
  const paths = [peer.historyPath(event_id)]
  const { startedAt } = await driver.open({ protocol: 'sse', port: peer.port, paths, readers, goal: messages })
  const { reached, lastAt, most } = await driver.wait(messages, 60_000)
  const cpu = cpuMicros(peer.pids) - before
  const { messages: got, bytes } = await driver.snapshot()
  const seconds = (lastAt - startedAt) / 1e6
  const driverCores = (cpuMicros([driver.pid]) - driverBefore) / 1e6 / seconds
  await driver.closeAll()
  if (most > messages) throw new Error(`${peer.name}: a reader got ${most} of ${messages} messages`)
  return {
    deliveries: got / seconds,
    seconds,
    cpu: cpu / got,
    bytes: bytes / got,
    core: cpu / 1e6 / seconds,
    driver: driverCores,
    missing: (readers - reached) * messages,
  }
}

const run = async (context: Context): Promise<Sample[]> => {
  const [readers, messages] = context.quick ? [50, 100] : [1_000, 1_000]
  const peers: [string, boolean, () => Promise<Peer>][] = [
    [NAMES.gateway, true, () => startGatewayPeer(context)],
    [NAMES.nchan, false, () => startNchan()],
  ]
  const samples: Sample[] = []
  for (const [name, batches, start] of peers) {
    const values = await withPeer(context, name, start, async (peer) => {
      for (const prefix of ['warm', 'e']) {
        const batch = batches ? 100 : 1
        const to = peer.destination
        await context.publisher.fill({ to, prefix, events: 1, messages, size: MESSAGE_BYTES, batch })
      }
      // Another event first, so that no peer is measured cold.
      await catchUp(context, peer, 'warm0', readers / 10, messages)
      return catchUp(context, peer, 'e0', readers, messages)
    })
    if (values !== null) samples.push({ peer: name, point: `${readers} × ${messages}`, values })
  }
  return samples
}

/** Readers that come back to a long history. */
export const catchingUp: Series = {
  name: 'catch-up',
  title: 'Catch-up: readers that are 1,000 messages behind, connecting included',
  columns: [
    { key: 'deliveries', label: 'deliveries/s', digits: 0 },
    { key: 'seconds', label: 'seconds', digits: 2 },
    { key: 'cpu', label: 'server CPU µs a delivery', digits: 2 },
    { key: 'bytes', label: 'bytes a delivery', digits: 0 },
    { key: 'core', label: 'server, cores', digits: 2 },
    { key: 'driver', label: 'driver, cores', digits: 2 },
    { key: 'missing', label: 'missing', digits: 0 },
  ],
  targets: [
    {
      what: 'deliveries a second: gateway / nchan',
      bound: 'at least',
      value: 3,
      of: (at) => ratio(at(NAMES.gateway, '1000 × 1000', 'deliveries'), at(NAMES.nchan, '1000 × 1000', 'deliveries')),
    },
  ],
  plots: [
    { kind: 'bars', key: 'deliveries', label: 'deliveries a second' },
    { kind: 'bars', key: 'cpu', label: 'server CPU, µs a delivery' },
  ],
  run,
}
