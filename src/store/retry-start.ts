import { setTimeout as sleep } from 'node:timers/promises'
import type { GatewayError } from '../core/errors.ts'

/** Between two attempts, in milliseconds. */
const RETRY_PAUSE_MS = 200

export interface RetryStartOptions {
  /** Returns how long a start waits for this error to pass, in milliseconds from its first attempt; 0 if it does not wait. */
  readonly waitMs: (error: GatewayError) => number
  /** Receives the first error that the start waits for. */
  readonly onWarning: (text: string) => void
}

/**
 * Opens a store, and tries again while the error is one that passes: another process makes or upgrades the same database,
 * or its server is starting.
 *
 * @param attempt opens the store; it leaves nothing open when it fails
 * @throws GatewayError the last error of `attempt`
 */
export const retryStart = async (
  attempt: () => void | Promise<void>,
  { waitMs, onWarning }: RetryStartOptions,
): Promise<void> => {
  const from = performance.now()
  for (let first = true; ; first = false) {
    try {
      return await attempt()
    } catch (error) {
      const { message } = error as GatewayError
      if (performance.now() - from >= waitMs(error as GatewayError)) throw error
      if (first) onWarning(`waiting for the database: ${message}, retrying`)
    }
    await sleep(RETRY_PAUSE_MS)
  }
}
