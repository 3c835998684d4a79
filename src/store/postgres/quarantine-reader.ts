import { sql } from 'kysely'
import type { Client } from 'pg'
import type { ValidationReason } from '../../core/message.ts'
import type { QuarantineEnvelope, QuarantineRow, QuarantineSummary, ReplayRequest } from '../../core/quarantine.ts'
import type { QuarantineFilter } from '../../core/quarantine-filter.ts'
import { conflictDetail, UNSTORABLE_DETAIL } from '../rejections.ts'
import { MAX_DB_ID } from '../scan.ts'
import { MAX_PAGE_ROWS, PAGE_BYTES } from '../sqlite/quarantine-reader.ts'
import type { Quarantine, ReasonCount, ReplayResult } from '../store.ts'
import { QUARANTINE_ENVELOPE_COLUMNS, QUARANTINE_SUMMARY_COLUMNS } from '../tables.ts'
import { storeMessages } from './batch.ts'
import type { Pool } from './pool.ts'
import { db } from './queries.ts'
import { type CompiledQuery, queryRows } from './reader.ts'
import { escapeNul, unescapeNul } from './values.ts'
import type { PostgresWriter } from './writer.ts'

/** Converts a pattern to LIKE syntax: escapes LIKE's special characters and replaces `*` by `%`. */
const toLikePattern = (pattern: string): string =>
  escapeNul(pattern)
    .replace(/[\\%_]/g, '\\$&')
    .replaceAll('*', '%')

/** Rows that match a filter, between two ids, both exclusive. */
const filteredQuery = ({ ids, reasons, routingKey, since }: QuarantineFilter, after: number, before: number) => {
  let query = db.selectFrom('rejected').where('rejected_id', '>', after).where('rejected_id', '<', before)
  if (ids !== null) query = query.where(sql<boolean>`rejected_id = ANY(${ids}::bigint[])`)
  if (reasons !== null) query = query.where(sql<boolean>`reason = ANY(${reasons}::text[])`)
  if (routingKey !== null) query = query.where('routing_key', 'like', toLikePattern(routingKey))
  if (since !== null) query = query.where('received_at', '>=', since)
  return query
}

const unescapeRow = <Row extends QuarantineSummary>(row: Row): Row => ({
  ...row,
  detail: unescapeNul(row.detail),
  exchange: unescapeNul(row.exchange),
  routing_key: unescapeNul(row.routing_key),
})

/** Reads the quarantine in PostgreSQL; the counterpart of QuarantineReader for SQLite. */
export class PostgresQuarantineReader {
  readonly #pool: Pool

  constructor(pool: Pool) {
    this.#pool = pool
  }

  async count(filter: QuarantineFilter): Promise<{ readonly rows: number; readonly last_rejected_id: number }> {
    const last = sql<number>`coalesce(max(rejected_id), 0)::bigint`.as('last_rejected_id')
    const [row] = await this.#rows<{ rows: number; last_rejected_id: number }>(
      filteredQuery(filter, 0, MAX_DB_ID)
        .select([sql<number>`count(*)`.as('rows'), last])
        .compile(),
    )
    return row!
  }

  async newest(filter: QuarantineFilter, before: number, limit: number): Promise<QuarantineEnvelope[]> {
    const query = filteredQuery(filter, 0, before === 0 ? MAX_DB_ID : before)
    const rows = this.#rows<QuarantineEnvelope>(
      query.select(QUARANTINE_ENVELOPE_COLUMNS).orderBy('rejected_id', 'desc').limit(limit).compile(),
    )
    return (await rows).map(unescapeRow)
  }

  async newestSummaries(filter: QuarantineFilter, before: number, limit: number): Promise<QuarantineSummary[]> {
    const query = filteredQuery(filter, 0, before === 0 ? MAX_DB_ID : before)
    const rows = this.#rows<QuarantineSummary>(
      query.select(QUARANTINE_SUMMARY_COLUMNS).orderBy('rejected_id', 'desc').limit(limit).compile(),
    )
    return (await rows).map(unescapeRow)
  }

  /** @param maxBytes bytes of bodies at which the page ends; its first row is always included */
  async after(
    filter: QuarantineFilter,
    after: number,
    through: number,
    maxBytes = PAGE_BYTES,
  ): Promise<QuarantineRow[]> {
    const before = sql<number>`sum(length(body)) OVER (ORDER BY rejected_id) - length(body)`.as('before')
    const page = filteredQuery(filter, after, through + 1)
      .select([...QUARANTINE_ENVELOPE_COLUMNS, 'body', before])
      .orderBy('rejected_id')
      .limit(MAX_PAGE_ROWS)
    const query = db
      .selectFrom(page.as('page'))
      .select([...QUARANTINE_ENVELOPE_COLUMNS, 'body'])
      .where('before', '<', maxBytes)
    return (await this.#rows<QuarantineRow>(query.orderBy('rejected_id').compile())).map(unescapeRow)
  }

  async idsAfter(filter: QuarantineFilter, after: number, through: number, limit: number): Promise<number[]> {
    const query = filteredQuery(filter, after, through + 1)
      .select('rejected_id')
      .orderBy('rejected_id')
      .limit(limit)
    return (await this.#rows<{ rejected_id: number }>(query.compile())).map(({ rejected_id }) => rejected_id)
  }

  async row(rejected_id: number, bytes: number): Promise<QuarantineRow | null> {
    const bodyPrefix = sql<Buffer>`substr(body, 1, ${bytes}::int)`.as('body')
    const query = db
      .selectFrom('rejected')
      .select([...QUARANTINE_ENVELOPE_COLUMNS, bodyPrefix])
      .where('rejected_id', '=', rejected_id)
    const [row] = await this.#rows<QuarantineRow>(query.compile())
    return row === undefined ? null : unescapeRow(row)
  }

  reasons(maxRows: number): Promise<ReasonCount[]> {
    const newest = db.selectFrom('rejected').select('reason').orderBy('rejected_id', 'desc').limit(maxRows)
    const query = db.selectFrom(newest.as('newest')).select(['reason', sql<number>`count(*)`.as('rows')])
    return this.#rows<ReasonCount>(query.groupBy('reason').orderBy('rows', 'desc').compile())
  }

  async lastId(): Promise<number> {
    const last = sql<number>`coalesce(max(rejected_id), 0)::bigint`.as('id')
    const [row] = await this.#rows<{ id: number }>(db.selectFrom('rejected').select(last).compile())
    return row!.id
  }

  #rows<Row>(query: CompiledQuery): Promise<Row[]> {
    return this.#pool.withConnection((client) => queryRows<Row>(client, query))
  }
}

