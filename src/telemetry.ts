import pino, { type Logger, type LoggerOptions } from 'pino'
import { AggregatorRegistry, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { describeError } from './message/errors.ts'

/** The figures of one gateway. Their names and meanings stand in docs/OPERATIONS.md. */
export interface Metrics {
  readonly registry: Registry
  readonly stored: Counter
  readonly duplicates: Counter
  readonly rejected: Counter<'reason'>
  readonly commitSeconds: Histogram
  readonly commitEntries: Histogram
  readonly closed: Counter<'reason'>
  readonly refused: Counter<'code'>
  readonly queueDepth: Gauge
}

/** What a gauge shows is looked up when it is asked for. */
export interface Readings {
  readonly readers: () => number
  readonly channels: () => number
  readonly stalled: () => number
  /** Seconds since 1970; null: no certificate is served. */
  readonly certificateExpiry: (() => number) | null
}

// Control characters, the line ends of Unicode, and marks that turn the direction of writing.
const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

/** A text from outside as one line that shows what it is: it can neither end a line of the log nor begin another. */
const oneLine = (text: string): string => text.replace(UNSEEN, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`)

const harmless = (value: unknown, depth = 0): unknown => {
  if (typeof value === 'string') return oneLine(value)
  if (value instanceof Error) return errorLine(value)
  if (typeof value !== 'object' || value === null || depth > 4) return value
  if (Array.isArray(value)) return value.map((item) => harmless(item, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [oneLine(key), harmless(item, depth + 1)]))
}

/** Of a stack only the frames are kept: its first lines repeat the message, as it came. */
const errorLine = (error: Error) => ({
  type: error.name,
  code: (error as { code?: unknown }).code,
  message: oneLine(describeError(error)),
  stack: (error.stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .map(oneLine)
    .join('\n'),
})

/** JSON lines on stdout; readable ones when stdout is a terminal. What comes from outside cannot forge a line. */
export const makeLogger = async (level: string): Promise<Logger> => {
  const base: LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: (error: unknown) => harmless(error) },
    formatters: { log: (fields) => harmless(fields) as Record<string, unknown> },
    hooks: {
      logMethod(args, method) {
        method.apply(this, args.map((arg) => (typeof arg === 'string' ? oneLine(arg) : arg)) as typeof args)
      },
    },
  }
  if (!process.stdout.isTTY) return pino(base, pino.destination({ fd: 1, sync: true }))
  // In this thread: pino's own way would start one from a file of its package, which the single executable has not.
  const { default: pretty } = await import('pino-pretty')
  return pino(base, pretty({ ignore: 'pid,hostname', translateTime: 'HH:MM:ss', sync: true }))
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
  const gauge = (name: string, help: string, read: () => number, aggregator: 'sum' | 'min' = 'sum') =>
    new Gauge({
      name,
      help,
      aggregator,
      registers,
      collect() {
        this.set(read())
      },
    })
  gauge('gateway_readers', 'Open streams.', readings.readers)
  gauge('gateway_channels', 'Selections that have at least one open stream.', readings.channels)
  if (readings.certificateExpiry !== null) {
    const help = 'When the certificate of HTTPS ends, in seconds since 1970.'
    gauge('gateway_certificate_expiry_timestamp_seconds', help, readings.certificateExpiry, 'min')
  }
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
    refused: new Counter({
      name: 'gateway_requests_refused_total',
      help: 'Requests turned away for want of rights or by a limit, by error code.',
      labelNames: ['code'],
      registers,
    }),
    queueDepth: new Gauge({ name: 'gateway_queue_messages_ready', help: 'Messages ready in the queue.', registers }),
  }
}
