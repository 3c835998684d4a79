import type Router from '@koa/router'
import type { Context } from 'koa'
import type { Logger } from 'pino'
import { GatewayError } from '../../core/errors.ts'
import type { QuarantineRow } from '../../core/quarantine.ts'
import { findUnknownReason, MATCH_ALL, parseSince, type RejectedFilter } from '../../core/quarantine-filter.ts'
import { serializeQuarantineRow, trimPartialUtf8 } from '../../core/quarantine-json.ts'
import type { Quarantine, ReplayResult } from '../../store/store.ts'
import type { Authorise } from '../auth/authorize.ts'
import { parseDbIdParam, parseLimit, parseListParam, singleParam } from '../parameters.ts'
import { sendJsonTexts, sendSuccess } from '../responses.ts'

const ROWS = { defaultValue: 50, max: 200 }
/** Of a body no more is shown; the command line has all of it. */
const BODY_BYTES = 64 * 1024
/** Bodies that are checked in one go: the streams of this process wait as long. */
const REPLAY_BYTES = 1024 * 1024

/** The quarantine of this gateway, as who operates it changes it. */
export interface QuarantineService extends Omit<Quarantine, 'replay'> {
  /** Checks rows anew and commits what passes. @returns their fates, in order. @throws GatewayError storage_* */
  replay(rows: readonly QuarantineRow[]): Promise<ReplayResult[]>
}

export interface RejectedOptions {
  readonly authorise: Authorise
  readonly logger: Logger
  readonly rejected: QuarantineService
}

const bad = (message: string): GatewayError => new GatewayError('invalid_query', message)

const notFound = (rejected_id: number): GatewayError =>
  new GatewayError('not_found', `${rejected_id} is not in the quarantine.`, {
    hint: 'It was replayed, dropped or pruned, or never was there. GET /api/rejected lists what is.',
  })

const idIn = (ctx: Context): number => {
  const text = ctx.params.rejected_id ?? ''
  const id = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(id)) throw bad('rejected_id must be a whole number from 1 up.')
  return id
}

/** The filter of a query, as on the command line: `id`, `reason`, `routing_key`, `since`. @throws GatewayError invalid_query */
const readFilter = (query: URLSearchParams): RejectedFilter => {
  const ids = parseListParam(query, 'id')?.map(Number) ?? null
  if (ids?.some((id) => !Number.isSafeInteger(id) || id < 1)) throw bad('id must be whole numbers from 1 up.')
  const reasons = parseListParam(query, 'reason')
  // Not repeated in the answer: it may hold what a terminal obeys.
  if (findUnknownReason(reasons ?? []) !== undefined) throw bad('reason must be error codes.')
  const sinceText = singleParam(query, 'since')
  const since = sinceText === undefined ? null : parseSince(sinceText, Date.now())
  if (sinceText !== undefined && since === null) {
    throw bad('since must be an age such as 30m, 12h or 7d, or a date such as 2026-11-22T10:00:00Z.')
  }
  return { ids, reasons, routingKey: singleParam(query, 'routing_key') ?? null, since }
}

/** For what changes rows: a filter, or all=true in so many words. @throws GatewayError invalid_query */
const parseBulkFilter = (query: URLSearchParams): RejectedFilter => {
  const filter = readFilter(query)
  const narrow = Object.values(filter).some((part) => part !== null)
  const all = singleParam(query, 'all')
  if (all !== undefined && all !== 'true') throw bad('all is true or absent.')
  if (all === undefined && !narrow) throw bad('Say which rows: a filter such as reason, or all=true.')
  if (all !== undefined && narrow) throw bad('all stands alone, without filters.')
  return all === undefined ? filter : MATCH_ALL
}

/** What became of a row, for who asked for it. */
const toReplayResult = (rejected_id: number, outcome: ReplayResult) => {
  if (outcome.kind !== 'stored' && outcome.kind !== 'duplicate') return { rejected_id, ...outcome }
  const { kind, db_id, message } = outcome
  return { rejected_id, kind, db_id, event_id: message.event_id, message_id: message.message_id }
}

