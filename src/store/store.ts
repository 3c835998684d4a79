import type { Bounds } from '../core/cursor.ts'
import type { GatewayError } from '../core/errors.ts'
import type { NewMessage, StoredMessage, ValidationReason } from '../core/message.ts'
import type { QuarantineRow, QuarantineSummary, ReplayRequest } from '../core/quarantine.ts'
import type { QuarantineFilter } from '../core/quarantine-filter.ts'
import type { SubscriptionFilter } from '../core/subscription-filter.ts'
import type { DatabaseState, PeerRow } from './database-state.ts'
import type { SearchPage, SearchQuery } from './search/search.ts'
import type { Following, StoreCopy } from './store-copy.ts'

/** Origin of a delivery: what an operator needs besides the body to find the sender and to replay the message. */
export interface DeliveryOrigin {
  readonly exchange: string
  readonly routing_key: string
  /** JSON object of the AMQP headers. */
  readonly headers: string
  /** JSON object of the other AMQP properties. */
  readonly properties: string
  /**
   * Time in milliseconds since 1970 until which no other consumer can have stored the delivery; 0 if the broker marked it as redelivered.
   * Later it is not quarantined again if the quarantine has a copy.
   */
  exclusive_until: number
}

/** A delivery to be quarantined. `received_at` is in milliseconds since 1970. */
export interface RejectedDelivery {
  readonly origin: DeliveryOrigin
  readonly received_at: number
  readonly reason: ValidationReason
  readonly detail: string
  /** The body, truncated to MAX_MESSAGE_BYTES. */
  readonly body: Uint8Array
  /** Size of the whole body in bytes. */
  readonly body_bytes: number
  /** SHA-256 of the whole body, hexadecimal. */
  readonly sha256: string
}

/**
 * One entry to append. A message that conflicts or cannot be stored is quarantined if it has an origin, and only reported if it has none.
 */
export type AppendEntry =
  | { readonly kind: 'message'; readonly message: NewMessage; readonly origin: DeliveryOrigin | null }
  | { readonly kind: 'rejection'; readonly rejection: RejectedDelivery }

/**
 * Result of appending one entry:
 * - `stored`: a new row was inserted.
 * - `duplicate`: the event already has a message with this message_id and the same body.
 * - `conflict`: the event already has a message with this message_id and another body.
 * - `refused`: the store cannot hold this message.
 * - `rejected`: the rejection was quarantined, or the quarantine already had a copy.
 *
 * A message with `conflict` or `refused` is quarantined if it has an origin.
 */
export interface AppendResult {
  readonly kind: 'stored' | 'duplicate' | 'conflict' | 'refused' | 'rejected'
  /** db_id of the new or existing message; 0 for `refused` and `rejected`. */
  readonly db_id: number
}

/** A page of messages that match a filter, from one contiguous range of db_ids. */
export interface MessagePage {
  /** In ascending order of db_id. */
  readonly messages: StoredMessage[]
  /**
   * Last db_id covered by the page: `messages` has every match with `after < db_id <= readThrough` (`read`), or with `readThrough <= db_id
   * < before` (`readBefore`).
   */
  readonly readThrough: number
  /** True if a limit ended the page, so that there can be more messages. */
  readonly hasMore: boolean
}

export interface PageLimit {
  /** Maximum number of messages; at least 1. */
  readonly messages: number
  /** The page ends once its bodies reach this many bytes; its first message is always included. */
  readonly bytes: number
}

/** An entry of the event list. Times are in milliseconds since 1970. */
export interface EventSummary {
  readonly event_id: string
  readonly messages: number
  readonly first_db_id: number
  readonly last_db_id: number
  readonly first_at: number
  readonly last_at: number
}

/** Retention rules. A rule does not apply if it is null. */
export interface RetentionLimits {
  /** Delete messages received before this time, in milliseconds since 1970. */
  readonly receivedBefore: number | null
  /** Keep only this many of the newest messages of each event. */
  readonly messagesPerEvent: number | null
}

