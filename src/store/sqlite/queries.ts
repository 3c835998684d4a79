import { DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, sql } from 'kysely'
import type { SubscriptionFilter } from '../../core/subscription-filter.ts'
import { DELIVERY_COLUMNS, type Tables } from '../tables.ts'

interface SqliteTables extends Tables {
  sqlite_sequence: { name: string; seq: number }
}

// Kysely only builds and types the queries. Its driver would prepare each one on every run, four times slower than preparing these texts
// once.
export const db = new Kysely<SqliteTables>({
  dialect: {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (instance) => new SqliteIntrospector(instance),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  },
})

/** A parameter that is bound by its name. */
export const namedParam = <T = number>(name: string) => sql<T>`${sql.raw(`@${name}`)}`

/** The same, hidden from the planner: SQLite compiles a statement again for each new value of a limit or an indexed column that it sees. */
const hiddenParam = <T = number>(name: string) => sql<T>`(select ${namedParam<T>(name)})`

/** A parameter that is bound by its position. */
const positionalParam = sql<never>`?`

/** Compiles a query to SQL. Throws if it has an anonymous parameter, which would otherwise fail only when it runs. */
export const compileSql = (query: { compile(): { sql: string; parameters: readonly unknown[] } }): string => {
  const compiled = query.compile()
  if (compiled.parameters.length > 0) throw new Error(`a query has anonymous parameters: ${compiled.sql}`)
  return compiled.sql
}

export const LOG_ID = compileSql(db.selectFrom('log').select('log_id'))

export const PROBE_WRITE = compileSql(db.updateTable('log').set({ created_at: sql`created_at` }))

export const SELECT_HEAD = compileSql(
  db.selectFrom('sqlite_sequence').select('seq').where('name', '=', sql.lit('message')),
)

/** Values are bound in the order in which they appear here: binding by name takes 1.2 µs longer per row. */
export const INSERT_MESSAGE = compileSql(
  db
    .insertInto('message')
    .values({
      event_id: positionalParam,
      message_id: positionalParam,
      message_from: positionalParam,
      message_type: positionalParam,
      round_id: positionalParam,
      received_at: positionalParam,
      lacks: positionalParam,
      body: positionalParam,
      traceparent: positionalParam,
    } as never)
    .onConflict((conflict) => conflict.columns(['message_id', 'event_id']).doNothing()),
)

export const FIND_MESSAGE = compileSql(
  db
    .selectFrom('message')
    .select(['db_id', 'body'])
    .where('event_id', '=', namedParam<string>('event_id'))
    .where('message_id', '=', namedParam<string>('message_id')),
)

export const UPSERT_EVENT = compileSql(
  db
    .insertInto('event')
    .values({
      event_id: positionalParam,
      messages: positionalParam,
      first_db_id: positionalParam,
      last_db_id: positionalParam,
      pruned_db_id: sql.lit(0),
      first_at: positionalParam,
      last_at: positionalParam,
    } as never)
    .onConflict((conflict) =>
      conflict.column('event_id').doUpdateSet({
        messages: sql`event.messages + excluded.messages`,
        // 0 means that retention has emptied the event.
        first_db_id: sql`iif(event.first_db_id = 0, excluded.first_db_id, event.first_db_id)`,
        first_at: sql`iif(event.first_db_id = 0, excluded.first_at, event.first_at)`,
        last_db_id: sql`excluded.last_db_id`,
        last_at: sql`max(event.last_at, excluded.last_at)`,
      }),
    ),
)

export const INSERT_REJECTED = compileSql(
  db.insertInto('rejected').values({
    received_at: namedParam('received_at'),
    reason: namedParam('reason'),
    detail: namedParam('detail'),
    exchange: namedParam('exchange'),
    routing_key: namedParam('routing_key'),
    headers: namedParam('headers'),
    properties: namedParam('properties'),
    body: namedParam('body'),
    body_bytes: namedParam('body_bytes'),
    sha256: namedParam('sha256'),
  } as never),
)

