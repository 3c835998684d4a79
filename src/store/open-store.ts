import { randomUUID } from 'node:crypto'
import { PostgresQuarantine } from './postgres/quarantine.ts'
import { PostgresStore, type PostgresStoreOptions } from './postgres/store.ts'
import { describePostgres, type PostgresAddress } from './postgres/url.ts'
import { fileIdentities, sharedPaths } from './sqlite/open-files.ts'
import { type QuarantineAccess, SqliteQuarantine } from './sqlite/quarantine.ts'
import { SqliteStore } from './sqlite/store.ts'
import type { MessageStore, StoreCallbacks } from './store.ts'

/** Location of the store, and how many connections it can use. */
export interface StoreLocation {
  /** Path of the SQLite file. */
  readonly databaseFile: string
  /** Address of the PostgreSQL database, or null if the store is an SQLite file. */
  readonly postgres: PostgresAddress | null
  /** Maximum number of PostgreSQL connections. */
  readonly databaseConnections: number
  /** Set if the store is the copy of an edge, which is always an SQLite file. */
  readonly upstream?: object | null
}

/** Creates the store for a location; the caller starts it. Notifications from other hosts are passed to the callbacks. */
export const openStore = (
  { databaseFile: file, postgres, databaseConnections, upstream = null }: StoreLocation,
  callbacks: Pick<PostgresStoreOptions, 'damage' | 'onAppended' | 'onRevoked' | 'onSessionEnd' | 'onWarning'> &
    StoreCallbacks,
): MessageStore => {
  const identity = { newLogId: randomUUID(), now: Date.now() }
  if (postgres === null) {
    const { damage, onWarning, onUnusable } = callbacks
    return new SqliteStore({ ...identity, file, edge: upstream !== null, damage, onWarning, onUnusable })
  }
  return new PostgresStore({ ...identity, ...callbacks, address: postgres, connections: databaseConnections })
}

/** Opens the quarantine of the store at a location. @throws GatewayError database_* if the store is not usable */
export const openQuarantine = async ({
  databaseFile,
  postgres,
}: Omit<StoreLocation, 'databaseConnections'>): Promise<QuarantineAccess> =>
  postgres === null ? new SqliteQuarantine(databaseFile) : PostgresQuarantine.open(postgres)

/** Describes a location for log messages, without secrets. */
export const describeLocation = ({ databaseFile, postgres }: Omit<StoreLocation, 'databaseConnections'>): string =>
  postgres === null ? databaseFile : describePostgres(postgres)

/** Returns the identities of the files of a store, as one text; '' for PostgreSQL. */
export const databaseFiles = ({ databaseFile, postgres }: Omit<StoreLocation, 'databaseConnections'>): string =>
  postgres === null ? fileIdentities(databaseFile) : ''

/** Returns the files and the folder of a store to which other users of this host have access; none for PostgreSQL. */
export const sharedDatabasePaths = ({
  databaseFile,
  postgres,
}: Omit<StoreLocation, 'databaseConnections'>): string[] => (postgres === null ? sharedPaths(databaseFile) : [])
