import { ROUTES } from '../../../src/http/app.ts'
import { createMetrics, type MetricSources } from '../../../src/telemetry/metrics.ts'

/** An idle gateway whose metrics are read; every metric is present. */
export const QUIET: MetricSources = {
  version: '0.0.0',
  mode: 'broker',
  hubStats: () => ({ channels: 0, pageReads: 0, messages: 0, bytes: 0, pages: 0 }),
  subscribers: () => ({ live: 0, catching_up: 0, stalled: 0 }),
  queue: () => ({ ready: 0, consumers: 0, dead: 0, parked: 0 }),
  search: () => null,
  upstream: () => null,
  clockOffset: () => 0,
  size: async () => ({ database: 0, wal: 0, free: 0 }),
  faults: () => [],
  cluster: () => null,
  connections: () => ({ max: 0, open: async () => 0 }),
  certificateExpiry: () => 0,
  routes: ROUTES,
}

/** A metric declaration. */
export interface Declared {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly labels: readonly string[]
}

/** Every metric of the gateway, by name. */
export const declaredMetrics = (): Map<string, Declared> => {
  const { registry } = createMetrics(QUIET)
  const metrics = registry.getMetricsAsArray() as unknown as {
    name: string
    help: string
    type: string
    labelNames: string[]
  }[]
  return new Map(metrics.map(({ name, help, type, labelNames }) => [name, { name, help, type, labels: labelNames }]))
}

/** Names of the time series that a metric can be queried by. */
export const listSeriesNames = ({ name, type }: Declared): string[] =>
  type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name]
