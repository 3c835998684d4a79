/** Longest delay of a timer, in milliseconds: a longer one would end after 1 ms. */
export const MAX_TIMER_MS = 2_147_483_647

export interface BackoffOptions {
  /** Maximum delay before the first retry, in milliseconds. */
  readonly minMs: number
  /** Maximum delay before any retry, in milliseconds. */
  readonly maxMs: number
}

/**
 * Returns the delay before a retry: it doubles with each attempt and is shortened by up to half at random, so that clients that failed
 * together do not retry together.
 *
 * @param attempt number of retries so far, from 0
 * @param random from 0 up to 1
 * @returns milliseconds
 */
export const backoffDelay = (attempt: number, { minMs, maxMs }: BackoffOptions, random: number): number =>
  Math.min(maxMs, minMs * 2 ** attempt) * (0.5 + random / 2)
