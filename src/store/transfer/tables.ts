import { createHash } from 'node:crypto'
import type { QuarantineRow } from '../../core/quarantine.ts'
import type { PageLimit, Revocation } from '../store.ts'
import type { MessageRecord } from '../store-copy.ts'
import type { Tables } from '../tables.ts'

/** Columns of `message`, in the order in which they are written and compared. */
export const MESSAGE_COLUMNS = [
  ...['db_id', 'event_id', 'message_id', 'message_from', 'message_type', 'round_id', 'received_at', 'lacks', 'body'],
  'traceparent',
] as const

/** Columns of `rejected`, in the order in which they are written and compared. */
export const REJECTED_COLUMNS = [
  ...['rejected_id', 'received_at', 'reason', 'detail', 'exchange', 'routing_key', 'headers', 'properties', 'body'],
  ...['body_bytes', 'sha256'],
] as const

/** Columns of `event`, in the order in which they are written and compared. */
export const EVENT_COLUMNS = [
  ...['event_id', 'messages', 'first_db_id', 'last_db_id', 'pruned_db_id', 'first_at', 'last_at'],
] as const

export type EventRecord = Readonly<Tables['event']>

/** The columns of `rejected` that a replay changes. */
export type RejectedReason = Pick<QuarantineRow, 'rejected_id' | 'reason' | 'detail'>

/** Identity of a store. Its copy has the same, so that cursors stay valid. */
export interface StoreIdentity {
  readonly log_id: string
  /** Milliseconds since 1970. */
  readonly created_at: number
}

/** Selects a StoreIdentity in both databases. */
export const SELECT_IDENTITY = 'SELECT log_id, created_at FROM log'

/** Ids that a store has assigned, also to rows that are gone. */
export interface AssignedIds {
  /** The last value of the sequence of `message`; 0 if none. */
  readonly message: number
  /** The last value of the sequence of `rejected`; 0 if none. */
  readonly rejected: number
  /** The greatest db_id that a client can hold as its cursor. */
  readonly head: number
}

/** All rows of a store, page by page. Every method throws the errors of MessageStore. */
export interface StoreTables {
  /** Address of the store without secrets. */
  readonly where: string
  /** Returns the messages after a db_id, in ascending order; empty at the end. */
  messages(after: number, limit: PageLimit): Promise<MessageRecord[]>
  /** Returns the quarantined rows after a rejected_id, in ascending order; empty at the end. */
  rejected(after: number, limit: PageLimit): Promise<QuarantineRow[]>
  /** Returns the reasons of the quarantined rows with `after < rejected_id <= through`, at most `limit`, in ascending order. */
  reasons(after: number, through: number, limit: number): Promise<RejectedReason[]>
  /** Returns at most `limit` events with a `last_db_id` after this one, in ascending order. A db_id belongs to one event. */
  events(after: number, limit: number): Promise<EventRecord[]>
  /** Returns all revocations, ordered by subject. */
  revocations(): Promise<Revocation[]>
  assignedIds(): Promise<AssignedIds>
  close(): Promise<void>
}

/** The store that is copied. Gateways can use it until `tryLock`. */
export interface TransferSource extends StoreTables {
  /**
   * Opens the store.
   *
   * @returns `moved` if it is already marked as moved
   * @throws GatewayError database_* if it is not usable, or is a restored copy that no gateway has started on
   */
  open(): Promise<StoreIdentity & { readonly moved: boolean }>
  /** Returns the number of messages and quarantined rows. */
  countRows(): Promise<number>
  /** Excludes all other writers until `close`. @returns false if a gateway still uses the store */
  tryLock(): Promise<boolean>
  /** Marks the store as moved, durably: gateways then refuse to start on it. */
  retire(): Promise<void>
}

/** The store that is written. No gateway starts on it before `finish`. */
export interface TransferTarget extends StoreTables {
  /**
   * Opens what an earlier attempt has left.
   *
   * @returns null if there is nothing; `create` must follow
   * @throws GatewayError database_target_used if it is a store, storage_busy if another process writes to it, or database_*
   */
  open(): Promise<StoreIdentity | null>
  /** Creates the tables. @throws GatewayError like open */
  create(identity: StoreIdentity): Promise<void>
  /** Greatest ids of the rows copied so far; 0 if none. */
  lastIds(): Promise<{ readonly message: number; readonly rejected: number }>
  /** Runs `work` in one transaction. */
  transaction<Result>(work: () => Promise<Result>): Promise<Result>
  addMessages(rows: readonly MessageRecord[]): Promise<void>
  addRejected(rows: readonly QuarantineRow[]): Promise<void>
  addEvents(rows: readonly EventRecord[]): Promise<void>
  addRevocations(rows: readonly Revocation[]): Promise<void>
  /** Deletes the messages up to the `pruned_db_id` of each event. @returns the number of messages deleted, by event */
  deletePruned(events: readonly Pick<EventRecord, 'event_id' | 'pruned_db_id'>[]): Promise<Map<string, number>>
  deleteRejected(ids: readonly number[]): Promise<void>
  updateReasons(rows: readonly RejectedReason[]): Promise<void>
  /** Deletes all events and revocations that an earlier attempt has written. */
  clearEventsAndRevocations(): Promise<void>
  /** Returns the number of messages in the table, by event. */
  countByEvent(): Promise<Map<string, number>>
  /** Continues the sequences after these ids. */
  continueAfter(ids: AssignedIds): Promise<void>
  /** Turns the target into a store that gateways can start on, when the transaction commits. */
  finish(): Promise<void>
}

const toText = (value: unknown): unknown =>
  value instanceof Uint8Array ? Buffer.from(value).toString('base64') : (value ?? null)

/** Returns the SHA-256 of rows, over the given columns in their order. */
export const digestRows = (rows: readonly object[], columns: readonly string[]): string => {
  const hash = createHash('sha256')
  for (const row of rows)
    hash.update(`${JSON.stringify(columns.map((column) => toText((row as Record<string, unknown>)[column])))}\n`)
  return hash.digest('hex')
}
