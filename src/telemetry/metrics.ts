import { performance } from 'node:perf_hooks'
import { Counter, Histogram, Registry } from 'prom-client'
import { RESET_REASONS } from '../core/cursor.ts'
import { UPSTREAM_STATES } from '../core/edge-state.ts'
import { COMPONENT_FAILURE_CODES, DENIED_CODES, QUARANTINE_REASONS } from '../core/error-catalogue/groups.ts'
import { LAG_REFERENCES } from '../core/lag-reference.ts'
import { CLOSING_REASONS } from '../core/sse.ts'
import type { QueueStats } from '../ingest/topology.ts'
import type { ClusterReport } from '../monitoring/cluster-report.ts'
import type { Fault } from '../monitoring/health.ts'
import type { SearchStatus } from '../store/search/search.ts'
import type { StorageSize } from '../store/store.ts'
import type { HubStats } from '../streams/hub.ts'
import type { SubscriberState } from '../streams/subscriber.ts'
import type { UpstreamStatus } from '../upstream/status.ts'
import { createCallbackMetrics, oncePerCollection } from './callback-metrics.ts'
import { createEventLoopDelay } from './event-loop-delay.ts'
import { createHttpMetrics, type MeasuredRoute } from './http-metrics.ts'

/** The metrics of one gateway. docs/OPERATIONS.md describes each of them. */
export interface Metrics {
  readonly registry: Registry
  readonly stored: Counter
  readonly duplicates: Counter
  readonly rejected: Counter<'reason'>
  readonly commitSeconds: Histogram
  readonly commitEntries: Histogram
  readonly commitFailures: Counter
  readonly exchangeDeletions: Counter
  readonly bindingDeletions: Counter
  readonly lag: Histogram<'reference'>
  readonly closed: Counter<'reason'>
  readonly resets: Counter<'reason'>
  readonly denied: Counter<'code'>
  readonly upstreamResets: Counter<'reason'>
  readonly onResponse: ReturnType<typeof createHttpMetrics>
  readonly faults: Counter<'code'>
  readonly eventLoopDelay: ReturnType<typeof createEventLoopDelay>
}

/** Sources of values that are read only when metrics are collected. */
export interface MetricSources {
  readonly version: string
  /** `embedded` or `broker`. */
  readonly mode: string
  readonly hubStats: () => HubStats
  readonly subscribers: () => Record<SubscriberState, number>
  /** null if there is no connection to the broker. */
  readonly queue: () => QueueStats | null
  /** null if unknown. */
  readonly size: () => Promise<StorageSize | null>
  /** null if there is no search index. */
  readonly search: () => SearchStatus | null
  /** null unless the gateway is an edge. */
  readonly upstream: () => { readonly status: UpstreamStatus; readonly connections: number } | null
  /** Milliseconds that the clock of this host is ahead of the database's; null if the database has none. */
  readonly clockOffset: () => number | null
  readonly faults: () => readonly Fault[]
  /** null with SQLite. */
  readonly cluster: () => ClusterReport | null
  readonly connections: () => { readonly max: number; open(): Promise<number> }
  /** Expiry of the certificate in seconds since 1970; null if HTTPS is disabled. */
  readonly certificateExpiry: (() => number) | null
  readonly routes: readonly MeasuredRoute[]
}

/** Without `ticket_invalid`: such a stream was never open. */
const CLOSINGS = CLOSING_REASONS.filter((reason) => reason !== 'ticket_invalid')

type CallbackMetrics = ReturnType<typeof createCallbackMetrics>

const addProcess = ({ gauge, gauges, counter }: CallbackMetrics, { version, mode }: MetricSources): void => {
  const build = { version, node: process.version, mode }
  gauges(
    'gateway_build_info',
    'Always 1; version, Node version and mode are labels.',
    Object.keys(build),
    () => [[build, 1]],
    'max',
  )
  gauge('gateway_workers', 'Worker processes.', () => 1)
  const { timeOrigin } = performance
  gauge('process_start_time_seconds', 'Start time of the oldest worker.', () => timeOrigin / 1_000, 'min')
  gauge('process_resident_memory_bytes', 'Resident memory of all workers.', () => process.memoryUsage.rss())
  counter('process_cpu_seconds_total', 'CPU time of all workers.', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1_000_000
  })
  const busy = () => performance.eventLoopUtilization().active / 1_000
  counter('nodejs_eventloop_active_seconds_total', 'Time during which the event loop was active.', busy)
}

