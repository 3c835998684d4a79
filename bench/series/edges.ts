import { setTimeout as sleep } from 'node:timers/promises'
import { edgeIsLive } from '../../test/support/stages/rooms.ts'
import { type GatewayPeer, startGatewayPeer } from '../peers/gateway.ts'
import { NAMES } from '../peers/peer.ts'
import { cpuMicros } from '../support/stats.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { openReaders, ratio, startPublishing, withPeer } from './measure.ts'

/** Messages a second of the event that all readers follow. */
const RATE = 20
const READERS = { quick: 20, full: 3_000 }

const ALONE = 'core alone'
const DIRECT = 'readers at the core'
const edgesPoint = (edges: number): string => `${edges} ${edges === 1 ? 'edge' : 'edges'}`

/** Cores of the core and of one edge, memory of the core, and latencies of the readers. */
const measure = async (context: Context, core: GatewayPeer, edges: readonly GatewayPeer[]) => {
  const { driver, publisher, quick } = context
  const stream = await startPublishing(context, core.destination, { events: 1, rate: RATE })
  const edgePids = edges.flatMap(({ pids }) => pids)
  const readCpuTimes = () => [cpuMicros(core.pids), cpuMicros(edgePids)] as const
  const [from, startedAt] = [readCpuTimes(), performance.now()]
  await sleep(quick ? 1_000 : 10_000)
  const micros = (performance.now() - startedAt) * 1_000
  const cpu = readCpuTimes()
  const { p50, p99, samples } = await driver.latencies()
  const memory = (await core.metric('process_resident_memory_bytes')) / 1e6
  await publisher.stop(stream)
  const edge = edges.length === 0 ? {} : { edge: (cpu[1] - from[1]) / micros / edges.length }
  return { core: (cpu[0] - from[0]) / micros, memory, ...edge, ...(samples > 0 && { p50, p99 }) }
}

const run = async (context: Context): Promise<Sample[]> => {
  const readers = context.quick ? READERS.quick : READERS.full
  const samples: Sample[] = []
  const add = async (point: string, edgeCount: number, atCore: number): Promise<void> => {
    const values = await withPeer(
      context,
      NAMES.gateway,
      () => startGatewayPeer(context),
      async (core) => {
        const edges: GatewayPeer[] = []
        try {
          for (let n = 0; n < edgeCount; n++) {
            edges.push(await startGatewayPeer({ ...context, workers: 1 }, { env: { UPSTREAM_URL: core.gateway.url } }))
          }
          for (const edge of edges) await edgeIsLive(edge.gateway)
          for (const edge of edges) await openReaders(context, edge, { events: 1, readers, sampleEvery: 20 })
          if (atCore > 0) await openReaders(context, core, { events: 1, readers: atCore, sampleEvery: 20 })
          return await measure(context, core, edges)
        } finally {
          await context.driver.closeAll()
          for (const edge of edges) await edge.stop()
        }
      },
    )
    if (values !== null) samples.push({ peer: NAMES.gateway, point, values })
  }
  await add(ALONE, 0, 0)
  await add(DIRECT, 0, readers)
  await add(edgesPoint(1), 1, 0)
  await add(edgesPoint(3), 3, 0)
  return samples
}

/** What edges cost their core. */
export const edges: Series = {
  name: 'edges',
  title: `Edges: ${READERS.full.toLocaleString('en')} readers each of one event, ${RATE} msg/s published at the core`,
  columns: [
    { key: 'core', label: 'core, cores', digits: 3 },
    { key: 'memory', label: 'core, MB', digits: 0 },
    { key: 'edge', label: 'an edge, cores', digits: 3 },
    { key: 'p50', label: 'p50 ms', digits: 1 },
    { key: 'p99', label: 'p99 ms', digits: 1 },
  ],
  targets: [
    {
      what: 'CPU of the core: 3 edges / the readers of one of them at the core',
      bound: 'at most',
      value: 0.5,
      of: (at) => ratio(at(NAMES.gateway, edgesPoint(3), 'core'), at(NAMES.gateway, DIRECT, 'core')),
    },
  ],
  plots: [
    { kind: 'bars', key: 'core', label: 'cores that the core takes' },
    { kind: 'bars', key: 'p50', label: 'p50, milliseconds' },
  ],
  run,
}
