import type { ErrorCode } from './errors.ts'
import { decodeUtf8, type ValidationResult, validateMessage } from './message.ts'

/** A row of the quarantine, as far as a list of many shows it. */
export interface QuarantineSummary {
  readonly rejected_id: number
  /** Milliseconds since 1970. */
  readonly received_at: number
  readonly reason: string
  readonly detail: string
  readonly exchange: string
  readonly routing_key: string
  /** Size before it was cut. */
  readonly body_bytes: number
  /** Of the whole body, hexadecimal. */
  readonly sha256: string
}

/** A row of the quarantine, without its body. */
export interface QuarantineEnvelope extends QuarantineSummary {
  /** JSON object. */
  readonly headers: string
  /** JSON object of the other AMQP properties. */
  readonly properties: string
}

export interface QuarantineRow extends QuarantineEnvelope {
  /** Shorter than body_bytes says where it was cut. */
  readonly body: Buffer
}

/** A row that is to leave the quarantine, and what the checks now say of it. */
export interface ReplayRequest {
  readonly rejected_id: number
  readonly checked: ValidationResult
}

const refuse = (reason: ErrorCode, detail: string): ValidationResult => ({ refusal: { reason, detail } })

/** The header traceparent, whatever it is. */
const traceparentIn = (headers: string): unknown => (JSON.parse(headers) as { traceparent?: unknown }).traceparent

/** The AMQP property message_id, which serves where the body has none. */
const messageIdOf = (properties: string): string | undefined => {
  const id = (JSON.parse(properties) as { messageId?: unknown }).messageId
  return typeof id === 'string' ? id : undefined
}

/**
 * Checks rows of the quarantine as ingest checks deliveries. Pure: clock, ids and limit come in.
 *
 * @param limit MAX_MESSAGE_BYTES
 * @param now milliseconds since 1970; the messages count as received then
 */
export const revalidate = (
  rows: readonly QuarantineRow[],
  limit: number,
  now: number,
  makeId: (now: number) => string,
): ReplayRequest[] =>
  rows.map((row) => ({ rejected_id: row.rejected_id, checked: recheckOne(row, limit, now, () => makeId(now)) }))

const recheckOne = (row: QuarantineRow, limit: number, now: number, makeId: () => string): ValidationResult => {
  if (row.body_bytes > limit) return refuse('body_too_large', `${row.body_bytes} bytes, ${limit} are allowed.`)
  if (row.body.length < row.body_bytes) {
    const detail = `Of ${row.body_bytes} bytes only ${row.body.length} were kept: its sender must publish it again.`
    return refuse('body_too_large', detail)
  }
  const text = decodeUtf8(row.body)
  if (typeof text !== 'string') return text
  return validateMessage(text, {
    received_at: now,
    message_id: messageIdOf(row.properties),
    traceparent: traceparentIn(row.headers),
    makeId,
  })
}