export const FIND_REJECTED = compileSql(
  db
    .selectFrom('rejected')
    .select('rejected_id')
    .where('sha256', '=', namedParam<string>('sha256'))
    .where('reason', '=', namedParam<string>('reason'))
    .where('routing_key', '=', namedParam<string>('routing_key'))
    .where('properties', '=', namedParam<string>('properties'))
    .limit(sql.lit(1)),
)

export const UPSERT_REVOCATION = compileSql(
  db
    .insertInto('revocation')
    .values({
      subject: namedParam<string>('subject'),
      issued_before: namedParam('issued_before'),
      until: namedParam<number | null>('until'),
    })
    .onConflict((conflict) =>
      conflict.column('subject').doUpdateSet({
        issued_before: sql`max(issued_before, excluded.issued_before)`,
        // SQLite's max() is NULL if either side is, and NULL means never, so it is the latest.
        until: sql`max(until, excluded.until)`,
      }),
    )
    .returningAll(),
)

export const DELETE_REVOCATION = compileSql(
  db.deleteFrom('revocation').where('subject', '=', namedParam<string>('subject')),
)

export const DELETE_EXPIRED_REVOCATIONS = compileSql(db.deleteFrom('revocation').where('until', '<', namedParam('now')))

export const REVOCATIONS = compileSql(db.selectFrom('revocation').selectAll().orderBy('subject'))

/** Event list, of the given events or of all. */
export const listEvents = (eventIds: readonly string[] | '*'): string => {
  const query = db
    .selectFrom('event')
    .select(['event_id', 'messages', 'first_db_id', 'last_db_id', 'first_at', 'last_at'])
    .where('last_db_id', '<', namedParam('before'))
    .where('messages', '>', sql.lit(0))
    .orderBy('last_db_id', 'desc')
    .limit(hiddenParam('limit'))
  return compileSql(eventIds === '*' ? query : query.where('event_id', 'in', eventNames(eventIds)))
}

/** True if only some messages of the events match. */
export const isFiltered = ({ types, senders }: SubscriptionFilter): boolean => types !== null || senders !== null

/** SQLite joins at most this many SELECTs. */
const MAX_UNION = 500

/** Number of parameters for the events of a filter. A power of two, so that clients cannot have a statement compiled for each number. */
const countEventParams = (events: number): number =>
  Math.max(events, Math.min(2 ** Math.ceil(Math.log2(events)), MAX_UNION))

const eventNames = (events: readonly string[]) =>
  Array.from({ length: countEventParams(events.length) }, (_, index) => hiddenParam<string>(`e${index}`))

/** The values of one list of a filter, which is a parameter with JSON. */
const jsonValues = (name: string) => sql<string>`(select value from json_each(${namedParam<string>(name)}))`

/** Returns the named parameters of a filter: e0, e1 … for events, of which those left over are NULL, `types` and `senders`. */
export const selectionParams = ({ events, types, senders }: SubscriptionFilter): Record<string, string | null> => {
  const params: Record<string, string | null> = {
    ...(types && { types: JSON.stringify([...types]) }),
    ...(senders && { senders: JSON.stringify([...senders]) }),
  }
  if (events !== '*') {
    for (let index = 0; index < countEventParams(events.length); index++) params[`e${index}`] = events[index] ?? null
  }
  return params
}

/** Returns the shape of the events of a filter. Queries of the same shape share one SQL text, and therefore one prepared statement. */
export const eventsShape = (events: SubscriptionFilter['events']): string =>
  events === '*' ? '*' : String(countEventParams(events.length))

/** Returns the shape of a filter. */
export const filterShape = ({ events, types, senders }: SubscriptionFilter): string =>
  `${eventsShape(events)}/${types === null ? '-' : 'types'}/${senders === null ? '-' : 'senders'}`

type Direction = 'asc' | 'desc'

