import type Database from 'better-sqlite3'
import { MAX_PENDING_COUNT } from '../../../core/edge-state.ts'
import { createFilter } from '../../../core/subscription-filter.ts'
import { MAX_DB_ID } from '../../scan.ts'
import type { Following, FollowState, PrunedBound } from '../../store-copy.ts'
import { selectionParams, windowMessages } from '../queries.ts'

/** SQL that restricts events to those of the parameters e0, e1 …; '' for all. */
const amongEvents = (events: readonly string[] | '*', keyword: string): string =>
  events === '*' ? '' : `${keyword} event_id IN (${events.map((_, index) => `@e${index}`).join(', ')})`

const totals = (events: readonly string[] | '*'): string => `SELECT
  (SELECT coalesce(sum(messages), 0) FROM event ${amongEvents(events, 'WHERE')}) AS total,
  (SELECT printf('%d %d', count(*), sum(pruned_db_id)) FROM event WHERE pruned_db_id > 0 ${amongEvents(events, 'AND')}) AS pruned`

const prunedBounds = (events: readonly string[] | '*'): string => `SELECT event_id, pruned_db_id FROM event
  WHERE pruned_db_id > 0 AND event_id > @after ${amongEvents(events, 'AND')} ORDER BY event_id LIMIT @limit`

export interface FollowQueryOptions {
  readonly prepare: (sql: string) => Database.Statement
  readonly reading: <Result>(read: () => Result) => Result
}

/** What edges read besides the messages. */
export const createFollowing = ({ prepare, reading }: FollowQueryOptions): Following => ({
  state: async (events, after) =>
    reading((): FollowState => {
      const filter = createFilter(events)
      const params = selectionParams(filter)
      const range = { after, before: MAX_DB_ID, limit: MAX_PENDING_COUNT }
      const pending =
        filter.events.length === 0
          ? 0
          : prepare(windowMessages(filter, 'asc', 'db_id'))
              .pluck()
              .all({ ...params, ...range }).length
      const { total, pruned } = prepare(totals(filter.events)).get(params) as { total: number; pruned: string }
      return { total, pruned, pending }
    }),
  pruned: async (events, after, limit) =>
    reading(() => {
      const filter = createFilter(events)
      return prepare(prunedBounds(filter.events)).all({ ...selectionParams(filter), after, limit }) as PrunedBound[]
    }),
})
