import type { SubscriptionFilter } from '../../core/subscription-filter.ts'
import { DELIVERY_COLUMNS } from '../tables.ts'
import { HEAD_SQL, type Prepared } from './queries.ts'
import { escapeNul } from './values.ts'

/** Above every db_id. */
export const MAX_DB_ID = Number.MAX_SAFE_INTEGER

/** Rows that one call looks at under a filter, so that a filter that matches nothing walks no whole log. */
const WINDOW = 2_000

export type Direction = 'asc' | 'desc'

/** A range of a selection, its bounds exclusive. */
export interface Range {
  readonly after: number
  readonly before: number
  /** Messages at most. */
  readonly limit: number
  /** Bodies are left out once those before them reach this. */
  readonly bytes: number
}

/** A prepared statement with its values. */
export interface PreparedCall extends Prepared {
  readonly values: unknown[]
}

/** Collects values, and gives each its place in the text. */
const placesOf = () => {
  const values: unknown[] = []
  return { values, place: (value: unknown, type: string) => `$${values.push(value)}::${type}` }
}

/**
 * The db_ids of the named events in a range. Pairs are compared and ordered as pairs, so that only the index on
 * (event_id, db_id) can serve: by the primary key a quiet event would be looked for in the whole log.
 */
const idsOfEvents = (events: string, after: string, before: string, direction: Direction, limit: string): string =>
  `SELECT one.db_id FROM unnest(${events}) AS wanted (event_id) CROSS JOIN LATERAL (
    SELECT message.db_id FROM message
    WHERE (message.event_id, message.db_id) > (wanted.event_id, ${after})
      AND (message.event_id, message.db_id) < (wanted.event_id, ${before})
    ORDER BY message.event_id ${direction}, message.db_id ${direction} LIMIT ${limit}) AS one
  ORDER BY one.db_id ${direction} LIMIT ${limit}`

/** Rows of all events in a range. */
const rowsOfAll = (what: string, after: string, before: string, direction: Direction, limit: string): string =>
  `SELECT ${what} FROM message WHERE db_id > ${after} AND db_id < ${before} ORDER BY db_id ${direction} LIMIT ${limit}`

/**
 * The messages of a selection in a range, or their db_ids alone. Each row carries the log's head of the same moment;
 * where there are no messages, one row has nothing else. Under a filter, `edge` is the first db_id that was not looked
 * at; NULL: all were.
 */
export const windowQuery = (
  filter: SubscriptionFilter,
  direction: Direction,
  columns: 'all' | 'db_id',
  range: Range,
): PreparedCall => {
  const { values, place } = placesOf()
  const after = place(range.after, 'bigint')
  const before = place(range.before, 'bigint')
  const limit = place(range.limit, 'bigint')
  const events = filter.events === '*' ? null : place(filter.events.map(escapeNul), 'text[]')
  const ids = (most: string) =>
    events === null
      ? rowsOfAll('db_id', after, before, direction, most)
      : idsOfEvents(events, after, before, direction, most)

  const names: readonly string[] = columns === 'all' ? DELIVERY_COLUMNS : ['db_id']
  const joined = `SELECT ${names.map((name) => `message.${name}`).join(', ')} FROM ids JOIN message ON message.db_id = ids.db_id`
  const ordered = `ORDER BY message.db_id ${direction} LIMIT ${limit}`
  const filters: string[] = []
  for (const [column, list] of [
    ['message_type', filter.types],
    ['message_from', filter.senders],
  ] as const) {
    if (list !== null) filters.push(`message.${column} = ANY(${place(list.map(escapeNul), 'text[]')})`)
  }

  let tables = ''
  let edge = 'NULL::bigint'
  let rows = `${joined} ${ordered}`
  if (filters.length > 0) {
    const [beyond, furthest] = direction === 'asc' ? ['<', 'max'] : ['>', 'min']
    edge = '(SELECT edge FROM looked)'
    filters.push(`(${edge} IS NULL OR message.db_id ${beyond} ${edge})`)
    tables = `WITH ids AS MATERIALIZED (${ids(String(WINDOW + 1))}),
looked AS (SELECT CASE WHEN count(*) = ${WINDOW + 1} THEN ${furthest}(db_id) END AS edge FROM ids)\n`
    rows = `${joined} WHERE ${filters.join(' AND ')} ${ordered}`
  } else if (events !== null) tables = `WITH ids AS (${ids(limit)})\n`
  else rows = rowsOfAll(names.join(', '), after, before, direction, limit)

  if (columns === 'all') {
    // A row beyond the bytes comes without its body, and says so by that.
    rows = `SELECT rows.*, sum(octet_length(body)) OVER (ORDER BY db_id ${direction} ROWS UNBOUNDED PRECEDING)
  - octet_length(body) < ${place(range.bytes, 'numeric')} AS fits FROM (${rows}) AS rows`
  }
  const shown = names.map((name) => (name === 'body' ? 'CASE WHEN fits THEN body END AS body' : name)).join(', ')
  return {
    name: `${columns} ${direction} ${events !== null} ${filter.types !== null} ${filter.senders !== null}`,
    text: `${tables}SELECT head, ${edge} AS edge, ${shown}
FROM (SELECT ${HEAD_SQL}::bigint AS head) AS log LEFT JOIN (${rows}) AS page ON true ORDER BY db_id ${direction}`,
    values,
  }
}
