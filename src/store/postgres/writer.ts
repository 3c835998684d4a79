import type { Client, QueryResult } from 'pg'
import { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import type { AppendEntry, AppendResult, FaultPoint, RetentionLimits, Revocation } from '../store.ts'
import { storeBatch } from './batch.ts'
import { commitTransaction } from './commit.ts'
import { isRowError, storeReplaced } from './errors.ts'
import type { Pool } from './pool.ts'
import { deleteExpiredRevocations, deleteRevocation, PROBE_WRITE, upsertRevocation } from './queries.ts'
import { queryRows } from './reader.ts'
import { ExpiredMessages, pruneMessages } from './retention.ts'
import { assertUsableVersion, skipIdsAfterRestore } from './schema.ts'
import { noteServerTime, SERVER_TIME } from './server/server-clock.ts'
import { assertDurableCommit, BEGIN_WRITE, durableCommitSql, getBackendPid, getTimelineId } from './server/session.ts'
import { escapeNul, unescapeNul } from './values.ts'

/** First key of the advisory lock of the writers: "DSGW". */
const LOCK_CLASS = 0x44534757

/** Notification to other processes when a transaction commits. */
export type ChangeNotification = 'grown' | 'revoked'

export interface PostgresWriterOptions {
  readonly schema: string
  /** Address of the store, for error messages. */
  readonly where: string
  /** Identifies this process as the sender of notifications. */
  readonly instanceId: string
  readonly onStage?: ((stage: FaultPoint) => void) | undefined
  /** Rolls back every transaction instead of committing it. */
  readonly rollBack?: boolean
}

/** SQL that takes the lock shared by all writers of a schema, until the transaction ends. */
export const advisoryLockSql = (schema: string): string =>
  `SELECT pg_advisory_xact_lock(${LOCK_CLASS}, hashtext('${schema}'))`

/** SQL that takes this lock until the connection ends. */
export const connectionLockSql = (schema: string): string =>
  `SELECT pg_advisory_lock(${LOCK_CLASS}, hashtext('${schema}'))`

/** Like connectionLockSql without a wait. The row has `locked`. */
export const tryConnectionLockSql = (schema: string): string =>
  `SELECT pg_try_advisory_lock(${LOCK_CLASS}, hashtext('${schema}')) AS locked`

/** SQL that notifies the other processes once the transaction has committed. */
const notifySql = (schema: string, instanceId: string, notification: ChangeNotification): string =>
  `SELECT pg_notify('${schema}', '${notification} ${instanceId}');`

/**
 * All writes to the store. Each transaction first takes one lock shared by all hosts, which is released only after the commit is visible,
 * so db_ids become visible in order (L2).
 */
export class PostgresWriter {
  readonly #pool: Pool
  readonly #options: PostgresWriterOptions
  /** Entries of batches whose commit was not confirmed, and may have succeeded. */
  readonly #uncertain = new WeakSet<AppendEntry>()
  readonly #expired = new ExpiredMessages()
  #logId: string | null = null

  constructor(pool: Pool, options: PostgresWriterOptions) {
    this.#pool = pool
    this.#options = options
  }

  /** Must be called before the first transaction. A transaction fails if the database has another log_id. */
  bindTo(logId: string): void {
    this.#logId = logId
  }

  /**
   * Commits a batch in one transaction, durable when it returns (L1, L5).
   *
   * @throws GatewayError storage_* or database_*; it is then unknown whether the batch is stored, and it can be appended again
   */
  async append(entries: readonly AppendEntry[]): Promise<AppendResult[]> {
    const isUncertain = (entry: AppendEntry) => this.#uncertain.has(entry)
    return this.run(async (client, oneByOne) => {
      const outcomes = await storeBatch(client, entries, { oneByOne, again: isUncertain })
      return { result: outcomes, appended: outcomes.some(({ kind }) => kind === 'stored'), entries }
    })
  }

  /**
   * Calls `run` in a transaction that excludes all other writers of the schema. If a row cannot be stored, `run` is called again with
   * `oneByOne` true.
   *
   * @throws GatewayError like append
   */
  async run<Result>(run: (client: Client, oneByOne: boolean) => Promise<AppendOutcome<Result>>): Promise<Result> {
    const attempt = (oneByOne: boolean) =>
      this.#transaction(async (client) => {
        const { appended, ...outcome } = await run(client, oneByOne)
        return { ...outcome, notification: appended ? 'grown' : null, wrote: appended }
      })
    try {
      return await attempt(false)
    } catch (error) {
      if (!(error instanceof GatewayError) || !isRowError(error.cause)) throw error
      return attempt(true)
    }
  }

  /** Deletes messages by the retention rules, at most `limit`. @returns the number deleted */
  prune(retention: RetentionLimits, limit: number): Promise<number> {
    return this.#transaction(async (client) => ({
      result: await pruneMessages(client, retention, limit, this.#expired),
      notification: null,
      wrote: true,
    }))
  }

  /** Stores a revocation and deletes expired ones. @throws GatewayError like append */
  revoke({ subject, issued_before, until }: Revocation, now: number): Promise<Revocation> {
    return this.#transaction(async (client) => {
      await queryRows(client, deleteExpiredRevocations(now))
      const [row] = await queryRows<Revocation>(client, upsertRevocation(escapeNul(subject), issued_before, until))
      return { result: { ...row!, subject: unescapeNul(row!.subject) }, notification: 'revoked', wrote: true }
    })
  }

  /** Removes a revocation. @returns whether there was one. @throws GatewayError like append */
  removeRevocation(subject: string): Promise<boolean> {
    return this.#transaction(async (client) => {
      const { sql, parameters } = deleteRevocation(escapeNul(subject))
      const { rowCount } = await client.query(sql, [...parameters])
      const existed = (rowCount ?? 0) > 0
      return { result: existed, notification: 'revoked', wrote: existed }
    })
  }

  /** Commits a write that changes nothing, to check whether writing works. @throws GatewayError like append */
  async probe(): Promise<void> {
    await this.#transaction(async () => ({ result: null, notification: null, wrote: false }))
  }

  #transaction<Result>(run: (client: Client) => Promise<TransactionOutcome<Result>>): Promise<Result> {
    const { schema, instanceId, where, onStage, rollBack = false } = this.#options
    return this.#pool.withConnection(async (client) => {
      try {
        const results = await client.query(
          `${BEGIN_WRITE}; SET LOCAL search_path = "${schema}"; ${durableCommitSql(true)}; ${advisoryLockSql(schema)}; ${SELECT_SERVER_SESSION}`,
        )
        const session = (results as unknown as QueryResult<ServerSession>[]).at(-1)!.rows[0]
        // A moved store has no row in `header`, and therefore no session.
        if (session === undefined || session.log_id !== this.#logId) throw storeReplaced(where)
        assertOwnSession(client, session)
        assertUsableVersion(schema, session.version)
        noteServerTime(client, session.now)
        const timeline = getTimelineId(client)
        // A standby was promoted: the last ids that the old primary assigned may be lost, so skip them.
        if (timeline !== null && timeline !== session.timeline) await skipIdsAfterRestore(client)
        const { result, notification, wrote, entries } = await run(client)
        if (rollBack) {
          await client.query('ROLLBACK')
          return result
        }
        onStage?.('in_transaction')
        const notify = notification === null ? '' : notifySql(schema, instanceId, notification)
        // A commit that writes nothing waits for no standby, although what it has found may have reached none yet.
        await this.#commit(client, wrote ? notify : `${PROBE_WRITE.sql}; ${notify}`, entries)
        onStage?.('committed')
        return result
      } catch (error) {
        // If the connection is lost, the server rolls back by itself.
        await client.query('ROLLBACK').catch(noop)
        throw error
      }
    })
  }

  /** @param last statements that run directly before COMMIT */
  async #commit(client: Client, last: string, entries: readonly AppendEntry[] = []): Promise<void> {
    try {
      await commitTransaction(client, last)
    } catch (error) {
      // Possibly only the confirmation was lost, so the commit may have succeeded.
      for (const entry of entries) this.#uncertain.add(entry)
      throw error
    }
  }
}

