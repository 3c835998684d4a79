import { noop } from '../../core/noop.ts'
import type { StoreLocation } from '../open-store.ts'
import { PostgresSource } from './postgres-source.ts'
import { PostgresTarget } from './postgres-target.ts'
import { SqliteSource } from './sqlite-source.ts'
import { SqliteTarget } from './sqlite-target.ts'
import type { TransferSource, TransferTarget } from './tables.ts'

type Location = Omit<StoreLocation, 'databaseConnections'>

/** Creates the source of a copy for a location; transferStore opens it. */
export const createSource = ({ databaseFile, postgres }: Location): TransferSource =>
  postgres === null ? new SqliteSource(databaseFile) : new PostgresSource(postgres, noop)

/** Creates the target of a copy for a location; transferStore opens it. */
export const createTarget = ({ databaseFile, postgres }: Location): TransferTarget =>
  postgres === null ? new SqliteTarget(databaseFile) : new PostgresTarget(postgres, noop)
