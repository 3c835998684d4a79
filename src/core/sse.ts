import type { ResetReason } from './cursor.ts'
import { deliveredText, type StoredMessage } from './message.ts'

export type ClosingReason = 'shutdown' | 'token_expired' | 'max_age' | 'too_slow'

export interface Hello {
  readonly log_id: string
  readonly cursor: number
  readonly first_db_id: number
  readonly last_db_id: number
  readonly server_time: string
}

// Valid JSON holds raw line breaks only between its tokens, where a space means the same; in an SSE field
// they would end it.
const LINE_BREAKS = /[\r\n]/g

const frame = (event: string, data: unknown, id?: number): Buffer =>
  Buffer.from(`${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)

/** One stored message as an SSE frame: `id`, `event: new_message` and one `data` line. */
export const messageFrame = (message: StoredMessage): Buffer => {
  const text = deliveredText(message)
  const line = LINE_BREAKS.test(text) ? text.replace(LINE_BREAKS, ' ') : text
  LINE_BREAKS.lastIndex = 0
  return Buffer.from(`id: ${message.db_id}\nevent: new_message\ndata: ${line}\n\n`)
}

/** The first event of a stream. Its id makes a client that saw no message yet resume where it was. */
export const helloFrame = (hello: Hello): Buffer => frame('hello', hello, hello.cursor)

/** Says that the cursor could not be honoured and everything from `first_db_id` on follows. */
export const resetFrame = (reason: ResetReason, first_db_id: number): Buffer => frame('reset', { reason, first_db_id })

/** Says that everything stored before now has been sent. */
export const caughtUpFrame = (last_message_db_id: number): Buffer => frame('caught_up', { last_message_db_id })

/** Keeps proxies from closing an idle stream and lets a client notice a dead one. */
export const heartbeatFrame = (server_time: string): Buffer => frame('heartbeat', { server_time })

/** The last event before the server ends a stream. */
export const closingFrame = (reason: ClosingReason): Buffer => frame('closing', { reason })

/** Sets the client's reconnection delay, in milliseconds. */
export const retryFrame = (ms: number): Buffer => Buffer.from(`retry: ${Math.round(ms)}\n\n`)