/** Stores the messages that are now accepted and deletes their rows from the quarantine, in one transaction. */
export const replayQuarantined = (writer: PostgresWriter, replays: readonly ReplayRequest[]): Promise<ReplayResult[]> =>
  writer.run(async (client, oneByOne) => {
    const outcomes = await replayAll(client, replays, oneByOne)
    return { result: outcomes, appended: outcomes.some(({ kind }) => kind === 'stored') }
  })

/** Deletes rows permanently. @returns the number of rows deleted */
export const deleteQuarantined = (writer: PostgresWriter, ids: readonly number[]): Promise<number> =>
  writer.run(async (client) => ({ result: await deleteRows(client, ids), appended: false }))

/** Creates the quarantine of a running store. */
export const createQuarantine = (pool: Pool, writer: PostgresWriter): Quarantine => {
  const reader = new PostgresQuarantineReader(pool)
  return {
    list: (filter, before, limit) => reader.newestSummaries(filter, before, limit),
    row: (rejected_id, bytes) => reader.row(rejected_id, bytes),
    listWithBodies: (filter, after, through, bytes) => reader.after(filter, after, through, bytes),
    maxId: () => reader.lastId(),
    countByReason: (maxRows) => reader.reasons(maxRows),
    replay: (replays) => replayQuarantined(writer, replays),
    drop: (ids) => deleteQuarantined(writer, ids),
  }
}

const deleteRows = async (client: Client, ids: readonly number[]): Promise<number> =>
  (await client.query('DELETE FROM rejected WHERE rejected_id = ANY($1::bigint[])', [ids])).rowCount ?? 0

/** Runs in the caller's transaction, which excludes all other writers: the rows found cannot be deleted before it ends. */
const replayAll = async (
  client: Client,
  replays: readonly ReplayRequest[],
  oneByOne: boolean,
): Promise<ReplayResult[]> => {
  const ids = replays.map(({ rejected_id }) => rejected_id)
  const query = db.selectFrom('rejected').select('rejected_id').where(sql<boolean>`rejected_id = ANY(${ids}::bigint[])`)
  const existing = new Set(
    (await queryRows<{ rejected_id: number }>(client, query.compile())).map((row) => row.rejected_id),
  )
  const messages = replays.flatMap(({ rejected_id, result }) =>
    'message' in result && existing.has(rejected_id) ? [result.message] : [],
  )
  const stored = await storeMessages(client, messages, oneByOne)
  const storedIds: number[] = []
  const outcomes: ReplayResult[] = []
  for (const { rejected_id, result } of replays) {
    const outcome = existing.delete(rejected_id)
      ? toReplayResult(result, () => stored.shift()!)
      : { kind: 'gone' as const }
    if (outcome.kind === 'kept') await updateReason(client, rejected_id, outcome.reason, outcome.detail)
    else if (outcome.kind !== 'gone') storedIds.push(rejected_id)
    outcomes.push(outcome)
  }
  await deleteRows(client, storedIds)
  return outcomes
}

const updateReason = async (
  client: Client,
  rejected_id: number,
  reason: ValidationReason,
  detail: string,
): Promise<void> => {
  const values = { reason, detail: escapeNul(detail) }
  await queryRows(client, db.updateTable('rejected').set(values).where('rejected_id', '=', rejected_id).compile())
}

const toReplayResult = (
  checked: ReplayRequest['result'],
  stored: () => { readonly kind: string; readonly db_id: number },
): ReplayResult => {
  if ('error' in checked) return { kind: 'kept', ...checked.error }
  const { kind, db_id } = stored()
  if (kind === 'stored' || kind === 'duplicate') return { kind, db_id, message: checked.message }
  if (kind === 'conflict') return { kind: 'kept', reason: 'message_conflict', detail: conflictDetail(db_id) }
  return { kind: 'kept', reason: 'message_unstorable', detail: UNSTORABLE_DETAIL }
}
