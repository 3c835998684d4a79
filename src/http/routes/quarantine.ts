import type { Logger } from 'pino'
import * as z from 'zod'
import { type ErrorCode, GatewayError } from '../../core/errors.ts'
import type { QuarantineRow } from '../../core/quarantine.ts'
import { findUnknownReason, MATCH_ALL, parseSince, type QuarantineFilter } from '../../core/quarantine-filter.ts'
import { serializeQuarantineRow, trimPartialUtf8 } from '../../core/quarantine-json.ts'
import type { Quarantine, ReplayResult } from '../../store/store.ts'
import { ERROR_CODES, successSchema } from '../api/schemas.ts'
import { dbIdField, type FieldValues, invalidQuery, ListSchema, limitField, listField } from '../parameters.ts'
import { sendJsonText, sendJsonTexts, sendSuccess } from '../responses.ts'
import { defineRoute, STORAGE_ERRORS } from '../route.ts'

/** Maximum bytes of a body in a response; the command line shows all of it. */
const BODY_BYTES = 64 * 1024
/** Bytes of bodies that are validated at once; the streams of this process are blocked meanwhile. */
const REPLAY_BYTES = 1024 * 1024

/** The quarantine of this gateway, as operators use it. */
export interface QuarantineService extends Omit<Quarantine, 'replay'> {
  /** Revalidates rows and commits valid ones. @returns an outcome per row, in order. @throws GatewayError storage_* */
  replay(rows: readonly QuarantineRow[]): Promise<ReplayResult[]>
}

export interface QuarantineOptions {
  readonly logger: Logger
  readonly quarantine: QuarantineService
}

const notFound = (rejected_id: number): GatewayError =>
  new GatewayError('not_found', `${rejected_id} is not in the quarantine.`, {
    hint: 'It was replayed, deleted or pruned, or never existed. GET /api/rejected lists the quarantine.',
  })

/** Filters for rows, the same as on the command line. */
const FILTERS = {
  id: listField(
    'Only these rows, comma-separated.',
    ListSchema.refine((ids) => ids.every((id) => Number.isSafeInteger(Number(id)) && Number(id) >= 1), {
      error: 'must be integers of at least 1',
    }),
  ),
  reason: listField(
    'Only rows with these error codes, comma-separated.',
    // The error does not repeat the value, which may contain terminal control sequences.
    ListSchema.refine((reasons) => findUnknownReason(reasons) === undefined, { error: 'must be error codes' }),
  ),
  routing_key: z.string().optional().describe('Only rows with this routing key; * matches any characters.'),
  since: z
    .string()
    .refine((text) => parseSince(text, 0) !== null, {
      error: 'must be an age such as 30m, 12h or 7d, or a date such as 2026-11-22T10:00:00Z',
    })
    .optional()
    .describe('Only rows received since this age (30m, 12h, 7d) or date.'),
}

const toQuarantineFilter = ({ id, reason, routing_key, since }: FieldValues<typeof FILTERS>): QuarantineFilter => ({
  ids: id?.map(Number) ?? null,
  reasons: reason ?? null,
  routingKey: routing_key ?? null,
  since: since === undefined ? null : parseSince(since, Date.now()),
})

const BULK_QUERY = {
  ...FILTERS,
  all: z
    .literal('true', { error: 'must be true or absent' })
    .optional()
    .meta({ description: 'All rows, without a filter.', example: 'true' }),
  after: dbIdField('Continue after this row: `after` of the previous response.'),
  through: dbIdField('End at this row: `through` of the first response.'),
}

/** Requires a filter or an explicit all=true for a bulk change. @throws GatewayError invalid_query */
const toBulkFilter = (query: FieldValues<typeof BULK_QUERY>): QuarantineFilter => {
  const filter = toQuarantineFilter(query)
  const hasCriteria = Object.values(filter).some((part) => part !== null)
  if (query.all === undefined && !hasCriteria)
    throw invalidQuery('No rows selected: give a filter such as reason, or all=true.')
  if (query.all !== undefined && hasCriteria) throw invalidQuery('all cannot be combined with filters.')
  return query.all === undefined ? filter : MATCH_ALL
}

const isRowId = (text: string): boolean => /^[1-9]\d{0,15}$/.test(text) && Number.isSafeInteger(Number(text))

