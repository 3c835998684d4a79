import type Database from 'better-sqlite3'
import type { Bounds } from '../../core/cursor.ts'
import { isDamage } from '../../core/error-catalogue/groups.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { StoredMessage } from '../../core/message.ts'
import { noop } from '../../core/noop.ts'
import { createFilter, type SubscriptionFilter } from '../../core/subscription-filter.ts'
import { DamageLatch } from '../damage-latch.ts'
import { GroupCommit } from '../group-commit.ts'
import { retryStart } from '../retry-start.ts'
import { MAX_DB_ID, SCAN_WINDOW } from '../scan.ts'
import type {
  AppendEntry,
  AppendResult,
  EventSummary,
  MessagePage,
  MessageStore,
  PageLimit,
  RetentionLimits,
  Revocation,
  StorageSize,
} from '../store.ts'
import type { StoreCopy } from '../store-copy.ts'
import { YieldQueue } from '../yield-queue.ts'
import { createCopy } from './edge/copy.ts'
import { assertOwnStore } from './edge/copy-steps.ts'
import { createFollowing } from './edge/following.ts'
import { storageError } from './errors.ts'
import { ensureDatabase, fileSizes, openReader, readSchema } from './file.ts'
import { OpenFiles } from './open-files.ts'
import { createQuarantine } from './quarantine-reader.ts'
import * as queries from './queries.ts'
import { StatementCache } from './statement-cache.ts'
import { damagedBody, dropPageCache, isBodyDamaged } from './verify.ts'
import { createWriter, type Writer, type WriterOptions } from './writer-client.ts'

export interface SqliteStoreOptions extends WriterOptions {
  /** log_id of a newly created database. */
  readonly newLogId: string
  /** Milliseconds since 1970. */
  readonly now: number
  /** True if the store is the copy of an edge. */
  readonly edge?: boolean
  /** Notes damage that is found. Default: one of its own. */
  readonly damage?: DamageLatch | undefined
  /** Called once with the reason why the start waits. */
  readonly onWarning?: ((text: string) => void) | undefined
  /** Maximum wait at startup for a lock held by another process, in milliseconds. */
  readonly startLockTimeoutMs?: number
}

/** Maximum number of cached prepared statements. */
const MAX_STATEMENTS = 256