const addStreams = ({ gauge, gauges, counter }: CallbackMetrics, { hubStats, subscribers }: MetricSources): void => {
  gauges('gateway_subscribers', 'Open streams by state.', ['state'], () =>
    Object.entries(subscribers()).map(([state, count]) => [{ state }, count]),
  )
  gauge('gateway_channels', 'Filters with at least one open stream.', () => hubStats().channels)
  counter('gateway_sse_messages_sent_total', 'Messages sent to subscribers.', () => hubStats().messages)
  counter(
    'gateway_sse_bytes_sent_total',
    'Bytes sent to subscribers, all SSE events, before TLS.',
    () => hubStats().bytes,
  )
  counter('gateway_history_pages_sent_total', 'Pages of history sent to subscribers.', () => hubStats().pages)
  const reads = 'Pages of history that were read from the store instead of the cache.'
  counter('gateway_history_cache_misses_total', reads, () => hubStats().pageReads)
}

const addStore = ({ gauge }: CallbackMetrics, { queue, size, search, clockOffset }: MetricSources): void => {
  // All workers share the broker and the database.
  const ready = 'Messages ready in the queue, about a second ago.'
  gauge('gateway_queue_messages_ready', ready, () => queue()?.ready ?? null, 'max')
  const consumers = 'Consumers of the queue in all gateways; for a quorum queue RabbitMQ counts only the active one.'
  gauge('gateway_queue_consumers', consumers, () => queue()?.consumers ?? null, 'max')
  const dead = 'Messages ready in the dead-letter queue.'
  gauge('gateway_dead_letter_messages_ready', dead, () => queue()?.dead ?? null, 'max')
  const parked = 'Dead letters that RabbitMQ gave up on, in the parking-lot queue.'
  gauge('gateway_dead_letter_messages_parked', parked, () => queue()?.parked ?? null, 'max')
  gauge('gateway_database_bytes', 'Size of the database.', async () => (await size())?.database ?? null, 'max')
  const wal = 'Size of the write-ahead log of the database.'
  gauge('gateway_wal_bytes', wal, async () => (await size())?.wal ?? null, 'max')
  const free = 'Free space on the disk of the database.'
  gauge('gateway_database_disk_free_bytes', free, async () => (await size())?.free ?? null, 'min')
  const pending = 'Stored messages that are not in the search index yet.'
  gauge('gateway_search_index_pending_messages', pending, () => search()?.pending ?? null, 'max')
  gauge('gateway_search_index_bytes', 'Size of the search index.', () => search()?.bytes ?? null, 'max')
  const offset = 'Seconds that the clock of this host is ahead of that of PostgreSQL; negative if it is behind.'
  const offsetSeconds = () => {
    const ms = clockOffset()
    return ms === null ? null : ms / 1_000
  }
  gauge('gateway_clock_offset_seconds', offset, offsetSeconds, 'max')
}

const addHealth = ({ gauge, gauges }: CallbackMetrics, sources: MetricSources): void => {
  const { faults, certificateExpiry, connections } = sources
  gauge('gateway_connections', 'Open HTTP connections of all workers.', () => connections().open())
  const max = 'Connections that are served: MAX_CONNECTIONS, or fewer by the limit of open files.'
  gauge('gateway_connections_max', max, () => (Number.isFinite(connections().max) ? connections().max : null))
  gauge('gateway_ready', '1 if /readyz returns 200.', () => (faults().length === 0 ? 1 : 0), 'min')
  const labels = ['component', 'code']
  gauges('gateway_component_faults', '1 while the component is failing.', labels, () =>
    faults().map(({ component, code }) => [{ component, code }, 1]),
  )
  if (certificateExpiry === null) return
  const help = 'Expiry of the HTTPS certificate, in seconds since 1970.'
  gauge('gateway_certificate_expiry_timestamp_seconds', help, certificateExpiry, 'min')
}

/** The gauges have no samples unless the gateway is an edge: they would look like a core that is away. */
const addUpstream = ({ gauge, gauges, counter }: CallbackMetrics, { upstream }: MetricSources): void => {
  const status = () => upstream()?.status
  const connected = 'State of the copy that this edge keeps: 1 for the current one.'
  gauges('gateway_upstream_state', connected, ['state'], () =>
    upstream() === null ? [] : UPSTREAM_STATES.map((state) => [{ state }, status()?.state === state ? 1 : 0]),
  )
  const messages = 'Messages that the core has and this edge lacks, as last known.'
  gauge('gateway_upstream_lag_messages', messages, () => status()?.lag_messages ?? null)
  const seconds = 'Seconds since this edge had all messages of the core; 0 while it is up to date.'
  gauge('gateway_upstream_lag_seconds', seconds, () => status()?.lag_seconds ?? null)
  const connections = 'Connections to the core that were established.'
  counter('gateway_upstream_connections_total', connections, () => upstream()?.connections ?? 0)
}

