import { tryListenerLockSql } from '../postgres/listener.ts'
import { assertSourceSchema, retireSchema, skipIdsAfterRestore } from '../postgres/schema.ts'
import { getTimelineId } from '../postgres/server/session.ts'
import { tryConnectionLockSql } from '../postgres/writer.ts'
import { PostgresTables } from './postgres-tables.ts'
import type { StoreIdentity, TransferSource } from './tables.ts'

const COUNT_ROWS =
  'SELECT ((SELECT coalesce(sum(messages), 0) FROM event) + (SELECT count(*) FROM rejected))::bigint AS rows'

/** A store in PostgreSQL, as the source of a copy. */
export class PostgresSource extends PostgresTables implements TransferSource {
  async open(): Promise<StoreIdentity & { readonly moved: boolean }> {
    await this.connect()
    const moved = await this.run((client) => assertSourceSchema(client, this.address.schema))
    return { ...(await this.identity()), moved }
  }

  async countRows(): Promise<number> {
    return (await this.query<{ rows: number }>(COUNT_ROWS))[0]!.rows
  }

  async tryLock(): Promise<boolean> {
    const { schema } = this.address
    for (const sql of [tryListenerLockSql(schema), tryConnectionLockSql(schema)]) {
      const [row] = await this.query<{ locked: boolean }>(sql)
      if (row!.locked) continue
      await this.query('SELECT pg_advisory_unlock_all()')
      return false
    }
    await this.#skipLostIds()
    return true
  }

  retire(): Promise<void> {
    return this.run(retireSchema)
  }

  /** A standby was promoted, and no gateway has written since: the last ids of the old primary can be lost. */
  async #skipLostIds(): Promise<void> {
    const timeline = getTimelineId(this.client)
    const [header] = await this.query<{ timeline: string | null }>('SELECT timeline FROM header')
    if (timeline === null || header === undefined || header.timeline === timeline) return
    await this.query('BEGIN')
    await this.run(skipIdsAfterRestore)
    await this.query('COMMIT')
  }
}
