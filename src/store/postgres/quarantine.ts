import { randomUUID } from 'node:crypto'
import { noop } from '../../core/noop.ts'
import type { ReplayRequest } from '../../core/quarantine.ts'
import type { QuarantineAccess } from '../sqlite/quarantine.ts'
import type { ReplayResult } from '../store.ts'
import { ConnectionFactory } from './connect.ts'
import { Pool } from './pool.ts'
import { deleteQuarantined, PostgresQuarantineReader, replayQuarantined } from './quarantine-reader.ts'
import { assertSchema } from './schema.ts'
import { describePostgres, type PostgresAddress } from './url.ts'
import { PostgresWriter } from './writer.ts'

/** Lock timeout of a write, in milliseconds. As long as the caller's retry pause, so that a signal ends the command soon. */
const LOCK_TIMEOUT_MS = 500

/**
 * Quarantine of a store in PostgreSQL for CLI commands, safe while gateways use the database. If another writer holds the lock, a write
 * fails with storage_busy, changes nothing and can be retried.
 */
export class PostgresQuarantine extends PostgresQuarantineReader implements QuarantineAccess {
  readonly #connections: Pool
  readonly #writer: PostgresWriter

  private constructor(pool: Pool, writer: PostgresWriter) {
    super(pool)
    this.#connections = pool
    this.#writer = writer
  }

  /** @throws GatewayError database_* if the store is not usable */
  static async open(address: PostgresAddress): Promise<PostgresQuarantine> {
    const { schema } = address
    const connector = new ConnectionFactory(address, { lockTimeoutMs: LOCK_TIMEOUT_MS }, noop)
    const pool = new Pool(connector, 1)
    const writer = new PostgresWriter(pool, { schema, where: describePostgres(address), instanceId: randomUUID() })
    try {
      await pool.withConnection(async (client) => {
        await assertSchema(client, schema)
        const { rows } = await client.query<{ log_id: string }>('SELECT log_id FROM log')
        writer.bindTo(rows[0]?.log_id ?? '')
      })
    } catch (error) {
      await pool.end()
      throw error
    }
    return new PostgresQuarantine(pool, writer)
  }

  close(): Promise<void> {
    return this.#connections.end()
  }

  replay(replays: readonly ReplayRequest[]): Promise<ReplayResult[]> {
    return replayQuarantined(this.#writer, replays)
  }

  drop(ids: readonly number[]): Promise<number> {
    return deleteQuarantined(this.#writer, ids)
  }
}