/** Store in one SQLite file (WAL, synchronous=FULL), with one connection that writes and one that only reads. */
export class SqliteStore implements MessageStore {
  readonly #options: SqliteStoreOptions
  readonly #statements = new StatementCache(MAX_STATEMENTS)
  /** Spreads the scans of filtered reads over event-loop iterations: back to back, they block every stream. */
  readonly #yieldQueue = new YieldQueue()
  readonly #group = new GroupCommit((entries) => this.#writing((writer) => writer.append(entries)))
  readonly #damage: DamageLatch
  #db: Database.Database | null = null
  #writer: Writer | null = null
  readonly #access = {
    prepare: (sql: string) => this.#statement(sql, () => sql),
    reading: <Result>(read: () => Result) => this.#reading(read),
    writing: <Result>(write: (writer: Writer) => Promise<Result>) => this.#writing(write),
  }
  readonly quarantine = createQuarantine(this.#access)
  readonly following = createFollowing(this.#access)
  readonly copy?: StoreCopy
  #logId = ''
  #files: OpenFiles | null = null

  constructor(options: SqliteStoreOptions) {
    this.#options = options
    this.#damage = options.damage ?? new DamageLatch()
    if (options.edge === true) this.copy = createCopy(this.#access.writing, ({ logId }) => (this.#logId = logId))
  }

  get logId(): string {
    return this.#logId
  }

  /** @throws GatewayError database_* if the file is not usable, or storage_busy; the file is then unchanged */
  async start(): Promise<void> {
    const { onWarning = noop, startLockTimeoutMs = Number.POSITIVE_INFINITY } = this.#options
    const waitMs = ({ code }: GatewayError): number => (code === 'storage_busy' ? startLockTimeoutMs : 0)
    await retryStart(() => this.#prepare(), { waitMs, onWarning })
    this.#writer = createWriter(this.#options)
  }

  async stop(): Promise<void> {
    await this.#group.drained()
    const writer = this.#writer
    this.#writer = null
    // Close the reader first: the last connection to close checkpoints the WAL, and it must be able to write.
    this.#db?.close()
    this.#db = null
    this.#files = null
    this.#statements.clear()
    await writer?.close()
  }

  append(entries: readonly AppendEntry[]): Promise<AppendResult[]> {
    return this.#group.append(entries)
  }

  prune(retention: RetentionLimits, limit: number): Promise<number> {
    return this.#writing((writer) => writer.prune(retention, limit))
  }

  revoke(revocation: Revocation, now: number): Promise<Revocation> {
    return this.#writing((writer) => writer.revoke(revocation, now))
  }

  removeRevocation(subject: string): Promise<boolean> {
    return this.#writing((writer) => writer.removeRevocation(subject))
  }

  async revocations(): Promise<Revocation[]> {
    return this.#reading(() => this.#statement('revocations', () => queries.REVOCATIONS).all() as Revocation[])
  }

  async check(write: boolean): Promise<void> {
    const { writer } = this.#open()
    const lost = this.#reading(() => this.#files?.findChange() !== null)
    if (!lost) this.#damage.recheck(() => this.#verify(writer))
    // The writer saves what is committed when it finds that a file was lost.
    if (write || lost) await this.#damage.reading(() => writer.probe())
  }

  size(): Promise<StorageSize> {
    return fileSizes(this.#options.file)
  }

  async read(filter: SubscriptionFilter, after: number, limit: PageLimit): Promise<MessagePage> {
    if (queries.isFiltered(filter)) await this.#yieldQueue.yieldTurn()
    return this.#reading(() => {
      // Read the head first: messages committed between the two queries are then left for the next page.
      const head = this.#head()
      const end = this.#windowEnd(filter, 'asc', after, MAX_DB_ID)
      const { messages, truncated } = this.#window(filter, 'asc', after, end ?? MAX_DB_ID, limit)
      const last = messages.at(-1)?.db_id ?? after
      if (truncated) return { messages, readThrough: last, hasMore: true }
      return end === null
        ? { messages, readThrough: Math.max(head, last), hasMore: false }
        : { messages, readThrough: end - 1, hasMore: true }
    })
  }

  async readBefore(filter: SubscriptionFilter, before: number, limit: PageLimit): Promise<MessagePage> {
    if (queries.isFiltered(filter)) await this.#yieldQueue.yieldTurn()
    return this.#reading(() => {
      const end = this.#windowEnd(filter, 'desc', 0, before)
      const { messages, truncated } = this.#window(filter, 'desc', end ?? 0, before, limit)
      messages.reverse()
      const first = messages[0]?.db_id ?? before
      if (truncated) return { messages, readThrough: first, hasMore: true }
      return end === null
        ? { messages, readThrough: 0, hasMore: false }
        : { messages, readThrough: end + 1, hasMore: true }
    })
  }

  async tailCursor(filter: SubscriptionFilter, count: number): Promise<number> {
    if (filter.events.length === 0) return 0
    let before = MAX_DB_ID
    let remaining = count
    while (true) {
      if (queries.isFiltered(filter)) await this.#yieldQueue.yieldTurn()
      const { after, ids } = this.#reading(() => this.#idsBefore(filter, before, remaining + 1))
      if (ids.length > remaining) return ids[remaining]!
      if (after === null) return 0
      remaining -= ids.length
      before = after + 1
    }
  }

  async head(): Promise<number> {
    return this.#reading(() => this.#head())
  }

  async bounds(filter: SubscriptionFilter): Promise<Bounds> {
    return this.#reading(() => {
      const key = `bounds ${queries.eventsShape(filter.events)}`
      const statement = this.#statement(key, () => queries.selectBounds(filter))
      const params = queries.selectionParams({ ...filter, types: null, senders: null })
      return statement.get(params) as Bounds
    })
  }

  async events(limit: number, before: number, eventIds: readonly string[] | '*' = '*'): Promise<EventSummary[]> {
    return this.#reading(() => {
      const filter = createFilter(eventIds)
      const key = `events ${queries.eventsShape(filter.events)}`
      const statement = this.#statement(key, () => queries.listEvents(filter.events))
      const params = queries.selectionParams(filter)
      return statement.all({ ...params, limit, before: before === 0 ? MAX_DB_ID : before }) as EventSummary[]
    })
  }

  #prepare(): void {
    const { file, newLogId, now } = this.#options
    ensureDatabase(file, { schema: readSchema(), logId: newLogId, now })
    this.#db = openReader(file)
    assertOwnStore(this.#db, this.#options.edge === true)
    this.#logId = this.#db.prepare(queries.LOG_ID).pluck().get() as string
    this.#files = new OpenFiles(file, this.#db)
  }

  #open(): { db: Database.Database; writer: Writer } {
    if (this.#db === null || this.#writer === null) throw new Error('the store is not started')
    return { db: this.#db, writer: this.#writer }
  }

  #reading<Result>(read: () => Result): Result {
    try {
      return read()
    } catch (error) {
      throw this.#damage.note(storageError(error))
    }
  }

  #writing<Result>(write: (writer: Writer) => Promise<Result>): Promise<Result> {
    return this.#damage.writing(() => write(this.#open().writer))
  }

  async #verify(writer: Writer): Promise<void> {
    await writer.verify()
    if (this.#db !== null) dropPageCache(this.#db)
  }

  #statement(key: string, sql: () => string): Database.Statement {
    return this.#statements.get(key, () => this.#open().db.prepare(sql()))
  }

  #head(): number {
    // AUTOINCREMENT's counter is kept when retention deletes the last row.
    return (
      (this.#statement('head', () => queries.SELECT_HEAD)
        .pluck()
        .get() as number | undefined) ?? 0
    )
  }

  /** Returns the first db_id after the window that a filtered call scans, or null if the window reaches the end or nothing is filtered. */
  #windowEnd(filter: SubscriptionFilter, direction: 'asc' | 'desc', after: number, before: number): number | null {
    if (filter.events.length === 0 || !queries.isFiltered(filter)) return null
    const key = `end ${direction} ${queries.eventsShape(filter.events)}`
    const statement = this.#statement(key, () => queries.windowEnd(filter, direction))
    const params = queries.selectionParams({ ...filter, types: null, senders: null })
    return (statement.pluck().get({ ...params, after, before, skip: SCAN_WINDOW }) as number | undefined) ?? null
  }

  /** Returns the newest db_ids of one window. `after` is the end of the window, or null at the beginning of the store. */
  #idsBefore(filter: SubscriptionFilter, before: number, limit: number): { after: number | null; ids: number[] } {
    const after = this.#windowEnd(filter, 'desc', 0, before)
    const shape = queries.filterShape(filter)
    const statement = this.#statement(`ids ${shape}`, () => queries.windowMessages(filter, 'desc', 'db_id'))
    const range = { after: after ?? 0, before, limit }
    return { after, ids: statement.pluck().all({ ...queries.selectionParams(filter), ...range }) as number[] }
  }

  #window(
    filter: SubscriptionFilter,
    direction: 'asc' | 'desc',
    after: number,
    before: number,
    limit: PageLimit,
  ): { messages: StoredMessage[]; truncated: boolean } {
    if (filter.events.length === 0) return { messages: [], truncated: false }
    const key = `messages ${direction} ${queries.filterShape(filter)}`
    const statement = this.#statement(key, () => queries.windowMessages(filter, direction, 'all'))
    const params = { ...queries.selectionParams(filter), after, before, limit: limit.messages + 1 }
    const messages: StoredMessage[] = []
    let bytes = 0
    try {
      // The loop closes the iterator before this call returns: an open one would pin the WAL.
      for (const row of statement.iterate(params) as IterableIterator<StoredMessage>) {
        if (messages.length === limit.messages || bytes >= limit.bytes) return { messages, truncated: true }
        if (isBodyDamaged(row.body)) throw damagedBody(row.db_id)
        messages.push(row)
        bytes += row.body.length
      }
    } catch (error) {
      // The messages in front of a damaged row are still delivered; the next page begins with it.
      if (!isDamage(this.#damage.note(storageError(error))) || messages.length === 0) throw error
      return { messages, truncated: true }
    }
    return { messages, truncated: false }
  }
}
