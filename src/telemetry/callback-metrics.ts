import { AggregatorRegistry, Counter, Gauge, type Registry } from 'prom-client'

/** How the figures of several workers become one: shared things are the same for all of them. */
export type Aggregation = 'sum' | 'max' | 'min'

/** What a metric shows is looked up when it is asked for; null: nothing is known now, so there is no sample. */
export type ReadValue = () => number | null | Promise<number | null>

/** Samples by the value of their one label. */
export type ReadLabelledValues = () => Iterable<readonly [labels: Record<string, string>, value: number]>

/** Makes metrics whose values are plain numbers elsewhere, so that counting costs the hot paths nothing more. */
export const createCallbackMetrics = (registry: Registry) => {
  const registers = [registry]
  return {
    gauge: (name: string, help: string, read: ReadValue, aggregator: Aggregation = 'sum') =>
      new Gauge({
        name,
        help,
        aggregator,
        registers,
        async collect() {
          const value = await read()
          if (value === null) this.remove()
          else this.set(value)
        },
      }),
    gauges: (
      name: string,
      help: string,
      labelNames: string[],
      read: ReadLabelledValues,
      aggregator: Aggregation = 'sum',
    ) =>
      new Gauge({
        name,
        help,
        labelNames,
        aggregator,
        registers,
        collect() {
          this.reset()
          for (const [labels, value] of read()) this.set(labels, value)
        },
      }),
    counter: (name: string, help: string, read: () => number) =>
      new Counter({
        name,
        help,
        registers,
        collect() {
          this.reset()
          this.inc(read())
        },
      }),
  }
}

/** In the primary: gives a function that gathers the figures of all workers as Prometheus text. */
export const createClusterMetrics = (): (() => Promise<string>) => {
  const aggregator = new AggregatorRegistry()
  return () => aggregator.clusterMetrics()
}

/** In a worker: lets the primary gather these figures. */
export const registerWorkerMetrics = (registry: Registry): void => {
  AggregatorRegistry.setRegistries(registry)
  // Only its constructor makes a worker answer.
  new AggregatorRegistry()
}
