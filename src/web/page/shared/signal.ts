import { useEffect, useMemo, useState } from 'preact/hooks'

/** A value that tells who listens when it is another. */
interface Signal<T> {
  get(): T
  /** The same value again is told to nobody. */
  set(next: T): void
  /** @returns ends the listening */
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

/** Returns the value of a signal, and renders the component again when it changes. */
export const useSignalValue = <T>(source: Signal<T>): T => {
  const [, redraw] = useState(0)
  useEffect(() => {
    let seen = source.get()
    const heard = (): void => {
      if (Object.is(seen, source.get())) return
      seen = source.get()
      redraw((n) => n + 1)
    }
    // It may have changed between the drawing and now.
    redraw((n) => n + 1)
    return source.subscribe(heard)
  }, [source])
  return source.get()
}

/** A model that is started and stopped with the component. */
export const useLifecycle = <T extends { start(): void; stop(): void }>(make: () => T): T => {
  const model = useMemo(make, [])
  useEffect(() => {
    model.start()
    return () => model.stop()
  }, [model])
  return model
}
