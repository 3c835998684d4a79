import { randomBytes } from 'node:crypto'
import { createPublishedByVerifier } from '../amqp/published-by.ts'
import type { Config } from '../config/config.ts'
import { type QuarantineRow, type ReplayRequest, revalidate } from '../core/quarantine.ts'
import { createUuidV7Generator } from '../core/uuid.ts'
import type { QuarantineService } from '../http/routes/quarantine.ts'
import type { MessageStore } from '../store/store.ts'

/** The settings of the validation of a row. */
type ValidationConfig = Pick<Config, 'maxMessageBytes' | 'publishedByKey'>

export interface QuarantineServiceOptions extends ValidationConfig {
  readonly store: MessageStore
  /** Called with the number of messages that a replay has stored. */
  readonly onStored: (messages: number) => void
  /** Called with the error if the store failed, with null if a write succeeded. */
  readonly onStorageFault: (error: unknown) => void
}

/** Creates a function that validates rows of the quarantine as in ingest. */
export const createRevalidator = ({ maxMessageBytes: limit, publishedByKey }: ValidationConfig) => {
  const makeId = createUuidV7Generator(randomBytes)
  const verifyPublishedBy = createPublishedByVerifier(publishedByKey)
  return (rows: readonly QuarantineRow[]): ReplayRequest[] =>
    revalidate(rows, { limit, now: Date.now(), makeId, verifyPublishedBy })
}

/** Runs a write, and reports its error to the health of the store, or null if it succeeded. */
export const withHealthReport = async <Result>(
  onStorageFault: (error: unknown) => void,
  write: () => Promise<Result>,
): Promise<Result> => {
  try {
    const result = await write()
    onStorageFault(null)
    return result
  } catch (error) {
    onStorageFault(error)
    throw error
  }
}

/**
 * Creates the quarantine of the HTTP API. Rows are validated as in ingest, and outcomes are returned once they are
 * durable.
 */
export const createQuarantineService = (options: QuarantineServiceOptions): QuarantineService => {
  const { store, onStored, onStorageFault } = options
  const revalidateRows = createRevalidator(options)

  return {
    ...store.quarantine,
    replay: async (rows) => {
      if (rows.length === 0) return []
      const replays = revalidateRows(rows)
      const outcomes = await withHealthReport(onStorageFault, () => store.quarantine.replay(replays))
      const stored = outcomes.filter(({ kind }) => kind === 'stored').length
      if (stored > 0) onStored(stored)
      return outcomes
    },
    drop: (ids) => withHealthReport(onStorageFault, () => store.quarantine.drop(ids)),
  }
}
