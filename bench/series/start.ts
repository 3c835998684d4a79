import { NAMES } from '../peers/peer.ts'
import { cpuMicros } from '../support/stats.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { livePeers, ratio, samplePeers } from './measure.ts'

const POINT = 'first answer'

const run = (context: Context): Promise<Sample[]> =>
  samplePeers(context, livePeers(context), POINT, async (peer, ms) => ({ ms, cpu: cpuMicros(peer.pids) / 1_000 }))

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
