import { sql } from 'kysely'
import type { Client } from 'pg'
import type { ErrorCode } from '../../core/errors.ts'
import type { RejectedHead, RejectedLine, RejectedRow, Replay } from '../../core/quarantine.ts'
import type { RejectedFilter } from '../../core/quarantine-filter.ts'
import { conflictDetail, REFUSED_DETAIL } from '../rejections.ts'
import { PAGE_BYTES, PAGE_ROWS } from '../sqlite/quarantine-reader.ts'
import type { ReasonCount, RejectedLog, ReplayOutcome } from '../store.ts'
import { storeMessages } from './batch.ts'
import type { Pool } from './pool.ts'
import { db } from './queries.ts'
import { type Compiled, rowsOf } from './reader.ts'
import { fromColumn, toColumn } from './values.ts'
import { END } from './window.ts'
import type { PostgresWriter } from './writer.ts'

const LINE = [
  'rejected_id',
  'received_at',
  'reason',
  'detail',
  'exchange',
  'routing_key',
  'body_bytes',
  'sha256',
] as const
const HEAD = [...LINE, 'headers', 'properties'] as const

/** LIKE's own signs stand for themselves; the star is its %. */
const likeOf = (pattern: string): string =>
  toColumn(pattern)
    .replace(/[\\%_]/g, '\\$&')
    .replaceAll('*', '%')

/** Rows between two ids, both exclusive, that a filter lets through. */
const filtered = ({ ids, reasons, routingKey, since }: RejectedFilter, after: number, before: number) => {
  let query = db.selectFrom('rejected').where('rejected_id', '>', after).where('rejected_id', '<', before)
  if (ids !== null) query = query.where(sql<boolean>`rejected_id = ANY(${ids}::bigint[])`)
  if (reasons !== null) query = query.where(sql<boolean>`reason = ANY(${reasons}::text[])`)
  if (routingKey !== null) query = query.where('routing_key', 'like', likeOf(routingKey))
  if (since !== null) query = query.where('received_at', '>=', since)
  return query
}

const named = <Row extends RejectedLine>(row: Row): Row => ({
  ...row,
  detail: fromColumn(row.detail),
  exchange: fromColumn(row.exchange),
  routing_key: fromColumn(row.routing_key),
})

/** What the quarantine holds; the same questions as QuarantineReader answers for SQLite. */
export class PostgresRejectedReader {
  readonly #pool: Pool

  constructor(pool: Pool) {
    this.#pool = pool
  }

  async count(filter: RejectedFilter): Promise<{ readonly rows: number; readonly last_rejected_id: number }> {
    const last = sql<number>`coalesce(max(rejected_id), 0)::bigint`.as('last_rejected_id')
    const [counted] = await this.#rows<{ rows: number; last_rejected_id: number }>(
      filtered(filter, 0, END)
        .select([sql<number>`count(*)`.as('rows'), last])
        .compile(),
    )
    return counted!
  }

  async newest(filter: RejectedFilter, before: number, limit: number): Promise<RejectedHead[]> {
    const query = filtered(filter, 0, before === 0 ? END : before)
    const rows = this.#rows<RejectedHead>(query.select(HEAD).orderBy('rejected_id', 'desc').limit(limit).compile())
    return (await rows).map(named)
  }

  async newestLines(filter: RejectedFilter, before: number, limit: number): Promise<RejectedLine[]> {
    const query = filtered(filter, 0, before === 0 ? END : before)
    const rows = this.#rows<RejectedLine>(query.select(LINE).orderBy('rejected_id', 'desc').limit(limit).compile())
    return (await rows).map(named)
  }

  async after(filter: RejectedFilter, after: number, through: number): Promise<RejectedRow[]> {
    const before = sql<number>`sum(length(body)) OVER (ORDER BY rejected_id) - length(body)`.as('before')
    const page = filtered(filter, after, through + 1)
      .select([...HEAD, 'body', before])
      .orderBy('rejected_id')
      .limit(PAGE_ROWS)
    const query = db
      .selectFrom(page.as('page'))
      .select([...HEAD, 'body'])
      .where('before', '<', PAGE_BYTES)
    return (await this.#rows<RejectedRow>(query.orderBy('rejected_id').compile())).map(named)
  }

  async idsAfter(filter: RejectedFilter, after: number, through: number, limit: number): Promise<number[]> {
    const query = filtered(filter, after, through + 1)
      .select('rejected_id')
      .orderBy('rejected_id')
      .limit(limit)
    return (await this.#rows<{ rejected_id: number }>(query.compile())).map(({ rejected_id }) => rejected_id)
  }

  async row(rejected_id: number, bytes: number): Promise<RejectedRow | null> {
    const cut = sql<Buffer>`substr(body, 1, ${bytes}::int)`.as('body')
    const query = db
      .selectFrom('rejected')
      .select([...HEAD, cut])
      .where('rejected_id', '=', rejected_id)
    const [row] = await this.#rows<RejectedRow>(query.compile())
    return row === undefined ? null : named(row)
  }

  reasons(most: number): Promise<ReasonCount[]> {
    const newest = db.selectFrom('rejected').select('reason').orderBy('rejected_id', 'desc').limit(most)
    const query = db.selectFrom(newest.as('newest')).select(['reason', sql<number>`count(*)`.as('rows')])
    return this.#rows<ReasonCount>(query.groupBy('reason').orderBy('rows', 'desc').compile())
  }

  async lastId(): Promise<number> {
    const last = sql<number>`coalesce(max(rejected_id), 0)::bigint`.as('id')
    const [row] = await this.#rows<{ id: number }>(db.selectFrom('rejected').select(last).compile())
    return row!.id
  }

  #rows<Row>(query: Compiled): Promise<Row[]> {
    return this.#pool.use((client) => rowsOf<Row>(client, query))
  }
}

