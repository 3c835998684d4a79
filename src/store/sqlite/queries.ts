import { DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, sql } from 'kysely'
import type { Selection } from '../../core/subscription-filter.ts'
import type { Tables } from '../tables.ts'

interface SqliteTables extends Tables {
  sqlite_sequence: { name: string; seq: number }
}

// Kysely builds and types; it never runs a query: its driver prepares each one anew, four times slower than
// the statements that are prepared once from these texts.
export const db = new Kysely<SqliteTables>({
  dialect: {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (instance) => new SqliteIntrospector(instance),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  },
})

/** A parameter whose value comes when the prepared statement runs. */
export const param = <T = number>(name: string) => sql<T>`${sql.raw(`@${name}`)}`

/** A parameter that is bound by its position. */
const place = sql<never>`?`

// Each column costs 0.2 µs a row, so only what a delivery needs is read.
const STORED = [
  'db_id',
  'event_id',
  'message_id',
  'message_from',
  'message_type',
  'received_at',
  'lacks',
  'body',
  'traceparent',
] as const

/** The text of a query. A value that slipped in as an anonymous parameter would only fail when it runs. */
export const text = (query: { compile(): { sql: string; parameters: readonly unknown[] } }): string => {
  const compiled = query.compile()
  if (compiled.parameters.length > 0) throw new Error(`a query has anonymous parameters: ${compiled.sql}`)
  return compiled.sql
}

export const LOG_ID = text(db.selectFrom('log').select('log_id'))

export const PROBE = text(db.updateTable('log').set({ created_at: sql`created_at` }))

export const HEAD = text(db.selectFrom('sqlite_sequence').select('seq').where('name', '=', sql.lit('message')))

/** Its values are bound in the order in which they stand here: bound by name, each row takes 1.2 µs longer. */
export const INSERT_MESSAGE = text(
  db
    .insertInto('message')
    .values({
      event_id: place,
      message_id: place,
      message_from: place,
      message_type: place,
      round_id: place,
      received_at: place,
      lacks: place,
      body: place,
      traceparent: place,
    } as never)
    .onConflict((conflict) => conflict.columns(['message_id', 'event_id']).doNothing()),
)

export const FIND_MESSAGE = text(
  db
    .selectFrom('message')
    .select(['db_id', 'body'])
    .where('event_id', '=', param<string>('event_id'))
    .where('message_id', '=', param<string>('message_id')),
)

export const GROW_EVENT = text(
  db
    .insertInto('event')
    .values({
      event_id: param('event_id'),
      messages: param('messages'),
      first_db_id: param('first_db_id'),
      last_db_id: param('last_db_id'),
      pruned_db_id: sql.lit(0),
      first_at: param('first_at'),
      last_at: param('last_at'),
    } as never)
    .onConflict((conflict) =>
      conflict.column('event_id').doUpdateSet({
        messages: sql`event.messages + excluded.messages`,
        // 0 says that retention has emptied the event.
        first_db_id: sql`iif(event.first_db_id = 0, excluded.first_db_id, event.first_db_id)`,
        first_at: sql`iif(event.first_db_id = 0, excluded.first_at, event.first_at)`,
        last_db_id: sql`excluded.last_db_id`,
        last_at: sql`max(event.last_at, excluded.last_at)`,
      }),
    ),
)

export const INSERT_REJECTED = text(
  db.insertInto('rejected').values({
    received_at: param('received_at'),
    reason: param('reason'),
    detail: param('detail'),
    exchange: param('exchange'),
    routing_key: param('routing_key'),
    headers: param('headers'),
    properties: param('properties'),
    body: param('body'),
    body_bytes: param('body_bytes'),
    sha256: param('sha256'),
  } as never),
)

export const FIND_REJECTED = text(
  db
    .selectFrom('rejected')
    .select('rejected_id')
    .where('sha256', '=', param<string>('sha256'))
    .where('reason', '=', param<string>('reason'))
    .where('routing_key', '=', param<string>('routing_key'))
    .limit(sql.lit(1)),
)

export const REVOKE = text(
  db
    .insertInto('revocation')
    .values({
      subject: param<string>('subject'),
      issued_before: param('issued_before'),
      until: param<number | null>('until'),
    })
    .onConflict((conflict) =>
      conflict.column('subject').doUpdateSet({
        issued_before: sql`max(issued_before, excluded.issued_before)`,
        // max() of SQLite is NULL where one side is, and NULL is the latest: never.
        until: sql`max(until, excluded.until)`,
      }),
    )
    .returningAll(),
)

export const UNREVOKE = text(db.deleteFrom('revocation').where('subject', '=', param<string>('subject')))

export const FORGET_REVOCATIONS = text(db.deleteFrom('revocation').where('until', '<', param('now')))

export const REVOCATIONS = text(db.selectFrom('revocation').selectAll().orderBy('subject'))

