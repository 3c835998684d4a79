import { randomBytes } from 'node:crypto'
import { recheck } from '../core/quarantine.ts'
import { uuidMaker } from '../core/uuid.ts'
import type { RejectedPort } from '../http/routes/quarantine.ts'
import type { Log } from '../store/store.ts'

export interface RejectedPortOptions {
  readonly log: Log
  readonly maxMessageBytes: number
  /** So many messages were committed out of the quarantine. */
  readonly onStored: (messages: number) => void
  /** The store failed, or, by null, works again. */
  readonly onStorageFault: (error: unknown) => void
}

/** The quarantine over HTTP: rows are checked as ingest checks deliveries, and their fate is told once it is durable. */
export const rejectedPort = (options: RejectedPortOptions): RejectedPort => {
  const { log, maxMessageBytes, onStored, onStorageFault } = options
  const makeId = uuidMaker(randomBytes)

  const writing = async <Result>(write: () => Promise<Result>): Promise<Result> => {
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
    ...log.quarantine,
    replay: async (rows) => {
      if (rows.length === 0) return []
      const replays = recheck(rows, maxMessageBytes, Date.now(), makeId)
      const outcomes = await writing(() => log.quarantine.replay(replays))
      const stored = outcomes.filter(({ kind }) => kind === 'stored').length
      if (stored > 0) onStored(stored)
      return outcomes
    },
    drop: (ids) => writing(() => log.quarantine.drop(ids)),
  }
}
