import type Database from 'better-sqlite3'
import { eventGram, extractGrams, foldText, gramQuery, searchableText } from '../../core/search-text.ts'
import { MAX_DB_ID } from '../scan.ts'
import { isBusy, isCorrupt, storageError, withStorageErrors } from '../sqlite/errors.ts'
import { openReader } from '../sqlite/file.ts'
import { fileIdentities } from '../sqlite/open-files.ts'
import { getIndexFile, indexBytes, openIndex, removeIndex, resetIndex } from './index-database.ts'
import {
  MAX_SEARCH_MS,
  type SearchHit,
  type SearchPage,
  type SearchQuery,
  type SearchStatus,
  verifyHit,
} from './search.ts'

/** Rows and bytes of bodies that are indexed in one transaction. */
const BATCH_ROWS = 500
const BATCH_BYTES = 4 * 1024 * 1024
/** Rows that are checked at once for messages that retention has deleted. */
const SWEEP_ROWS = 1_000
/** Minimum time between two looks for deleted messages, in milliseconds. */
const SWEEP_INTERVAL_MS = 10_000
/** Pending messages are counted up to this number; beyond it, the counts of the events are summed up. */
const MAX_COUNT = 10_000
/** A range of this many db_ids has one row with its earliest and latest time. */
const SPAN = 1_024

/** Identifies the messages of a store. If an edge follows other events, its copy has other messages with the same log_id. */
const STORE_IDENTITY = "SELECT log_id || coalesce(' ' || followed, '') FROM log"

interface State {
  /** The identity of the store. */
  readonly log_id: string
  /** All messages up to this db_id are in the index. */
  readonly cursor: number
  readonly messages: number
}

interface IndexedRow {
  readonly db_id: number
  readonly event_id: string
  readonly received_at: number
  readonly body: string
}

/**
 * The search index of an SQLite store: a subscriber of the store with a cursor, in a file of its own. The cursor moves in
 * the transaction that adds the messages, and is read under its lock. So any number of workers can call `step`: each
 * message is indexed once, by one worker at a time, and another one continues when that worker ends.
 *
 * The index is derived data. It is rebuilt if its file is missing or damaged, or if the store has another log_id or is the copy
 * of other events.
 */
export class SearchIndex {
  readonly #file: string
  readonly #store: Database.Database
  #index: Database.Database
  /** Identities of the files of the index at the last look. */
  #identities = ''
  /** Position of a sweep and the number of messages that it still has to find; null if none is under way. */
  #sweepState: { readonly after: number; readonly surplus: number } | null = null
  #nextSweepAt = 0
  /** `data_version` of the store when the index had all of its messages; null before. */
  #indexedAt: number | null = null
  /** True if there was none that retention had deleted. */
  #isSwept = false
  readonly #now: () => number

  /**
   * @param now milliseconds of a clock that cannot be set
   * @throws GatewayError database_* or storage_*
   */
  constructor(databaseFile: string, now = () => performance.now()) {
    this.#now = now
    this.#file = getIndexFile(databaseFile)
    this.#store = openReader(databaseFile)
    try {
      this.#index = this.#open()
    } catch (error) {
      this.#store.close()
      throw storageError(error)
    }
  }

  close(): void {
    this.#index.close()
    this.#store.close()
  }

  /** True if a step would find nothing to do. Costs the store one small read. @throws GatewayError storage_* */
  get isCurrent(): boolean {
    const isSweepDue = this.#sweepState !== null || !(this.#isSwept || this.#now() < this.#nextSweepAt)
    return !isSweepDue && this.#indexedAt !== null && withStorageErrors(() => this.#storeVersion()) === this.#indexedAt
  }

