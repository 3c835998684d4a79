import type { ResetReason } from './cursor.ts'
import { type StoredMessage, serializeDelivery } from './message.ts'

/** Reasons of the event `closing`. */
export const CLOSING_REASONS = [
  'shutdown',
  'token_expired',
  'max_age',
  'too_slow',
  'database_corrupt',
  'database_unreachable',
  'ticket_invalid',
  'upstream_reset',
] as const

export type ClosingReason = (typeof CLOSING_REASONS)[number]

export interface HelloData {
  readonly log_id: string
  readonly cursor: number
  readonly first_db_id: number
  readonly last_db_id: number
  readonly server_time: string
  /** The events that are sent. */
  readonly events: readonly string[] | '*'
  /** The filters that hold; null for all values. */
  readonly filters: { readonly message_type: readonly string[] | null; readonly message_from: readonly string[] | null }
}

// In valid JSON, raw line breaks occur only between tokens, where a space has the same meaning; in an SSE field they would end it.
const LINE_BREAKS = /[\r\n]/g

/** @param fields the fields before `event`, each ending with a line feed */
const encodeEvent = (event: string, data: unknown, fields = ''): Buffer =>
  Buffer.from(`${fields}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)

/** A block of its own would reach some clients as an empty message. */
const retryField = (ms: number): string => `retry: ${Math.round(ms)}\n`

/**
 * Encodes a stored message as an SSE event: `id`, `event: new_message` and one `data` line.
 *
 * @param unnamed omits the event name, so that clients receive a default event
 */
export const encodeMessageEvent = (message: StoredMessage, unnamed = false): Buffer => {
  const text = serializeDelivery(message)
  const line = LINE_BREAKS.test(text) ? text.replace(LINE_BREAKS, ' ') : text
  LINE_BREAKS.lastIndex = 0
  return Buffer.from(`id: ${message.db_id}\n${unnamed ? '' : 'event: new_message\n'}data: ${line}\n\n`)
}

/**
 * Encodes the first event of a stream. Its id lets a client that has received no message yet resume at the same position.
 *
 * @param retryMs reconnection delay of the client
 */
export const encodeHelloEvent = (hello: HelloData, retryMs: number): Buffer =>
  encodeEvent('hello', hello, `${retryField(retryMs)}id: ${hello.cursor}\n`)

/** Encodes the event that the cursor is invalid and that everything from `first_db_id` on follows. */
export const encodeResetEvent = (reason: ResetReason, first_db_id: number): Buffer =>
  encodeEvent('reset', { reason, first_db_id })

/** Encodes the event that everything stored before now has been sent. */
export const encodeCaughtUpEvent = (last_message_db_id: number): Buffer =>
  encodeEvent('caught_up', { last_message_db_id })

/** Encodes the event that keeps proxies from closing an idle stream, and lets a client detect a dead one. */
export const encodeHeartbeatEvent = (server_time: string): Buffer => encodeEvent('heartbeat', { server_time })

/**
 * Encodes the last event before the server ends a stream.
 *
 * @param retryMs new reconnection delay of the client; null if it does not change
 */
export const encodeClosingEvent = (reason: ClosingReason, retryMs: number | null = null): Buffer =>
  encodeEvent('closing', { reason }, retryMs === null ? '' : retryField(retryMs))