/** Disk usage of the store in bytes. A value is null if it is unknown. */
export interface StorageSize {
  readonly database: number
  /** Size of the write-ahead log, which is not yet copied into the database file. */
  readonly wal: number | null
  /** Free space of the file system. */
  readonly free: number | null
}

/** Revokes the tokens of a subject that were issued up to a given time. Times are in milliseconds since 1970. */
export interface Revocation {
  readonly subject: string
  readonly issued_before: number
  /** Time at which the revocation expires, or null if it never does. */
  readonly until: number | null
}

/**
 * Result of replaying a quarantined row:
 * - `stored`: a new message was stored, and the row was deleted.
 * - `duplicate`: the same message was already stored, and the row was deleted.
 * - `kept`: the message still cannot be accepted, so the row stays with the given reason.
 * - `gone`: the row was deleted by another process in the meantime.
 */
export type ReplayResult =
  | { readonly kind: 'stored' | 'duplicate'; readonly db_id: number; readonly message: NewMessage }
  | { readonly kind: 'kept'; readonly reason: ValidationReason; readonly detail: string }
  | { readonly kind: 'gone' }

/** Points at which a test can end the process: inside the transaction, or between the commit and its report. */
export type FaultPoint = 'in_transaction' | 'committed'

/** Short-lived values that can be taken once, shared by all hosts. Methods throw the errors of MessageStore. */
export interface TicketStore {
  /** @param ms lifetime in milliseconds */
  put(id: string, value: string, ms: number): Promise<void>
  /** Deletes and returns a value. @returns null if the ticket is unknown, already taken, or expired */
  take(id: string): Promise<string | null>
}

/** Number of quarantined rows with a given reason. */
export interface ReasonCount {
  readonly reason: string
  readonly rows: number
}

/** Quarantine of a running store. Methods throw the errors of MessageStore. */
export interface Quarantine {
  /** Returns the newest rows with `rejected_id < before`, newest first; `before` 0 starts at the newest row. */
  list(filter: QuarantineFilter, before: number, limit: number): Promise<QuarantineSummary[]>
  /** Returns one row with at most `bytes` bytes of its body, or null if it does not exist. */
  row(rejected_id: number, bytes: number): Promise<QuarantineRow | null>
  /** Returns whole rows with `after < rejected_id <= through`, oldest first: at most 200, and about `bytes` of bodies. Empty at the end. */
  listWithBodies(filter: QuarantineFilter, after: number, through: number, bytes: number): Promise<QuarantineRow[]>
  /** Returns the greatest rejected_id, or 0 if the quarantine is empty. */
  maxId(): Promise<number>
  /** Counts the newest `maxRows` rows by reason, most frequent first. */
  countByReason(maxRows: number): Promise<ReasonCount[]>
  /** Stores the accepted messages and deletes or updates their rows, in one transaction. Results are in the order of `replays`. */
  replay(replays: readonly ReplayRequest[]): Promise<ReplayResult[]>
  /** Deletes rows permanently. @returns the number of rows deleted */
  drop(ids: readonly number[]): Promise<number>
}

/** Callbacks of a store, whatever it is used for. */
export interface StoreCallbacks {
  /** Called once if nothing can be written any more before the process is started again. */
  readonly onUnusable?: ((error: GatewayError) => void) | undefined
}

/**
 * The store: each message once, in one order. Every implementation must pass test/unit/store/sqlite-contract.test.ts, which checks:
 *
 * - **L1** `append` resolves only after the commit is durable; a crash afterwards loses nothing.
 * - **L2** A db_id becomes visible only after all smaller ones; ids increase in commit order and are never reused.
 * - **L3** A message_id has at most one row per event; the unique key enforces this.
 * - **L4** `read` and `readBefore` filter, order and page by db_id alone.
 * - **L5** All entries of one `append` commit together or not at all.
 *
 * Every method rejects with a GatewayError with a `storage_*` or `database_*` code if the store fails. After a failed `append`, either none
 * or all of its entries are stored; it is safe to append the same entries again.
 */