/** Reads what the transaction depends on, in the transaction itself. */
const SELECT_SERVER_SESSION = `SELECT log_id, version, timeline, ${SERVER_TIME} AS now, pg_backend_pid() AS backend, current_setting('synchronous_commit') AS synchronous_commit
FROM log, header`

/** A pooler in transaction mode runs each transaction in another server process, with the settings of other clients. */
const assertOwnSession = (client: Client, { backend, synchronous_commit }: ServerSession): void => {
  assertDurableCommit(synchronous_commit)
  if (backend === getBackendPid(client)) return
  throw new GatewayError(
    'database_unsuitable',
    'The pooler in DATABASE_URL changes the server process between transactions.',
    {
      hint: 'Set the pooler to session mode (pool_mode = session in pgbouncer), or name PostgreSQL itself in DATABASE_URL.',
    },
  )
}

interface ServerSession {
  readonly backend: number
  readonly synchronous_commit: string
  readonly log_id: string
  readonly version: number
  readonly timeline: string | null
  /** Milliseconds since 1970. */
  readonly now: number
}

/** Result of the work in a transaction. */
interface TransactionResult<Result> {
  readonly result: Result
  /** Entries to mark as uncertain if the commit is not confirmed. */
  readonly entries?: readonly AppendEntry[]
}

interface TransactionOutcome<Result> extends TransactionResult<Result> {
  readonly notification: ChangeNotification | null
  /** False if the transaction may have changed nothing; something is then written, so that its commit waits like any other (L1). */
  readonly wrote: boolean
}

interface AppendOutcome<Result> extends TransactionResult<Result> {
  /** True if messages were stored. */
  readonly appended: boolean
}
