import { createHash } from 'node:crypto'
import type { ErrorCode } from '../core/errors.ts'
import type { NewMessage } from '../core/message.ts'
import type { DeliveryOrigin, RejectedDelivery } from './store.ts'

/** Made only here, once a conflict is certain, so that no message carries a second copy of itself. */
export const toRejection = (
  message: NewMessage,
  origin: DeliveryOrigin,
  reason: ErrorCode,
  detail: string,
): RejectedDelivery => {
  const body = Buffer.from(message.body)
  const sha256 = createHash('sha256').update(body).digest('hex')
  return { origin, received_at: message.received_at, reason, detail, body, body_bytes: body.length, sha256 }
}

/** What the quarantine says of a message whose message_id is taken. */
export const conflictDetail = (db_id: number): string => `db_id ${db_id} has another body.`

/** What the quarantine says of a message that passes the checks and cannot be stored all the same. */
export const UNSTORABLE_DETAIL = 'The store cannot hold this message.'