export interface MessageStore {
  /** Identifies this database; a new database gets a new id. Available after `start`. */
  readonly logId: string
  readonly quarantine: Quarantine
  readonly following: Following
  /** Absent unless the store was opened as the copy of an edge. */
  readonly copy?: StoreCopy
  start(): Promise<void>
  /** Waits for pending appends, then closes the store. */
  stop(): Promise<void>

  /** Commits entries in order, in one transaction. Results are in the order of the entries. */
  append(entries: readonly AppendEntry[]): Promise<AppendResult[]>

  /** Returns the messages that match a filter after a cursor, in ascending order. A filter without events matches nothing. */
  read(filter: SubscriptionFilter, after: number, limit: PageLimit): Promise<MessagePage>
  /** Returns the newest matching messages with `db_id < before`, in ascending order. `hasMore`: older ones exist. */
  readBefore(filter: SubscriptionFilter, before: number, limit: PageLimit): Promise<MessagePage>
  /** Returns the cursor that is followed by exactly the newest `count` matching messages; 0 if there are no more than `count`. */
  tailCursor(filter: SubscriptionFilter, count: number): Promise<number>

  /** Returns the greatest db_id that was ever visible; 0 in a new store. */
  head(): Promise<number>
  /** Returns the bounds of the events of a filter; its types and senders are ignored. */
  bounds(filter: SubscriptionFilter): Promise<Bounds>
  /** Searches by a scan of the messages. Absent if the store has an index for this (src/store/search). */
  search?(query: SearchQuery, signal: AbortSignal): Promise<SearchPage>
  /**
   * Lists at most `limit` events with `last_db_id < before`, by latest activity; `before` 0 starts at the newest. `eventIds` restricts the
   * list.
   */
  events(limit: number, before: number, eventIds?: readonly string[] | '*'): Promise<EventSummary[]>

  /**
   * Stores a revocation durably. If the subject already has one, the later of each time applies. Revocations that expired before `now` are
   * deleted.
   *
   * @returns the revocation of the subject as stored
   */
  revoke(revocation: Revocation, now: number): Promise<Revocation>
  /** Removes a revocation. @returns whether there was one */
  removeRevocation(subject: string): Promise<boolean>
  /** Returns all revocations, ordered by subject. */
  revocations(): Promise<Revocation[]>

  /**
   * Checks that the store is still the one that was opened.
   *
   * @param write also commits a small write, to detect whether a store that failed works again
   * @throws GatewayError database_replaced, storage_busy or storage_unavailable
   */
  check(write: boolean): Promise<void>

  /**
   * Returns the time of the clock that decides for all hosts, in milliseconds since 1970. Absent if the store serves only one host, whose
   * own clock decides.
   */
  now?(): number

  /** Tickets shared by all hosts. Absent if the store serves only one host, which keeps its tickets itself. */
  readonly tickets?: TicketStore

  /**
   * Notifies the other hosts that a session has ended; like all notifications, it can be lost. Absent if the store serves only one host.
   *
   * @throws GatewayError storage_* or database_*
   */
  notifySessionEnd?(tokenId: string): Promise<void>

  /**
   * Writes a row about this process, and returns those of the others and the state of the database. Absent if the store serves only one
   * host.
   *
   * @param status a JSON object
   */
  announce?(status: string): Promise<{ readonly peers: readonly PeerRow[]; readonly database: DatabaseState }>

  /** Returns the disk usage; intended for occasional calls such as metrics. Absent if it cannot be determined. */
  size?(): Promise<StorageSize>

  /** Deletes at most `limit` messages and as many quarantined rows. @returns the number deleted in all; 0 if nothing is left to delete */
  prune(retention: RetentionLimits, limit: number): Promise<number>
}
