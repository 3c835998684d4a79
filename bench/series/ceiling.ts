import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../test/support/harness/wait.ts'
import { accepts } from '../peers/accepts.ts'
import type { Peer } from '../peers/peer.ts'
import { Program } from '../support/program.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { window, withPeer } from './measure.ts'

const flood = async (messages: number): Promise<Peer> => {
  const port = await freePort()
  const program = await Program.start({
    command: process.execPath,
    args: [fileURLToPath(new URL('../load/flood-server.ts', import.meta.url)), String(port), String(messages)],
    ready: () => accepts(port),
  })
  return {
    name: 'flood',
    protocol: 'raw',
    port,
    pids: [program.pid],
    streamPath: () => '',
    historyPath: () => '',
    destination: { kind: 'http', port, path: '' },
    stop: () => program.stop(),
  }
}

const run = async (context: Context): Promise<Sample[]> => {
  const { driver, quick } = context
  const samples: Sample[] = []
  for (const [point, messages] of [
    ['one message a read', 1],
    ['30 messages a read', 30],
  ] as const) {
    const values = await withPeer(
      context,
      'driver',
      () => flood(messages),
      async (peer) => {
        await driver.open({ protocol: 'raw', port: peer.port, paths: [''], readers: quick ? 50 : 1_000 })
        await sleep(2_000)
        const measured = await window(context, peer.pids, () => sleep(quick ? 1_000 : 4_000))
        const { deliveries, driver: cores, core, perRead } = measured.values
        const driverCpu = (cores! / deliveries!) * 1e6
        return { deliveries: deliveries!, driverCpu, ceiling: 1e6 / driverCpu, core: core!, perRead: perRead! }
      },
    )
    if (values !== null) samples.push({ peer: 'driver', point, values })
  }
  return samples
}

/** What the load driver can count at most: no figure of a peer may come near it. */
export const ceiling: Series = {
  name: 'ceiling',
  title: 'The load driver itself, against a server that only writes',
  columns: [
    { key: 'deliveries', label: 'counted/s', digits: 0 },
    { key: 'driverCpu', label: 'driver CPU µs a delivery', digits: 2 },
    { key: 'ceiling', label: 'ceiling of one core/s', digits: 0 },
    { key: 'perRead', label: 'messages a read', digits: 1 },
    { key: 'core', label: 'server, cores', digits: 2 },
  ],
  targets: [],
  plots: [{ kind: 'bars', key: 'ceiling', label: 'deliveries a second that one core of driver can count' }],
  run,
}
