import type { Bounds } from '../core/cursor.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { NewMessage, StoredMessage } from '../core/message.ts'
import type { QuarantineRow, QuarantineSummary, ReplayRequest } from '../core/quarantine.ts'
import type { RejectedFilter } from '../core/quarantine-filter.ts'
import type { SubscriptionFilter } from '../core/subscription-filter.ts'

/** How a delivery came; what an operator needs beside its body to find its sender and to replay it. */
export interface DeliveryOrigin {
  readonly exchange: string
  readonly routing_key: string
  /** JSON object. */
  readonly headers: string
  /** JSON object of the other AMQP properties. */
  readonly properties: string
  /** True if the broker marked the delivery as redelivered: an existing copy in the quarantine then suffices. */
  readonly redelivered: boolean
}

/** A delivery that could not be accepted. */
export interface RejectedDelivery {
  readonly origin: DeliveryOrigin
  readonly received_at: number
  readonly reason: ErrorCode
  readonly detail: string
  /** The body, cut at MAX_MESSAGE_BYTES. */
  readonly body: Uint8Array
  /** Bytes before the cut. */
  readonly body_bytes: number
  /** Hexadecimal, of the whole body. */
  readonly sha256: string
}

/** One thing to append. A message with an origin is quarantined if it conflicts; one without an origin is not. */
export type AppendEntry =
  | { readonly kind: 'message'; readonly message: NewMessage; readonly origin: DeliveryOrigin | null }
  | { readonly kind: 'rejection'; readonly rejection: RejectedDelivery }

/**
 * What became of an entry. `stored`: a new row. `duplicate`: the same body stands under this message_id
 * already, as db_id. `conflict`: another body stands there, as db_id. `refused`: the store cannot hold this one
 * message. Both are quarantined if the entry has an origin. `rejected`: the rejection was written, or its copy found.
 */
export interface AppendResult {
  readonly kind: 'stored' | 'duplicate' | 'conflict' | 'refused' | 'rejected'
  /** 0 where no row of the message table is meant. */
  readonly db_id: number
}

/** Messages of a selection in one contiguous range of db_ids. */
export interface MessagePage {
  /** Ascending. */
  readonly messages: StoredMessage[]
  /** Everything of the selection with `after < db_id <= through` is in `messages`. */
  readonly readThrough: number
  /** True when a limit ended the page before the end of the log. */
  readonly hasMore: boolean
}

export interface PageLimit {
  /** Messages at most; at least 1. */
  readonly messages: number
  /** A page ends once its bodies reach this many bytes; its first message is taken whatever its size. */
  readonly bytes: number
}

/** An event in the list of events. Times are milliseconds since 1970. */
export interface EventSummary {
  readonly event_id: string
  readonly messages: number
  readonly first_db_id: number
  readonly last_db_id: number
  readonly first_at: number
  readonly last_at: number
}

/** What retention removes; null: nothing by this rule. */
export interface RetentionLimits {
  /** Messages received before this time, in milliseconds since 1970. */
  readonly receivedBefore: number | null
  /** All but this many newest messages of each event. */
  readonly messagesPerEvent: number | null
}

/** What the store takes, in bytes. null: it does not know. */
export interface StorageSize {
  readonly database: number
  /** Committed, and not yet taken over into the database's file. */
  readonly wal: number | null
  /** What the disk still has for it. */
  readonly free: number | null
}

/** A subject whose tokens are refused, as far as they were issued up to a time. Times are milliseconds since 1970. */
export interface Revocation {
  readonly subject: string
  readonly issued_before: number
  /** Forgotten after this time; null: never. */
  readonly until: number | null
}

/**
 * What became of a row that was to leave the quarantine. `stored`: a new message. `duplicate`: the same body stands under its message_id already; both
 * have left the quarantine. `kept`: it still cannot be accepted. `gone`: somebody else took it out meanwhile.
 */
export type ReplayResult =
  | { readonly kind: 'stored' | 'duplicate'; readonly db_id: number; readonly message: NewMessage }
  | { readonly kind: 'kept'; readonly reason: ErrorCode; readonly detail: string }
  | { readonly kind: 'gone' }

/** Values that are given once, kept for a while where all hosts find them. Errors are those of Log. */
export interface TicketStore {
  /** @param ms how long it is kept */
  keep(id: string, value: string, ms: number): Promise<void>
  /** @returns the value, once; null: unknown, given already, or over */
  take(id: string): Promise<string | null>
}

