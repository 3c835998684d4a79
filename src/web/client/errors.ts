import type { StateReason } from './types.ts'

/** Reason of a refusal, and how to retry. */
export interface Rejection {
  readonly reason: StateReason
  /** A retry would be refused too. */
  readonly permanent: boolean
  /** Minimum delay before the next attempt, in milliseconds. */
  readonly waitMs: number
}

/** The gateway, or the page's `token` function, refused a request. */
export class RejectedError extends Error {
  readonly rejection: Rejection

  constructor(rejection: Rejection) {
    super(rejection.reason.message ?? rejection.reason.code)
    this.rejection = rejection
  }
}

const RETRYABLE_STATUS = [408, 425, 429]

/** Parses an error response. @param response a response whose body has not been read; it is consumed */
export const parseRejection = async (response: Response): Promise<Rejection> => {
  const { status, headers } = response
  const { code, message, hint } = (await response.json().catch(() => ({}))) ?? {}
  const waitMs = Number(headers.get('retry-after') ?? 0) * 1_000 || 0
  if (typeof code === 'string') {
    const permanent = status < 500 && !RETRYABLE_STATUS.includes(status)
    return { reason: { code, status, message, hint }, permanent, waitMs }
  }
  // Not from the gateway, but from a proxy or a captive portal. Only 401 and 403 are permanent: they need a login.
  return { reason: { code: 'not_a_stream', status }, permanent: status === 401 || status === 403, waitMs }
}
