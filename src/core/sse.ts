import type { ResetReason } from './cursor.ts'
import { type StoredMessage, serializeDelivery } from './message.ts'

export type ClosingReason = 'shutdown' | 'token_expired' | 'max_age' | 'too_slow'

export interface HelloData {
  readonly log_id: string
  readonly cursor: number
  readonly first_db_id: number
  readonly last_db_id: number
  readonly server_time: string
}

// Valid JSON holds raw line breaks only between its tokens, where a space means the same; in an SSE field
// they would end it.
const LINE_BREAKS = /[\r\n]/g

const encodeEvent = (event: string, data: unknown, id?: number): Buffer =>
  Buffer.from(`${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)

/** One stored message as an SSE frame: `id`, `event: new_message` and one `data` line. */
export const encodeMessageEvent = (message: StoredMessage): Buffer => {
  const text = serializeDelivery(message)
  const line = LINE_BREAKS.test(text) ? text.replace(LINE_BREAKS, ' ') : text
  LINE_BREAKS.lastIndex = 0
  return Buffer.from(`id: ${message.db_id}\nevent: new_message\ndata: ${line}\n\n`)
}

/** The first event of a stream. Its id makes a client that saw no message yet resume where it was. */
export const encodeHelloEvent = (hello: HelloData): Buffer => encodeEvent('hello', hello, hello.cursor)

/** Says that the cursor could not be honoured and everything from `first_db_id` on follows. */
export const encodeResetEvent = (reason: ResetReason, first_db_id: number): Buffer =>
  encodeEvent('reset', { reason, first_db_id })

/** Says that everything stored before now has been sent. */
export const encodeCaughtUpEvent = (last_message_db_id: number): Buffer =>
  encodeEvent('caught_up', { last_message_db_id })

/** Keeps proxies from closing an idle stream and lets a client notice a dead one. */
export const encodeHeartbeatEvent = (server_time: string): Buffer => encodeEvent('heartbeat', { server_time })

/** The last event before the server ends a stream. */
export const encodeClosingEvent = (reason: ClosingReason): Buffer => encodeEvent('closing', { reason })

/** Sets the client's reconnection delay, in milliseconds. */
export const encodeRetry = (ms: number): Buffer => Buffer.from(`retry: ${Math.round(ms)}\n\n`)
