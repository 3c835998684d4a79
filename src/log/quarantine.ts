import type Database from 'better-sqlite3'
import type { ErrorCode, GatewayError } from '../message/errors.ts'
import type { Checked, NewMessage } from '../message/message.ts'
import { countOf, filterParams, pageOf, type RejectedFilter } from './quarantine-queries.ts'
import { openConnection, requireFile } from './sqlite-file.ts'
import { SqliteWriter, storageError } from './sqlite-writer.ts'

export type { RejectedFilter } from './quarantine-queries.ts'

/** A row of the quarantine, without its body. */
export interface RejectedHead {
  readonly rejected_id: number
  /** Milliseconds since 1970. */
  readonly received_at: number
  readonly reason: string
  readonly detail: string
  readonly exchange: string
  readonly routing_key: string
  /** JSON object. */
  readonly headers: string
  /** JSON object of the other AMQP properties. */
  readonly properties: string
  /** Size before it was cut. */
  readonly body_bytes: number
  /** Of the whole body, hexadecimal. */
  readonly sha256: string
}

export interface RejectedRow extends RejectedHead {
  /** Shorter than body_bytes says where it was cut. */
  readonly body: Buffer
}

/** A row that is to leave the quarantine, and what the checks now say of it. */
export interface Replay {
  readonly rejected_id: number
  readonly checked: Checked
}

/**
 * What became of it. `stored`: a new message. `duplicate`: the same body stands under its message_id already; both
 * have left the quarantine. `kept`: it still cannot be accepted. `gone`: somebody else took it out meanwhile.
 */
export type ReplayOutcome =
  | { readonly kind: 'stored' | 'duplicate'; readonly db_id: number; readonly message: NewMessage }
  | { readonly kind: 'kept'; readonly reason: ErrorCode; readonly detail: string }
  | { readonly kind: 'gone' }

const END = Number.MAX_SAFE_INTEGER
/** One page of rows with their bodies; a body has at most MAX_MESSAGE_BYTES. */
const PAGE_ROWS = 200
const PAGE_BYTES = 8 * 1024 * 1024

export const EVERYTHING: RejectedFilter = { ids: null, reasons: null, routingKey: null, since: null }

/**
 * The quarantine of a database, for a visitor beside a gateway that may run on it. Nothing here waits for a lock: a
 * write that finds the database busy fails with storage_busy, has changed nothing and may be tried again.
 */
export class Quarantine {
  readonly #file: string
  readonly #db: Database.Database
  #writer: SqliteWriter | null = null

  /** @throws GatewayError database_* when there is no usable database */
  constructor(file: string) {
    requireFile(file)
    this.#file = file
    this.#db = this.#read(() => openConnection(file, { readonly: true }))
  }

  close(): void {
    // The reader closes first: the last connection to close checkpoints the WAL, and it must be able to write.
    this.#db.close()
    this.#writer?.close()
  }

  /** How many rows a filter lets through, and the greatest id among them; 0 where there are none. */
  count(filter: RejectedFilter): { readonly rows: number; readonly last_rejected_id: number } {
    return this.#read(() => {
      const params = { ...filterParams(filter), after: 0, before: END }
      return this.#db.prepare(countOf(filter)).get(params) as { rows: number; last_rejected_id: number }
    })
  }

  /** The newest rows below an id, newest first, without their bodies. */
  newest(filter: RejectedFilter, before: number, limit: number): RejectedHead[] {
    return this.#read(() => {
      const params = { ...filterParams(filter), after: 0, before: before === 0 ? END : before, limit }
      return this.#db.prepare(pageOf(filter, 'desc', false)).all(params) as RejectedHead[]
    })
  }

  /** Rows with their bodies behind an id, oldest first, as many as a page of memory takes; none: the end. */
  after(filter: RejectedFilter, after: number, through: number): RejectedRow[] {
    return this.#read(() => {
      const params = { ...filterParams(filter), after, before: through + 1, limit: PAGE_ROWS }
      const page: RejectedRow[] = []
      let bytes = 0
      for (const row of this.#db.prepare(pageOf(filter, 'asc', true)).iterate(params) as Iterable<RejectedRow>) {
        page.push(row)
        bytes += row.body.length
        if (bytes >= PAGE_BYTES) break
      }
      return page
    })
  }

  /** The ids of rows behind an id, oldest first, at most `limit`. */
  idsAfter(filter: RejectedFilter, after: number, through: number, limit: number): number[] {
    return this.#read(() => {
      const params = { ...filterParams(filter), after, before: through + 1, limit }
      return this.#db
        .prepare(pageOf(filter, 'asc', false))
        .pluck()
        .all(params) as number[]
    })
  }

  /** Stores what the checks now accept and removes it from the quarantine, in one transaction. @throws GatewayError storage_* */
  replay(replays: readonly Replay[]): ReplayOutcome[] {
    return this.#open().replay(replays)
  }

  /** Removes rows for good. @returns how many were there. @throws GatewayError storage_* */
  drop(ids: readonly number[]): number {
    return this.#open().forget(ids)
  }

  #open(): SqliteWriter {
    try {
      return (this.#writer ??= new SqliteWriter(this.#file))
    } catch (error) {
      throw storageError(error)
    }
  }

  #read<Result>(read: () => Result): Result {
    try {
      return read()
    } catch (error) {
      throw storageError(error) satisfies GatewayError
    }
  }
}
