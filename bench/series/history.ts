import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ensureDatabase, readSchema } from '../../src/store/sqlite/file.ts'
import { SqliteWriter } from '../../src/store/sqlite/writer.ts'
import { WRITER_SQL } from '../../src/store/sqlite/writer-sql.ts'
import { tempDir } from '../../test/support/harness/wait.ts'
import { deleteNames, uniqueNames } from '../../test/support/servers/rabbitmq.ts'
import { messageText } from '../load/message.ts'
import { startGatewayPeer } from '../peers/gateway.ts'
import { NAMES } from '../peers/peer.ts'
import { cpuMicros } from '../support/stats.ts'
import type { Context, Sample, Series } from '../support/types.ts'
import { consumeGateway, fillQueue } from './ingest.ts'
import { MESSAGE_BYTES, ratio } from './measure.ts'

const EVENTS = 10_000
/** A reader of so many events at once, all of them together reading each row once. */
const EVENTS_A_READER = 50
/** Events that are active at once in the second kind of ingest. */
const FEW = 100

/** Fills a new database directly, in batches as large as they pay. */
const fillDatabase = async (context: Context, file: string, rows: number, events: number): Promise<void> => {
  ensureDatabase(file, { schema: readSchema(), logId: 'bench', now: Date.now() })
  const writer = new SqliteWriter(file, WRITER_SQL)
  const BATCH = 20_000
  for (let row = 0; row < rows; ) {
    const entries = Array.from({ length: Math.min(BATCH, rows - row) }, (_, index) => {
      const n = row + index
      const event_id = `e${n % events}`
      const id = n.toString(16).padStart(12, '0')
      return {
        kind: 'message' as const,
        origin: null,
        message: {
          event_id,
          message_id: `0198${id.slice(0, 4)}-${id.slice(4, 8)}-7${id.slice(8, 11)}-8${id.slice(9)}-${id}`,
          message_from: 'bench',
          message_type: 'note',
          round_id: null,
          received_at: Date.now(),
          body: messageText(event_id, n, MESSAGE_BYTES),
          lacks: 2,
          traceparent: null,
        },
      }
    })
    writer.append(entries)
    row += entries.length
    if (row % 200_000 === 0) context.say(`filling ${Math.round((row / rows) * 100)} %`)
    // The terminal and Ctrl-C have their turn.
    await new Promise(setImmediate)
  }
  writer.close()
}

/** Readers of many events each take the newest ten messages of every event from the log, twice; the second time counts. */
const catchUp = async (context: Context, dataDir: string, rows: number, events: number) => {
  const { driver } = context
  const each = Math.min(EVENTS_A_READER, events)
  const readers = events / each
  const goal = each * 10
  const cursors = [String(rows - events * 10)]
  const peer = await startGatewayPeer(context, { dataDir })
  /** Each reader has the events that `chooseEvent` returns for 0, 1, … */
  const pass = async (chooseEvent: (reader: number, index: number) => number) => {
    const paths = Array.from({ length: readers }, (_, reader) => {
      const ids = Array.from({ length: each }, (_, index) => `event_id=e${chooseEvent(reader, index)}`)
      return `/api/stream?${ids.join('&')}`
    })
    const before = cpuMicros(peer.pids)
    const { startedAt } = await driver.open({ protocol: 'sse', port: peer.port, paths, readers, cursors, goal })
    const { reached, lastAt, most } = await driver.wait(goal, 120_000)
    const cpu = cpuMicros(peer.pids) - before
    await driver.closeAll()
    if (reached < readers || most > goal) throw new Error(`${reached} of ${readers} caught up, one with ${most}`)
    return { catchUp: (readers * goal * 1e6) / (lastAt - startedAt), catchUpCpu: cpu / (readers * goal) }
  }
  try {
    await pass((reader, index) => reader * each + index)
    // Other sets of events, so that nothing comes from the pages that the gateway keeps of the first pass.
    return await pass((reader, index) => reader + index * readers)
  } finally {
    await driver.closeAll()
    await peer.stop()
  }
}

