import { performance } from 'node:perf_hooks'
import { Counter, Histogram, Registry } from 'prom-client'
import type { ResetReason } from '../core/cursor.ts'
import type { ClosingReason } from '../core/sse.ts'
import type { LagReference } from '../ingest/lag.ts'
import type { QueueStats } from '../ingest/topology.ts'
import type { Fault } from '../monitoring/health.ts'
import type { StorageSize } from '../store/store.ts'
import type { HubStats } from '../streams/hub.ts'
import type { SubscriberState } from '../streams/subscriber.ts'
import { createCallbackMetrics } from './callback-metrics.ts'
import { createEventLoopDelay } from './event-loop-delay.ts'

/** The figures of one gateway. Their names and meanings stand in docs/OPERATIONS.md. */
export interface Metrics {
  readonly registry: Registry
  readonly stored: Counter
  readonly duplicates: Counter
  readonly rejected: Counter<'reason'>
  readonly commitSeconds: Histogram
  readonly commitEntries: Histogram
  readonly commitFailures: Counter
  readonly lag: Histogram<'since'>
  readonly closed: Counter<'reason'>
  readonly resets: Counter<'reason'>
  readonly refused: Counter<'code'>
  readonly faults: Counter<'code'>
  readonly eventLoopDelay: ReturnType<typeof createEventLoopDelay>
}

/** Where the figures are that are looked up only when they are asked for. */
export interface MetricSources {
  readonly version: string
  /** `embedded` or `broker`. */
  readonly mode: string
  readonly live: () => HubStats
  readonly readers: () => Record<SubscriberState, number>
  /** null: no connection to the broker, or none wanted. */
  readonly queue: () => QueueStats | null
  /** null: not known. */
  readonly size: () => Promise<StorageSize | null>
  readonly faults: () => readonly Fault[]
  /** Seconds since 1970; null: no certificate is served. */
  readonly certificateExpiry: (() => number) | null
}

const CLOSINGS: readonly ClosingReason[] = ['shutdown', 'token_expired', 'max_age', 'too_slow']
const RESETS: readonly ResetReason[] = ['cursor_ahead', 'cursor_invalid', 'history_pruned']
const SINCE: readonly LagReference[] = ['broker', 'publisher', 'arrival']

type Readers = ReturnType<typeof createCallbackMetrics>

const addProcess = ({ gauge, gauges, counter }: Readers, { version, mode }: MetricSources): void => {
  const build = { version, node: process.version, mode }
  gauges('gateway_build_info', 'What runs; always 1.', Object.keys(build), () => [[build, 1]], 'max')
  gauge('gateway_workers', 'Processes that serve.', () => 1)
  const { timeOrigin } = performance
  gauge('process_start_time_seconds', 'When the oldest of them began.', () => timeOrigin / 1_000, 'min')
  gauge('process_resident_memory_bytes', 'Memory of all of them.', () => process.memoryUsage.rss())
  counter('process_cpu_seconds_total', 'Processor time of all of them.', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1_000_000
  })
  const busy = () => performance.eventLoopUtilization().active / 1_000
  counter('nodejs_eventloop_active_seconds_total', 'Time in which the event loop was at work.', busy)
}

const addStreams = ({ gauge, gauges, counter }: Readers, { live, readers }: MetricSources): void => {
  gauges('gateway_subscribers', 'Open streams by state.', ['state'], () =>
    Object.entries(readers()).map(([state, count]) => [{ state }, count]),
  )
  gauge('gateway_channels', 'Selections that have at least one open stream.', () => live().channels)
  counter('gateway_sse_messages_sent_total', 'Messages given to readers.', () => live().messages)
  counter('gateway_sse_bytes_sent_total', 'Bytes given to readers, all events, before TLS.', () => live().bytes)
  counter('gateway_history_pages_sent_total', 'Pages of history given to readers.', () => live().pages)
  const reads = 'Pages of history read from the log; the others were at hand.'
  counter('gateway_history_cache_misses_total', reads, () => live().pageReads)
}

