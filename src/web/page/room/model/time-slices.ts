/** For how long work goes on before the browser may draw and listen, in milliseconds. */
const SLICE_MS = 8

const turns = new MessageChannel()
const waiting: (() => void)[] = []
turns.port1.onmessage = () => waiting.shift()?.()

/** The next turn of the browser, without the delay of a timer. */
const nextTurn = (): Promise<void> =>
  new Promise((resolve) => {
    waiting.push(resolve)
    turns.port2.postMessage(null)
  })

/**
 * Does something with each of many, in slices between which the browser may draw.
 *
 * @param goOn asked between the slices; false ends the work
 * @returns whether all was done
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
    await nextTurn()
    if (!goOn()) return false
    until = performance.now() + SLICE_MS
  }
  return goOn()
}
