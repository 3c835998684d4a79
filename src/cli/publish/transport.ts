import { appendJsonMembers } from '../../core/json-members.ts'
import { MISSING_MESSAGE_ID, type NewMessage } from '../../core/message.ts'

/** A message to publish, validated like the gateway does. */
export interface OutgoingLine {
  /** Line number on stdin, from 1; null if the message was built from flags. */
  readonly line: number | null
  readonly message: NewMessage
}

/** Result of publishing a message. */
export type LineResult =
  | { readonly kind: 'published'; readonly db_id?: number; readonly duplicate?: boolean }
  | {
      readonly kind: 'failed'
      readonly code: string
      readonly text: string
      readonly hint: string
      /** True if broker or gateway cannot be used, so that the following messages would fail too. */
      readonly isTransportError: boolean
    }

/** Publishes messages. Each result is reported once, in the order of the calls of `send`. */
export interface PublishTransport {
  /** Queues a message; resolves when the next one can be sent (back-pressure). */
  send(line: OutgoingLine): Promise<void>
  /** Resolves when all results have been reported. */
  finish(): Promise<void>
  /** Discards queued messages and closes the transport. */
  close(): Promise<void>
}

export type OnResult = (line: OutgoingLine, result: LineResult) => void | Promise<void>

/** Maximum messages and bytes in flight, for both transports. */
export const MAX_IN_FLIGHT = { messages: 2_000, bytes: 8 * 1024 * 1024 }

/** Returns the text to send, always with a message_id, so that a retry does not store the message twice. */
export const serializeMessage = ({ body, lacks, message_id }: NewMessage): string =>
  lacks & MISSING_MESSAGE_ID ? appendJsonMembers(body, `"message_id":${JSON.stringify(message_id)}`) : body