/** Lets a gateway with this database take a queue that is full. */
const ingest = async (context: Context, dataDir: string, events: number) => {
  const [broker, names] = [await context.broker(), uniqueNames('bench')]
  try {
    const batch = context.quick ? { warmUp: 1_000, messages: 20_000 } : { warmUp: 40_000, messages: 40_000 }
    await fillQueue(context, broker, names, batch.warmUp + batch.messages, events)
    const { seconds, messages, cpu } = await consumeGateway(context, broker, names, batch, { dataDir })
    return { rate: messages / seconds, cpu: cpu / messages }
  } finally {
    await deleteNames(broker.url, names)
  }
}

const measure = async (context: Context, rows: number, events: number): Promise<Record<string, number>> => {
  const dataDir = tempDir('bench-history-')
  try {
    const filled = performance.now()
    await fillDatabase(context, join(dataDir, 'gateway.db'), rows, events)
    const fillRate = rows / ((performance.now() - filled) / 1000)
    const quiet = { ...context, profileDir: null }
    context.say(`${rows} rows, catch-up`)
    const caught = await catchUp(quiet, dataDir, rows, events)
    context.say(`${rows} rows, ingest`)
    const all = await ingest(quiet, dataDir, events)
    context.say(`${rows} rows, ingest to few`)
    const few = await ingest(quiet, dataDir, Math.min(FEW, events))
    return {
      ...caught,
      ingest: all.rate,
      ingestCpu: all.cpu,
      ingestFew: few.rate,
      ingestFewCpu: few.cpu,
      fillRate,
    }
  } finally {
    if (existsSync(dataDir)) rmSync(dataDir, { recursive: true, force: true })
  }
}

const formatPoint = (rows: number): string => `${rows.toLocaleString('en')} rows`
const SMALL = 100_000
const LARGE = { usual: 1_000_000, long: 10_000_000 }

const run = async (context: Context): Promise<Sample[]> => {
  const events = context.quick ? 100 : EVENTS
  const sizes = context.quick ? [1_000, 5_000] : [SMALL, context.long ? LARGE.long : LARGE.usual]
  const samples: Sample[] = []
  for (const rows of sizes) {
    samples.push({ peer: NAMES.gateway, point: formatPoint(rows), values: await measure(context, rows, events) })
  }
  return samples
}

/** The same figure at both sizes; the larger history shown first is the one that was run. */
const grown = (key: string) => (at: (peer: string, point: string, key: string) => number | undefined) =>
  ratio(
    at(NAMES.gateway, formatPoint(SMALL), key),
    at(NAMES.gateway, formatPoint(LARGE.long), key) ?? at(NAMES.gateway, formatPoint(LARGE.usual), key),
  )

/** What a long history costs. */
export const history: Series = {
  name: 'history',
  title:
    'Cost of history: the same work on 100 thousand rows and on many more, over 10,000 events; each ingest adds 80,000',
  columns: [
    { key: 'ingest', label: 'ingest, messages/s', digits: 0 },
    { key: 'ingestCpu', label: 'CPU µs a message', digits: 1 },
    { key: 'ingestFew', label: 'the same to 100 of the events', digits: 0 },
    { key: 'ingestFewCpu', label: 'CPU µs a message', digits: 1 },
    { key: 'catchUp', label: 'catch-up, deliveries/s', digits: 0 },
    { key: 'catchUpCpu', label: 'CPU µs a delivery', digits: 1 },
    { key: 'fillRate', label: 'rows/s while filling', digits: 0 },
  ],
  targets: [
    { what: 'ingest: small history / large', bound: 'at most', value: 1.2, of: grown('ingest') },
    {
      what: 'ingest to 100 of the events: small history / large',
      bound: 'at most',
      value: 1.2,
      of: grown('ingestFew'),
    },
    { what: 'catch-up: small history / large', bound: 'at most', value: 1.2, of: grown('catchUp') },
  ],
  plots: [
    { kind: 'bars', key: 'ingest', label: 'ingest, messages a second' },
    { kind: 'bars', key: 'catchUp', label: 'catch-up, deliveries a second' },
  ],
  run,
}