/**
 * The db_ids of the given events between two bounds. One SELECT per event, joined by UNION ALL under one ORDER BY: SQLite merges them
 * lazily along the index, while `IN (…)` would sort all rows after the cursor.
 */
const selectIds = (filter: SubscriptionFilter, direction: Direction) => {
  const selectEvent = (event: ReturnType<typeof hiddenParam<string>> | null) => {
    const base = db
      .selectFrom('message')
      .select('db_id')
      .where('db_id', '>', namedParam('after'))
      .where('db_id', '<', namedParam('before'))
    return event === null ? base : base.where('event_id', '=', event)
  }
  const events = filter.events === '*' ? [null] : eventNames(filter.events)
  let query = selectEvent(events[0]!)
  for (const event of events.slice(1)) query = query.unionAll(selectEvent(event))
  return query.orderBy('db_id', direction)
}

/**
 * The db_id that is @skip places after the first one between @after and @before, regardless of types and senders. It marks the end of a
 * window, so that a filter that matches nothing never makes one call scan the whole store.
 */
export const windowEnd = (filter: SubscriptionFilter, direction: Direction): string =>
  compileSql(selectIds(filter, direction).limit(sql.lit(1)).offset(hiddenParam('skip')))

/** The matching messages between @after and @before, at most @limit, in either direction; or only their db_ids. */
export const windowMessages = (filter: SubscriptionFilter, direction: Direction, columns: 'all' | 'db_id'): string => {
  let query = db.selectFrom('message').select(columns === 'all' ? DELIVERY_COLUMNS : ['db_id' as const])
  if (filter.events === '*' || filter.events.length === 1) {
    query = query.where('db_id', '>', namedParam('after')).where('db_id', '<', namedParam('before'))
    if (filter.events !== '*') query = query.where('event_id', '=', hiddenParam<string>('e0'))
  } else {
    // If types or senders are filtered, only the window limits the ids; a limit here would apply before the filter.
    const ids = isFiltered(filter)
      ? selectIds(filter, direction)
      : selectIds(filter, direction).limit(hiddenParam('limit'))
    query = query.where('db_id', 'in', (inner) => inner.selectFrom(ids.as('ids')).select('db_id'))
  }
  if (filter.types !== null) query = query.where('message_type', 'in', jsonValues('types'))
  if (filter.senders !== null) query = query.where('message_from', 'in', jsonValues('senders'))
  return compileSql(query.orderBy('db_id', direction).limit(hiddenParam('limit')))
}

/** Greatest db_id of the store. AUTOINCREMENT's counter is kept when retention deletes the last row. */
const HEAD_DB_ID = sql<number>`coalesce((select seq from sqlite_sequence where name = 'message'), 0)`.as('head_db_id')

// Each is a single step down an index, regardless of the number of events and messages.
const BOUNDS_OF_ALL = compileSql(
  db.selectNoFrom([
    sql<number>`coalesce((select min(db_id) from message), 0)`.as('first_db_id'),
    sql<number>`coalesce((select max(db_id) from message), 0)`.as('last_db_id'),
    sql<number>`coalesce((select max(pruned_db_id) from event where pruned_db_id > 0), 0)`.as('pruned_db_id'),
    HEAD_DB_ID,
  ]),
)

/** Bounds of the given events, or of all events for `*`, and the greatest db_id of the store: one statement, so one read lock. */
export const selectBounds = (filter: SubscriptionFilter): string => {
  if (filter.events === '*') return BOUNDS_OF_ALL
  const query = db
    .selectFrom('event')
    .select([
      sql<number>`coalesce(min(nullif(first_db_id, 0)), 0)`.as('first_db_id'),
      sql<number>`coalesce(max(iif(messages = 0, 0, last_db_id)), 0)`.as('last_db_id'),
      sql<number>`coalesce(max(pruned_db_id), 0)`.as('pruned_db_id'),
      HEAD_DB_ID,
    ])
  return compileSql(query.where('event_id', 'in', eventNames(filter.events)))
}
