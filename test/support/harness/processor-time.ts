/** Number of runs per size; the fastest one is the least disturbed. */
const TRIES = 5

const processorTime = (task: () => void): number => {
  const before = process.cpuUsage()
  task()
  const { user, system } = process.cpuUsage(before)
  return user + system
}

/**
 * Ratio of a task's processor time for a size and for a tenth of it: about 10 if it grows linearly with its input, 100
 * if it grows quadratically. Time of other processes does not count.
 *
 * @param task called several times with both sizes; the smaller one should take milliseconds
 */
export const measureGrowth = (task: (size: number) => void, size: number): number => {
  const small: number[] = []
  const large: number[] = []
  for (let n = 0; n < TRIES; n++) {
    small.push(processorTime(() => task(size / 10)))
    large.push(processorTime(() => task(size)))
  }
  return Math.min(...large) / Math.min(...small)
}