/** The list of events, of the named ones alone or of all. */
export const eventsAmong = (among: readonly string[] | '*'): string => {
  const query = db
    .selectFrom('event')
    .select(['event_id', 'messages', 'first_db_id', 'last_db_id', 'first_at', 'last_at'])
    .where('last_db_id', '<', param('before'))
    .where('messages', '>', sql.lit(0))
    .orderBy('last_db_id', 'desc')
    .limit(param('limit'))
  return text(among === '*' ? query : query.where('event_id', 'in', listNames('e', among)))
}

/** The name under which the n-th value of a list of a selection is bound. */
const listNames = (prefix: string, values: readonly string[]) =>
  values.map((_, index) => param<string>(`${prefix}${index}`))

/** The named parameters of a selection: e0, e1 … for events, t0 … for types, f0 … for senders. */
export const selectionParams = (wanted: Selection): Record<string, string> => {
  const params: Record<string, string> = {}
  const add = (prefix: string, values: readonly string[] | '*' | null) => {
    if (values !== null && values !== '*') for (const [index, value] of values.entries()) params[prefix + index] = value
  }
  add('e', wanted.events)
  add('t', wanted.types)
  add('f', wanted.froms)
  return params
}

/** Selections with the same shape share one text, and so one prepared statement. */
export const selectionShape = (wanted: Selection): string =>
  `${wanted.events === '*' ? '*' : wanted.events.length}/${wanted.types?.length ?? '-'}/${wanted.froms?.length ?? '-'}`

type Direction = 'asc' | 'desc'

/**
 * The db_ids of the selected events between two bounds. One SELECT per event, joined by UNION ALL under one
 * ORDER BY: SQLite merges them lazily along the index, where `IN (…)` would sort all rows behind the cursor.
 */
const idsOf = (wanted: Selection, direction: Direction) => {
  const one = (event: ReturnType<typeof param<string>> | null) => {
    const base = db
      .selectFrom('message')
      .select('db_id')
      .where('db_id', '>', param('after'))
      .where('db_id', '<', param('before'))
    return event === null ? base : base.where('event_id', '=', event)
  }
  const events = wanted.events === '*' ? [null] : listNames('e', wanted.events)
  let query = one(events[0]!)
  for (const event of events.slice(1)) query = query.unionAll(one(event))
  return query.orderBy('db_id', direction)
}

/**
 * The db_id that stands @skip places behind the first one between @after and @before. Filters do not apply:
 * it marks the end of a window, so that a filter that matches nothing never makes one call walk the whole log.
 */
export const windowEnd = (wanted: Selection, direction: Direction): string =>
  text(idsOf(wanted, direction).limit(sql.lit(1)).offset(param('skip')))

/**
 * The messages of a selection between @after and @before, at most @limit, in either direction; or their
 * db_ids alone.
 */
export const windowMessages = (wanted: Selection, direction: Direction, columns: 'all' | 'db_id'): string => {
  const filtered = wanted.types !== null || wanted.froms !== null
  let query = db.selectFrom('message').select(columns === 'all' ? STORED : ['db_id' as const])
  if (wanted.events === '*' || wanted.events.length === 1) {
    query = query.where('db_id', '>', param('after')).where('db_id', '<', param('before'))
    if (wanted.events !== '*') query = query.where('event_id', '=', param<string>('e0'))
  } else {
    // Behind a filter the window alone bounds the ids; a limit in here would cut before the filter has looked.
    const ids = filtered ? idsOf(wanted, direction) : idsOf(wanted, direction).limit(param('limit'))
    query = query.where('db_id', 'in', (inner) => inner.selectFrom(ids.as('ids')).select('db_id'))
  }
  if (wanted.types !== null) query = query.where('message_type', 'in', listNames('t', wanted.types))
  if (wanted.froms !== null) query = query.where('message_from', 'in', listNames('f', wanted.froms))
  return text(query.orderBy('db_id', direction).limit(param('limit')))
}

/** The log's head; AUTOINCREMENT's own counter stays when retention removes the last row. */
const HEAD_DB_ID = sql<number>`coalesce((select seq from sqlite_sequence where name = 'message'), 0)`.as('head_db_id')

// Each a single step down an index, however many events and messages there are.
const BOUNDS_OF_ALL = text(
  db.selectNoFrom([
    sql<number>`coalesce((select min(db_id) from message), 0)`.as('first_db_id'),
    sql<number>`coalesce((select max(db_id) from message), 0)`.as('last_db_id'),
    sql<number>`coalesce((select max(pruned_db_id) from event where pruned_db_id > 0), 0)`.as('pruned_db_id'),
    HEAD_DB_ID,
  ]),
)

/** Bounds over the selected events, all of them for `*`, and the log's head: one statement, so one read lock. */
export const boundsOf = (wanted: Selection): string => {
  if (wanted.events === '*') return BOUNDS_OF_ALL
  const query = db
    .selectFrom('event')
    .select([
      sql<number>`coalesce(min(nullif(first_db_id, 0)), 0)`.as('first_db_id'),
      sql<number>`coalesce(max(iif(messages = 0, 0, last_db_id)), 0)`.as('last_db_id'),
      sql<number>`coalesce(max(pruned_db_id), 0)`.as('pruned_db_id'),
      HEAD_DB_ID,
    ])
  return text(query.where('event_id', 'in', listNames('e', wanted.events)))
}
