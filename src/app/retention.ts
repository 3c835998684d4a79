import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import { RetentionJob } from '../store/retention.ts'
import type { MessageStore } from '../store/store.ts'
import type { StreamHub } from '../streams/hub.ts'

/** Creates the retention of a worker, which logs what it does. */
export const createRetention = (
  { retention }: Pick<Config, 'retention'>,
  store: MessageStore,
  hub: StreamHub,
  logger: Logger,
): RetentionJob =>
  new RetentionJob({
    store,
    ...retention,
    onPruned: (removed) => {
      hub.clearHistoryCache()
      logger.info({ deleted: removed }, 'retention deleted messages')
    },
    onClockJump: (reason) =>
      logger.warn({ cause: reason }, 'retention by age paused for a day because the clock may be wrong'),
    onFault: (error) => logger.warn({ err: error }, 'retention run failed, will retry'),
  })
