import { useEffect, useState } from 'preact/hooks'

/** A value that tells who listens when it is another. */
export interface Cell<T> {
  get(): T
  /** The same value again is told to nobody. */
  set(next: T): void
  /** @returns ends the listening */
  listen(heard: () => void): () => void
}

export const cell = <T>(first: T): Cell<T> => {
  let value = first
  const listeners = new Set<() => void>()
  return {
    get: () => value,
    set: (next) => {
      if (Object.is(next, value)) return
      value = next
      for (const heard of [...listeners]) heard()
    },
    listen: (heard) => {
      listeners.add(heard)
      return () => void listeners.delete(heard)
    },
  }
}

/** The value of a cell, in a component that is drawn anew with it. */
export const useCell = <T>(source: Cell<T>): T => {
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
    return source.listen(heard)
  }, [source])
  return source.get()
}
