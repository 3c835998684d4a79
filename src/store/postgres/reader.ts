import type { Client } from 'pg'
import type { Bounds } from '../../core/cursor.ts'
import { MAX_PENDING_COUNT } from '../../core/edge-state.ts'
import type { StoredMessage } from '../../core/message.ts'
import { noop } from '../../core/noop.ts'
import { createFilter, type SubscriptionFilter } from '../../core/subscription-filter.ts'
import { MAX_DB_ID } from '../scan.ts'
import type { EventSummary, MessagePage, PageLimit, Revocation, StorageSize } from '../store.ts'
import type { FollowState, PrunedBound } from '../store-copy.ts'
import { errorCode } from './errors.ts'
import type { Pool } from './pool.ts'
import { listEvents, listPruned, REVOCATIONS, SELECT_HEAD, SIZE, selectBounds, selectFollowTotals } from './queries.ts'
import { escapeNul, fromNullable, unescapeNul } from './values.ts'
import { type Direction, type PreparedCall, type Range, windowQuery } from './window.ts'

/** A query compiled by Kysely. */
export interface CompiledQuery {
  readonly sql: string
  readonly parameters: readonly unknown[]
}

/** Runs a compiled query and returns its rows. */
export const queryRows = async <Row>(client: Client, { sql, parameters }: CompiledQuery): Promise<Row[]> =>
  (await client.query(sql, parameters as unknown[])).rows as Row[]

/** A row of a window. `db_id` is null in the only row of an empty window, `body` in a row beyond the byte limit. */
type WindowRow = { head: number; edge: number | null; db_id: number | null; body: string | null } & Omit<
  StoredMessage,
  'db_id' | 'body'
>

interface Window {
  /** In the direction of the query. */
  readonly rows: readonly WindowRow[]
  /** Greatest db_id of the whole store at the same moment. */
  readonly head: number
  /** First db_id that was not scanned, or null if the whole range was. */
  readonly edge: number | null
}

/** SQLSTATE of a statement that its timeout has ended. */
const QUERY_CANCELED = '57014'

/** Rows scanned per call of a search, and the timeout of the call in milliseconds. */
const MAX_SEARCH_ROWS = 20_000
const SEARCH_TIMEOUT_MS = 500

/** Greater than the size of any body. */
const NO_LIMIT = 1e15

const toStoredMessage = (row: WindowRow): StoredMessage => ({
  db_id: row.db_id!,
  event_id: unescapeNul(row.event_id),
  message_id: unescapeNul(row.message_id),
  message_from: fromNullable(row.message_from),
  message_type: fromNullable(row.message_type),
  received_at: row.received_at,
  lacks: row.lacks,
  traceparent: row.traceparent,
  body: row.body!,
})

/** All read queries of the store. Each is a single statement and therefore sees a consistent snapshot. */
export class PostgresReader {
  readonly #pool: Pool
  /** Rows that the next call of a search scans: as many as the server compares in time. */
  #searchRows = 1_000

  constructor(pool: Pool) {
    this.#pool = pool
  }

  async read(filter: SubscriptionFilter, after: number, limit: PageLimit): Promise<MessagePage> {
    const { rows, head, edge } = await this.#page(filter, 'asc', { after, before: MAX_DB_ID, ...toRangeLimit(limit) })
    const { messages, truncated } = takeWithinLimit(rows, limit)
    const last = messages.at(-1)?.db_id ?? after
    if (truncated) return { messages, readThrough: last, hasMore: true }
    if (edge !== null) return { messages, readThrough: edge - 1, hasMore: true }
    return { messages, readThrough: Math.max(head, last), hasMore: false }
  }

  /** Like `read` for one message, without a look at the next one, which can be damaged. */
  async readOne(filter: SubscriptionFilter, after: number): Promise<MessagePage> {
    const range = { after, before: MAX_DB_ID, limit: 1, bytes: NO_LIMIT }
    const { rows, head, edge } = await this.#page(filter, 'asc', range)
    const messages = rows.map(toStoredMessage)
    if (messages.length > 0) return { messages, readThrough: messages[0]!.db_id, hasMore: true }
    return edge === null
      ? { messages, readThrough: Math.max(head, after), hasMore: false }
      : { messages, readThrough: edge - 1, hasMore: true }
  }

  async readBefore(filter: SubscriptionFilter, before: number, limit: PageLimit): Promise<MessagePage> {
    const window = await this.#page(filter, 'desc', { after: 0, before, ...toRangeLimit(limit) })
    return toPageBefore(window, before, limit)
  }

