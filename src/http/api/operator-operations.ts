import { z } from 'zod'
import { DbId } from '../../core/cursor.ts'
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import { FilterSchema, Limit } from '../parameters.ts'
import { type Operations, type Parameter, STORAGE_ERRORS } from './operation.ts'
import { success } from './schemas.ts'

const count = z.number().int().min(0)
const figure = z.number().nullable()
const time = z.iso.datetime()
const CODES = Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]

const Sample = z.strictObject({
  stored_per_second: figure,
  rejected_per_second: figure,
  delivered_per_second: figure,
  lag_seconds: figure,
  queue_ready: figure,
  readers: figure,
  readers_stalled: figure,
  event_loop_delay_seconds: figure,
  wal_bytes: figure,
  workers: figure,
})

const column = z.array(figure)
const Samples = z.strictObject({
  at: z.array(z.number()),
  ...(Object.fromEntries(Object.keys(Sample.shape).map((name) => [name, column])) as Record<
    keyof typeof Sample.shape,
    typeof column
  >),
})

const Fault = z.strictObject({
  component: z.string(),
  code: z.enum(CODES),
  message: z.string(),
  hint: z.string(),
  since: time,
  workers: z.array(z.number()),
})

const Worker = z.strictObject({
  worker: z.number(),
  pid: z.number(),
  answers: z.boolean(),
  ready: z.boolean().nullable(),
  started_at: time.nullable(),
  readers: figure,
  memory_bytes: figure,
  event_loop_delay_seconds: figure,
})

const Health = z.strictObject({
  mode: z.enum(['embedded', 'broker']),
  version: z.string(),
  server_time: time,
  ready: z.boolean(),
  faults: z.array(Fault),
  workers_expected: count,
  workers: z.array(Worker),
  now: Sample,
  lag_since: z.string().nullable(),
  totals: z.strictObject({ stored: count, duplicates: count, rejected: count }),
  readers: z.strictObject({ live: count, catching_up: count, stalled: count, channels: count }),
  queue: z.strictObject({ ready: count, consumers: count.nullable(), dead: count.nullable() }).nullable(),
  database: z.strictObject({ bytes: figure, wal_bytes: figure, disk_free_bytes: figure }),
  sampled_since: time,
  sample_seconds: z.number(),
  quarantine: z
    .strictObject({
      rows: count,
      more: z.boolean(),
      last_rejected_id: count,
      reasons: z.array(z.strictObject({ reason: z.string(), rows: count, hint: z.string() })),
    })
    .nullable(),
  samples: Samples,
})

const LINE = {
  rejected_id: count.min(1),
  received_at: time,
  reason: z.string().describe('An error code.'),
  detail: z.string(),
  exchange: z.string(),
  routing_key: z.string(),
  body_bytes: count,
  sha256: z.string().describe('Of the whole body.'),
}

const RejectedLine = z.strictObject(LINE)

const WholeRejected = z.strictObject({
  ...LINE,
  headers: z.looseObject({}),
  properties: z.looseObject({}),
  body: z.string().optional().describe('Where it is UTF-8.'),
  body_base64: z.string().optional().describe('Where it is not.'),
  shown_bytes: count.describe('64 KiB at most.'),
})

const Fate = z.discriminatedUnion('kind', [
  z.strictObject({
    rejected_id: count,
    kind: z.enum(['stored', 'duplicate']),
    db_id: count,
    event_id: z.string(),
    message_id: z.string(),
  }),
  z.strictObject({ rejected_id: count, kind: z.literal('kept'), reason: z.enum(CODES), detail: z.string() }),
  z.strictObject({ rejected_id: count, kind: z.literal('gone') }),
])

const ROW_ID: Parameter = {
  name: 'rejected_id',
  in: 'path',
  schema: DbId.pipe(z.number().int().min(1)),
  meaning: 'The row.',
  required: true,
  example: 1,
}

const FILTERS: readonly Parameter[] = [
  { name: 'id', in: 'query', schema: FilterSchema, meaning: 'Only these rows, comma-separated.' },
  { name: 'reason', in: 'query', schema: FilterSchema, meaning: 'Only rows with these error codes, comma-separated.' },
  {
    name: 'routing_key',
    in: 'query',
    schema: z.string(),
    meaning: 'Only rows with this routing key; * stands for any characters.',
  },
  {
    name: 'since',
    in: 'query',
    schema: z.string(),
    meaning: 'Only rows since this age (30m, 12h, 7d) or date.',
  },
]