  /** Adds the next messages of the store, or removes some that were deleted. @returns true if there is more to do */
  step(): boolean {
    return this.#guarded(() => {
      try {
        return this.#index.transaction(() => this.#advance()).immediate()
      } catch (error) {
        // Another worker is at it.
        if (isBusy(error)) return false
        throw error
      }
    })
  }

  get status(): SearchStatus {
    return this.#guarded(() => {
      const { cursor, messages } = this.#state()
      const pending = withStorageErrors(() => this.#countPending(cursor, messages))
      return { messages, pending, bytes: indexBytes(this.#file) }
    })
  }

  search(query: SearchQuery): SearchPage {
    return this.#guarded(() => {
      // Before the search, so that messages that arrive meanwhile do not count as pending.
      const { messages, pending } = this.status
      const { hits, nextBefore } = this.#find(query)
      // Rounded down, so that 1 means all.
      const indexed = pending === 0 ? 1 : Math.min(0.999, Math.floor((messages / (messages + pending)) * 1_000) / 1_000)
      return { hits, nextBefore, indexed }
    })
  }

  #find(query: SearchQuery): Omit<SearchPage, 'indexed'> {
    const { terms, filter, since, until, before, limit } = query
    if (filter.events.length === 0) return { hits: [], nextBefore: null }
    const { after, end } = this.#range(since, until)
    const candidates = this.#index
      .prepare('SELECT rowid FROM gram WHERE gram MATCH ? AND rowid < ? AND rowid > ? ORDER BY rowid DESC')
      .pluck()
      .iterate(gramQuery(terms, filter.events), Math.min(before ?? MAX_DB_ID, end), after) as IterableIterator<number>
    const find = this.#store.prepare(
      'SELECT db_id, event_id, message_from, message_type, received_at, body FROM message WHERE db_id = ?',
    )
    const deadline = this.#now() + MAX_SEARCH_MS
    const isOfEvents = ({ event_id }: Pick<SearchHit, 'event_id'>) =>
      filter.events === '*' || filter.events.includes(event_id)
    const hits: SearchHit[] = []
    for (const id of candidates) {
      // Retention can have deleted it.
      const row = withStorageErrors(() => find.get(id)) as (Omit<SearchHit, 'snippet'> & { body: string }) | undefined
      const hit = row === undefined || !isOfEvents(row) ? null : verifyHit(row, query)
      if (hit !== null) hits.push(hit)
      if (hits.length > limit) return { hits: hits.slice(0, limit), nextBefore: hits[limit - 1]!.db_id }
      if (this.#now() > deadline) return { hits, nextBefore: id }
    }
    return { hits, nextBefore: null }
  }

  /** Returns the bounds, both exclusive, of the db_ids of messages that were received in a period. */
  #range(since: number | null, until: number | null): { after: number; end: number } {
    const row = this.#index
      .prepare('SELECT min(span) AS first, max(span) AS last FROM span WHERE max_at >= ? AND min_at < ?')
      .get(since ?? 0, until ?? Number.MAX_SAFE_INTEGER) as { first: number | null; last: number | null }
    if (row.first === null || row.last === null) return { after: 0, end: 0 }
    return { after: row.first * SPAN - 1, end: (row.last + 1) * SPAN }
  }

  #advance(): boolean {
    const { cursor, log_id, messages } = this.#state()
    this.#indexedAt = null
    this.#isSwept = false
    const { version, head, identity, rows } = withStorageErrors(() => ({
      // Before the rows: all messages up to the head are visible, and a later commit changes the version.
      version: this.#storeVersion(),
      head: this.#head(),
      identity: this.#store.prepare(STORE_IDENTITY).pluck().get() as string,
      rows: this.#rowsAfter(cursor),
    }))
    if (log_id !== identity || cursor > head) {
      resetIndex(this.#index, identity)
      this.#sweepState = null
      return true
    }
    if (rows.length === 0) {
      if (cursor < head) this.#index.prepare('UPDATE state SET cursor = ?').run(head)
      this.#indexedAt = version
      return this.#sweep(messages)
    }
    const insert = this.#index.prepare('INSERT INTO gram (rowid, grams) VALUES (?, ?)')
    const widen = this.#index.prepare(
      `INSERT INTO span VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET min_at = min(min_at, excluded.min_at), max_at = max(max_at, excluded.max_at)`,
    )
    for (const { db_id, event_id, body, received_at } of rows) {
      insert.run(db_id, `${extractGrams(foldText(searchableText(body)))}${eventGram(event_id)}`)
      widen.run(Math.floor(db_id / SPAN), received_at, received_at)
    }
    this.#index.prepare('UPDATE state SET cursor = ?, messages = messages + ?').run(rows.at(-1)!.db_id, rows.length)
    return rows.at(-1)!.db_id < head
  }

  #rowsAfter(cursor: number): IndexedRow[] {
    const rows: IndexedRow[] = []
    let bytes = 0
    const all = this.#store
      .prepare('SELECT db_id, event_id, received_at, body FROM message WHERE db_id > ? ORDER BY db_id LIMIT ?')
      .iterate(cursor, BATCH_ROWS) as IterableIterator<IndexedRow>
    for (const row of all) {
      rows.push(row)
      bytes += row.body.length
      if (bytes >= BATCH_BYTES) break
    }
    return rows
  }

  /** Removes messages that retention has deleted, if the index has more messages than the store. @returns true if there is more to do */
  #sweep(messages: number): boolean {
    if (this.#sweepState === null) {
      const now = this.#now()
      if (now < this.#nextSweepAt) return false
      this.#nextSweepAt = now + SWEEP_INTERVAL_MS
      const surplus = messages - withStorageErrors(() => this.#countMessages())
      this.#isSwept = surplus <= 0
      if (this.#isSwept) return false
      this.#sweepState = { after: 0, surplus }
    }
    const { after, surplus } = this.#sweepState
    const ids = this.#index
      .prepare('SELECT rowid FROM gram WHERE rowid > ? ORDER BY rowid LIMIT ?')
      .pluck()
      .all(after, SWEEP_ROWS) as number[]
    const find = this.#store.prepare('SELECT db_id FROM message WHERE db_id BETWEEN ? AND ?').pluck()
    const kept = new Set(withStorageErrors(() => find.all(ids[0] ?? 0, ids.at(-1) ?? 0) as number[]))
    const deleted = ids.filter((id) => !kept.has(id))
    const remove = this.#index.prepare('DELETE FROM gram WHERE rowid = ?')
    for (const id of deleted) remove.run(id)
    this.#index.prepare('UPDATE state SET messages = messages - ?').run(deleted.length)
    const left = surplus - deleted.length
    this.#sweepState = ids.length < SWEEP_ROWS || left <= 0 ? null : { after: ids.at(-1)!, surplus: left }
    return this.#sweepState !== null
  }

  #state(): State {
    return this.#index.prepare('SELECT log_id, cursor, messages FROM state').get() as State
  }

  /** Changes with each commit of another connection. */
  #storeVersion(): number {
    return this.#store.pragma('data_version', { simple: true }) as number
  }

  #head(): number {
    const head = this.#store.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'message'").pluck().get()
    return (head as number | undefined) ?? 0
  }

  #countMessages(): number {
    return this.#store.prepare('SELECT coalesce(sum(messages), 0) FROM event').pluck().get() as number
  }

  #countPending(cursor: number, messages: number): number {
    const pending = this.#store
      .prepare('SELECT count(*) FROM (SELECT 1 FROM message WHERE db_id > ? LIMIT ?)')
      .pluck()
      .get(cursor, MAX_COUNT) as number
    return pending < MAX_COUNT ? pending : Math.max(pending, this.#countMessages() - messages)
  }

  #open(): Database.Database {
    const index = openIndex(this.#file)
    this.#identities = fileIdentities(this.#file)
    return index
  }

  /**
   * Opens the index again if its files were deleted or replaced, and rebuilds it if it is damaged. Errors of the store are
   * converted at each read, so that they are not taken for damage of the index.
   */
  #guarded<Result>(work: () => Result): Result {
    try {
      if (fileIdentities(this.#file) !== this.#identities) this.#reopen()
      return work()
    } catch (error) {
      if (!isCorrupt(error)) throw storageError(error)
      // Another worker may have replaced the damaged file already.
      if (fileIdentities(this.#file) === this.#identities) removeIndex(this.#file)
      this.#reopen()
      return work()
    }
  }

  #reopen(): void {
    this.#index.close()
    this.#index = this.#open()
  }
}
