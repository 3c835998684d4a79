import { sql } from 'kysely'
import type { QuarantineFilter } from '../../core/quarantine-filter.ts'
import { QUARANTINE_ENVELOPE_COLUMNS, QUARANTINE_SUMMARY_COLUMNS } from '../tables.ts'
import { compileSql, db, namedParam } from './queries.ts'

const BY_ID = { rejected_id: namedParam('rejected_id') }

export const DELETE_ROW = compileSql(db.deleteFrom('rejected').where('rejected_id', '=', BY_ID.rejected_id))

export const ROW_EXISTS = compileSql(
  db.selectFrom('rejected').select('rejected_id').where('rejected_id', '=', BY_ID.rejected_id),
)

export const UPDATE_REASON = compileSql(
  db
    .updateTable('rejected')
    .set({ reason: namedParam<string>('reason'), detail: namedParam<string>('detail') })
    .where('rejected_id', '=', BY_ID.rejected_id),
)

/** Columns of a page of rows. */
const COLUMNS = {
  id: ['rejected_id'],
  line: QUARANTINE_SUMMARY_COLUMNS,
  head: QUARANTINE_ENVELOPE_COLUMNS,
  whole: [...QUARANTINE_ENVELOPE_COLUMNS, 'body'],
} as const

export type Columns = keyof typeof COLUMNS

/** Escapes GLOB's special characters, except `*`. */
const toGlobPattern = (pattern: string): string => pattern.replace(/[[?]/g, '[$&]')

/** Returns the named parameters of a filter. Lists are passed as JSON, so that one SQL text serves lists of any length. */
export const filterParams = ({
  ids,
  reasons,
  routingKey,
  since,
}: QuarantineFilter): Record<string, string | number> => ({
  ...(ids !== null && { ids: JSON.stringify(ids) }),
  ...(reasons !== null && { reasons: JSON.stringify(reasons) }),
  ...(routingKey !== null && { routing_key: toGlobPattern(routingKey) }),
  ...(since !== null && { since }),
})

/** Rows between @after and @before that match a filter. */
const filteredQuery = ({ ids, reasons, routingKey, since }: QuarantineFilter) => {
  let query = db
    .selectFrom('rejected')
    .where('rejected_id', '>', namedParam('after'))
    .where('rejected_id', '<', namedParam('before'))
  if (ids !== null) query = query.where(sql<boolean>`rejected_id IN (SELECT value FROM json_each(@ids))`)
  if (reasons !== null) query = query.where(sql<boolean>`reason IN (SELECT value FROM json_each(@reasons))`)
  if (routingKey !== null) query = query.where(sql<boolean>`routing_key GLOB @routing_key`)
  if (since !== null) query = query.where('received_at', '>=', namedParam('since'))
  return query
}

/** Matching rows in either direction, at most @limit. */
export const pageQuery = (filter: QuarantineFilter, direction: 'asc' | 'desc', columns: Columns): string =>
  compileSql(
    filteredQuery(filter).select(COLUMNS[columns]).orderBy('rejected_id', direction).limit(namedParam('limit')),
  )

/** One row with only the first @bytes of its body. */
export const SELECT_ROW = compileSql(
  db
    .selectFrom('rejected')
    .select([...COLUMNS.head, sql<Buffer>`substr(body, 1, @bytes)`.as('body')])
    .where('rejected_id', '=', BY_ID.rejected_id),
)

/** Number of rows per reason, among the newest @limit rows. */
export const REASONS = compileSql(
  db
    .selectFrom(
      db.selectFrom('rejected').select('reason').orderBy('rejected_id', 'desc').limit(namedParam('limit')).as('newest'),
    )
    .select(['reason', sql<number>`count(*)`.as('rows')])
    .groupBy('reason')
    .orderBy('rows', 'desc'),
)

/** The greatest rejected_id, or 0 if there is none. */
export const LAST_ID = compileSql(db.selectFrom('rejected').select(sql<number>`coalesce(max(rejected_id), 0)`.as('id')))

/** The number of matching rows, and the greatest rejected_id among them. */
export const countQuery = (filter: QuarantineFilter): string =>
  compileSql(
    filteredQuery(filter).select([
      sql<number>`count(*)`.as('rows'),
      sql<number>`coalesce(max(rejected_id), 0)`.as('last_rejected_id'),
    ]),
  )
