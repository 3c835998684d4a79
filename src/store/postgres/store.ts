import { randomUUID } from 'node:crypto'
import type { Bounds } from '../../core/cursor.ts'
import { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import type { SubscriptionFilter } from '../../core/subscription-filter.ts'
import { GroupCommit } from '../group-commit.ts'
import { START_LOCK_TIMEOUT_MS } from '../migrations.ts'
import { retryStart } from '../retry-start.ts'
import { readSchema } from '../sqlite/file.ts'
import type {
  AppendEntry,
  AppendResult,
  EventSummary,
  MessagePage,
  MessageStore,
  PageLimit,
  Quarantine,
  RetentionLimits,
  Revocation,
  StorageSize,
  TicketStore,
} from '../store.ts'
import { ConnectionFactory } from './connect.ts'
import { isTransient, postgresError, storeReplaced } from './errors.ts'
import { NotificationListener } from './listener.ts'
import { Pool } from './pool.ts'
import { createQuarantine } from './quarantine-reader.ts'
import { PostgresReader } from './reader.ts'
import { ensureSchema } from './schema.ts'
import { createTicketStore } from './tickets.ts'
import { describePostgres, type PostgresAddress } from './url.ts'
import { type FaultPoint, PostgresWriter } from './writer.ts'

export interface PostgresLogOptions {
  readonly address: PostgresAddress
  /** Connections at most, the one that listens and the one that writes among them; at least 3. */
  readonly connections: number
  /** Becomes the log_id of a database that is made new. */
  readonly newLogId: string
  /** Milliseconds since 1970. */
  readonly now: number
  /** Another process has stored messages: on this host or another. A hint, which may be lost (D1). */
  readonly onGrown?: () => void
  /** Another process has changed the revocations. A hint too. */
  readonly onRevoked?: () => void
  /** Something that an operator should know, once. */
  readonly onWarning?: (text: string) => void
  /** How long a write waits for its turn, in milliseconds. */
  readonly lockTimeoutMs?: number
  /** How long a start waits for a server that is not there yet, in milliseconds. */
  readonly patienceMs?: number
  /** How long a start waits for a lock that another process holds, in milliseconds. */
  readonly startLockTimeoutMs?: number
  /** Called at the stages of a transaction, for fault injection. */
  readonly onStage?: (stage: FaultPoint) => void
}

const LOCK_TIMEOUT_MS = 5_000
/** A database that starts together with the gateway is there within this time, as a rule. */
const TIMEOUT_MS = 15_000
/** Maximum duration of the transaction that makes or upgrades the tables, in milliseconds: an index over many messages. */
const MAX_UPGRADE_MS = 3_600_000

/** The log in PostgreSQL, for gateways on several hosts: one writer at a time by an advisory lock, readers beside it. */
export class PostgresStore implements MessageStore {
  readonly #options: PostgresLogOptions
  readonly #where: string
  readonly #group: GroupCommit
  readonly #writing: Pool
  readonly #reading: Pool
  readonly #writer: PostgresWriter
  readonly #reader: PostgresReader
  readonly #listener: NotificationListener
  readonly quarantine: Quarantine
  readonly tickets: TicketStore
  #logId = ''

  constructor(options: PostgresLogOptions) {
    const { address, connections, onGrown = noop, onRevoked = noop, onStage } = options
    const { lockTimeoutMs = LOCK_TIMEOUT_MS, onWarning = noop } = options
    const { schema } = address
    const self = randomUUID()
    const connector = new ConnectionFactory(address, { lockTimeoutMs }, onWarning)
    this.#options = options
    this.#where = describePostgres(address)
    // A connection of its own: no crowd of readers keeps a commit waiting.
    this.#writing = new Pool(connector, 1)
    this.#reading = new Pool(connector, Math.max(1, connections - 2))
    this.#writer = new PostgresWriter(this.#writing, { schema, where: this.#where, instanceId: self, onStage })
    this.#reader = new PostgresReader(this.#reading)
    this.tickets = createTicketStore(this.#reading)
    this.quarantine = createQuarantine(this.#reading, this.#writer)
    this.#group = new GroupCommit((entries) => this.#writer.append(entries))
    const onWord = (word: 'grown' | 'revoked') => (word === 'grown' ? onGrown() : onRevoked())
    this.#listener = new NotificationListener({ connector, schema, instanceId: self, onNotification: onWord })
  }

  get logId(): string {
    return this.#logId
  }

  /** @throws GatewayError database_* when the database is not usable */
  async start(): Promise<void> {
    try {
      await this.#prepare()
      this.#writer.bindTo(this.#logId)
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
    return this.#writer.prune(retention, limit)
  }

  revoke(revocation: Revocation, now: number): Promise<Revocation> {
    return this.#writer.revoke(revocation, now)
  }

  removeRevocation(subject: string): Promise<boolean> {
    return this.#writer.unrevoke(subject)
  }

  revocations(): Promise<Revocation[]> {
    return this.#reader.revocations()
  }

  read(filter: SubscriptionFilter, after: number, limit: PageLimit): Promise<MessagePage> {
    return this.#reader.read(filter, after, limit)
  }

  readBefore(filter: SubscriptionFilter, before: number, limit: PageLimit): Promise<MessagePage> {
    return this.#reader.readBefore(filter, before, limit)
  }

  tailCursor(filter: SubscriptionFilter, count: number): Promise<number> {
    return this.#reader.cursorBefore(filter, count)
  }

  head(): Promise<number> {
    return this.#reader.head()
  }

  bounds(filter: SubscriptionFilter): Promise<Bounds> {
    return this.#reader.bounds(filter)
  }

  events(limit: number, before: number, among: readonly string[] | '*' = '*'): Promise<EventSummary[]> {
    return this.#reader.events(limit, before, among)
  }

  async check(write: boolean): Promise<void> {
    if ((await this.#reader.logId()) !== this.#logId) throw storeReplaced(this.#where)
    if (write) await this.#writer.probe()
  }

  size(): Promise<StorageSize> {
    return this.#reader.size()
  }

  /** Makes or checks the tables and reads the log_id; waits for a server that is starting or failing over, and for another gateway's lock. */
  #prepare(): Promise<void> {
    const { address, newLogId, now, onWarning = noop } = this.#options
    const { patienceMs = TIMEOUT_MS, startLockTimeoutMs = START_LOCK_TIMEOUT_MS } = this.#options
    const maker = { schema: readSchema(), logId: newLogId, now }
    const attempt = async (): Promise<void> => {
      try {
        await this.#writing.withConnection((client) => ensureSchema(client, address.schema, maker), MAX_UPGRADE_MS)
        this.#logId = (await this.#reader.logId()) ?? ''
      } catch (error) {
        throw inPlace(postgresError(error), this.#where)
      }
    }
    const waitMs = (error: GatewayError): number => {
      if (error.code === 'storage_busy') return startLockTimeoutMs
      return isTransient(error) ? patienceMs : 0
    }
    return retryStart(attempt, { waitMs, onWarning })
  }
}

/** Says which database is meant. */
const inPlace = ({ code, message, hint, cause }: GatewayError, where: string): GatewayError =>
  new GatewayError(code, `${where}: ${message}`, { cause, hint })
