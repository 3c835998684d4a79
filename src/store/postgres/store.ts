import { randomUUID } from 'node:crypto'
import type { Bounds } from '../../core/cursor.ts'
import { isDamage } from '../../core/error-catalogue/groups.ts'
import { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import type { SubscriptionFilter } from '../../core/subscription-filter.ts'
import { DamageLatch } from '../damage-latch.ts'
import { GroupCommit } from '../group-commit.ts'
import { retryStart } from '../retry-start.ts'
import type { SearchPage, SearchQuery } from '../search/search.ts'
import { readSchema } from '../sqlite/file.ts'
import type {
  AppendEntry,
  AppendResult,
  EventSummary,
  FaultPoint,
  MessagePage,
  MessageStore,
  PageLimit,
  Quarantine,
  RetentionLimits,
  Revocation,
  StorageSize,
  TicketStore,
} from '../store.ts'
import type { Following } from '../store-copy.ts'
import { WriteWatch } from '../write-watch.ts'
import { ConnectionFactory } from './connect.ts'
import { isTransient, postgresError, storeReplaced } from './errors.ts'
import { NotificationListener } from './listener.ts'
import { Pool } from './pool.ts'
import { createQuarantine } from './quarantine-reader.ts'
import { PostgresReader } from './reader.ts'
import { ensureSchema } from './schema.ts'
import { scanMessages } from './search.ts'
import { GatewayTable } from './server/gateway-table.ts'
import { lateWrite, ServerMonitor } from './server/server-monitor.ts'
import { createTicketStore } from './tickets.ts'
import { describePostgres, type PostgresAddress } from './url.ts'
import { PostgresWriter } from './writer.ts'

export interface PostgresStoreOptions {
  readonly address: PostgresAddress
  /** Maximum number of connections, including one for listening and one for writing; at least 3. */
  readonly connections: number
  /** log_id of a newly created database. */
  readonly newLogId: string
  /** Milliseconds since 1970. */
  readonly now: number
  /** Called when another process, on this or another host, has stored messages. Only a hint, which can be lost (D1). */
  readonly onAppended?: () => void
  /** Called when another process has changed the revocations. Also only a hint. */
  readonly onRevoked?: () => void
  /** Called when a session has ended in another process. */
  readonly onSessionEnd?: (tokenId: string) => void
  /** Notes damage that is found. Default: one of its own. */
  readonly damage?: DamageLatch | undefined
  /** Called with warnings for the operator, once per cause. */
  readonly onWarning?: (text: string) => void
  /** Lock timeout of a write, in milliseconds. */
  readonly lockTimeoutMs?: number
  /** Maximum wait at startup for a lock held by another process, in milliseconds. Default: no limit. */
  readonly startLockTimeoutMs?: number
  /** Called at the stages of a transaction, for fault injection. */
  readonly onStage?: (stage: FaultPoint) => void
}

const LOCK_TIMEOUT_MS = 5_000
/** Maximum duration of the transaction that creates or upgrades the tables, in milliseconds. It may have to index many messages. */
const MAX_UPGRADE_MS = 3_600_000

/** Store in PostgreSQL, for gateways on several hosts. An advisory lock allows one writer at a time; reads run concurrently. */
export class PostgresStore implements MessageStore {
  readonly #options: PostgresStoreOptions
  readonly #where: string
  readonly #group: GroupCommit
  readonly #writing: Pool
  readonly #reading: Pool
  readonly #writer: PostgresWriter
  readonly #instanceId = randomUUID()
  /** Rolls back what it writes, to check whether a failed write would succeed. */
  readonly #trialWriter: PostgresWriter
  readonly #damage: DamageLatch
  readonly #reader: PostgresReader
  readonly #listener: NotificationListener
  readonly #server: ServerMonitor
  readonly announce: NonNullable<MessageStore['announce']>
  readonly #writes = new WriteWatch()
  readonly quarantine: Quarantine
  readonly following: Following
  readonly tickets: TicketStore
  #logId = ''

  constructor(options: PostgresStoreOptions) {
    const { address, connections, onAppended = noop, onRevoked = noop, onSessionEnd = noop, onStage } = options
    const { lockTimeoutMs = LOCK_TIMEOUT_MS, onWarning = noop } = options
    const { schema } = address
    const instanceId = this.#instanceId
    const connector = new ConnectionFactory(address, { lockTimeoutMs }, onWarning)
    this.#options = options
    this.#where = describePostgres(address)
    // A dedicated connection, so that commits do not wait for reads.
    this.#writing = new Pool(connector, 1)
    this.#reading = new Pool(connector, Math.max(1, connections - 2))
    this.#damage = options.damage ?? new DamageLatch()
    const writing = { schema, where: this.#where, instanceId, onStage }
    this.#writer = new PostgresWriter(this.#writing, writing)
    this.#trialWriter = new PostgresWriter(this.#writing, { ...writing, rollBack: true })
    this.#reader = new PostgresReader(this.#reading)
    this.tickets = createTicketStore(this.#reading)
    this.following = {
      state: (events, after) => this.#read(() => this.#reader.followState(events, after)),
      pruned: (events, after, limit) => this.#read(() => this.#reader.pruned(events, after, limit)),
    }
    this.quarantine = this.#guarded(createQuarantine(this.#reading, this.#writer))
    this.#group = new GroupCommit((entries) => {
      const append = (writer: PostgresWriter) => writer.append(entries)
      return this.#writes.run(
        () => this.#write(append),
        () => this.#server.explain(append(this.#trialWriter)),
      )
    })
    const onNotification = (notification: 'grown' | 'revoked') =>
      notification === 'grown' ? onAppended() : onRevoked()
    this.#listener = new NotificationListener({ connector, schema, instanceId, onNotification, onSessionEnd })
    const server = { listener: this.#listener, reading: this.#reading, writing: this.#writing, schema, onWarning }
    this.#server = new ServerMonitor(server)
    const table = new GatewayTable({ server: this.#server, connector, address, instanceId })
    this.announce = (status) => table.announce(status)
  }

  get logId(): string {
    return this.#logId
  }

  /** @throws GatewayError database_* if the database is not usable */
  async start(): Promise<void> {
    try {
      await this.#prepare()
      this.#writer.bindTo(this.#logId)
      this.#trialWriter.bindTo(this.#logId)
    } catch (error) {
      await Promise.all([this.#writing.end(), this.#reading.end()])
      throw error
    }
    this.#listener.start()
  }

  async stop(): Promise<void> {
    await this.#group.drained()
    await this.#listener.stop()
    await Promise.all([this.#writing.end(), this.#reading.end()])
  }

  append(entries: readonly AppendEntry[]): Promise<AppendResult[]> {
    return this.#group.append(entries)
  }

  prune(retention: RetentionLimits, limit: number): Promise<number> {
    return this.#write((writer) => writer.prune(retention, limit))
  }

  revoke(revocation: Revocation, now: number): Promise<Revocation> {
    return this.#write((writer) => writer.revoke(revocation, now))
  }

  removeRevocation(subject: string): Promise<boolean> {
    return this.#write((writer) => writer.removeRevocation(subject))
  }

  notifySessionEnd(tokenId: string): Promise<void> {
    const values = [this.#options.address.schema, `session_ended ${this.#instanceId} ${tokenId}`]
    return this.#reading.withConnection(async (client) => {
      await client.query('SELECT pg_notify($1, $2)', values)
    })
  }

  revocations(): Promise<Revocation[]> {
    return this.#read(() => this.#reader.revocations())
  }

  async read(filter: SubscriptionFilter, after: number, limit: PageLimit): Promise<MessagePage> {
    try {
      return await this.#read(() => this.#reader.read(filter, after, limit))
    } catch (error) {
      if (limit.messages === 1 || !isDamage(error)) throw error
      // The messages in front of a damaged row are still delivered, one by one.
      return this.#read(() => this.#reader.readOne(filter, after))
    }
  }

  readBefore(filter: SubscriptionFilter, before: number, limit: PageLimit): Promise<MessagePage> {
    return this.#read(() => this.#reader.readBefore(filter, before, limit))
  }

  tailCursor(filter: SubscriptionFilter, count: number): Promise<number> {
    return this.#read(() => this.#reader.cursorBefore(filter, count))
  }

  head(): Promise<number> {
    return this.#read(() => this.#reader.head())
  }

  bounds(filter: SubscriptionFilter): Promise<Bounds> {
    return this.#read(() => this.#reader.bounds(filter))
  }

  events(limit: number, before: number, eventIds: readonly string[] | '*' = '*'): Promise<EventSummary[]> {
    return this.#read(() => this.#reader.events(limit, before, eventIds))
  }

  search(query: SearchQuery, signal: AbortSignal): Promise<SearchPage> {
    return this.#read(() => scanMessages(this.#reader, query, signal))
  }

  now(): number {
    return this.#server.now()
  }

  async check(write: boolean): Promise<void> {
    const { lateMs } = this.#writes
    const { log_id, waits_for_standby } = await this.#read(() => this.#server.check(lateMs !== null))
    if (log_id !== this.#logId) throw storeReplaced(this.#where)
    // PostgreSQL has no check of a database that its owner may run, so only what has failed is repeated.
    this.#damage.recheck(async () => undefined)
    if (lateMs !== null) throw lateWrite(lateMs, waits_for_standby)
    if (write) await this.#writes.recheck(() => this.#write((writer) => writer.probe()))
  }

  size(): Promise<StorageSize> {
    return this.#reader.size()
  }

  #read<Result>(read: () => Promise<Result>): Promise<Result> {
    return this.#damage.reading(read, read)
  }

  #write<Result>(write: (writer: PostgresWriter) => Promise<Result>): Promise<Result> {
    return this.#damage.writing(
      () => this.#server.explain(write(this.#writer)),
      () => write(this.#trialWriter),
    )
  }

  #guarded(quarantine: Quarantine): Quarantine {
    const trial = createQuarantine(this.#reading, this.#trialWriter)
    const write = <Result>(work: (part: Quarantine) => Promise<Result>): Promise<Result> =>
      this.#damage.writing(
        () => work(quarantine),
        () => work(trial),
      )
    return {
      list: (...args) => this.#read(() => quarantine.list(...args)),
      row: (...args) => this.#read(() => quarantine.row(...args)),
      listWithBodies: (...args) => this.#read(() => quarantine.listWithBodies(...args)),
      maxId: () => this.#read(() => quarantine.maxId()),
      countByReason: (maxRows) => this.#read(() => quarantine.countByReason(maxRows)),
      replay: (replays) => write((part) => part.replay(replays)),
      drop: (ids) => write((part) => part.drop(ids)),
    }
  }

  /**
   * Creates or checks the tables and reads the log_id. Waits for a server that is starting or failing over, and for another gateway's lock.
   */
  #prepare(): Promise<void> {
    const { address, newLogId, now, onWarning = noop } = this.#options
    const { startLockTimeoutMs = Number.POSITIVE_INFINITY } = this.#options
    const init = { schema: readSchema(), logId: newLogId, now }
    const attempt = async (): Promise<void> => {
      try {
        await this.#writing.withConnection((client) => ensureSchema(client, address.schema, init), MAX_UPGRADE_MS)
        this.#logId = (await this.#server.state(false)).log_id ?? ''
      } catch (error) {
        throw withLocation(postgresError(error), this.#where)
      }
    }
    const waitMs = (error: GatewayError): number => {
      if (error.code === 'storage_busy') return startLockTimeoutMs
      return isTransient(error) ? Number.POSITIVE_INFINITY : 0
    }
    return retryStart(attempt, { waitMs, onWarning })
  }
}

/** Adds the address of the database to the message. */
const withLocation = ({ code, message, hint, cause }: GatewayError, where: string): GatewayError =>
  new GatewayError(code, `${where}: ${message}`, { cause, hint })
