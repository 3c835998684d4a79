import type { StateReason } from '../../../client/index.ts'
import { ApiError } from '../../shared/api.ts'

const RETRY_MS = [1_000, 2_000, 4_000, 8_000, 15_000]

interface OpeningError {
  readonly reason: StateReason
  /** Delay before the next attempt, in milliseconds; null if there is none. */
  readonly waitMs: number | null
}

/** Describes why the first page of a room could not be loaded. @param attempt number of failures before this one */
export const openingError = (error: unknown, attempt: number): OpeningError => {
  const {
    status = 0,
    code = 'unreachable',
    message = String(error),
    hint = '',
  } = error instanceof ApiError ? error : {}
  // Client errors are permanent; on 401 the sign-in form is shown.
  const isPermanent = status >= 400 && status < 500 && status !== 429
  const waitMs = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]! * (0.75 + Math.random() / 2)
  const reason = { code, message, hint, ...(status === 0 ? {} : { status }) }
  return { reason, waitMs: isPermanent ? null : waitMs }
}
