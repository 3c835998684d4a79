import { setTimeout as sleep } from 'node:timers/promises'
import { getJson } from '../../test/support/harness/wait.ts'
import { type GatewayPeer, startGatewayPeer } from '../peers/gateway.ts'
import { startNchan } from '../peers/nchan.ts'
import { NAMES, type Peer } from '../peers/peer.ts'
import { cpuMicros } from '../support/stats.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { atMost, MESSAGE_BYTES, ratio, withPeer } from './measure.ts'

const BEHIND = 10
/** Messages a second that are ingested for events without readers while the storm lasts. */
const INGEST = 2_000

interface Size {
  readonly events: number
  readonly readers: number
}

/** All readers connect at once, each with a cursor, until the last has caught up. */
const storm = async ({ driver }: Context, peer: Peer, { events, readers }: Size, cursors: string[]) => {
  const paths = Array.from({ length: events }, (_, index) => peer.historyPath(`e${index}`))
  const before = cpuMicros(peer.pids)
  const opened = await driver.open({ protocol: 'sse', port: peer.port, paths, readers, cursors, goal: BEHIND })
  const { reached, lastAt, most, goals } = await driver.wait(BEHIND, 60_000)
  const cpu = cpuMicros(peer.pids) - before
  await driver.closeAll()
  if (most > BEHIND) throw new Error(`${peer.name}: a reader got ${most} messages, ${BEHIND} behind its cursor`)
  const seconds = (lastAt - opened.startedAt) / 1e6
  const curve = goals.map(([at, count]) => [(at - opened.startedAt) / 1e6, count] as const)
  return {
    values: { seconds, opened: opened.ms / 1000, cpu: cpu / readers, missing: readers - reached },
    lines: { caughtUp: curve },
  }
}

const fillEvents = (context: Context, peer: Peer, { events }: Size, each: number): Promise<void> =>
  context.publisher.fill({
    to: peer.destination,
    prefix: 'e',
    events,
    messages: events * each,
    size: MESSAGE_BYTES,
  })

/** Waits until the gateway has stored everything that was published into the exchange. */
const stored = async (peer: GatewayPeer, messages: number): Promise<void> => {
  while ((await peer.metric('gateway_messages_stored_total')) < messages) await sleep(50)
}

const stormGateway = async (context: Context, peer: GatewayPeer, size: Size) => {
  const { publisher, quick } = context
  await fillEvents(context, peer, size, BEHIND)
  await stored(peer, size.events * BEHIND)
  const { body } = await getJson(`${peer.gateway.url}/api/events?limit=1`)
  await fillEvents(context, peer, size, BEHIND)
  await stored(peer, 2 * size.events * BEHIND)
  const ingest = { to: peer.destination, rate: INGEST, prefix: 'other', events: 100, size: MESSAGE_BYTES }
  const stream = await publisher.start(ingest)
  await sleep(quick ? 500 : 2_000)
  const measureRate = async <R>(work: () => Promise<R>): Promise<[number, R]> => {
    const [from, startedAt] = [await peer.metric('gateway_messages_stored_total'), performance.now()]
    const result = await work()
    const to = await peer.metric('gateway_messages_stored_total')
    return [((to - from) / (performance.now() - startedAt)) * 1000, result]
  }
  const [before] = await measureRate(() => sleep(quick ? 500 : 3_000))
  const [during, result] = await measureRate(() => storm(context, peer, size, [String(body.data[0].last_db_id)]))
  await publisher.stop(stream)
  return { ...result, values: { ...result.values, ingestBefore: before, ingestDuring: during } }
}

/** The id behind the newest message of each event, as a reader sees it. */
const nchanCursors = async ({ driver }: Context, peer: Peer, { events }: Size): Promise<string[]> => {
  const paths = Array.from({ length: events }, (_, index) => peer.historyPath(`e${index}`))
  await driver.open({ protocol: 'sse', port: peer.port, paths, readers: events, keep: true })
  await driver.wait(BEHIND, 10_000)
  const cursors: string[] = []
  for (let index = 0; index < events; index++) {
    cursors.push([...(await driver.text(index)).matchAll(/^id: (\S+)/gm)].at(-1)?.[1] ?? '')
  }
  await driver.closeAll()
  return cursors
}

const stormNchan = async (context: Context, peer: Peer, size: Size) => {
  await fillEvents(context, peer, size, BEHIND)
  const cursors = await nchanCursors(context, peer, size)
  await fillEvents(context, peer, size, BEHIND)
  return storm(context, peer, size, cursors)
}

const run = async (context: Context): Promise<Sample[]> => {
  const size = context.quick ? { events: 10, readers: 50 } : { events: 100, readers: 10_000 }
  const point = `${size.readers} readers`
  const samples: Sample[] = []
  const ours = await withPeer(
    context,
    NAMES.gatewayAmqp,
    async () => startGatewayPeer(context, { broker: await context.broker() }),
    (peer) => stormGateway(context, peer, size),
  )
  if (ours !== null) samples.push({ peer: NAMES.gatewayAmqp, point, ...ours })
  const quiet = await withPeer(
    context,
    NAMES.gateway,
    () => startGatewayPeer(context),
    async (peer) => {
      await fillEvents(context, peer, size, BEHIND)
      const { body } = await getJson(`${peer.gateway.url}/api/events?limit=1`)
      await fillEvents(context, peer, size, BEHIND)
      return storm(context, peer, size, [String(body.data[0].last_db_id)])
    },
  )
  if (quiet !== null) samples.push({ peer: NAMES.gateway, point, ...quiet, note: 'without ingest' })
  const theirs = await withPeer(
    context,
    NAMES.nchan,
    () => startNchan(),
    (peer) => stormNchan(context, peer, size),
  )
  if (theirs !== null) samples.push({ peer: NAMES.nchan, point, ...theirs, note: 'without ingest' })
  return samples
}

const POINT = '10000 readers'

/** Everybody returns at once. */
export const reconnectStorm: Series = {
  name: 'storm',
  title: `Reconnect storm: 10,000 readers of 100 events return at once, ${BEHIND} messages behind`,
  columns: [
    { key: 'seconds', label: 's until all caught up', digits: 2 },
    { key: 'opened', label: 's until all connected', digits: 2 },
    { key: 'cpu', label: 'server CPU µs a reader', digits: 0 },
    { key: 'ingestBefore', label: 'ingest/s before', digits: 0 },
    { key: 'ingestDuring', label: 'ingest/s during', digits: 0 },
    { key: 'missing', label: 'missing', digits: 0 },
  ],
  targets: [
    atMost(
      1,
      'time until all have caught up: gateway without ingest / nchan without',
      'seconds',
      [NAMES.gateway, NAMES.nchan],
      POINT,
    ),
    {
      what: 'time until all have caught up: gateway with ingest / nchan without',
      bound: 'at most',
      value: 1,
      of: (at) => ratio(at(NAMES.gatewayAmqp, POINT, 'seconds'), at(NAMES.nchan, POINT, 'seconds')),
    },
    {
      what: 'ingest during the storm / before it',
      bound: 'at least',
      value: 0.5,
      of: (at) => ratio(at(NAMES.gatewayAmqp, POINT, 'ingestDuring'), at(NAMES.gatewayAmqp, POINT, 'ingestBefore')),
    },
  ],
  plots: [{ kind: 'lines', line: 'caughtUp', x: 'seconds since the first connect', y: 'readers that have caught up' }],
  run,
}
