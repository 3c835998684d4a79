import { randomUUID } from 'node:crypto'
import { PostgresQuarantine } from './postgres/quarantine.ts'
import { type PostgresLogOptions, PostgresStore } from './postgres/store.ts'
import { describePostgres, type PostgresAddress } from './postgres/url.ts'
import { type QuarantineAccess, SqliteQuarantine } from './sqlite/quarantine.ts'
import { SqliteStore } from './sqlite/store.ts'
import type { MessageStore } from './store.ts'

/** Where the log lies. */
export interface StoreLocation {
  /** Path of the SQLite file. */
  readonly databaseFile: string
  /** null: the log is in SQLite. */
  readonly postgres: PostgresAddress | null
  readonly databaseConnections: number
}

/** The log at its place, not started yet. What is heard of other hosts comes by the callbacks. */
export const openStore = (
  { databaseFile: file, postgres, databaseConnections }: StoreLocation,
  callbacks: Pick<PostgresLogOptions, 'onGrown' | 'onRevoked' | 'onWarning'>,
): MessageStore => {
  const own = { newLogId: randomUUID(), now: Date.now() }
  if (postgres === null) return new SqliteStore({ ...own, file, onWarning: callbacks.onWarning })
  return new PostgresStore({ ...own, ...callbacks, address: postgres, connections: databaseConnections })
}

/** The quarantine of the log at its place. @throws GatewayError database_* when there is no usable log */
export const openQuarantine = async ({
  databaseFile,
  postgres,
}: Omit<StoreLocation, 'databaseConnections'>): Promise<QuarantineAccess> =>
  postgres === null ? new SqliteQuarantine(databaseFile) : PostgresQuarantine.open(postgres)

/** The place for people and logs; nothing secret is in it. */
export const describeLocation = ({ databaseFile, postgres }: Omit<StoreLocation, 'databaseConnections'>): string =>
  postgres === null ? databaseFile : describePostgres(postgres)
