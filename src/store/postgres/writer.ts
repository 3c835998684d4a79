import type { Client, QueryResult } from 'pg'
import { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import type { AppendEntry, AppendResult, RetentionLimits, Revocation } from '../store.ts'
import { storeBatch } from './batch.ts'
import { timelineOf } from './connect.ts'
import { isRowError, storeReplaced } from './errors.ts'
import type { Pool } from './pool.ts'
import { deleteExpiredRevocations, deleteRevocation, PROBE_WRITE, upsertRevocation } from './queries.ts'
import { queryRows } from './reader.ts'
import { pruneMessages } from './retention.ts'
import { skipIdsAfterRestore } from './schema.ts'
import { escapeNul, unescapeNul } from './values.ts'

/** The first half of the lock's name: "DSGW". */
const LOCK_CLASS = 0x44534757

/** Said in full, as a server may have other defaults; a snapshot of before the lock would not see what it waited for. */
const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE'

/** What other processes hear when a transaction commits. */
export type ChangeNotification = 'grown' | 'revoked'

/** Where a test may end the process: inside the transaction, or between the commit and its report. */
export type FaultPoint = 'in_transaction' | 'committed'

export interface PostgresWriterOptions {
  readonly schema: string
  /** For people: where the log is. */
  readonly where: string
  /** Names this process among those who listen. */
  readonly instanceId: string
  readonly onStage?: ((stage: FaultPoint) => void) | undefined
}

/** The SQL that takes the lock which all writers of a schema share, until the transaction ends. */
export const advisoryLockSql = (schema: string): string =>
  `SELECT pg_advisory_xact_lock(${LOCK_CLASS}, hashtext('${schema}'))`

/** The SQL that tells the others, once the transaction has committed. */
const notifySql = (schema: string, self: string, word: ChangeNotification): string =>
  `SELECT pg_notify('${schema}', '${word} ${self}');`

/**
 * All that changes the log. Transactions of all hosts go one after the other: each begins by taking one lock, and it is
 * given back only after the commit is visible, so that db_ids become visible in their order (L2).
 */
export class PostgresWriter {
  readonly #pool: Pool
  readonly #options: PostgresWriterOptions
  /** Entries of batches whose commit was not answered: it may have succeeded. */
  readonly #uncertain = new WeakSet<AppendEntry>()
  #logId: string | null = null

  constructor(pool: Pool, options: PostgresWriterOptions) {
    this.#pool = pool
    this.#options = options
  }

  /** From now on nothing is written into another log than this one. */
  bindTo(logId: string): void {
    this.#logId = logId
  }

  /**
   * Commits a batch in one transaction, durable when it returns (L1, L5).
   *
   * @throws GatewayError storage_* or database_*; whether it is stored is then unknown, and it may be offered again
   */
  async append(entries: readonly AppendEntry[]): Promise<AppendResult[]> {
    const again = (entry: AppendEntry) => this.#uncertain.has(entry)
    return this.run(async (client, singly) => {
      const outcomes = await storeBatch(client, entries, { singly, again })
      return { result: outcomes, grown: outcomes.some(({ kind }) => kind === 'stored'), entries }
    })
  }

  /**
   * Works in a transaction of its own, alone among all writers of the schema. Where a row cannot be held, the work is
   * repeated one by one.
   *
   * @throws GatewayError like append
   */
  async run<Result>(work: (client: Client, singly: boolean) => Promise<Growth<Result>>): Promise<Result> {
    const attempt = (singly: boolean) =>
      this.#transaction(async (client) => {
        const { grown, ...done } = await work(client, singly)
        return { ...done, word: grown ? 'grown' : null }
      })
    try {
      return await attempt(false)
    } catch (error) {
      if (!(error instanceof GatewayError) || !isRowError(error.cause)) throw error
      return attempt(true)
    }
  }

  /** Removes what retention says, at most `limit` messages. @returns how many */
  prune(retention: RetentionLimits, limit: number): Promise<number> {
    return this.#transaction(async (client) => ({ result: await pruneMessages(client, retention, limit), word: null }))
  }

  /** Stores a revocation, and forgets those that are over. @throws GatewayError like append */
  revoke({ subject, issued_before, until }: Revocation, now: number): Promise<Revocation> {
    return this.#transaction(async (client) => {
      await queryRows(client, deleteExpiredRevocations(now))
      const [row] = await queryRows<Revocation>(client, upsertRevocation(escapeNul(subject), issued_before, until))
      return { result: { ...row!, subject: unescapeNul(row!.subject) }, word: 'revoked' }
    })
  }

  /** @returns whether there was one. @throws GatewayError like append */
  unrevoke(subject: string): Promise<boolean> {
    return this.#transaction(async (client) => {
      const { sql, parameters } = deleteRevocation(escapeNul(subject))
      const { rowCount } = await client.query(sql, [...parameters])
      return { result: (rowCount ?? 0) > 0, word: 'revoked' }
    })
  }

  /** Commits a write that changes nothing, to see whether writing works. @throws GatewayError like append */
  async probe(): Promise<void> {
    await this.#transaction(async (client) => ({ result: await queryRows(client, PROBE_WRITE), word: null }))
  }

  #transaction<Result>(work: (client: Client) => Promise<Work<Result>>): Promise<Result> {
    const { schema, instanceId, where, onStage } = this.#options
    return this.#pool.withConnection(async (client) => {
      try {
        const results = await client.query(
          `${BEGIN}; ${advisoryLockSql(schema)}; SELECT log_id, timeline FROM log, header`,
        )
        const home = (results as unknown as QueryResult<Home>[])[2]!.rows[0]
        if (this.#logId !== null && home?.log_id !== this.#logId) throw storeReplaced(where)
        const timeline = timelineOf(client)
        // A standby was promoted: what the old primary had given out last may have got lost with it.
        if (timeline !== null && home !== undefined && timeline !== home.timeline)
          await skipIdsAfterRestore(client, Date.now())
        const { result, word, entries } = await work(client)
        onStage?.('in_transaction')
        await this.#commit(client, word === null ? '' : notifySql(schema, instanceId, word), entries)
        onStage?.('committed')
        return result
      } catch (error) {
        // Where the line is gone, so is the transaction.
        await client.query('ROLLBACK').catch(noop)
        throw error
      }
    })
  }

  async #commit(client: Client, notify: string, entries: readonly AppendEntry[] = []): Promise<void> {
    try {
      const done = await client.query(`${notify}COMMIT`)
      const { command } = [done].flat().at(-1)!
      // A transaction that has failed is "committed" without an error.
      if (command !== 'COMMIT') throw new GatewayError('storage_unavailable', `COMMIT was answered by ${command}.`)
    } catch (error) {
      // The answer was lost, and perhaps nothing else.
      for (const entry of entries) this.#uncertain.add(entry)
      throw error
    }
  }
}

interface Home {
  readonly log_id: string
  readonly timeline: string | null
}

/** What a piece of work has come to. */
interface Done<Result> {
  readonly result: Result
  /** What to remember where the commit is not answered. */
  readonly entries?: readonly AppendEntry[]
}

interface Work<Result> extends Done<Result> {
  readonly word: ChangeNotification | null
}

interface Growth<Result> extends Done<Result> {
  /** Messages were stored. */
  readonly grown: boolean
}
