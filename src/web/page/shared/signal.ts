import { useEffect, useMemo, useState } from 'preact/hooks'

/** An observable value. */
interface Signal<T> {
  get(): T
  /** Notifies subscribers if the value has changed. */
  set(next: T): void
  /** @returns a function that unsubscribes */
  subscribe(heard: () => void): () => void
}

export const signal = <T>(first: T): Signal<T> => {
  let value = first
  const listeners = new Set<() => void>()
  return {
    get: () => value,
    set: (next) => {
      if (Object.is(next, value)) return
      value = next
      for (const heard of [...listeners]) heard()
    },
    subscribe: (heard) => {
      listeners.add(heard)
      return () => void listeners.delete(heard)
    },
  }
}

/** Returns the value of a signal and re-renders the component when it changes. */
export const useSignalValue = <T>(source: Signal<T>): T => {
  const [, redraw] = useState(0)
  useEffect(() => {
    let seen = source.get()
    const heard = (): void => {
      if (Object.is(seen, source.get())) return
      seen = source.get()
      redraw((n) => n + 1)
    }
    // It may have changed between rendering and this effect.
    redraw((n) => n + 1)
    return source.subscribe(heard)
  }, [source])
  return source.get()
}

/** Creates a model that is started and stopped with the component. */
export const useLifecycle = <T extends { start(): void; stop(): void }>(make: () => T): T => {
  const model = useMemo(make, [])
  useEffect(() => {
    model.start()
    return () => model.stop()
  }, [model])
  return model
}