const ROW = {
  rejected_id: z
    .string()
    .refine(isRowId, { error: 'must be an integer of at least 1' })
    .transform(Number)
    .pipe(z.number().int().min(1))
    .meta({ description: 'The row.', example: 1 }),
}

/** Converts the outcome of a replay to its response format. */
const toReplayResult = (rejected_id: number, outcome: ReplayResult) => {
  if (outcome.kind !== 'stored' && outcome.kind !== 'duplicate') return { rejected_id, ...outcome }
  const { kind, db_id, message } = outcome
  return { rejected_id, kind, db_id, event_id: message.event_id, message_id: message.message_id }
}

export type ReplayOutcome = ReturnType<typeof toReplayResult>

const countByKind = (results: readonly { readonly kind: ReplayResult['kind'] }[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const { kind } of results) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

const count = z.number().int().min(0)

const SUMMARY = {
  rejected_id: count.min(1),
  received_at: z.iso.datetime(),
  reason: z.string().describe('An error code.'),
  detail: z.string(),
  exchange: z.string(),
  routing_key: z.string(),
  body_bytes: count,
  sha256: z.string().describe('SHA-256 of the whole body.'),
}

const SummarySchema = z.strictObject(SUMMARY)

const RowSchema = z.strictObject({
  ...SUMMARY,
  headers: z.looseObject({}),
  properties: z.looseObject({}),
  body: z.string().optional().describe('The body if it is UTF-8.'),
  body_base64: z.string().optional().describe('The body if it is not UTF-8.'),
  shown_bytes: count.describe('Number of bytes shown, at most 64 KiB.'),
})

const ReplayResultSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    rejected_id: count,
    kind: z.enum(['stored', 'duplicate']),
    db_id: count,
    event_id: z.string(),
    message_id: z.string(),
  }),
  z.strictObject({ rejected_id: count, kind: z.literal('kept'), reason: z.enum(ERROR_CODES), detail: z.string() }),
  z.strictObject({ rejected_id: count, kind: z.literal('gone') }),
])

const EXAMPLE_SUMMARY = {
  rejected_id: 1,
  reason: 'invalid_json',
  detail: 'SyntaxError: …',
  exchange: 'deepsoc_notifications_exchange',
  routing_key: 'notifications.frontend.incident-7.llm_response',
  body_bytes: 1,
  sha256: '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881',
  received_at: '2026-11-22T10:00:00.123Z',
}

const EXAMPLE_RESULT = { rejected_id: 1, kind: 'kept', reason: 'invalid_json', detail: 'SyntaxError: …' } as const

const ROW_ERRORS: readonly ErrorCode[] = [...STORAGE_ERRORS, 'invalid_query']
const QUARANTINE = { access: 'operate', tag: 'operation', errors: ROW_ERRORS } as const

