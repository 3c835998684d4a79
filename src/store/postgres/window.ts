import type { SubscriptionFilter } from '../../core/subscription-filter.ts'
import { SCAN_WINDOW } from '../scan.ts'
import { DELIVERY_COLUMNS } from '../tables.ts'
import { HEAD_SQL, type Prepared } from './queries.ts'
import { escapeNul } from './values.ts'

export type Direction = 'asc' | 'desc'

/** A range of db_ids with exclusive bounds, and the limits of a page. */
export interface Range {
  readonly after: number
  readonly before: number
  /** Maximum number of messages. */
  readonly limit: number
  /** Rows are returned without their body once the bodies before them reach this many bytes. */
  readonly bytes: number
  readonly search?: {
    /** Regular expressions that the body matches in any case, all of them. */
    readonly patterns: readonly string[]
    /** Maximum number of rows scanned. */
    readonly rows: number
  }
}

/** A prepared statement and its values. */
export interface PreparedCall extends Prepared {
  readonly values: unknown[]
}

/** Collects values and returns the placeholder of each. */
const createParameters = () => {
  const values: unknown[] = []
  return { values, addParameter: (value: unknown, type: string) => `$${values.push(value)}::${type}` }
}

/**
 * SQL for the db_ids of the given events in a range. Comparing and ordering (event_id, db_id) as pairs forces the index on these columns;
 * with the primary key, the search for a quiet event would scan the whole store.
 */
const idsOfEvents = (events: string, after: string, before: string, direction: Direction, limit: string): string =>
  `SELECT one.db_id FROM unnest(${events}) AS wanted (event_id) CROSS JOIN LATERAL (
    SELECT message.db_id FROM message
    WHERE (message.event_id, message.db_id) > (wanted.event_id, ${after})
      AND (message.event_id, message.db_id) < (wanted.event_id, ${before})
    ORDER BY message.event_id ${direction}, message.db_id ${direction} LIMIT ${limit}) AS one
  ORDER BY one.db_id ${direction} LIMIT ${limit}`

/** SQL for the rows of all events in a range. */
const rowsOfAll = (columns: string, after: string, before: string, direction: Direction, limit: string): string =>
  `SELECT ${columns} FROM message WHERE db_id > ${after} AND db_id < ${before} ORDER BY db_id ${direction} LIMIT ${limit}`

/**
 * Builds the query for the matching messages in a range, or only for their db_ids. Each row also has the greatest db_id of the store at the
 * same moment; if no message matches, one row has only that. If types or senders are filtered, `edge` is the first db_id that was not
 * scanned, or NULL if the whole range was.
 */
export const windowQuery = (
  filter: SubscriptionFilter,
  direction: Direction,
  columns: 'all' | 'db_id',
  range: Range,
): PreparedCall => {
  const { values, addParameter } = createParameters()
  const after = addParameter(range.after, 'bigint')
  const before = addParameter(range.before, 'bigint')
  const limit = addParameter(range.limit, 'bigint')
  const events = filter.events === '*' ? null : addParameter(filter.events.map(escapeNul), 'text[]')
  const ids = (maxRows: string) =>
    events === null
      ? rowsOfAll('db_id', after, before, direction, maxRows)
      : idsOfEvents(events, after, before, direction, maxRows)

  const names: readonly string[] = columns === 'all' ? DELIVERY_COLUMNS : ['db_id']
  const joined = `SELECT ${names.map((name) => `message.${name}`).join(', ')} FROM ids JOIN message ON message.db_id = ids.db_id`
  const ordered = `ORDER BY message.db_id ${direction} LIMIT ${limit}`
  const filters: string[] = []
  for (const [column, list] of [
    ['message_type', filter.types],
    ['message_from', filter.senders],
  ] as const) {
    if (list !== null) filters.push(`message.${column} = ANY(${addParameter(Array.from(list, escapeNul), 'text[]')})`)
  }
  if (range.search !== undefined) filters.push(`message.body ~* ALL(${addParameter(range.search.patterns, 'text[]')})`)

  let tables = ''
  let edge = 'NULL::bigint'
  let rows = `${joined} ${ordered}`
  if (filters.length > 0) {
    const [comparison, aggregate] = direction === 'asc' ? ['<', 'max'] : ['>', 'min']
    edge = '(SELECT edge FROM looked)'
    const scanned = range.search === undefined ? SCAN_WINDOW + 1 : addParameter(range.search.rows + 1, 'bigint')
    filters.push(`(${edge} IS NULL OR message.db_id ${comparison} ${edge})`)
    tables = `WITH ids AS MATERIALIZED (${ids(String(scanned))}),
looked AS (SELECT CASE WHEN count(*) = ${scanned} THEN ${aggregate}(db_id) END AS edge FROM ids)\n`
    rows = `${joined} WHERE ${filters.join(' AND ')} ${ordered}`
  } else if (events !== null) tables = `WITH ids AS (${ids(limit)})\n`
  else rows = rowsOfAll(names.join(', '), after, before, direction, limit)

  if (columns === 'all') {
    // Rows beyond the byte limit are returned without their body, which marks the end of the page.
    rows = `SELECT rows.*, sum(octet_length(body)) OVER (ORDER BY db_id ${direction} ROWS UNBOUNDED PRECEDING)
  - octet_length(body) < ${addParameter(range.bytes, 'numeric')} AS fits FROM (${rows}) AS rows`
  }
  const selected = names.map((name) => (name === 'body' ? 'CASE WHEN fits THEN body END AS body' : name)).join(', ')
  return {
    name: `${columns} ${direction} ${events !== null} ${filter.types !== null} ${filter.senders !== null} ${range.search !== undefined}`,
    text: `${tables}SELECT head, ${edge} AS edge, ${selected}
FROM (SELECT ${HEAD_SQL}::bigint AS head) AS log LEFT JOIN (${rows}) AS page ON true ORDER BY db_id ${direction}`,
    values,
  }
}
