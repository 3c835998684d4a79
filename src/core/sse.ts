import type { ResetReason } from './cursor.ts'
import { type StoredMessage, serializeDelivery } from './message.ts'

export type ClosingReason = 'shutdown' | 'token_expired' | 'max_age' | 'too_slow' | 'database_corrupt'

export interface HelloData {
  readonly log_id: string
  readonly cursor: number
  readonly first_db_id: number
  readonly last_db_id: number
  readonly server_time: string
}

// In valid JSON, raw line breaks occur only between tokens, where a space has the same meaning; in an SSE field they would end it.
const LINE_BREAKS = /[\r\n]/g

const encodeEvent = (event: string, data: unknown, id?: number): Buffer =>
  Buffer.from(`${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)

/** Encodes a stored message as an SSE event: `id`, `event: new_message` and one `data` line. */
export const encodeMessageEvent = (message: StoredMessage): Buffer => {
  const text = serializeDelivery(message)
  const line = LINE_BREAKS.test(text) ? text.replace(LINE_BREAKS, ' ') : text
  LINE_BREAKS.lastIndex = 0
  return Buffer.from(`id: ${message.db_id}\nevent: new_message\ndata: ${line}\n\n`)
}

/** Encodes the first event of a stream. Its id lets a client that has received no message yet resume at the same position. */
export const encodeHelloEvent = (hello: HelloData): Buffer => encodeEvent('hello', hello, hello.cursor)

/** Encodes the event that the cursor is invalid and that everything from `first_db_id` on follows. */
export const encodeResetEvent = (reason: ResetReason, first_db_id: number): Buffer =>
  encodeEvent('reset', { reason, first_db_id })

/** Encodes the event that everything stored before now has been sent. */
export const encodeCaughtUpEvent = (last_message_db_id: number): Buffer =>
  encodeEvent('caught_up', { last_message_db_id })

/** Encodes the event that keeps proxies from closing an idle stream, and lets a client detect a dead one. */
export const encodeHeartbeatEvent = (server_time: string): Buffer => encodeEvent('heartbeat', { server_time })

/** Encodes the last event before the server ends a stream. */
export const encodeClosingEvent = (reason: ClosingReason): Buffer => encodeEvent('closing', { reason })

/** Encodes the field that sets the client's reconnection delay. */
export const encodeRetry = (ms: number): Buffer => Buffer.from(`retry: ${Math.round(ms)}\n\n`)
