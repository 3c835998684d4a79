import { setTimeout as sleep } from 'node:timers/promises'
import type { Destination } from '../load/publisher.ts'
import { startGatewayPeer } from '../peers/gateway.ts'
import { startNchan } from '../peers/nchan.ts'
import { NAMES, type Peer } from '../peers/peer.ts'
import { startSocketio } from '../peers/socketio.ts'
import { cpuMicros } from '../support/stats.ts'
import type { Context, Sample, Target } from '../support/types.ts'

/** Bytes of a message as it is published. */
export const MESSAGE_BYTES = 300

export interface Load {
  /** Events e0 … with this many readers in all, spread evenly. */
  readonly events: number
  readonly readers: number
  /** Messages a second over all events. */
  readonly rate: number
  readonly seconds: number
  readonly sampleEvery: number
}

/** Opens readers on what is new in the events e0 …. @throws Error when one of them cannot be opened */
export const openReaders = async (
  { driver }: Context,
  peer: Peer,
  { events, readers, sampleEvery }: Pick<Load, 'events' | 'readers' | 'sampleEvery'>,
): Promise<void> => {
  const paths = Array.from({ length: events }, (_, index) => peer.streamPath(`e${index}`))
  const { open } = await driver.open({ protocol: peer.protocol, port: peer.port, paths, readers, sampleEvery })
  if (open < readers) throw new Error(`${peer.name}: only ${open} of ${readers} readers could connect`)
}

/** Server CPU, deliveries and helper load between two moments. */
export const window = async (
  { driver, publisher }: Context,
  pids: readonly number[],
  during: () => Promise<unknown>,
): Promise<{ seconds: number; messages: number; cpu: number; values: Record<string, number> }> => {
  const readCpuTimes = () => [cpuMicros(pids), cpuMicros([driver.pid]), cpuMicros([publisher.pid])] as const
  const [from, cpuFrom] = [await driver.snapshot(), readCpuTimes()]
  await during()
  const [to, cpuTo] = [await driver.snapshot(), readCpuTimes()]
  const seconds = (to.at - from.at) / 1e6
  const messages = to.messages - from.messages
  const cpu = cpuTo[0] - cpuFrom[0]
  return {
    seconds,
    messages,
    cpu,
    values: {
      deliveries: messages / seconds,
      cpu: cpu / Math.max(1, messages),
      core: cpu / 1e6 / seconds,
      driver: (cpuTo[1] - cpuFrom[1]) / 1e6 / seconds,
      publisher: (cpuTo[2] - cpuFrom[2]) / 1e6 / seconds,
      perRead: messages / Math.max(1, to.reads - from.reads),
      bytes: (to.bytes - from.bytes) / Math.max(1, messages),
    },
  }
}

/**
 * Starts to publish at a rate, and lets the server run for a while before anything is measured: what it compiles and sets up in its first
 * seconds is not what users have for days.
 *
 * @returns the stream for `publisher.sent` and `publisher.stop`
 */
export const startPublishing = async (
  { driver, publisher, quick }: Context,
  to: Destination,
  { events, rate }: Pick<Load, 'events' | 'rate'>,
): Promise<number> => {
  const stream = await publisher.start({ to, rate, prefix: 'e', events, size: MESSAGE_BYTES })
  await sleep(quick ? 500 : 10_000)
  await driver.latencies()
  return stream
}

/** Lets readers receive at a rate: after the warm-up comes the window that counts. */
export const steady = async (context: Context, peer: Peer, load: Load): Promise<Record<string, number>> => {
  const { driver, publisher } = context
  await openReaders(context, peer, load)
  const { events, readers, seconds } = load
  const stream = await startPublishing(context, peer.destination, load)
  const sentFrom = await publisher.sent(stream)
  const measured = await window(context, peer.pids, () => sleep(seconds * 1000))
  const sent = (await publisher.sent(stream)) - sentFrom
  const { p50, p99 } = await driver.latencies()
  const report = await publisher.stop(stream)
  // Every message reaches every reader of its event; a saturated peer is given some time, no more.
  const expected = (report.sent * readers) / events
  const deadline = performance.now() + 6_000
  let got = 0
  while ((got = (await driver.snapshot()).messages) < expected && performance.now() < deadline) await sleep(50)
  await driver.closeAll()
  return { ...measured.values, taken: sent / measured.seconds, p50, p99, missing: Math.max(0, expected - got) }
}

/** The name of a peer, and how it is started. */
export type PeerEntry = readonly [name: string, start: () => Promise<Peer>]

/** The peers that carry live messages over HTTP. */
export const livePeers = (context: Context): PeerEntry[] => [
  [NAMES.gateway, () => startGatewayPeer(context)],
  [NAMES.nchan, () => startNchan()],
  [NAMES.socketio, startSocketio],
]

/** Starts a peer, works with it and stops it; one that cannot be had is noted as missing. `startMs` is how long its start took. */
export const withPeer = async <P extends Peer, R>(
  context: Context,
  name: string,
  start: () => Promise<P>,
  work: (peer: P, startMs: number) => Promise<R>,
): Promise<R | null> => {
  let peer: P
  const from = performance.now()
  try {
    peer = await start()
  } catch (error) {
    context.missing(name, (error as Error).message.split('\n')[0]!)
    return null
  }
  const startMs = performance.now() - from
  context.say(name)
  try {
    return await work(peer, startMs)
  } finally {
    await context.driver.closeAll()
    await peer.stop()
  }
}

/** Works with one peer after the other. @returns a sample at this point for each one that could be had */
export const samplePeers = async (
  context: Context,
  peers: readonly PeerEntry[],
  point: string,
  work: (peer: Peer, startMs: number) => Promise<Sample['values']>,
): Promise<Sample[]> => {
  const samples: Sample[] = []
  for (const [name, start] of peers) {
    const values = await withPeer(context, name, start, work)
    if (values !== null) samples.push({ peer: name, point, values })
  }
  return samples
}

/** `a / b` of one run, undefined where one of them is missing. */
export const ratio = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined || b === 0 ? undefined : a / b

/** The target that a figure of one peer is at most `value` times that of another at the same point. */
export const atMost = (
  value: number,
  what: string,
  key: string,
  [ours, theirs]: readonly [string, string],
  point: string,
): Target => ({
  what,
  bound: 'at most',
  value,
  of: (at) => ratio(at(ours, point, key), at(theirs, point, key)),
})
