import { setTimeout as sleep } from 'node:timers/promises'
import { type GatewayPeer, startGatewayPeer } from '../peers/gateway.ts'
import { NAMES } from '../peers/peer.ts'
import { residentBytes } from '../support/stats.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { withPeer } from './measure.ts'

const SIZE = 10_000
const STALL_LIMIT_MS = 60_000

const MB = 2 ** 20

interface Course {
  /** Greatest resident memory, bytes. */
  readonly peak: number
  readonly curve: [number, number][]
}

/** Watches memory every 200 ms while something happens. */
const watch = async (peer: GatewayPeer, base: number, during: () => Promise<unknown>): Promise<Course> => {
  const startedAt = performance.now()
  const curve: [number, number][] = []
  let peak = 0
  let over = false
  const watching = (async () => {
    while (!over) {
      const bytes = residentBytes(peer.pids)
      peak = Math.max(peak, bytes)
      curve.push([(performance.now() - startedAt) / 1000, (bytes - base) / MB])
      await sleep(200)
    }
  })()
  try {
    await during()
  } finally {
    over = true
    await watching
  }
  return { peak, curve }
}

const publish = (context: Context, peer: GatewayPeer, prefix: string, messages: number): Promise<void> =>
  context.publisher.fill({ to: peer.destination, prefix, events: 1, messages, size: SIZE, batch: 5 })

const extractIds = (text: string): number[] =>
  [...text.matchAll(/^id: (\d+)\nevent: new_message/gm)].map((match) => Number(match[1]))

/** The same volume again and again without that reader: the process takes memory in steps until it has what the work needs. */
const warm = async (context: Context, peer: GatewayPeer, messages: number): Promise<void> => {
  let before = 0
  for (let round = 0; round < 6; round++) {
    await publish(context, peer, 'warm', messages)
    await sleep(1_000)
    const bytes = residentBytes(peer.pids)
    if (round > 1 && bytes - before < 2 * MB) return
    before = bytes
  }
}

const neverRead = async (context: Context, peer: GatewayPeer, messages: number) => {
  const { driver } = context
  const path = peer.historyPath('e0')
  await warm(context, peer, messages)
  const base = residentBytes(peer.pids)
  const control = await watch(peer, base, () => publish(context, peer, 'control', messages))
  await sleep(1_000)
  const begin = residentBytes(peer.pids)
  await driver.open({ protocol: 'sse', port: peer.port, paths: [path], readers: 1, keep: true })
  await sleep(200)
  await driver.pause(true)
  const closed = () => peer.metric('gateway_streams_closed_total', 'too_slow')
  const course = await watch(peer, begin, async () => {
    await publish(context, peer, 'e', messages)
    const deadline = performance.now() + STALL_LIMIT_MS
    while ((await closed()) === 0 && performance.now() < deadline) await sleep(200)
  })
  const tooSlow = await closed()
  await driver.pause(false)
  await sleep(1_000)
  const first = extractIds(await driver.text(0))
  await driver.closeAll()
  // It comes back as an EventSource does, with the last id it saw.
  const cursors = [String(first.at(-1) ?? 0)]
  await driver.open({ protocol: 'sse', port: peer.port, paths: [path], readers: 1, cursors })
  const { messages: later } = await settled(context, messages - first.length)
  return {
    values: {
      growth: (course.peak - begin) / MB,
      control: (control.peak - base) / MB,
      above: (course.peak - control.peak) / MB,
      tooSlow,
      before: first.length,
      lost: messages - first.length - later,
    },
    lines: { memory: course.curve },
  }
}

/** Waits for a number of messages and a little longer, so that one too many would show. */
const settled = async ({ driver }: Context, messages: number) => {
  await driver.wait(messages, 60_000)
  await sleep(500)
  return driver.snapshot()
}

const run = async (context: Context): Promise<Sample[]> => {
  const messages = context.quick ? 500 : 30_000
  const result = await withPeer(
    context,
    NAMES.gateway,
    () => startGatewayPeer(context),
    (peer) => (context.quick ? quickly(context, peer, messages) : neverRead(context, peer, messages)),
  )
  return result === null ? [] : [{ peer: NAMES.gateway, point: `${(messages * SIZE) / 1e6} MB`, ...result }]
}

/** The quick form does not wait for the stall limit of 30 s. */
const quickly = async (context: Context, peer: GatewayPeer, messages: number) => {
  const base = residentBytes(peer.pids)
  const paths = [peer.historyPath('e0')]
  await context.driver.open({ protocol: 'sse', port: peer.port, paths, readers: 1 })
  await context.driver.pause(true)
  const { peak, curve } = await watch(peer, base, () => publish(context, peer, 'e', messages))
  await context.driver.pause(false)
  const { messages: got } = await settled(context, messages)
  return { values: { growth: (peak - base) / MB, lost: messages - got }, lines: { memory: curve } }
}

const POINT = '300 MB'

/** One reader that never reads. */
export const neverReads: Series = {
  name: 'never-read',
  title: 'A reader that never reads while 300 MB are published for it, and its return',
  columns: [
    { key: 'growth', label: 'growth, MB', digits: 1 },
    { key: 'control', label: 'growth without that reader, MB', digits: 1 },
    { key: 'above', label: 'peak above the one without, MB', digits: 1 },
    { key: 'tooSlow', label: 'closed as too_slow', digits: 0 },
    { key: 'before', label: 'messages before', digits: 0 },
    { key: 'lost', label: 'lost after its return', digits: 0 },
  ],
  targets: [
    {
      what: 'growth of the process',
      bound: 'at most',
      value: 20,
      unit: 'MB',
      of: (at) => at(NAMES.gateway, POINT, 'growth'),
    },
    {
      what: 'closed as too_slow',
      bound: 'at least',
      value: 1,
      unit: 'reader',
      of: (at) => at(NAMES.gateway, POINT, 'tooSlow'),
    },
    {
      what: 'messages lost or doubled after its return',
      bound: 'at most',
      value: 0,
      unit: 'messages',
      of: (at) => {
        const lost = at(NAMES.gateway, POINT, 'lost')
        return lost === undefined ? undefined : Math.abs(lost)
      },
    },
  ],
  plots: [{ kind: 'lines', line: 'memory', x: 'seconds', y: 'resident memory above the start, MB' }],
  run,
}
