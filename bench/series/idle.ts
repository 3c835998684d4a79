import { setTimeout as sleep } from 'node:timers/promises'
import { NAMES } from '../peers/peer.ts'
import { cpuMicros, residentBytes } from '../support/stats.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { livePeers, openReaders, ratio, samplePeers } from './measure.ts'

const run = async (context: Context): Promise<Sample[]> => {
  const { quick, driver } = context
  const readers = quick ? 50 : 9_000
  // V8 gives back what opening a stream left behind only once it has been quiet for a while.
  const settleMs = quick ? 500 : 20_000
  return samplePeers(context, livePeers(context), `${readers} streams`, async (peer) => {
    const start = residentBytes(peer.pids)
    // What a server sets up once for its first readers is not counted to the idle ones.
    await openReaders(context, peer, { events: readers / 10, readers: readers / 10, sampleEvery: 0 })
    await driver.closeAll()
    await sleep(settleMs / 2)
    const before = residentBytes(peer.pids)
    await openReaders(context, peer, { events: readers / 10, readers, sampleEvery: 0 })
    await sleep(settleMs)
    const after = residentBytes(peer.pids)
    const cpu = cpuMicros(peer.pids)
    await sleep(settleMs / 4)
    const idleCpu = (cpuMicros(peer.pids) - cpu) / (settleMs / 4 / 1000) / 1e6
    return {
      bytes: (after - before) / readers,
      gross: (after - start) / readers,
      megabytes: after / 2 ** 20,
      core: idleCpu,
    }
  })
}

/** Streams on which nothing happens. */
export const idle: Series = {
  name: 'idle',
  title: 'Idle: memory of 9,000 streams on which nothing is published',
  columns: [
    { key: 'bytes', label: 'bytes a stream', digits: 0 },
    { key: 'gross', label: 'the same, first readers included', digits: 0 },
    { key: 'megabytes', label: 'whole server, MB', digits: 0 },
    { key: 'core', label: 'server, cores', digits: 3 },
  ],
  targets: [
    {
      what: 'bytes an idle stream: gateway / nchan',
      bound: 'at most',
      value: 1,
      of: (at) => ratio(at(NAMES.gateway, '9000 streams', 'bytes'), at(NAMES.nchan, '9000 streams', 'bytes')),
    },
  ],
  plots: [{ kind: 'bars', key: 'bytes', label: 'resident bytes a stream' }],
  run,
}
