import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import { noop } from '../core/noop.ts'
import { IndexSearch } from '../store/search/index-search.ts'
import type { MessageSearch } from '../store/search/search.ts'
import type { MessageStore } from '../store/store.ts'

/** Creates the search of a worker: by the store itself if it can, else with an index. null if SEARCH=off. */
export const createSearch = (
  { search, databaseFile }: Pick<Config, 'search' | 'databaseFile'>,
  store: MessageStore,
  logger: Logger,
): MessageSearch | null => {
  if (!search) return null
  if (store.search !== undefined) {
    return { start: noop, stop: async () => undefined, search: (query) => store.search!(query), status: null }
  }
  const onFault = (reason: string | null): void =>
    reason === null
      ? logger.info('search index recovered')
      : logger.warn({ cause: reason }, 'search index failed, will retry')
  return new IndexSearch({ databaseFile, onFault })
}
