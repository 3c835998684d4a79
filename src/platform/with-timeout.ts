/** Waits for `promise`, but at most `ms` milliseconds. Does not report whether it timed out. */
export const withTimeout = async (ms: number, promise: Promise<unknown>): Promise<void> => {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([promise, timeout]).finally(() => clearTimeout(timer))
}