/** How many rows of the quarantine have which reason. */
export interface ReasonCount {
  readonly reason: string
  readonly rows: number
}

/** The quarantine of a running log. Errors are those of Log. */
export interface Quarantine {
  /** The newest rows below an id (0: of all), newest first. */
  list(filter: RejectedFilter, before: number, limit: number): Promise<QuarantineSummary[]>
  /** One row with at most so many bytes of its body; null where there is none. */
  row(rejected_id: number, bytes: number): Promise<QuarantineRow | null>
  /** Whole rows with `after < rejected_id <= through`, oldest first: at most 200, and some `bytes` of bodies; none: the end. */
  listWithBodies(filter: RejectedFilter, after: number, through: number, bytes: number): Promise<QuarantineRow[]>
  /** The greatest id there is; 0 where there is none. */
  maxId(): Promise<number>
  /** Of the newest `most` rows: how many have which reason, the most frequent first. */
  countByReason(most: number): Promise<ReasonCount[]>
  /** Commits in one transaction what the checks accept, and what else has become of the rows. In their order. */
  replay(replays: readonly ReplayRequest[]): Promise<ReplayResult[]>
  /** Removes rows for good. @returns how many were there */
  drop(ids: readonly number[]): Promise<number>
}

/**
 * The log: every message once, in one order. Any implementation passes test/unit/store/sqlite-contract.test.ts, which tests:
 *
 * - **L1** `append` resolves only after the commit is durable; a crash afterwards loses nothing.
 * - **L2** A db_id becomes visible only after all smaller ones; ids rise in commit order and never return.
 * - **L3** A message_id makes at most one row in its event; the unique key decides.
 * - **L4** `read` and `readBefore` filter, order and page by db_id alone.
 * - **L5** All entries of one `append` commit together or not at all.
 *
 * Errors: every method rejects with a GatewayError with a `storage_*` or `database_*` code when the store fails; `append`
 * has then stored nothing of its batch, or all of it and could not tell, and it may be offered again as it is.
 */
export interface MessageStore {
  /** Identifies this database; a new database has a new one. Known after `start`. */
  readonly logId: string
  readonly quarantine: Quarantine
  start(): Promise<void>
  /** Waits for appends under way, then closes. */
  stop(): Promise<void>

  /** Commits entries in their order, in one transaction. Outcomes are in the order of the entries. */
  append(entries: readonly AppendEntry[]): Promise<AppendResult[]>

  /** The messages of a selection after a cursor, ascending. A selection of no events has none. */
  read(selection: SubscriptionFilter, after: number, limit: PageLimit): Promise<MessagePage>
  /** The newest messages of a selection below `before`, ascending. `more`: older ones exist. */
  readBefore(selection: SubscriptionFilter, before: number, limit: PageLimit): Promise<MessagePage>
  /** The cursor behind which exactly the newest `count` messages of a selection lie; 0 when there are no more. */
  tailCursor(selection: SubscriptionFilter, count: number): Promise<number>

  /** The greatest db_id that ever became visible; 0 in a new log. */
  head(): Promise<number>
  /** The bounds of the events of a selection; its filters do not count. */
  bounds(selection: SubscriptionFilter): Promise<Bounds>
  /** Of the named events those by latest activity, at most `limit`, with a last_db_id below `before` (0: from the newest). */
  events(limit: number, before: number, eventIds?: readonly string[] | '*'): Promise<EventSummary[]>

  /**
   * Stores a revocation, durably. A subject has one: of two, the later times hold. Those that are over by `now` go.
   *
   * @returns the revocation of the subject as stored
   */
  revoke(revocation: Revocation, now: number): Promise<Revocation>
  /** Takes a revocation back. @returns whether there was one */
  removeRevocation(subject: string): Promise<boolean>
  /** All revocations, by subject. */
  revocations(): Promise<Revocation[]>

  /**
   * Looks whether the store is still what was opened.
   *
   * @param write also writes a little, to see whether a store that failed works again
   * @throws GatewayError database_replaced, storage_busy or storage_unavailable
   */
  check(write: boolean): Promise<void>

  /** Tickets of all hosts. Absent where there is one host, which keeps its own. */
  readonly tickets?: TicketStore

  /** How large the store is, for who asks now and then. Absent where nothing is known of it. */
  size?(): Promise<StorageSize>

  /** Removes at most `limit` messages and as many rejections. @returns how many in all; 0: nothing is left to remove. */
  prune(retention: RetentionLimits, limit: number): Promise<number>
}
