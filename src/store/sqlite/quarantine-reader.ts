import type Database from 'better-sqlite3'
import type { QuarantineEnvelope, QuarantineRow, QuarantineSummary } from '../../core/quarantine.ts'
import type { QuarantineFilter } from '../../core/quarantine-filter.ts'
import { MAX_DB_ID } from '../scan.ts'
import type { Quarantine } from '../store.ts'
import { withStorageErrors } from './errors.ts'
import * as queries from './quarantine-queries.ts'
import type { Writer } from './writer-client.ts'

/** Limits of a page of rows with their bodies; a single body has at most MAX_MESSAGE_BYTES. */
export const MAX_PAGE_ROWS = 200
export const PAGE_BYTES = 8 * 1024 * 1024

/** Reads the quarantine through one connection. Every method throws GatewayError storage_* if the read fails. */
export class QuarantineReader {
  readonly #prepare: (sql: string) => Database.Statement

  constructor(prepare: (sql: string) => Database.Statement) {
    this.#prepare = prepare
  }

  /** Returns the number of matching rows and the greatest rejected_id among them; 0 if there are none. */
  count(filter: QuarantineFilter): { readonly rows: number; readonly last_rejected_id: number } {
    return this.#read(queries.countQuery(filter), (statement) => {
      const params = { ...queries.filterParams(filter), after: 0, before: MAX_DB_ID }
      return statement.get(params) as { rows: number; last_rejected_id: number }
    })
  }

  /** Returns the newest rows with `rejected_id < before`, newest first, without their bodies; `before` 0 starts at the newest row. */
  newest(filter: QuarantineFilter, before: number, limit: number): QuarantineEnvelope[] {
    return this.#newest(filter, before, limit, 'head') as QuarantineEnvelope[]
  }

  /** Like `newest`, but only with the columns of a list, all of which are limited in size. */
  newestSummaries(filter: QuarantineFilter, before: number, limit: number): QuarantineSummary[] {
    return this.#newest(filter, before, limit, 'line') as QuarantineSummary[]
  }

  /**
   * Returns rows with their bodies with `after < rejected_id <= through`, oldest first, as many as fit into a page. Empty at the end.
   *
   * @param maxBytes bytes of bodies at which the page ends; its first row is always included
   */
  after(filter: QuarantineFilter, after: number, through: number, maxBytes = PAGE_BYTES): QuarantineRow[] {
    return this.#read(queries.pageQuery(filter, 'asc', 'whole'), (statement) => {
      const params = { ...queries.filterParams(filter), after, before: through + 1, limit: MAX_PAGE_ROWS }
      const page: QuarantineRow[] = []
      let bytes = 0
      for (const row of statement.iterate(params) as Iterable<QuarantineRow>) {
        page.push(row)
        bytes += row.body.length
        if (bytes >= maxBytes) break
      }
      return page
    })
  }

  /** Returns the ids with `after < rejected_id <= through`, oldest first, at most `limit`. */
  idsAfter(filter: QuarantineFilter, after: number, through: number, limit: number): number[] {
    return this.#read(queries.pageQuery(filter, 'asc', 'id'), (statement) => {
      const params = { ...queries.filterParams(filter), after, before: through + 1, limit }
      return statement.pluck().all(params) as number[]
    })
  }

  /** Returns one row with at most `bytes` bytes of its body, or null if it does not exist. */
  row(rejected_id: number, bytes: number): QuarantineRow | null {
    return this.#read(
      queries.SELECT_ROW,
      (statement) => (statement.get({ rejected_id, bytes }) as QuarantineRow) ?? null,
    )
  }

  /** Counts the newest `maxRows` rows by reason, most frequent first. */
  reasons(maxRows: number): { readonly reason: string; readonly rows: number }[] {
    return this.#read(
      queries.REASONS,
      (statement) => statement.all({ limit: maxRows }) as { reason: string; rows: number }[],
    )
  }

  /** Returns the greatest rejected_id, or 0 if there is none. */
  lastId(): number {
    return this.#read(queries.LAST_ID, (statement) => statement.pluck().get() as number)
  }

  #newest(filter: QuarantineFilter, before: number, limit: number, columns: 'line' | 'head'): unknown[] {
    return this.#read(queries.pageQuery(filter, 'desc', columns), (statement) => {
      const params = { ...queries.filterParams(filter), after: 0, before: before === 0 ? MAX_DB_ID : before, limit }
      return statement.all(params)
    })
  }

  #read<Result>(sql: string, read: (statement: Database.Statement) => Result): Result {
    return withStorageErrors(() => read(this.#prepare(sql)))
  }
}

/** How a store reads and writes its quarantine. */
export interface QuarantineConnection {
  readonly prepare: (sql: string) => Database.Statement
  readonly reading: <Result>(read: () => Result) => Result
  readonly writing: <Result>(write: (writer: Writer) => Promise<Result>) => Promise<Result>
}

/** Creates the quarantine of a running store. */
export const createQuarantine = ({ prepare, reading, writing }: QuarantineConnection): Quarantine => {
  const reader = new QuarantineReader(prepare)
  return {
    list: async (filter, before, limit) => reading(() => reader.newestSummaries(filter, before, limit)),
    row: async (rejected_id, bytes) => reading(() => reader.row(rejected_id, bytes)),
    listWithBodies: async (filter, after, through, bytes) => reading(() => reader.after(filter, after, through, bytes)),
    maxId: async () => reading(() => reader.lastId()),
    countByReason: async (maxRows) => reading(() => reader.reasons(maxRows)),
    replay: (replays) => writing((writer) => writer.replay(replays)),
    drop: (ids) => writing((writer) => writer.deleteRejected(ids)),
  }
}