export type ReplayOutcome = ReturnType<typeof toReplayResult>

const succeedText = (ctx: Context, text: string): void => {
  sendSuccess(ctx, 200, null)
  ctx.body = `{"status":"success","data":${text}}`
}

/** The quarantine: what was set aside is looked at, offered to the checks again, or dropped. */
export const routeRejected = (router: Router, { authorise, logger, rejected }: RejectedOptions): void => {
  router.get('/api/rejected', async (ctx) => {
    await authorise(ctx, 'operate', '*')
    const query = new URLSearchParams(ctx.querystring)
    const limit = parseLimit(query, ROWS.defaultValue, ROWS.max)
    const rows = await rejected.list(readFilter(query), parseDbIdParam(query, 'before') ?? 0, limit + 1)
    sendJsonTexts(ctx, rows.slice(0, limit).map(serializeQuarantineRow), { has_more: rows.length > limit })
  })

  router.post('/api/rejected/replay', async (ctx) => {
    const { principal } = await authorise(ctx, 'operate', '*')
    const query = new URLSearchParams(ctx.querystring)
    const filter = parseBulkFilter(query)
    const after = parseDbIdParam(query, 'after') ?? 0
    // What comes in from the first page on is not meant.
    const through = parseDbIdParam(query, 'through') ?? (await rejected.maxId())
    const rows = await rejected.listWithBodies(filter, after, through, REPLAY_BYTES)
    const fates = (await rejected.replay(rows)).map((outcome, index) =>
      toReplayResult(rows[index]!.rejected_id, outcome),
    )
    if (fates.length > 0)
      logger.info({ ...countByKind(fates), by: principal?.subject ?? null }, 'rejected messages were replayed')
    const last = rows.at(-1)?.rejected_id ?? through
    sendSuccess(ctx, 200, fates, { has_more: rows.length > 0 && last < through, after: last, through })
  })

  router.get('/api/rejected/:rejected_id', async (ctx) => {
    await authorise(ctx, 'operate', '*')
    const rejected_id = idIn(ctx)
    const row = await rejected.row(rejected_id, BODY_BYTES)
    if (row === null) throw notFound(rejected_id)
    const cut = row.body.length < row.body_bytes
    const body = cut ? trimPartialUtf8(row.body) : row.body
    succeedText(ctx, `${serializeQuarantineRow({ ...row, body }).slice(0, -1)},"shown_bytes":${body.length}}`)
  })

  router.post('/api/rejected/:rejected_id/replay', async (ctx) => {
    const { principal } = await authorise(ctx, 'operate', '*')
    const rejected_id = idIn(ctx)
    const rows = await rejected.listWithBodies({ ...MATCH_ALL, ids: [rejected_id] }, rejected_id - 1, rejected_id, 1)
    const [outcome = { kind: 'gone' } as const] = await rejected.replay(rows)
    if (outcome.kind === 'gone') throw notFound(rejected_id)
    const fate = toReplayResult(rejected_id, outcome)
    logger.info({ ...fate, by: principal?.subject ?? null }, 'a rejected message was replayed')
    sendSuccess(ctx, 200, fate)
  })

  router.delete('/api/rejected/:rejected_id', async (ctx) => {
    const { principal } = await authorise(ctx, 'operate', '*')
    const rejected_id = idIn(ctx)
    const dropped = (await rejected.drop([rejected_id])) > 0
    if (dropped) logger.info({ rejected_id, by: principal?.subject ?? null }, 'a rejected message was dropped')
    sendSuccess(ctx, 200, { dropped })
  })
}

const countByKind = (fates: readonly { readonly kind: ReplayResult['kind'] }[]): Record<string, number> => {
  const tally: Record<string, number> = {}
  for (const { kind } of fates) tally[kind] = (tally[kind] ?? 0) + 1
  return tally
}
