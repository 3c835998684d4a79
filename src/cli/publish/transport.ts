import type { NewMessage } from '../../core/message.ts'

/** A message on its way, checked by the rules of the gateway. */
export interface OutgoingLine {
  /** Its line on stdin, from 1; null where it came from flags. */
  readonly line: number | null
  readonly message: NewMessage
}

/** What became of a message. */
export type LineResult =
  | { readonly kind: 'published'; readonly db_id?: number; readonly duplicate?: boolean }
  | {
      readonly kind: 'failed'
      readonly code: string
      readonly text: string
      readonly hint: string
      /** The way is at fault, not this message: what follows would fare alike. */
      readonly wayFault: boolean
    }

/** Where messages go. Each gets its fate once, in the order in which they were pushed. */
export interface PublishTransport {
  /** Takes a message; resolves when there is room for another. */
  push(parcel: OutgoingLine): Promise<void>
  /** Resolves when all have their fates. */
  finish(): Promise<void>
  /** Gives up what is under way and ends. */
  close(): Promise<void>
}

export type OnResult = (parcel: OutgoingLine, fate: LineResult) => void | Promise<void>

/** So much is under way at most, whatever the sink. */
export const MAX_IN_FLIGHT = { messages: 2_000, bytes: 8 * 1024 * 1024 }
