import { randomBytes } from 'node:crypto'
import { revalidate } from '../core/quarantine.ts'
import { createUuidV7Generator } from '../core/uuid.ts'
import type { QuarantineService } from '../http/routes/quarantine.ts'
import type { MessageStore } from '../store/store.ts'

export interface QuarantineServiceOptions {
  readonly store: MessageStore
  readonly maxMessageBytes: number
  /** Called with the number of messages that a replay has stored. */
  readonly onStored: (messages: number) => void
  /** Called with the error if the store failed, with null if a write succeeded. */
  readonly onStorageFault: (error: unknown) => void
}

/**
 * Creates the quarantine of the HTTP API. Rows are validated as in ingest, and outcomes are returned once they are
 * durable.
 */
export const createQuarantineService = (options: QuarantineServiceOptions): QuarantineService => {
  const { store, maxMessageBytes, onStored, onStorageFault } = options
  const makeId = createUuidV7Generator(randomBytes)

  const withHealthReport = async <Result>(write: () => Promise<Result>): Promise<Result> => {
    try {
      const result = await write()
      onStorageFault(null)
      return result
    } catch (error) {
      onStorageFault(error)
      throw error
    }
  }

  return {
    ...store.quarantine,
    replay: async (rows) => {
      if (rows.length === 0) return []
      const replays = revalidate(rows, maxMessageBytes, Date.now(), makeId)
      const outcomes = await withHealthReport(() => store.quarantine.replay(replays))
      const stored = outcomes.filter(({ kind }) => kind === 'stored').length
      if (stored > 0) onStored(stored)
      return outcomes
    },
    drop: (ids) => withHealthReport(() => store.quarantine.drop(ids)),
  }
}