const addStore = ({ gauge }: Readers, { queue, size }: MetricSources): void => {
  // The broker and the file are the same for all workers.
  const ready = 'Messages ready in the queue, at most 10 seconds ago.'
  gauge('gateway_queue_messages_ready', ready, () => queue()?.ready ?? null, 'max')
  const consumers = 'Consumers of the queue, of all gateways; of a quorum queue RabbitMQ counts the active one alone.'
  gauge('gateway_queue_consumers', consumers, () => queue()?.consumers ?? null, 'max')
  const dead = 'Messages ready in the queue of dead letters.'
  gauge('gateway_dead_letter_messages_ready', dead, () => queue()?.dead ?? null, 'max')
  gauge('gateway_database_bytes', 'Size of the database.', async () => (await size())?.database ?? null, 'max')
  const wal = 'Size of the write-ahead log beside the database.'
  gauge('gateway_wal_bytes', wal, async () => (await size())?.wal ?? null, 'max')
  const free = 'What the disk of the database has left.'
  gauge('gateway_database_disk_free_bytes', free, async () => (await size())?.free ?? null, 'min')
}

const addHealth = ({ gauge, gauges }: Readers, { faults, certificateExpiry }: MetricSources): void => {
  gauge('gateway_ready', '1: everything works, as /readyz says.', () => (faults().length === 0 ? 1 : 0), 'min')
  const labels = ['component', 'code']
  gauges('gateway_component_faults', 'Components that do not work, and why: 1 while it lasts.', labels, () =>
    faults().map(({ component, code }) => [{ component, code }, 1]),
  )
  if (certificateExpiry === null) return
  const help = 'When the certificate of HTTPS ends, in seconds since 1970.'
  gauge('gateway_certificate_expiry_timestamp_seconds', help, certificateExpiry, 'min')
}

/** So that the first one counts as an increase: a series that begins at 1 has none. */
const initLabels = <Label extends string>(counter: Counter<Label>, label: Label, values: readonly string[]) => {
  for (const value of values) counter.inc({ [label]: value } as Record<Label, string>, 0)
  return counter
}

/** Makes the registry of one gateway. The labels of all metrics have few values: those of the code. */
export const makeMetrics = (readings: MetricSources): Metrics => {
  const registry = new Registry()
  const registers = [registry]
  const readers = createCallbackMetrics(registry)
  addProcess(readers, readings)
  addStreams(readers, readings)
  addStore(readers, readings)
  addHealth(readers, readings)
  const counter = (name: string, help: string) => new Counter({ name, help, registers })
  const counters = <Label extends string>(name: string, help: string, label: Label) =>
    new Counter({ name, help, labelNames: [label], registers })
  const closed = counters('gateway_streams_closed_total', 'Streams ended by the gateway, by reason.', 'reason')
  const resets = counters('gateway_cursor_resets_total', 'Cursors that could not be honoured, by reason.', 'reason')
  const lag = new Histogram({
    name: 'gateway_ingest_lag_seconds',
    help: 'Per commit, from its oldest delivery to its end. since: the stamp of the broker or publisher, else the arrival.',
    labelNames: ['since'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200],
    registers,
  })
  for (const since of SINCE) lag.zero({ since })
  return {
    registry,
    stored: counter('gateway_messages_stored_total', 'Messages committed.'),
    duplicates: counter('gateway_messages_deduplicated_total', 'Deliveries of a stored message.'),
    rejected: counters('gateway_messages_quarantined_total', 'Messages set aside, by reason.', 'reason'),
    commitSeconds: new Histogram({
      name: 'gateway_commit_duration_seconds',
      help: 'Time of one append to the log.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    }),
    commitEntries: new Histogram({
      name: 'gateway_commit_batch_size',
      help: 'Entries of one append to the log.',
      buckets: [1, 5, 10, 50, 100, 500, 1000, 2000],
      registers,
    }),
    commitFailures: counter('gateway_commit_failures_total', 'Appends that failed; they are tried again.'),
    lag,
    closed: initLabels(closed, 'reason', CLOSINGS),
    resets: initLabels(resets, 'reason', RESETS),
    refused: counters(
      'gateway_http_requests_denied_total',
      'Requests turned away for want of rights or by a limit, by error code.',
      'code',
    ),
    faults: counters(
      'gateway_component_failures_total',
      'Faults of components as they were logged, by error code.',
      'code',
    ),
    eventLoopDelay: createEventLoopDelay(registry),
  }
}
