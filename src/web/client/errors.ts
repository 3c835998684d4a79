import type { Why } from './types.ts'

/** Why something was refused, and what follows from it. */
export interface Rejection {
  readonly why: Why
  /** It will be the same next time. */
  readonly permanent: boolean
  /** The least time until the next attempt. */
  readonly waitMs: number
}

/** Thrown where an answer is a refusal. */
export class RejectedError extends Error {
  readonly refusal: Rejection

  constructor(refusal: Rejection) {
    super(refusal.why.message ?? refusal.why.code)
    this.refusal = refusal
  }
}

const RETRYABLE_STATUS = [408, 425, 429]

/** @param answer one whose body has not been read; it is used up */
export const parseRejection = async (answer: Response): Promise<Rejection> => {
  const { status, headers } = answer
  const { code, message, hint } = (await answer.json().catch(() => ({}))) ?? {}
  const waitMs = Number(headers.get('retry-after') ?? 0) * 1_000 || 0
  if (typeof code === 'string') {
    const lasting = status < 500 && !RETRYABLE_STATUS.includes(status)
    return { why: { code, status, message, hint }, permanent: lasting, waitMs }
  }
  // Not the gateway's words: a proxy before it, or a hotel's page. Only what a log-in would change stays as it is.
  return { why: { code: 'not_a_stream', status }, permanent: status === 401 || status === 403, waitMs }
}
