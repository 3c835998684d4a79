import { sql } from 'kysely'
import { db, param, text } from './sqlite-queries.ts'

/** Which rows of the quarantine are meant. All that is said must hold. */
export interface RejectedFilter {
  /** null: any. */
  readonly ids: readonly number[] | null
  readonly reasons: readonly string[] | null
  /** A routing key in which `*` stands for any characters. */
  readonly routingKey: string | null
  /** Received at or after this time, in milliseconds since 1970. */
  readonly since: number | null
}

const BY_ID = { rejected_id: param('rejected_id') }

export const FORGET = text(db.deleteFrom('rejected').where('rejected_id', '=', BY_ID.rejected_id))

export const IS_THERE = text(
  db.selectFrom('rejected').select('rejected_id').where('rejected_id', '=', BY_ID.rejected_id),
)

export const KEEP = text(
  db
    .updateTable('rejected')
    .set({ reason: param<string>('reason'), detail: param<string>('detail') })
    .where('rejected_id', '=', BY_ID.rejected_id),
)

const HEAD = [
  'rejected_id',
  'received_at',
  'reason',
  'detail',
  'exchange',
  'routing_key',
  'headers',
  'properties',
  'body_bytes',
  'sha256',
] as const

/** GLOB's own signs, but for the star, stand for themselves. */
const globOf = (pattern: string): string => pattern.replace(/[[?]/g, '[$&]')

/** The named parameters of a filter. Lists go as JSON, so that one text serves lists of any length. */
export const filterParams = ({ ids, reasons, routingKey, since }: RejectedFilter): Record<string, string | number> => ({
  ...(ids !== null && { ids: JSON.stringify(ids) }),
  ...(reasons !== null && { reasons: JSON.stringify(reasons) }),
  ...(routingKey !== null && { routing_key: globOf(routingKey) }),
  ...(since !== null && { since }),
})

/** Rows between @after and @before that a filter lets through. */
const filtered = ({ ids, reasons, routingKey, since }: RejectedFilter) => {
  let query = db
    .selectFrom('rejected')
    .where('rejected_id', '>', param('after'))
    .where('rejected_id', '<', param('before'))
  if (ids !== null) query = query.where(sql<boolean>`rejected_id IN (SELECT value FROM json_each(@ids))`)
  if (reasons !== null) query = query.where(sql<boolean>`reason IN (SELECT value FROM json_each(@reasons))`)
  if (routingKey !== null) query = query.where(sql<boolean>`routing_key GLOB @routing_key`)
  if (since !== null) query = query.where('received_at', '>=', param('since'))
  return query
}

/** Rows without their bodies, or whole, in either direction, at most @limit. */
export const pageOf = (filter: RejectedFilter, direction: 'asc' | 'desc', whole: boolean): string =>
  text(
    filtered(filter)
      .select(whole ? [...HEAD, 'body'] : HEAD)
      .orderBy('rejected_id', direction)
      .limit(param('limit')),
  )

/** How many rows there are, and the greatest id among them. */
export const countOf = (filter: RejectedFilter): string =>
  text(
    filtered(filter).select([
      sql<number>`count(*)`.as('rows'),
      sql<number>`coalesce(max(rejected_id), 0)`.as('last_rejected_id'),
    ]),
  )
