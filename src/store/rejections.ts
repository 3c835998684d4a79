import { createHash } from 'node:crypto'
import type { NewMessage, ValidationReason } from '../core/message.ts'
import type { DeliveryOrigin, RejectedDelivery } from './store.ts'

/** Builds the quarantine entry of a message. Called only once it is certain that the message is quarantined, since it copies the body. */
export const toRejection = (
  message: NewMessage,
  origin: DeliveryOrigin,
  reason: ValidationReason,
  detail: string,
): RejectedDelivery => {
  const body = Buffer.from(message.body)
  const sha256 = createHash('sha256').update(body).digest('hex')
  return { origin, received_at: message.received_at, reason, detail, body, body_bytes: body.length, sha256 }
}

/** Quarantine detail of a message whose message_id is already used by a message with another body. */
export const conflictDetail = (db_id: number): string => `db_id ${db_id} has another body.`

/** Quarantine detail of a message that passes validation but cannot be stored. */
export const UNSTORABLE_DETAIL = 'The store cannot hold this message.'
