import { setTimeout as sleep } from 'node:timers/promises'
import type { GatewayError } from '../core/errors.ts'

/** Pause between two attempts, in milliseconds. */
const RETRY_PAUSE_MS = 200

export interface RetryStartOptions {
  /**
   * Returns how long to keep retrying after this error, in milliseconds from the first attempt; 0 if it must not be retried. Default: as
   * long as the error can pass.
   */
  readonly waitMs?: (error: GatewayError) => number
  /** Called after a failed attempt that is retried, unless the previous one failed with the same message. */
  readonly onWarning: (text: string) => void
}

/**
 * Opens a store, and retries while the error is expected to pass: another process is creating or upgrading the same database, or its server
 * is starting.
 *
 * @param attempt opens the store; it must leave nothing open if it fails
 * @throws GatewayError the last error of `attempt`
 */
export const retryStart = async (
  attempt: () => void | Promise<void>,
  { waitMs = waitWhileRetryable, onWarning }: RetryStartOptions,
): Promise<void> => {
  const startedAt = performance.now()
  for (let warned = ''; ; ) {
    try {
      return await attempt()
    } catch (error) {
      const { message } = error as GatewayError
      if (performance.now() - startedAt >= waitMs(error as GatewayError)) throw error
      if (message !== warned) onWarning(`waiting for the database: ${message}, retrying`)
      warned = message
    }
    await sleep(RETRY_PAUSE_MS)
  }
}

const waitWhileRetryable = ({ retryable }: GatewayError): number => (retryable ? Number.POSITIVE_INFINITY : 0)
