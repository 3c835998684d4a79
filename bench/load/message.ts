import { nowMicros } from '../support/stats.ts'

/**
 * Each message carries this byte exactly once, and nothing else on the wire does: a reader counts messages by
 * counting it, without parsing, wherever its chunks begin and end.
 */
export const MARKER = 0x5e

/** Stands before the time of publishing in microseconds (`nowMicros`), 12 to 17 digits. */
export const TIME_KEY = '"t":'

/**
 * The text of one message of exactly `size` bytes (never less than its fields take).
 *
 * @param n a number of the sender's, shown in the message
 */
export const messageText = (event_id: string, n: number, size: number): string => {
  const head = `{"event_id":"${event_id}","message_from":"bench","message_type":"note",${TIME_KEY}${nowMicros()},"n":${n},"message_content":"^`
  return `${head}${'x'.repeat(Math.max(0, size - head.length - 2))}"}`
}