/** With workers, each reports the same cluster. */
const addCluster = ({ gauge, gauges }: CallbackMetrics, sources: MetricSources): void => {
  const cluster = oncePerCollection(sources.cluster)
  const activeHelp =
    '1 if this gateway is the active consumer; of several gateways, the one that received the last message.'
  const isActive = (): number | null => {
    const own = cluster()?.gateways.find((one) => one.own)
    if (own === undefined || own.consumer === null) return null
    return own.consumer === 'active' ? 1 : 0
  }
  gauge('gateway_active_consumer', activeHelp, isActive, 'max')
  const countGateways = (live: boolean): number => cluster()!.gateways.filter((one) => one.live === live).length
  const seen = 'Gateways that share the store: live, or gone since minutes at most.'
  const states = ['live', 'gone'] as const
  const countAll = () =>
    cluster() === null ? [] : states.map((state) => [{ state }, countGateways(state === 'live')] as const)
  gauges('gateway_cluster_gateways', seen, ['state'], countAll, 'max')
  const failed = '1 while a check of health --cluster has failed, or warns.'
  const checks = () => (cluster()?.checks ?? []).map(({ check, level }) => [{ check }, level === 'ok' ? 0 : 1] as const)
  gauges('gateway_cluster_check_failed', failed, ['check'], checks, 'max')
  const timeline = 'Timeline of PostgreSQL; a failover raises it.'
  gauge('gateway_database_timeline', timeline, () => cluster()?.database?.timeline ?? null, 'max')
  const standbys =
    'Synchronous standbys of PostgreSQL that stream; absent if none is configured, or the user may not see them.'
  const countStandbys = (): number | null => {
    const { synchronous_standby_names: names = '', synchronous_standbys = null } = cluster()?.database ?? {}
    return names === '' ? null : synchronous_standbys
  }
  gauge('gateway_database_synchronous_standbys', standbys, countStandbys, 'min')
}

/** Creates each series at 0: rate() and increase() miss the first count of a series that starts at 1. */
const initLabels = <Label extends string>(counter: Counter<Label>, label: Label, values: Iterable<string>) => {
  for (const value of values) counter.inc({ [label]: value } as Record<Label, string>, 0)
  return counter
}

/** Creates the registry of one gateway. Labels have few values: only those that the code defines. */
export const createMetrics = (sources: MetricSources): Metrics => {
  const registry = new Registry()
  const registers = [registry]
  const metrics = createCallbackMetrics(registry)
  addProcess(metrics, sources)
  addStreams(metrics, sources)
  addStore(metrics, sources)
  addHealth(metrics, sources)
  addUpstream(metrics, sources)
  addCluster(metrics, sources)
  const counter = (name: string, help: string) => new Counter({ name, help, registers })
  const counters = <Label extends string>(name: string, help: string, label: Label, values: Iterable<string>) =>
    initLabels(new Counter({ name, help, labelNames: [label], registers }), label, values)
  const lag = new Histogram({
    name: 'gateway_ingest_lag_seconds',
    help: 'Age of the oldest delivery of a commit at its end. reference: timestamp of the broker or publisher, otherwise the arrival.',
    labelNames: ['reference'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200],
    registers,
  })
  for (const reference of LAG_REFERENCES) lag.zero({ reference })
  return {
    registry,
    stored: counter('gateway_messages_stored_total', 'Messages committed.'),
    duplicates: counter('gateway_messages_deduplicated_total', 'Deliveries of messages that were already stored.'),
    rejected: counters(
      'gateway_messages_quarantined_total',
      'Messages quarantined, or refused over HTTP by the store, by error code.',
      'reason',
      QUARANTINE_REASONS,
    ),
    commitSeconds: new Histogram({
      name: 'gateway_commit_duration_seconds',
      help: 'Duration of one commit.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    }),
    commitEntries: new Histogram({
      name: 'gateway_commit_batch_size',
      help: 'Number of messages in one commit.',
      buckets: [1, 5, 10, 50, 100, 500, 1000, 2000],
      registers,
    }),
    commitFailures: counter('gateway_commit_failures_total', 'Commits that failed; they are retried.'),
    exchangeDeletions: counter(
      'gateway_exchange_deletions_total',
      'Deletions of the exchange, which was declared again.',
    ),
    bindingDeletions: counter(
      'gateway_binding_deletions_total',
      'Deletions of a binding of the queue, which was declared again; counted with the plugin rabbitmq_event_exchange.',
    ),
    lag,
    closed: counters('gateway_streams_closed_total', 'Streams ended by the gateway, by reason.', 'reason', CLOSINGS),
    resets: counters('gateway_cursor_resets_total', 'Invalid cursors, by reason.', 'reason', RESET_REASONS),
    denied: counters(
      'gateway_http_requests_denied_total',
      'Requests denied by authorization or by a limit, by error code.',
      'code',
      DENIED_CODES,
    ),
    upstreamResets: counters(
      'gateway_upstream_resets_total',
      'Resets of the core that this edge has followed, by reason.',
      'reason',
      [...RESET_REASONS, 'other_store'],
    ),
    onResponse: createHttpMetrics(registry, sources.routes),
    faults: counters(
      'gateway_component_failures_total',
      'Component failures, by error code.',
      'code',
      COMPONENT_FAILURE_CODES,
    ),
    eventLoopDelay: createEventLoopDelay(registry),
  }
}
