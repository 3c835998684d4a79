export interface BackoffOptions {
  /** Milliseconds before the first repetition, at most. */
  readonly minMs: number
  /** Milliseconds beyond which it grows no further. */
  readonly maxMs: number
}

/**
 * How long to wait before a repetition: twice as long each time, and by up to half shorter at random, so that what
 * failed together does not return together.
 *
 * @param attempt repetitions so far, from 0
 * @param random from 0 up to 1
 * @returns milliseconds
 */
export const backoffDelay = (attempt: number, { minMs, maxMs }: BackoffOptions, random: number): number =>
  Math.min(maxMs, minMs * 2 ** attempt) * (0.5 + random / 2)