/** Stores what the checks now accept and removes it from the quarantine, in one transaction. */
export const replay = (writer: PostgresWriter, replays: readonly Replay[]): Promise<ReplayOutcome[]> =>
  writer.run(async (client, singly) => {
    const outcomes = await replayAll(client, replays, singly)
    return { result: outcomes, grown: outcomes.some(({ kind }) => kind === 'stored') }
  })

/** Removes rows for good. @returns how many were there */
export const drop = (writer: PostgresWriter, ids: readonly number[]): Promise<number> =>
  writer.run(async (client) => ({ result: await forget(client, ids), grown: false }))

/** The quarantine of a running log. */
export const rejectedLog = (pool: Pool, writer: PostgresWriter): RejectedLog => {
  const reader = new PostgresRejectedReader(pool)
  return {
    lines: (filter, before, limit) => reader.newestLines(filter, before, limit),
    row: (rejected_id, bytes) => reader.row(rejected_id, bytes),
    page: (filter, after, through) => reader.after(filter, after, through),
    lastId: () => reader.lastId(),
    reasons: (most) => reader.reasons(most),
    replay: (replays) => replay(writer, replays),
    drop: (ids) => drop(writer, ids),
  }
}

const forget = async (client: Client, ids: readonly number[]): Promise<number> =>
  (await client.query('DELETE FROM rejected WHERE rejected_id = ANY($1::bigint[])', [ids])).rowCount ?? 0

/** In the caller's transaction, which is alone: what is there now stays until it is done. */
const replayAll = async (client: Client, replays: readonly Replay[], singly: boolean): Promise<ReplayOutcome[]> => {
  const ids = replays.map(({ rejected_id }) => rejected_id)
  const query = db.selectFrom('rejected').select('rejected_id').where(sql<boolean>`rejected_id = ANY(${ids}::bigint[])`)
  const there = new Set((await rowsOf<{ rejected_id: number }>(client, query.compile())).map((row) => row.rejected_id))
  const messages = replays.flatMap(({ rejected_id, checked }) =>
    'message' in checked && there.has(rejected_id) ? [checked.message] : [],
  )
  const stored = await storeMessages(client, messages, singly)
  const gone: number[] = []
  const outcomes: ReplayOutcome[] = []
  for (const { rejected_id, checked } of replays) {
    const outcome = there.delete(rejected_id) ? outcomeOf(checked, () => stored.shift()!) : { kind: 'gone' as const }
    if (outcome.kind === 'kept') await keep(client, rejected_id, outcome.reason, outcome.detail)
    else if (outcome.kind !== 'gone') gone.push(rejected_id)
    outcomes.push(outcome)
  }
  await forget(client, gone)
  return outcomes
}

const keep = async (client: Client, rejected_id: number, reason: ErrorCode, detail: string): Promise<void> => {
  const changed = { reason, detail: toColumn(detail) }
  await rowsOf(client, db.updateTable('rejected').set(changed).where('rejected_id', '=', rejected_id).compile())
}

const outcomeOf = (
  checked: Replay['checked'],
  stored: () => { readonly kind: string; readonly db_id: number },
): ReplayOutcome => {
  if ('refusal' in checked) return { kind: 'kept', ...checked.refusal }
  const { kind, db_id } = stored()
  if (kind === 'stored' || kind === 'duplicate') return { kind, db_id, message: checked.message }
  if (kind === 'conflict') return { kind: 'kept', reason: 'message_conflict', detail: conflictDetail(db_id) }
  return { kind: 'kept', reason: 'storage_refused', detail: REFUSED_DETAIL }
}
