import pino, { type Logger } from 'pino'
import { AggregatorRegistry, Counter, Gauge, Histogram, Registry } from 'prom-client'

/** The figures of one gateway. Their names and meanings stand in docs/OPERATIONS.md. */
export interface Metrics {
  readonly registry: Registry
  readonly stored: Counter
  readonly duplicates: Counter
  readonly rejected: Counter<'reason'>
  readonly commitSeconds: Histogram
  readonly commitEntries: Histogram
  readonly closed: Counter<'reason'>
  readonly queueDepth: Gauge
}

/** What a gauge shows is looked up when it is asked for. */
export interface Readings {
  readonly readers: () => number
  readonly channels: () => number
  readonly stalled: () => number
}

/** JSON lines on stdout; readable ones when stdout is a terminal. */
export const makeLogger = (level: string): Logger => {
  const base = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime }
  if (!process.stdout.isTTY) return pino(base, pino.destination({ fd: 1, sync: true }))
  return pino({
    ...base,
    transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname', translateTime: 'HH:MM:ss' } },
  })
}

/** In the primary: gives a function that gathers the figures of all workers as Prometheus text. */
export const makeGatherer = (): (() => Promise<string>) => {
  const aggregator = new AggregatorRegistry()
  return () => aggregator.clusterMetrics()
}

/** In a worker: lets the primary gather these figures. */
export const shareMetrics = (registry: Registry): void => {
  AggregatorRegistry.setRegistries(registry)
  // Only its constructor makes a worker answer.
  new AggregatorRegistry()
}

export const makeMetrics = (readings: Readings): Metrics => {
  const registry = new Registry()
  const registers = [registry]
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read())
      },
    })
  gauge('gateway_readers', 'Open streams.', readings.readers)
  gauge('gateway_channels', 'Selections that have at least one open stream.', readings.channels)
  gauge('gateway_readers_stalled', 'Open streams whose socket is full.', readings.stalled)
  return {
    registry,
    stored: new Counter({ name: 'gateway_messages_stored_total', help: 'Messages committed.', registers }),
    duplicates: new Counter({
      name: 'gateway_messages_duplicate_total',
      help: 'Deliveries of a stored message.',
      registers,
    }),
    rejected: new Counter({
      name: 'gateway_messages_rejected_total',
      help: 'Messages set aside, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    commitSeconds: new Histogram({
      name: 'gateway_commit_seconds',
      help: 'Time of one append to the log.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    }),
    commitEntries: new Histogram({
      name: 'gateway_commit_entries',
      help: 'Entries of one append to the log.',
      buckets: [1, 5, 10, 50, 100, 500, 1000, 2000],
      registers,
    }),
    closed: new Counter({
      name: 'gateway_streams_closed_total',
      help: 'Streams ended by the gateway, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    queueDepth: new Gauge({ name: 'gateway_queue_messages_ready', help: 'Messages ready in the queue.', registers }),
  }
}
