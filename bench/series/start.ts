import { startGatewayPeer } from '../peers/gateway.ts'
import { startNchan } from '../peers/nchan.ts'
import { NAMES, type Peer } from '../peers/peer.ts'
import { startSocketio } from '../peers/socketio.ts'
import { cpuMicros } from '../support/stats.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { ratio, withPeer } from './measure.ts'

const POINT = 'first answer'

const run = async (context: Context): Promise<Sample[]> => {
  const peers: [string, () => Promise<Peer>][] = [
    [NAMES.gateway, () => startGatewayPeer(context)],
    [NAMES.nchan, () => startNchan()],
    [NAMES.socketio, startSocketio],
  ]
  const samples: Sample[] = []
  for (const [name, start] of peers) {
    const from = performance.now()
    const values = await withPeer(context, name, start, async (peer) => ({
      ms: performance.now() - from,
      cpu: cpuMicros(peer.pids) / 1_000,
    }))
    if (values !== null) samples.push({ peer: name, point: POINT, values })
  }
  return samples
}

/** The start of a server, until it serves. */
export const start: Series = {
  name: 'start',
  title: 'Start: from the start of the process to the first answer',
  columns: [
    { key: 'ms', label: 'start, ms', digits: 0 },
    { key: 'cpu', label: 'server CPU, ms', digits: 0 },
  ],
  targets: [
    {
      what: 'CPU of a start: gateway / Socket.IO',
      bound: 'at most',
      value: 4,
      of: (at) => ratio(at(NAMES.gateway, POINT, 'cpu'), at(NAMES.socketio, POINT, 'cpu')),
    },
  ],
  plots: [{ kind: 'bars', key: 'ms', label: 'ms to the first answer' }],
  run,
}
