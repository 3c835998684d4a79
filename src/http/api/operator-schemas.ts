import { z } from 'zod'
import { SAMPLE_FIELDS } from '../../monitoring/samples.ts'

const time = z.iso.datetime()
const id = z.number().int().min(1)
const known = z.number().nullable()

const LINE = {
  rejected_id: id,
  received_at: time,
  reason: z.string().describe('An error code.'),
  detail: z.string(),
  exchange: z.string(),
  routing_key: z.string(),
  body_bytes: z.number().int().describe('Size of the whole body.'),
  sha256: z.string().describe('Of the whole body, hexadecimal.'),
}

/** A row of the quarantine in a list. */
export const QuarantineSummarySchema = z.strictObject(LINE)

export const QuarantineRowSchema = z.strictObject({
  ...LINE,
  headers: z.looseObject({}),
  properties: z.looseObject({}),
  body: z.string().optional().describe('Where it is UTF-8.'),
  body_base64: z.string().optional().describe('Where it is not.'),
  shown_bytes: z.number().int(),
})

/** What became of a row that was offered again. */
export const ReplayResultSchema = z.union([
  z.strictObject({
    rejected_id: id,
    kind: z.enum(['stored', 'duplicate']),
    db_id: id,
    event_id: z.string(),
    message_id: z.string(),
  }),
  z.strictObject({ rejected_id: id, kind: z.literal('kept'), reason: z.string(), detail: z.string() }),
  z.strictObject({ rejected_id: id, kind: z.literal('gone') }),
])

const Worker = z.strictObject({
  worker: id,
  pid: z.number().int(),
  answers: z.boolean(),
  ready: z.boolean().nullable(),
  started_at: time.nullable(),
  readers: known,
  memory_bytes: known,
  event_loop_delay_seconds: known,
})

const each = <Schema extends z.ZodType>(schema: Schema) =>
  z.strictObject(Object.fromEntries(SAMPLE_FIELDS.map((name) => [name, schema])))

/** How all workers are. */
export const HealthReportSchema = z.strictObject({
  mode: z.enum(['embedded', 'broker']),
  version: z.string(),
  server_time: time,
  ready: z.boolean(),
  faults: z.array(
    z.strictObject({
      component: z.string(),
      code: z.string(),
      message: z.string(),
      hint: z.string(),
      since: time,
      workers: z.array(id),
    }),
  ),
  workers_expected: id,
  workers: z.array(Worker),
  now: each(known),
  lag_since: z.enum(['broker', 'publisher', 'arrival']).nullable(),
  totals: z.strictObject({ stored: z.number(), duplicates: z.number(), rejected: z.number() }),
  readers: z.strictObject({
    live: z.number(),
    catching_up: z.number(),
    stalled: z.number(),
    channels: z.number(),
  }),
  queue: z.strictObject({ ready: z.number(), consumers: known, dead: known }).nullable(),
  database: z.strictObject({ bytes: known, wal_bytes: known, disk_free_bytes: known }),
  sampled_since: time,
  sample_seconds: z.number(),
  quarantine: z
    .strictObject({
      rows: z.number().int(),
      more: z.boolean(),
      last_rejected_id: z.number().int(),
      reasons: z.array(z.strictObject({ reason: z.string(), rows: z.number().int(), hint: z.string() })),
    })
    .nullable(),
  samples: each(z.array(known)).extend({ at: z.array(z.number().int()) }),
})
