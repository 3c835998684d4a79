import type Database from 'better-sqlite3'
import type { QuarantineEnvelope, QuarantineRow, QuarantineSummary } from '../../core/quarantine.ts'
import type { RejectedFilter } from '../../core/quarantine-filter.ts'
import * as queries from './quarantine-queries.ts'
import { storageError } from './writer.ts'

const END = Number.MAX_SAFE_INTEGER
/** One page of rows with their bodies; a body has at most MAX_MESSAGE_BYTES. */
export const MAX_PAGE_ROWS = 200
export const PAGE_BYTES = 8 * 1024 * 1024

/** What the quarantine of one connection holds. Every method throws GatewayError storage_* when it cannot be read. */
export class QuarantineReader {
  readonly #prepare: (sql: string) => Database.Statement

  constructor(prepare: (sql: string) => Database.Statement) {
    this.#prepare = prepare
  }

  /** How many rows a filter lets through, and the greatest id among them; 0 where there are none. */
  count(filter: RejectedFilter): { readonly rows: number; readonly last_rejected_id: number } {
    return this.#read(queries.countQuery(filter), (statement) => {
      const params = { ...queries.filterParams(filter), after: 0, before: END }
      return statement.get(params) as { rows: number; last_rejected_id: number }
    })
  }

  /** The newest rows below an id (0: of all), newest first, without their bodies. */
  newest(filter: RejectedFilter, before: number, limit: number): QuarantineEnvelope[] {
    return this.#newest(filter, before, limit, 'head') as QuarantineEnvelope[]
  }

  /** The same with what a list shows of each: no row is larger than its texts of bounded length. */
  newestLines(filter: RejectedFilter, before: number, limit: number): QuarantineSummary[] {
    return this.#newest(filter, before, limit, 'line') as QuarantineSummary[]
  }

  /**
   * Rows with their bodies behind an id, oldest first, as many as a page of memory takes; none: the end.
   *
   * @param most bytes of bodies at which the page ends; its first row is taken whatever its size
   */
  after(filter: RejectedFilter, after: number, through: number, most = PAGE_BYTES): QuarantineRow[] {
    return this.#read(queries.pageQuery(filter, 'asc', 'whole'), (statement) => {
      const params = { ...queries.filterParams(filter), after, before: through + 1, limit: MAX_PAGE_ROWS }
      const page: QuarantineRow[] = []
      let bytes = 0
      for (const row of statement.iterate(params) as Iterable<QuarantineRow>) {
        page.push(row)
        bytes += row.body.length
        if (bytes >= most) break
      }
      return page
    })
  }

  /** The ids of rows behind an id, oldest first, at most `limit`. */
  idsAfter(filter: RejectedFilter, after: number, through: number, limit: number): number[] {
    return this.#read(queries.pageQuery(filter, 'asc', 'id'), (statement) => {
      const params = { ...queries.filterParams(filter), after, before: through + 1, limit }
      return statement.pluck().all(params) as number[]
    })
  }

  /** One row with at most so many bytes of its body. */
  row(rejected_id: number, bytes: number): QuarantineRow | null {
    return this.#read(
      queries.SELECT_ROW,
      (statement) => (statement.get({ rejected_id, bytes }) as QuarantineRow) ?? null,
    )
  }

  /** How many of the newest `most` rows have which reason, the most frequent first. */
  reasons(most: number): { readonly reason: string; readonly rows: number }[] {
    return this.#read(queries.REASONS, (statement) => statement.all({ most }) as { reason: string; rows: number }[])
  }

  /** The greatest id there is; 0 where there is none. */
  lastId(): number {
    return this.#read(queries.LAST_ID, (statement) => statement.pluck().get() as number)
  }

  #newest(filter: RejectedFilter, before: number, limit: number, columns: 'line' | 'head'): unknown[] {
    return this.#read(queries.pageQuery(filter, 'desc', columns), (statement) => {
      const params = { ...queries.filterParams(filter), after: 0, before: before === 0 ? END : before, limit }
      return statement.all(params)
    })
  }

  #read<Result>(sql: string, read: (statement: Database.Statement) => Result): Result {
    try {
      return read(this.#prepare(sql))
    } catch (error) {
      throw storageError(error)
    }
  }
}
