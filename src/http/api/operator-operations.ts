import { z } from 'zod'
import { DbId } from '../../message/cursor.ts'
import { Filter, Limit } from '../query.ts'
import { LOG_CALL, type Operations, type Parameter } from './operation.ts'
import { success } from './schemas.ts'
import { RejectedLine, RejectedRow, ReplayFate, WholeHealth } from './schemas-operator.ts'

const FILTERS: readonly Parameter[] = [
  { name: 'id', in: 'query', schema: Filter, meaning: 'Only these rows, comma-separated.' },
  { name: 'reason', in: 'query', schema: Filter, meaning: 'Only of these reasons, comma-separated error codes.' },
  { name: 'routing_key', in: 'query', schema: z.string(), meaning: 'Only of this key; * stands for any characters.' },
  { name: 'since', in: 'query', schema: z.string(), meaning: 'Only since then: an age such as 12h, or a date.' },
]

const ROW: Parameter = {
  name: 'rejected_id',
  in: 'path',
  schema: DbId,
  meaning: 'The row.',
  required: true,
  example: 1,
}

const LINE = {
  rejected_id: 1,
  reason: 'invalid_json',
  detail: 'SyntaxError: Unexpected token',
  exchange: 'deepsoc_notifications_exchange',
  routing_key: 'notifications.frontend.incident-7.llm_response',
  body_bytes: 4,
  sha256: '3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d',
  received_at: '2026-11-22T10:00:00.123Z',
}
const KEPT = { rejected_id: 1, kind: 'kept', reason: LINE.reason, detail: LINE.detail }

const ADMIN = 'Needs the scope admin.'

/** For who operates the gateway: how it is, and what was set aside. */
export const OPERATOR_OPERATIONS: Operations = {
  'GET /api/health': {
    tag: 'operation',
    summary: 'How all workers are, now and in the last hour',
    description: `${ADMIN} 200 also when something fails.`,
    needs: 'token',
    parameters: [
      {
        name: 'samples_after',
        in: 'query',
        schema: DbId,
        meaning: 'Only samples later than this, in milliseconds since 1970.',
      },
    ],
    answers: { 200: { meaning: 'What each figure means: docs/PROTOCOL.md.', schema: success(WholeHealth) } },
    errors: ['invalid_query'],
  },
  'GET /api/rejected': {
    tag: 'operation',
    summary: 'What was set aside, newest first',
    description: ADMIN,
    needs: 'token',
    parameters: [
      ...FILTERS,
      { name: 'limit', in: 'query', schema: Limit, meaning: '50 if absent, at most 200.' },
      { name: 'before', in: 'query', schema: DbId, meaning: 'Only rows below this one.' },
    ],
    answers: {
      200: {
        meaning: 'One page.',
        schema: success(z.array(RejectedLine), { has_more: z.boolean() }),
        example: { status: 'success', data: [LINE], has_more: false },
      },
    },
    errors: [...LOG_CALL, 'invalid_query'],
  },
  'GET /api/rejected/:rejected_id': {
    tag: 'operation',
    summary: 'One row, with the first 64 KiB of its body',
    description: ADMIN,
    needs: 'token',
    parameters: [ROW],
    answers: {
      200: {
        meaning: 'The row.',
        schema: success(RejectedRow),
        example: { status: 'success', data: { ...LINE, headers: {}, properties: {}, body: '{NaN', shown_bytes: 4 } },
      },
    },
    errors: [...LOG_CALL, 'invalid_query', 'not_found'],
  },
  'POST /api/rejected/replay': {
    tag: 'operation',
    summary: 'Offer rows to the checks again, oldest first, a page a call',
    description: `${ADMIN} Call again with after and through of the answer while has_more is true.`,
    needs: 'token',
    parameters: [
      ...FILTERS.map((filter) => (filter.name === 'reason' ? { ...filter, example: ['invalid_json'] } : filter)),
      { name: 'all', in: 'query', schema: z.literal('true'), meaning: 'All rows; instead of a filter.' },
      { name: 'after', in: 'query', schema: DbId, meaning: 'Only rows behind this one.' },
      { name: 'through', in: 'query', schema: DbId, meaning: 'Only rows up to this one.' },
    ],
    answers: {
      200: {
        meaning: 'What became of each, durable.',
        schema: success(z.array(ReplayFate), {
          has_more: z.boolean(),
          after: z.number().int(),
          through: z.number().int(),
        }),
        example: { status: 'success', data: [KEPT], has_more: false, after: 1, through: 1 },
      },
    },
    errors: [...LOG_CALL, 'invalid_query'],
  },
  'POST /api/rejected/:rejected_id/replay': {
    tag: 'operation',
    summary: 'Offer one row to the checks again',
    description: ADMIN,
    needs: 'token',
    parameters: [ROW],
    answers: {
      200: {
        meaning: 'What became of it, durable.',
        schema: success(ReplayFate),
        example: { status: 'success', data: KEPT },
      },
    },
    errors: [...LOG_CALL, 'invalid_query', 'not_found'],
  },
  'DELETE /api/rejected/:rejected_id': {
    tag: 'operation',
    summary: 'Remove a row for good',
    description: ADMIN,
    needs: 'token',
    parameters: [ROW],
    answers: {
      200: {
        meaning: 'Whether there was one.',
        schema: success(z.strictObject({ dropped: z.boolean() })),
        example: { status: 'success', data: { dropped: true } },
      },
    },
    errors: [...LOG_CALL, 'invalid_query'],
  },
}
