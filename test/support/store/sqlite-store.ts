import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { SearchPage, SearchQuery } from '../../../src/store/search/search.ts'
import { SearchIndex } from '../../../src/store/search/search-index.ts'
import { SqliteStore } from '../../../src/store/sqlite/store.ts'
import type { MessageStore } from '../../../src/store/store.ts'
import { killAtExit } from '../harness/cleanup.ts'
import type { RejectedRow } from '../servers/database.ts'
import { fastDir } from '../servers/fast-dir.ts'
import { ROOT } from '../servers/gateway.ts'
import { fresh } from '../stages/entries.ts'

type Awaitable<T> = T | Promise<T>

/** Location of stores, with what the contract needs in addition to the MessageStore interface. */
export interface Store {
  /** Opens and starts a store on it; several can be open at once. `dispose` stops them all. */
  open(): Promise<MessageStore>
  /** The quarantine as an operator sees it, oldest first. */
  rejected(): Awaitable<RejectedRow[]>
  /** Searches all that is stored, as a gateway does. */
  search(query: SearchQuery): Awaitable<SearchPage>
  /** Blocks every writer until the returned function is called. */
  lock(): Awaitable<() => Awaitable<void>>
  /**
   * Makes every append fail late, after its rows are written but before the commit, until the returned function is
   * called.
   */
  breakAppends(): Awaitable<() => Awaitable<void>>
  /** A process that appends `count` single messages to each of the events, through its own store. */
  writerProcess(events: readonly string[], count: number): ChildProcess
  dispose(): Promise<void>
}

/** Registers a test of the contract; its body gets an open store in a new location. */
export type LogTest = (name: string, body: (log: MessageStore, store: Store) => unknown) => void

/** One implementation of the store. */
export interface LogKind {
  readonly name: string
  makeStore(): Promise<Store>
}

export const openSqlite = async (file: string, inline: boolean): Promise<SqliteStore> => {
  const options = { file, newLogId: fresh('log'), now: 1 }
  const log = new SqliteStore(inline ? { ...options, inlineWriter: {} } : options)
  await log.start()
  return log
}

/** A process that appends to the store at a location: a file, or a postgres:// URL. */
export const spawnWriter = (place: string, events: readonly string[], count: number): ChildProcess => {
  const script = join(ROOT, 'test/support/store/writer-process.ts')
  const args = [script, place, String(count), ...events]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  if (child.pid !== undefined) child.once('exit', killAtExit(child.pid))
  return child
}

const makeSqliteStore = async (inline: boolean): Promise<Store> => {
  const file = join(fastDir(), 'gateway.db')
  const logs: MessageStore[] = []
  // Created here, so that the observing connection finds its tables.
  await (await openSqlite(file, true)).stop()
  const db = new Database(file)
  return {
    open: async () => {
      const log = await openSqlite(file, inline)
      logs.push(log)
      return log
    },
    rejected: () => db.prepare('SELECT * FROM rejected ORDER BY rejected_id').all() as RejectedRow[],
    search: (query) => {
      const index = new SearchIndex(file)
      while (index.step());
      const page = index.search(query)
      index.close()
      return page
    },
    lock: () => {
      db.exec('BEGIN IMMEDIATE')
      return () => void db.exec('COMMIT')
    },
    breakAppends: () => {
      // The events are counted last, after every row of the batch.
      const fail = "BEGIN SELECT RAISE(ABORT, 'broken by the test'); END"
      db.exec(`CREATE TRIGGER broken_insert BEFORE INSERT ON event ${fail}`)
      return () => void db.exec('DROP TRIGGER broken_insert')
    },
    writerProcess: (events, count) => spawnWriter(file, events, count),
    dispose: async () => {
      for (const log of logs) await log.stop()
      db.close()
    },
  }
}

/** The store with its writer in the same thread. */
export const SQLITE_INLINE: LogKind = { name: 'SQLite, inline', makeStore: () => makeSqliteStore(true) }

/** The store as the gateway runs it, with its writer in a separate thread. */
export const SQLITE_THREADED: LogKind = { name: 'SQLite, threaded', makeStore: () => makeSqliteStore(false) }
