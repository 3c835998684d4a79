import { type MetricSources, makeMetrics } from '../../../src/telemetry/metrics.ts'

/** Readings of a gateway that does nothing, and shows every metric there is. */
export const QUIET: MetricSources = {
  version: '0.0.0',
  mode: 'broker',
  live: () => ({ channels: 0, pageReads: 0, messages: 0, bytes: 0, pages: 0 }),
  readers: () => ({ live: 0, catching_up: 0, stalled: 0 }),
  queue: () => ({ ready: 0, consumers: 0, dead: 0 }),
  size: async () => ({ database: 0, wal: 0, free: 0 }),
  faults: () => [],
  certificateExpiry: () => 0,
}

/** A metric as it is declared. */
export interface Declared {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly labels: readonly string[]
}

/** Every metric of the gateway, by name. */
export const declaredMetrics = (): Map<string, Declared> => {
  const { registry } = makeMetrics(QUIET)
  const metrics = registry.getMetricsAsArray() as unknown as {
    name: string
    help: string
    type: string
    labelNames: string[]
  }[]
  return new Map(metrics.map(({ name, help, type, labelNames }) => [name, { name, help, type, labels: labelNames }]))
}

/** The series under which a metric can be asked for. */
export const seriesOf = ({ name, type }: Declared): string[] =>
  type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name]
