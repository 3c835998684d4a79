/** Maximum duration of a slice before the browser can render and handle input, in milliseconds. */
const SLICE_MS = 8

const turns = new MessageChannel()
const waiting: (() => void)[] = []
turns.port1.onmessage = () => waiting.shift()?.()

/** Resolves in the next task, without the minimum delay of a timer. */
export const nextTask = (): Promise<void> =>
  new Promise((resolve) => {
    waiting.push(resolve)
    turns.port2.postMessage(null)
  })

/**
 * Processes items in time slices, between which the browser can render.
 *
 * @param goOn called between slices; false stops the work
 * @returns whether all items were processed
 */
export const runInSlices = async <T>(
  all: Iterable<T>,
  work: (one: T) => void,
  goOn: () => boolean,
): Promise<boolean> => {
  let until = performance.now() + SLICE_MS
  for (const one of all) {
    work(one)
    if (performance.now() < until) continue
    await nextTask()
    if (!goOn()) return false
    until = performance.now() + SLICE_MS
  }
  return goOn()
}
