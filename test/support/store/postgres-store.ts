import { PostgresStore, type PostgresStoreOptions } from '../../../src/store/postgres/store.ts'
import { parsePostgresUrl } from '../../../src/store/postgres/url.ts'
import { advisoryLockSql } from '../../../src/store/postgres/writer.ts'
import { connect, extractSchemaName, freshSchema, rejectedIn, sharedPostgres } from '../servers/postgres.ts'
import { fresh } from '../stages/entries.ts'
import { type LogKind, type Store, spawnWriter } from './sqlite-store.ts'

/** Timeout of a write for a lock that a test holds. */
const LOCK_TIMEOUT_MS = 500

export const openPostgres = async (
  url: string,
  options: Partial<PostgresStoreOptions> = {},
): Promise<PostgresStore> => {
  const log = new PostgresStore({
    address: parsePostgresUrl(url),
    connections: 4,
    newLogId: fresh('log'),
    now: 1,
    lockTimeoutMs: LOCK_TIMEOUT_MS,
    ...options,
  })
  await log.start()
  return log
}

const makePostgresStore = async (): Promise<Store> => {
  const url = freshSchema(await sharedPostgres())
  const schema = extractSchemaName(url)
  const logs: PostgresStore[] = []
  const db = await connect(url)
  return {
    open: async () => {
      const log = await openPostgres(url)
      logs.push(log)
      return log
    },
    search: (query) => logs[0]!.search(query, new AbortController().signal),
    rejected: () => rejectedIn(url),
    lock: async () => {
      await db.query(`BEGIN; ${advisoryLockSql(schema)}`)
      return async () => void (await db.query('COMMIT'))
    },
    breakAppends: async () => {
      await db.query(`CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'broken by the test'; END$$;
        CREATE TRIGGER broken_insert BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION broken()`)
      return async () => void (await db.query('DROP TRIGGER broken_insert ON event'))
    },
    writerProcess: (events, count) => spawnWriter(url, events, count),
    dispose: async () => {
      for (const log of logs) await log.stop()
      await db.query(`DROP SCHEMA "${schema}" CASCADE`)
      await db.end()
    },
  }
}

/** The store as gateways on several hosts share it. */
export const POSTGRES: LogKind = { name: 'PostgreSQL', makeStore: makePostgresStore }
