/** Tries of each size; the least of them is what the task needs where nothing disturbs it. */
const TRIES = 5

const processorTime = (task: () => void): number => {
  const before = process.cpuUsage()
  task()
  const { user, system } = process.cpuUsage(before)
  return user + system
}

/**
 * How many times as much processor time a task takes for a size as for a tenth of it: about 10 if it grows with its input,
 * 100 if it grows with the square. Time that other processes take does not count.
 *
 * @param task called several times with both sizes; with the tenth it should take milliseconds
 */
export const growthOf = (task: (size: number) => void, size: number): number => {
  const small: number[] = []
  const large: number[] = []
  for (let n = 0; n < TRIES; n++) {
    small.push(processorTime(() => task(size / 10)))
    large.push(processorTime(() => task(size)))
  }
  return Math.min(...large) / Math.min(...small)
}
