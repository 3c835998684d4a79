import type Database from 'better-sqlite3'
import type { Bounds } from '../../core/cursor.ts'
import type { StoredMessage } from '../../core/message.ts'
import { type Selection, selection } from '../../core/subscription-filter.ts'
import { GroupCommit } from '../group-commit.ts'
import type {
  Entry,
  EventSummary,
  Log,
  LogSize,
  Outcome,
  Page,
  PageLimit,
  RejectedLog,
  Retention,
  Revocation,
} from '../store.ts'
import { Turns } from '../yield-queue.ts'
import { fileIdentity, fileLost, fileSizes, openConnection, prepareFile, readSchema } from './file.ts'
import { QuarantineReader } from './quarantine-reader.ts'
import * as queries from './queries.ts'
import { StatementCache } from './statement-cache.ts'
import { SqliteWriter, type Stage, storageError } from './writer.ts'
import { ThreadedWriter, type Writer } from './writer-client.ts'

export interface SqliteLogOptions {
  readonly file: string
  /** Becomes the log_id of a database that is made new. */
  readonly newLogId: string
  /** Milliseconds since 1970. */
  readonly now: number
  /** Runs the writer in this thread instead of one of its own, and calls back at its stages: for fault injection. */
  readonly inline?: { readonly onStage?: (stage: Stage) => void }
}

/** Statements kept prepared. */
const MOST_STATEMENTS = 256
/** Rows that one call looks at under a filter, so that a filter that matches nothing walks no whole log. */
const WINDOW = 2_000
/** Above every db_id. */
const END = Number.MAX_SAFE_INTEGER

const isFiltered = ({ types, froms }: Selection): boolean => types !== null || froms !== null

const inlineWriter = (file: string, onStage: ((stage: Stage) => void) | undefined): Writer => {
  const writer = new SqliteWriter(file, { onStage })
  return {
    append: async (entries) => writer.append(entries),
    prune: async (retention, limit) => writer.prune(retention, limit),
    revoke: async (revocation, now) => writer.revoke(revocation, now),
    unrevoke: async (subject) => writer.unrevoke(subject),
    replay: async (replays) => writer.replay(replays),
    forget: async (ids) => writer.forget(ids),
    probe: async () => writer.probe(),
    close: async () => writer.close(),
  }
}

/** The log in one SQLite file (WAL, synchronous=FULL): one writer, and one connection that only reads. */
export class SqliteLog implements Log {
  readonly #options: SqliteLogOptions
  readonly #statements = new StatementCache(MOST_STATEMENTS)
  /** Windows of all readers that look for something rare: one after another, they would hold up every stream. */
  readonly #turns = new Turns()
  readonly #group = new GroupCommit((entries) => this.#open().writer.append(entries))
  #db: Database.Database | null = null
  #writer: Writer | null = null
  readonly #quarantine = this.#makeQuarantine()
  #logId = ''
  #identity: string | null = null

  constructor(options: SqliteLogOptions) {
    this.#options = options
  }

  get logId(): string {
    return this.#logId
  }

  get quarantine(): RejectedLog {
    return this.#quarantine
  }

  /** @throws GatewayError database_* when the file is not usable; it is then left as it was */
  async start(): Promise<void> {
    const { file, newLogId, now, inline } = this.#options
    prepareFile(file, { schema: readSchema(), logId: newLogId, now })
    this.#identity = fileIdentity(file)
    this.#db = openConnection(file, { readonly: true })
    this.#logId = this.#db.prepare(queries.LOG_ID).pluck().get() as string
    this.#writer = inline === undefined ? new ThreadedWriter(file) : inlineWriter(file, inline.onStage)
  }

  async stop(): Promise<void> {
    await this.#group.idle()
    const writer = this.#writer
    this.#writer = null
    // The reader closes first: the last connection to close checkpoints the WAL, and it must be able to write.
    this.#db?.close()
    this.#db = null
    this.#statements.clear()
    await writer?.close()
  }

  append(entries: readonly Entry[]): Promise<Outcome[]> {
    return this.#group.append(entries)
  }

  prune(retention: Retention, limit: number): Promise<number> {
    return this.#open().writer.prune(retention, limit)
  }

  revoke(revocation: Revocation, now: number): Promise<Revocation> {
    return this.#open().writer.revoke(revocation, now)
  }

  unrevoke(subject: string): Promise<boolean> {
    return this.#open().writer.unrevoke(subject)
  }

  async revocations(): Promise<Revocation[]> {
    return this.#reading(() => this.#statement('revocations', () => queries.REVOCATIONS).all() as Revocation[])
  }

  async check(write: boolean): Promise<void> {
    const { file } = this.#options
    if (fileIdentity(file) !== this.#identity) throw fileLost(file)
    if (write) await this.#open().writer.probe()
  }

  size(): Promise<LogSize> {
    return fileSizes(this.#options.file)
  }

  async read(wanted: Selection, after: number, limit: PageLimit): Promise<Page> {
    if (isFiltered(wanted)) await this.#turns.next()
    return this.#reading(() => {
      // The head comes first: what is committed between the two looks is then merely left for the next page.
      const head = this.#head()
      const end = this.#windowEnd(wanted, 'asc', after, END)
      const { messages, cut } = this.#window(wanted, 'asc', after, end ?? END, limit)
      const last = messages.at(-1)?.db_id ?? after
      if (cut) return { messages, through: last, more: true }
      return end === null
        ? { messages, through: Math.max(head, last), more: false }
        : { messages, through: end - 1, more: true }
    })
  }