const EXAMPLE_LINE = {
  rejected_id: 1,
  reason: 'invalid_json',
  detail: 'SyntaxError: …',
  exchange: 'deepsoc_notifications_exchange',
  routing_key: 'notifications.frontend.incident-7.llm_response',
  body_bytes: 1,
  sha256: '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881',
  received_at: '2026-11-22T10:00:00.123Z',
}

const EXAMPLE_FATE = { rejected_id: 1, kind: 'kept', reason: 'invalid_json', detail: 'SyntaxError: …' } as const

const QUARANTINE = { tag: 'operation', needs: 'token' } as const
const ERRORS_OF_ROWS: readonly ErrorCode[] = [...STORAGE_ERRORS, 'invalid_query']

/** How the gateway is, and what it has set aside: for the scope admin. */
export const OPERATOR_OPERATIONS: Operations = {
  'GET /api/health': {
    tag: 'operation',
    summary: 'How all workers are, with the last hour',
    description: 'Needs the scope admin.',
    needs: 'token',
    parameters: [
      {
        name: 'samples_after',
        in: 'query',
        schema: DbId,
        meaning: 'Only samples later than this, in milliseconds since 1970.',
      },
    ],
    answers: { 200: { meaning: 'null: not known.', schema: success(Health) } },
    errors: ['invalid_query'],
  },
  'GET /api/rejected': {
    ...QUARANTINE,
    summary: 'What was set aside, newest first',
    description: 'Needs the scope admin.',
    parameters: [
      { name: 'limit', in: 'query', schema: Limit, meaning: '50 if absent, at most 200.' },
      { name: 'before', in: 'query', schema: DbId, meaning: 'Only rows below this id.' },
      ...FILTERS,
    ],
    answers: {
      200: {
        meaning: 'One page.',
        schema: success(z.array(RejectedLine), { has_more: z.boolean() }),
        example: { status: 'success', data: [EXAMPLE_LINE], has_more: false },
      },
    },
    errors: ERRORS_OF_ROWS,
  },
  'GET /api/rejected/:rejected_id': {
    ...QUARANTINE,
    summary: 'One row with its body',
    description: 'Needs the scope admin.',
    parameters: [ROW_ID],
    answers: {
      200: {
        meaning: 'The row.',
        schema: success(WholeRejected),
        example: {
          status: 'success',
          data: { ...EXAMPLE_LINE, headers: {}, properties: {}, body: 'x', shown_bytes: 1 },
        },
      },
    },
    errors: [...ERRORS_OF_ROWS, 'not_found'],
  },
  'POST /api/rejected/replay': {
    ...QUARANTINE,
    summary: 'Offer rows to the checks again, page by page',
    description: 'Needs the scope admin. What passes is stored and leaves the quarantine in one commit.',
    parameters: [
      ...FILTERS,
      { name: 'all', in: 'query', schema: z.literal('true'), meaning: 'All rows, without a filter.', example: 'true' },
      { name: 'after', in: 'query', schema: DbId, meaning: 'Go on behind this row: `after` of the last answer.' },
      { name: 'through', in: 'query', schema: DbId, meaning: 'No row beyond: `through` of the first answer.' },
    ],
    answers: {
      200: {
        meaning: 'What became of the rows of this page.',
        schema: success(z.array(Fate), { has_more: z.boolean(), after: count, through: count }),
        example: { status: 'success', data: [EXAMPLE_FATE], has_more: false, after: 1, through: 1 },
      },
    },
    errors: ERRORS_OF_ROWS,
  },
  'POST /api/rejected/:rejected_id/replay': {
    ...QUARANTINE,
    summary: 'Offer one row to the checks again',
    description: 'Needs the scope admin.',
    parameters: [ROW_ID],
    answers: {
      200: {
        meaning: 'What became of it.',
        schema: success(Fate),
        example: { status: 'success', data: EXAMPLE_FATE },
      },
    },
    errors: [...ERRORS_OF_ROWS, 'not_found'],
  },
  'DELETE /api/rejected/:rejected_id': {
    ...QUARANTINE,
    summary: 'Drop one row for good',
    description: 'Needs the scope admin.',
    parameters: [ROW_ID],
    answers: {
      200: {
        meaning: 'Whether it was there.',
        schema: success(z.strictObject({ dropped: z.boolean() })),
        example: { status: 'success', data: { dropped: true } },
      },
    },
    errors: ERRORS_OF_ROWS,
  },
}
