import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import { noop } from '../core/noop.ts'
import { IndexSearch } from '../store/search/index-search.ts'
import type { MessageSearch } from '../store/search/search.ts'
import type { MessageStore } from '../store/store.ts'

/** Connections that searches never use: for the tailer, reads, commits and notifications. */
const OTHER_CONNECTIONS = 3
const MAX_SCANS = 2

/** Creates the search of a worker: by the store itself if it can, else with an index. null if SEARCH=off. */
export const createSearch = (
  { search, databaseFile, databaseConnections }: Pick<Config, 'search' | 'databaseFile' | 'databaseConnections'>,
  store: MessageStore,
  logger: Logger,
): MessageSearch | null => {
  if (!search) return null
  if (store.search !== undefined) {
    return {
      start: noop,
      stop: async () => undefined,
      maxConcurrent: Math.max(1, Math.min(MAX_SCANS, databaseConnections - OTHER_CONNECTIONS)),
      search: (query, signal) => store.search!(query, signal),
      status: null,
    }
  }
  const onFault = (reason: string | null): void =>
    reason === null
      ? logger.info('search index recovered')
      : logger.warn({ cause: reason }, 'search index failed, will retry')
  return new IndexSearch({ databaseFile, onFault })
}