/** Routes of the quarantine: list, show, replay and delete messages. */
export const QUARANTINE_ROUTES = [
  defineRoute({
    ...QUARANTINE,
    method: 'GET',
    path: '/api/rejected',
    summary: 'List quarantined messages, newest first',
    description: 'Bodies are left out. Pages of older rows start before the id of the last one.',
    query: { limit: limitField(50, 200), before: dbIdField('Only rows with a smaller id than this.'), ...FILTERS },
    responses: {
      200: {
        description: 'One page.',
        schema: successSchema(z.array(SummarySchema), { has_more: z.boolean() }),
        example: { status: 'success', data: [EXAMPLE_SUMMARY], has_more: false },
      },
    },
    handler:
      ({ quarantine }: QuarantineOptions) =>
      async ({ ctx, query }) => {
        const rows = await quarantine.list(toQuarantineFilter(query), query.before ?? 0, query.limit + 1)
        const page = rows.slice(0, query.limit)
        sendJsonTexts(ctx, page.map(serializeQuarantineRow), { has_more: rows.length > query.limit })
      },
  }),
  defineRoute({
    ...QUARANTINE,
    method: 'POST',
    path: '/api/rejected/replay',
    summary: 'Replay quarantined messages, page by page',
    description: 'Messages that are now valid are stored and deleted from the quarantine in one commit.',
    query: BULK_QUERY,
    responses: {
      200: {
        description: 'Outcome for each row of this page.',
        schema: successSchema(z.array(ReplayResultSchema), { has_more: z.boolean(), after: count, through: count }),
        example: { status: 'success', data: [EXAMPLE_RESULT], has_more: false, after: 1, through: 1 },
      },
    },
    handler:
      ({ quarantine, logger }: QuarantineOptions) =>
      async ({ ctx, access, query }) => {
        const filter = toBulkFilter(query)
        // Rows that arrive after the first page are left out.
        const through = query.through ?? (await quarantine.maxId())
        const rows = await quarantine.listWithBodies(filter, query.after ?? 0, through, REPLAY_BYTES)
        const outcomes = await quarantine.replay(rows)
        const results = outcomes.map((outcome, index) => toReplayResult(rows[index]!.rejected_id, outcome))
        if (results.length > 0) {
          logger.info(
            { ...countByKind(results), actor: access.principal?.subject ?? null },
            'quarantined messages replayed',
          )
        }
        const last = rows.at(-1)?.rejected_id ?? through
        sendSuccess(ctx, 200, results, { has_more: rows.length > 0 && last < through, after: last, through })
      },
  }),
  defineRoute({
    ...QUARANTINE,
    method: 'GET',
    path: '/api/rejected/:rejected_id',
    summary: 'Show one quarantined message with its body',
    description: 'Only the start of a long body is shown: shown_bytes of its body_bytes.',
    params: ROW,
    responses: {
      200: {
        description: 'The row.',
        schema: successSchema(RowSchema),
        example: {
          status: 'success',
          data: { ...EXAMPLE_SUMMARY, headers: {}, properties: {}, body: 'x', shown_bytes: 1 },
        },
      },
    },
    errors: [...ROW_ERRORS, 'not_found'],
    handler:
      ({ quarantine }: QuarantineOptions) =>
      async ({ ctx, params: { rejected_id } }) => {
        const row = await quarantine.row(rejected_id, BODY_BYTES)
        if (row === null) throw notFound(rejected_id)
        const isTruncated = row.body.length < row.body_bytes
        const body = isTruncated ? trimPartialUtf8(row.body) : row.body
        sendJsonText(ctx, `${serializeQuarantineRow({ ...row, body }).slice(0, -1)},"shown_bytes":${body.length}}`)
      },
  }),
  defineRoute({
    ...QUARANTINE,
    method: 'POST',
    path: '/api/rejected/:rejected_id/replay',
    summary: 'Replay one quarantined message',
    description: 'If it is valid now, it is stored and deleted from the quarantine in one commit; otherwise it stays.',
    params: ROW,
    responses: {
      200: {
        description: 'Outcome of the replay.',
        schema: successSchema(ReplayResultSchema),
        example: { status: 'success', data: EXAMPLE_RESULT },
      },
    },
    errors: [...ROW_ERRORS, 'not_found'],
    handler:
      ({ quarantine, logger }: QuarantineOptions) =>
      async ({ ctx, access, params: { rejected_id } }) => {
        const filter = { ...MATCH_ALL, ids: [rejected_id] }
        const rows = await quarantine.listWithBodies(filter, rejected_id - 1, rejected_id, 1)
        const [outcome = { kind: 'gone' } as const] = await quarantine.replay(rows)
        if (outcome.kind === 'gone') throw notFound(rejected_id)
        const result = toReplayResult(rejected_id, outcome)
        logger.info({ ...result, actor: access.principal?.subject ?? null }, 'quarantined message replayed')
        sendSuccess(ctx, 200, result)
      },
  }),
  defineRoute({
    ...QUARANTINE,
    method: 'DELETE',
    path: '/api/rejected/:rejected_id',
    summary: 'Delete one quarantined message',
    description: 'The message cannot be restored.',
    params: ROW,
    responses: {
      200: {
        description: 'dropped: whether it existed.',
        schema: successSchema(z.strictObject({ dropped: z.boolean() })),
        example: { status: 'success', data: { dropped: true } },
      },
    },
    handler:
      ({ quarantine, logger }: QuarantineOptions) =>
      async ({ ctx, access, params: { rejected_id } }) => {
        const dropped = (await quarantine.drop([rejected_id])) > 0
        if (dropped) {
          logger.info({ rejected_id, actor: access.principal?.subject ?? null }, 'quarantined message deleted')
        }
        sendSuccess(ctx, 200, { dropped })
      },
  }),
]
