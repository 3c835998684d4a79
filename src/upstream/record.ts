import type { EventSourceMessage } from 'eventsource-parser'
import { GatewayError } from '../core/errors.ts'
import { validateMessage } from '../core/message.ts'
import type { MessageRecord } from '../store/store-copy.ts'

/** The keys that every delivered message ends with (serializeDelivery of core/message.ts). */
const END = /^,"received_at":"([^"]+)","db_id":(\d+)\}$/

const unexpected = (db_id: number, reason: string): GatewayError =>
  new GatewayError('upstream_incompatible', `The core sent the message ${db_id} in an unknown form: ${reason}.`)

/**
 * Returns the row of a delivered message. All its other keys stay in the body, also those that the core has appended, so that it is
 * delivered again with the same bytes.
 *
 * @param data the text of the delivered message
 * @param db_id the id of its SSE event
 * @throws GatewayError upstream_incompatible
 */
export const toMessageRecord = (data: string, db_id: number): MessageRecord => {
  const at = data.lastIndexOf(',"received_at":"')
  const end = END.exec(data.slice(Math.max(0, at)))
  if (end === null || Number(end[2]) !== db_id) throw unexpected(db_id, 'received_at and db_id are not its last keys')
  const received_at = Date.parse(end[1]!)
  const context = { received_at, makeId: () => '', verifyPublishedBy: () => true }
  const result = validateMessage(`${data.slice(0, at)}}`, context)
  if ('error' in result) throw unexpected(db_id, result.error.detail)
  if (Number.isNaN(received_at) || result.message.message_id === '') throw unexpected(db_id, 'it has no id or time')
  return { ...result.message, lacks: 0, db_id }
}

/** Returns the fields of an event that is no message. @throws GatewayError upstream_incompatible */
export const parseControlEvent = ({ event, data }: EventSourceMessage): Readonly<Record<string, unknown>> => {
  try {
    return JSON.parse(data) as Record<string, unknown>
  } catch (cause) {
    throw new GatewayError('upstream_incompatible', `The core sent ${event} without JSON.`, { cause })
  }
}
