import { decodeContent } from './content-encoding.ts'
import { decodeUtf8, type ValidationReason, type ValidationResult, validateMessage } from './message.ts'

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

const invalid = (reason: ValidationReason, detail: string): ValidationResult => ({ error: { reason, detail } })

interface RevalidateOptions {
  /** MAX_MESSAGE_BYTES. */
  readonly limit: number
  /** Milliseconds since 1970, used as the time of receipt. */
  readonly now: number
  readonly makeId: (now: number) => string
  /** Returns true if the AMQP headers prove that the gateway itself has added the `published_by` of the body. */
  readonly verifyPublishedBy: (headers: Readonly<Record<string, unknown>>, message_id: string, body: string) => boolean
}

/** Returns an AMQP property; undefined if it is absent. */
const getProperty = (properties: string, name: 'messageId' | 'contentEncoding'): string | undefined => {
  const value = (JSON.parse(properties) as Record<string, unknown>)[name]
  return typeof value === 'string' ? value : undefined
}

/** Validates rows of the quarantine like deliveries. Pure: the clock, ids and limit are passed in. */
export const revalidate = (rows: readonly QuarantineRow[], options: RevalidateOptions): ReplayRequest[] =>
  rows.map((row) => ({ rejected_id: row.rejected_id, result: revalidateRow(row, options) }))

const revalidateRow = (
  row: QuarantineRow,
  { limit, now, makeId, verifyPublishedBy }: RevalidateOptions,
): ValidationResult => {
  if (row.body_bytes > limit) return invalid('body_too_large', `${row.body_bytes} bytes, ${limit} are allowed.`)
  if (row.body.length < row.body_bytes) {
    const detail = `Of ${row.body_bytes} bytes only ${row.body.length} were kept: its sender must publish it again.`
    return invalid('body_too_large', detail)
  }
  const content = decodeContent(row.body, getProperty(row.properties, 'contentEncoding'), limit)
  if (!Buffer.isBuffer(content)) return content
  const text = decodeUtf8(content)
  if (typeof text !== 'string') return text
  const headers = JSON.parse(row.headers) as Readonly<Record<string, unknown>>
  return validateMessage(text, {
    received_at: now,
    message_id: getProperty(row.properties, 'messageId'),
    traceparent: headers.traceparent,
    verifyPublishedBy: (id) => verifyPublishedBy(headers, id, text),
    makeId: () => makeId(now),
  })
}
