import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { tempDir } from '../../test/support/harness/wait.ts'
import type { Env } from '../../test/support/servers/gateway.ts'
import {
  connect,
  extractSchemaName,
  freshSchema,
  type Postgres,
  startPostgres,
} from '../../test/support/servers/postgres.ts'
import { deleteNames, uniqueNames } from '../../test/support/servers/rabbitmq.ts'
import { type GatewayPeer, startGatewayPeer } from '../peers/gateway.ts'
import { NAMES } from '../peers/peer.ts'
import { ensure } from '../support/provision.ts'
import { cpuMicros } from '../support/stats.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { consumeGateway, fillQueue, fullBatch } from './ingest.ts'
import { atMost, openReaders, ratio, startPublishing, window } from './measure.ts'

const INGEST = 'ingest'
const SLOW = '50 messages/s'
const FAST = '1,000 messages/s'
const MANY = '10 messages/s, 3,000 readers'

/** The root process of the server. */
const readRootPid = ({ dir }: Postgres): number =>
  Number(readFileSync(join(dir, 'data/postmaster.pid'), 'utf8').split('\n')[0])

/** One queue that is full, into one store. */
const ingest = async (context: Context, database: Postgres | null): Promise<Sample['values']> => {
  const [broker, names] = [await context.broker(), uniqueNames('bench')]
  const batch = fullBatch(context)
  const env: Env = database === null ? {} : { DATABASE_URL: freshSchema(database.url) }
  try {
    await fillQueue(context, broker, names, batch.warmUp + batch.messages, 100)
    const { seconds, messages, cpu } = await consumeGateway(context, broker, names, batch, { env })
    return { taken: messages / seconds, perMessage: cpu / messages }
  } finally {
    await deleteNames(broker.url, names)
  }
}

/** Counts what the gateways notify each other of. */
const countNotifications = async (url: string): Promise<{ taken(): number; end(): Promise<void> }> => {
  const client = await connect(url)
  let count = 0
  client.on('notification', () => count++)
  await client.query(`LISTEN "${extractSchemaName(url)}"`)
  return {
    taken() {
      const before = count
      count = 0
      return before
    },
    end: () => client.end(),
  }
}

/** Messages per second and readers of each point. */
const LOADS = [
  { point: SLOW, rate: 50, readers: 300 },
  { point: FAST, rate: 1_000, readers: 300 },
  { point: MANY, rate: 10, readers: 3_000 },
] as const

/** Live readers of one event, spread evenly over some gateways on one store. */
const live = async (
  context: Context,
  database: Postgres | null,
  gateways: number,
  load: (typeof LOADS)[number],
): Promise<Sample['values']> => {
  const { driver, publisher, quick } = context
  const [broker, names] = [await context.broker(), uniqueNames('bench')]
  const url = database === null ? null : freshSchema(database.url)
  const peers: GatewayPeer[] = []
  const notifications = url === null ? null : await countNotifications(url)
  try {
    for (let n = 0; n < gateways; n++) {
      peers.push(await startGatewayPeer(context, { broker, names, env: url === null ? {} : { DATABASE_URL: url } }))
    }
    const readers = quick ? 30 : load.readers
    for (const peer of peers) {
      await openReaders(context, peer, { events: 1, readers: readers / gateways, sampleEvery: 10 })
    }
    const stream = await startPublishing(context, peers[0]!.destination, { events: 1, rate: load.rate })
    notifications?.taken()
    const pids = database === null ? [] : [readRootPid(database)]
    const [sentFrom, databaseFrom] = [await publisher.sent(stream), cpuMicros(pids)]
    const roots = peers.flatMap((peer) => peer.pids)
    const { values } = await window(context, roots, () => sleep(quick ? 1_000 : 10_000))
    const sent = (await publisher.sent(stream)) - sentFrom
    const { p50, p99 } = await driver.latencies()
    const perMessage = database === null ? {} : { database: (cpuMicros(pids) - databaseFrom) / sent }
    const notified = notifications === null ? {} : { notified: notifications.taken() / sent }
    await publisher.stop(stream)
    return { ...values, ...perMessage, ...notified, p50, p99 }
  } finally {
    await driver.closeAll()
    for (const peer of peers) await peer.stop()
    await notifications?.end()
    await deleteNames(broker.url, names)
  }
}

const run = async (context: Context): Promise<Sample[]> => {
  await ensure('postgres')
  // On the same disk as SQLite's file.
  const settings = ['shared_buffers=256MB', 'max_wal_size=2GB']
  const database = await startPostgres({ parent: tempDir('bench-postgres-'), settings })
  const samples: Sample[] = []
  const measure = async (peer: string, point: string, work: () => Promise<Sample['values']>): Promise<void> => {
    context.say(`${peer}, ${point}`)
    samples.push({ peer, point, values: await work() })
  }
  try {
    await measure(NAMES.onSqlite, INGEST, () => ingest(context, null))
    await measure(NAMES.onPostgres, INGEST, () => ingest(context, database))
    for (const load of LOADS) {
      await measure(NAMES.onSqlite, load.point, () => live(context, null, 1, load))
      for (const [index, name] of [NAMES.onPostgres, NAMES.two, NAMES.three].entries())
        await measure(name, load.point, () => live(context, database, index + 1, load))
    }
    return samples
  } finally {
    await database.dispose()
  }
}

/** SQLite against PostgreSQL, and several gateways on one PostgreSQL. */
export const postgres: Series = {
  name: 'postgres',
  title: 'PostgreSQL: 300,000 messages waiting; then 300 or 3,000 live readers, on one to three gateways',
  columns: [
    { key: 'taken', label: 'messages/s', digits: 0 },
    { key: 'perMessage', label: 'gateway CPU µs a message', digits: 1 },
    { key: 'database', label: 'PostgreSQL CPU µs a message', digits: 1 },
    { key: 'deliveries', label: 'deliveries/s', digits: 0 },
    { key: 'cpu', label: 'gateways CPU µs a delivery', digits: 2 },
    { key: 'notified', label: 'notifications a message', digits: 2 },
    { key: 'p50', label: 'p50 ms', digits: 1 },
    { key: 'p99', label: 'p99 ms', digits: 1 },
  ],
  targets: [
    {
      what: 'messages a second from a full queue: PostgreSQL / SQLite',
      bound: 'at least',
      value: 0.5,
      of: (at) => ratio(at(NAMES.onPostgres, INGEST, 'taken'), at(NAMES.onSqlite, INGEST, 'taken')),
    },
    ...LOADS.flatMap(({ point }) => [
      atMost(
        1.1,
        `CPU per delivery at ${point}: PostgreSQL / SQLite`,
        'cpu',
        [NAMES.onPostgres, NAMES.onSqlite],
        point,
      ),
      atMost(1.1, `CPU per delivery at ${point}: 2 gateways / 1`, 'cpu', [NAMES.two, NAMES.onPostgres], point),
      atMost(1.1, `CPU per delivery at ${point}: 3 gateways / 1`, 'cpu', [NAMES.three, NAMES.onPostgres], point),
    ]),
    {
      what: 'notifications a message: 1,000 messages/s / 50 messages/s',
      bound: 'at most',
      value: 0.5,
      of: (at) => ratio(at(NAMES.onPostgres, FAST, 'notified'), at(NAMES.onPostgres, SLOW, 'notified')),
    },
  ],
  plots: [{ kind: 'bars', key: 'cpu', label: 'gateways CPU, µs a delivery' }],
  run,
}
