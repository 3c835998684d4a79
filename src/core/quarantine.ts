import type { ErrorCode } from './errors.ts'
import { decodeUtf8, type ValidationResult, validateMessage } from './message.ts'

/** A row of the quarantine, with the fields of a list. */
export interface QuarantineSummary {
  readonly rejected_id: number
  /** Milliseconds since 1970. */
  readonly received_at: number
  readonly reason: string
  readonly detail: string
  readonly exchange: string
  readonly routing_key: string
  /** Size of the whole body in bytes. */
  readonly body_bytes: number
  /** SHA-256 of the whole body, hexadecimal. */
  readonly sha256: string
}

/** A row of the quarantine without its body. */
export interface QuarantineEnvelope extends QuarantineSummary {
  /** JSON object of the AMQP headers. */
  readonly headers: string
  /** JSON object of the other AMQP properties. */
  readonly properties: string
}

/** A row of the quarantine with its body. */
export interface QuarantineRow extends QuarantineEnvelope {
  /** Truncated if it is shorter than `body_bytes`. */
  readonly body: Buffer
}

/** A row to be replayed, and the result of its new validation. */
export interface ReplayRequest {
  readonly rejected_id: number
  readonly result: ValidationResult
}

const invalid = (reason: ErrorCode, detail: string): ValidationResult => ({ error: { reason, detail } })

/** Returns the header traceparent, of any type. */
const getTraceparent = (headers: string): unknown => (JSON.parse(headers) as { traceparent?: unknown }).traceparent

/** Returns the AMQP property message_id, which is used if the body has none. */
const getMessageId = (properties: string): string | undefined => {
  const id = (JSON.parse(properties) as { messageId?: unknown }).messageId
  return typeof id === 'string' ? id : undefined
}

/**
 * Validates rows of the quarantine like deliveries. Pure: the clock, ids and limit are passed in.
 *
 * @param limit MAX_MESSAGE_BYTES
 * @param now milliseconds since 1970, used as the time of receipt
 */
export const revalidate = (
  rows: readonly QuarantineRow[],
  limit: number,
  now: number,
  makeId: (now: number) => string,
): ReplayRequest[] =>
  rows.map((row) => ({ rejected_id: row.rejected_id, result: revalidateRow(row, limit, now, () => makeId(now)) }))

const revalidateRow = (row: QuarantineRow, limit: number, now: number, makeId: () => string): ValidationResult => {
  if (row.body_bytes > limit) return invalid('body_too_large', `${row.body_bytes} bytes, ${limit} are allowed.`)
  if (row.body.length < row.body_bytes) {
    const detail = `Of ${row.body_bytes} bytes only ${row.body.length} were kept: its sender must publish it again.`
    return invalid('body_too_large', detail)
  }
  const text = decodeUtf8(row.body)
  if (typeof text !== 'string') return text
  return validateMessage(text, {
    received_at: now,
    message_id: getMessageId(row.properties),
    traceparent: getTraceparent(row.headers),
    makeId,
  })
}