  /**
   * Like readBefore for messages whose body matches.
   *
   * @param patterns regular expressions that the body matches in any case, all of them
   */
  async searchBefore(
    filter: SubscriptionFilter,
    before: number,
    limit: PageLimit,
    patterns: readonly string[],
  ): Promise<MessagePage> {
    if (patterns.length === 0) return this.readBefore(filter, before, limit)
    for (let rows = this.#searchRows; ; rows = Math.ceil(rows / 2)) {
      const range = { after: 0, before, search: { patterns, rows }, ...toRangeLimit(limit) }
      const call = windowQuery(filter, 'desc', 'all', range)
      const startedAt = performance.now()
      const window = await (rows === 1 ? this.#window(call) : this.#windowWithin(call, SEARCH_TIMEOUT_MS))
      if (window === null) continue
      const isQuick = performance.now() - startedAt < SEARCH_TIMEOUT_MS / 4
      this.#searchRows = isQuick ? Math.min(rows * 2, MAX_SEARCH_ROWS) : rows
      return toPageBefore(window, before, limit)
    }
  }

  async cursorBefore(filter: SubscriptionFilter, count: number): Promise<number> {
    let before = MAX_DB_ID
    let remaining = count
    while (true) {
      const range = { after: 0, before, limit: remaining + 1, bytes: NO_LIMIT }
      const { rows, edge } = await this.#window(windowQuery(filter, 'desc', 'db_id', range))
      if (rows.length > remaining) return rows[remaining]!.db_id!
      if (edge === null) return 0
      remaining -= rows.length
      before = edge + 1
    }
  }

  async head(): Promise<number> {
    const { rows } = await this.#pool.withConnection((client) => client.query<{ head: number }>(SELECT_HEAD))
    return rows[0]!.head
  }

  async bounds({ events }: SubscriptionFilter): Promise<Bounds> {
    const [bounds] = await this.#rows<Bounds>(selectBounds(events === '*' ? '*' : events.map(escapeNul)))
    return bounds!
  }

  async events(limit: number, before: number, eventIds: readonly string[] | '*'): Promise<EventSummary[]> {
    const escapedIds = eventIds === '*' ? '*' : eventIds.map(escapeNul)
    const rows = await this.#rows<EventSummary>(listEvents(escapedIds, limit, before === 0 ? MAX_DB_ID : before))
    return rows.map((row) => ({ ...row, event_id: unescapeNul(row.event_id) }))
  }

  async followState(events: readonly string[] | '*', after: number): Promise<FollowState> {
    const escapedIds = events === '*' ? '*' : events.map(escapeNul)
    const range = { after, before: MAX_DB_ID, limit: MAX_PENDING_COUNT, bytes: NO_LIMIT }
    const [totals] = await this.#rows<Omit<FollowState, 'pending'>>(selectFollowTotals(escapedIds))
    const { rows } = await this.#window(windowQuery(createFilter(events), 'asc', 'db_id', range))
    return { ...totals!, pending: rows.length }
  }

  async pruned(events: readonly string[] | '*', after: string, limit: number): Promise<PrunedBound[]> {
    const escapedIds = events === '*' ? '*' : events.map(escapeNul)
    const rows = await this.#rows<PrunedBound>(listPruned(escapedIds, escapeNul(after), limit))
    return rows.map((row) => ({ ...row, event_id: unescapeNul(row.event_id) }))
  }

  async revocations(): Promise<Revocation[]> {
    const rows = await this.#rows<Revocation>(REVOCATIONS)
    return rows.map((row) => ({ ...row, subject: unescapeNul(row.subject) }))
  }

  /** Returns the size of tables and indexes. The sizes of the WAL and of the free space are not available to a client. */
  async size(): Promise<StorageSize> {
    const { rows } = await this.#pool.withConnection((client) => client.query<{ bytes: number }>(SIZE))
    return { database: rows[0]!.bytes, wal: null, free: null }
  }

  #rows<Row>(query: CompiledQuery): Promise<Row[]> {
    return this.#pool.withConnection((client) => queryRows<Row>(client, query))
  }

  #page(filter: SubscriptionFilter, direction: Direction, range: Range): Promise<Window> {
    return this.#window(windowQuery(filter, direction, 'all', range))
  }

  async #window(call: PreparedCall): Promise<Window> {
    const { rows } = await this.#pool.withConnection((client) => client.query<WindowRow>(call))
    return toWindow(rows)
  }

  /** Returns null if the server has cancelled the call after `timeoutMs`. */
  #windowWithin(call: PreparedCall, timeoutMs: number): Promise<Window | null> {
    return this.#pool.withConnection(async (client) => {
      // Only for the transaction: a pooler can give the server process to another client.
      await client.query(`BEGIN; SET LOCAL statement_timeout = ${timeoutMs}`)
      try {
        return toWindow((await client.query<WindowRow>(call)).rows)
      } catch (error) {
        if (errorCode(error) === QUERY_CANCELED) return null
        throw error
      } finally {
        await client.query('ROLLBACK').catch(noop)
      }
    })
  }
}

const toWindow = (rows: readonly WindowRow[]): Window => {
  const { head, edge, db_id } = rows[0]!
  return { rows: db_id === null ? [] : rows, head, edge }
}

const toPageBefore = ({ rows, edge }: Window, before: number, limit: PageLimit): MessagePage => {
  const { messages, truncated } = takeWithinLimit(rows, limit)
  messages.reverse()
  const first = messages[0]?.db_id ?? before
  if (truncated) return { messages, readThrough: first, hasMore: true }
  return edge === null
    ? { messages, readThrough: 0, hasMore: false }
    : { messages, readThrough: edge + 1, hasMore: true }
}

/** Requests one extra row, which shows whether there are more. */
const toRangeLimit = ({ messages, bytes }: PageLimit): Pick<Range, 'limit' | 'bytes'> => ({
  limit: messages + 1,
  bytes: Math.min(bytes, NO_LIMIT),
})

const takeWithinLimit = (
  rows: readonly WindowRow[],
  limit: PageLimit,
): { messages: StoredMessage[]; truncated: boolean } => {
  const messages: StoredMessage[] = []
  for (const row of rows) {
    if (messages.length === limit.messages || row.body === null) return { messages, truncated: true }
    messages.push(toStoredMessage(row))
  }
  return { messages, truncated: false }
}
