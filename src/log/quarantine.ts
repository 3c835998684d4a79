import type Database from 'better-sqlite3'
import type { Replay } from '../message/rejected.ts'
import type { ReplayOutcome } from './log.ts'
import { QuarantineReader } from './quarantine-reader.ts'
import { openConnection, requireFile } from './sqlite-file.ts'
import { SqliteWriter, storageError } from './sqlite-writer.ts'

/**
 * The quarantine of a database, for a visitor beside a gateway that may run on it. Nothing here waits for a lock: a
 * write that finds the database busy fails with storage_busy, has changed nothing and may be tried again.
 */
export class Quarantine extends QuarantineReader {
  readonly #file: string
  readonly #db: Database.Database
  #writer: SqliteWriter | null = null

  /** @throws GatewayError database_* when there is no usable database */
  constructor(file: string) {
    requireFile(file)
    const db = open(file)
    super((sql) => db.prepare(sql))
    this.#file = file
    this.#db = db
  }

  close(): void {
    // The reader closes first: the last connection to close checkpoints the WAL, and it must be able to write.
    this.#db.close()
    this.#writer?.close()
  }

  /** Stores what the checks now accept and removes it from the quarantine, in one transaction. @throws GatewayError storage_* */
  replay(replays: readonly Replay[]): ReplayOutcome[] {
    return this.#writing().replay(replays)
  }

  /** Removes rows for good. @returns how many were there. @throws GatewayError storage_* */
  drop(ids: readonly number[]): number {
    return this.#writing().forget(ids)
  }

  #writing(): SqliteWriter {
    try {
      return (this.#writer ??= new SqliteWriter(this.#file))
    } catch (error) {
      throw storageError(error)
    }
  }
}

const open = (file: string): Database.Database => {
  try {
    return openConnection(file, { readonly: true })
  } catch (error) {
    throw storageError(error)
  }
}
