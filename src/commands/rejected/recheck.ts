import type { RejectedRow } from '../../log/quarantine.ts'
import type { ErrorCode } from '../../message/errors.ts'
import { type Checked, checkMessage, decodeText } from '../../message/message.ts'

const refuse = (reason: ErrorCode, detail: string): Checked => ({ refusal: { reason, detail } })

/** The AMQP property message_id, which serves where the body has none. */
const messageIdOf = (properties: string): string | undefined => {
  const id = (JSON.parse(properties) as { messageId?: unknown }).messageId
  return typeof id === 'string' ? id : undefined
}

/**
 * Checks a row of the quarantine as ingest checks a delivery. Pure: clock, ids and limit come in.
 *
 * @param limit MAX_MESSAGE_BYTES
 */
export const recheck = (row: RejectedRow, limit: number, now: number, makeId: () => string): Checked => {
  if (row.body_bytes > limit) return refuse('body_too_large', `${row.body_bytes} bytes, ${limit} are allowed.`)
  if (row.body.length < row.body_bytes) {
    const detail = `Of ${row.body_bytes} bytes only ${row.body.length} were kept: its sender must publish it again.`
    return refuse('body_too_large', detail)
  }
  const text = decodeText(row.body)
  if (typeof text !== 'string') return text
  return checkMessage(text, { received_at: now, message_id: messageIdOf(row.properties), makeId })
}
