import { FULL } from './tier.ts'

/** Factor for every time limit of the tests, set on slow machines and for long forms. */
const FACTOR = Number(process.env.TEST_TIMEOUT_FACTOR || (FULL ? 3 : 1))
if (!(FACTOR > 0)) throw new Error('TEST_TIMEOUT_FACTOR must be a positive number')

/**
 * A time limit in milliseconds, multiplied by TEST_TIMEOUT_FACTOR. Limits only end what hangs: they are generous, and
 * no test result depends on one.
 */
export const limit = (ms: number): number => ms * FACTOR

/** Default limit of a wait: for a condition, a response, an event, a log line or the exit of a process. */
export const WAIT_MS = limit(120_000)
/** Limit of one test or hook. */
export const TEST_MS = limit(600_000)
/** Limit of one test file. */
export const FILE_MS = limit(1_800_000)
/** Time for the process of a test file to exit after its last test. */
export const EXIT_MS = limit(30_000)

/**
 * Rejects if `promise` has not settled by the limit; the work behind the promise is not cancelled.
 * @throws Error naming `what`
 */
export const within = async <T>(promise: Promise<T>, what: string, limitMs = WAIT_MS): Promise<T> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${limitMs} ms`)), limitMs)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
