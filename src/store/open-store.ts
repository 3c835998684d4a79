import { randomUUID } from 'node:crypto'
import { PostgresQuarantine } from './postgres/quarantine.ts'
import { PostgresLog, type PostgresLogOptions } from './postgres/store.ts'
import { describePostgres, type PostgresAddress } from './postgres/url.ts'
import { Quarantine, type QuarantineStore } from './sqlite/quarantine.ts'
import { SqliteLog } from './sqlite/store.ts'
import type { Log } from './store.ts'

/** Where the log lies. */
export interface LogPlace {
  /** Path of the SQLite file. */
  readonly databaseFile: string
  /** null: the log is in SQLite. */
  readonly postgres: PostgresAddress | null
  readonly databaseConnections: number
}

/** The log at its place, not started yet. What is heard of other hosts comes by the callbacks. */
export const openLog = (
  { databaseFile: file, postgres, databaseConnections }: LogPlace,
  callbacks: Pick<PostgresLogOptions, 'onGrown' | 'onRevoked' | 'onWarning'>,
): Log => {
  const own = { newLogId: randomUUID(), now: Date.now() }
  if (postgres === null) return new SqliteLog({ ...own, file })
  return new PostgresLog({ ...own, ...callbacks, address: postgres, connections: databaseConnections })
}

/** The quarantine of the log at its place. @throws GatewayError database_* when there is no usable log */
export const openQuarantine = async ({
  databaseFile,
  postgres,
}: Omit<LogPlace, 'databaseConnections'>): Promise<QuarantineStore> =>
  postgres === null ? new Quarantine(databaseFile) : PostgresQuarantine.open(postgres)

/** The place for people and logs; nothing secret is in it. */
export const describePlace = ({ databaseFile, postgres }: Omit<LogPlace, 'databaseConnections'>): string =>
  postgres === null ? databaseFile : describePostgres(postgres)