  async readBefore(wanted: Selection, before: number, limit: PageLimit): Promise<Page> {
    if (isFiltered(wanted)) await this.#turns.next()
    return this.#reading(() => {
      const end = this.#windowEnd(wanted, 'desc', 0, before)
      const { messages, cut } = this.#window(wanted, 'desc', end ?? 0, before, limit)
      messages.reverse()
      const first = messages[0]?.db_id ?? before
      if (cut) return { messages, through: first, more: true }
      return end === null ? { messages, through: 0, more: false } : { messages, through: end + 1, more: true }
    })
  }

  async cursorBefore(wanted: Selection, count: number): Promise<number> {
    if (wanted.events.length === 0) return 0
    let before = END
    let left = count
    while (true) {
      if (isFiltered(wanted)) await this.#turns.next()
      const { after, ids } = this.#reading(() => this.#idsBefore(wanted, before, left + 1))
      if (ids.length > left) return ids[left]!
      if (after === null) return 0
      left -= ids.length
      before = after + 1
    }
  }

  async head(): Promise<number> {
    return this.#reading(() => this.#head())
  }

  async bounds(wanted: Selection): Promise<Bounds> {
    return this.#reading(() => {
      const key = `bounds ${wanted.events === '*' ? '*' : wanted.events.length}`
      const statement = this.#statement(key, () => queries.boundsOf(wanted))
      const params = queries.selectionParams({ ...wanted, types: null, froms: null })
      return statement.get(params) as Bounds
    })
  }

  async events(limit: number, before: number, among: readonly string[] | '*' = '*'): Promise<EventSummary[]> {
    return this.#reading(() => {
      const wanted = selection(among)
      const key = `events ${wanted.events === '*' ? '*' : wanted.events.length}`
      const statement = this.#statement(key, () => queries.eventsAmong(wanted.events))
      const params = queries.selectionParams(wanted)
      return statement.all({ ...params, limit, before: before === 0 ? END : before }) as EventSummary[]
    })
  }

  #open(): { db: Database.Database; writer: Writer } {
    if (this.#db === null || this.#writer === null) throw new Error('the log is not started')
    return { db: this.#db, writer: this.#writer }
  }

  #makeQuarantine(): RejectedLog {
    const reader = new QuarantineReader((sql) => this.#statement(sql, () => sql))
    return {
      lines: async (filter, before, limit) => reader.newestLines(filter, before, limit),
      row: async (rejected_id, bytes) => reader.row(rejected_id, bytes),
      page: async (filter, after, through, bytes) => reader.after(filter, after, through, bytes),
      lastId: async () => reader.lastId(),
      reasons: async (most) => reader.reasons(most),
      replay: (replays) => this.#open().writer.replay(replays),
      drop: (ids) => this.#open().writer.forget(ids),
    }
  }

  #reading<Result>(read: () => Result): Result {
    try {
      return read()
    } catch (error) {
      throw storageError(error)
    }
  }

  #statement(key: string, sql: () => string): Database.Statement {
    return this.#statements.get(key, () => this.#open().db.prepare(sql()))
  }

  #head(): number {
    // AUTOINCREMENT's own counter: it stays when retention removes the last row.
    return (
      (this.#statement('head', () => queries.HEAD)
        .pluck()
        .get() as number | undefined) ?? 0
    )
  }

  /** Under a filter: the first db_id beyond the window that one call looks at; null when it reaches the end. */
  #windowEnd(wanted: Selection, direction: 'asc' | 'desc', after: number, before: number): number | null {
    if (wanted.events.length === 0 || !isFiltered(wanted)) return null
    const key = `end ${direction} ${queries.selectionShape(wanted)}`
    const statement = this.#statement(key, () => queries.windowEnd(wanted, direction))
    const params = queries.selectionParams({ ...wanted, types: null, froms: null })
    return (statement.pluck().get({ ...params, after, before, skip: WINDOW }) as number | undefined) ?? null
  }

  /** The newest db_ids of one window; `after`: where it ends, null at the beginning of the log. */
  #idsBefore(wanted: Selection, before: number, limit: number): { after: number | null; ids: number[] } {
    const after = this.#windowEnd(wanted, 'desc', 0, before)
    const shape = queries.selectionShape(wanted)
    const statement = this.#statement(`ids ${shape}`, () => queries.windowMessages(wanted, 'desc', 'db_id'))
    const range = { after: after ?? 0, before, limit }
    return { after, ids: statement.pluck().all({ ...queries.selectionParams(wanted), ...range }) as number[] }
  }

  #window(
    wanted: Selection,
    direction: 'asc' | 'desc',
    after: number,
    before: number,
    limit: PageLimit,
  ): { messages: StoredMessage[]; cut: boolean } {
    if (wanted.events.length === 0) return { messages: [], cut: false }
    const key = `messages ${direction} ${queries.selectionShape(wanted)}`
    const statement = this.#statement(key, () => queries.windowMessages(wanted, direction, 'all'))
    const params = { ...queries.selectionParams(wanted), after, before, limit: limit.messages + 1 }
    const messages: StoredMessage[] = []
    let bytes = 0
    // Closed before this call returns: an iterator left open would pin the WAL.
    for (const row of statement.iterate(params) as IterableIterator<StoredMessage>) {
      if (messages.length === limit.messages || bytes >= limit.bytes) return { messages, cut: true }
      messages.push(row)
      bytes += row.body.length
    }
    return { messages, cut: false }
  }
}
