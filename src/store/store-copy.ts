import type { NewMessage } from '../core/message.ts'

/** A row of `message`, with all its columns. */
export interface MessageRecord extends NewMessage {
  readonly db_id: number
}

/** The greatest db_id that retention has deleted of an event. */
export interface PrunedBound {
  readonly event_id: string
  readonly pruned_db_id: number
}

/** What an edge compares its copy with. */
export interface FollowState {
  /** Messages of the events. */
  readonly total: number
  /** Messages after the cursor; counting stops at 1,000. */
  readonly pending: number
  /** Changes whenever retention deletes messages of the events. */
  readonly pruned: string
}

/** What edges read of their core besides the messages. Methods throw the errors of MessageStore. */
export interface Following {
  state(events: readonly string[] | '*', after: number): Promise<FollowState>
  /** Lists events of which messages were deleted, by event_id, at most `limit` after this one; `after` '' starts at the first. */
  pruned(events: readonly string[] | '*', after: string, limit: number): Promise<PrunedBound[]>
}

/** The copy that an edge keeps of the store of its core. */
export interface CopyState {
  readonly logId: string
  /** The greatest db_id up to which everything was copied; 0 if nothing was. */
  readonly head: number
  /** When the copy last had all messages, in milliseconds since 1970; null if it never had. */
  readonly levelAt: number | null
}

/** Changes the copy; each method is one transaction, and throws the errors of MessageStore. */
export interface StoreCopy {
  /**
   * Must be called before all others. Empties the copy if it is one of other events.
   *
   * @throws GatewayError database_not_copy if the store has messages that were not copied
   */
  open(events: readonly string[] | '*'): Promise<CopyState>
  /** Deletes everything, and takes the log_id of the core. */
  restart(logId: string): Promise<CopyState>
  /** Stores messages with their db_ids, which must rise. Those up to the head are ignored, and those that the core has deleted. */
  add(rows: readonly MessageRecord[]): Promise<CopyState>
  /** Deletes the messages that the core has deleted, and takes over its bounds unless the own ones are greater. */
  prune(bounds: readonly PrunedBound[]): Promise<CopyState>
  noteLevel(at: number): Promise<CopyState>
}
