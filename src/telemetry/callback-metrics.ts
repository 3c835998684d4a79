import { Counter, Gauge, type Registry } from 'prom-client'

/** How a metric is aggregated over the workers. What all workers share has the same value in each, so it is not summed. */
export type Aggregation = 'sum' | 'max' | 'min'

/** Returns the value when metrics are collected, or null if it is unknown, which produces no sample. */
export type ReadValue = () => number | null | Promise<number | null>

/** Returns the samples when metrics are collected, with their labels. */
export type ReadLabelledValues = () => Iterable<readonly [labels: Record<string, string>, value: number]>

/** Makes a source that several metrics share read once for all that are collected together: prom-client begins them in one turn. */
export const oncePerCollection = <Value>(read: () => Value): (() => Value) => {
  let current: { readonly value: Value } | null = null
  return () => {
    if (current === null) {
      current = { value: read() }
      queueMicrotask(() => {
        current = null
      })
    }
    return current.value
  }
}

/** Creates metrics that read plain numbers when they are collected, so that counting costs nothing extra in hot paths. */
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
          // A value that cannot be read, such as the size of a database that is away, must not hide all others.
          const value = await Promise.resolve(read()).catch(() => null)
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
