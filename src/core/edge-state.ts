import * as z from 'zod'

/**
 * States of the copy that an edge keeps:
 *
 * - `connecting`: there was no contact since the start.
 * - `copying`: connected; the first copy is not complete.
 * - `catching_up`: connected, and more than a few seconds behind.
 * - `live`: connected, and up to date.
 * - `away`: the connection is lost. What was copied is served.
 */
export const UPSTREAM_STATES = ['connecting', 'copying', 'catching_up', 'live', 'away'] as const

export type UpstreamState = (typeof UPSTREAM_STATES)[number]

const dbId = z.number().int().min(0)
const milliseconds = z.number().int()

/** A revocation as an edge takes it over. Times are in milliseconds since 1970. */
const RevocationRecordSchema = z.object({
  subject: z.string(),
  issued_before: milliseconds,
  until: milliseconds.nullable(),
})

/** What `GET /api/edge` returns: all that an edge needs besides the messages. Later versions can add members. */
export const EdgeStateSchema = z.object({
  log_id: z.string(),
  version: z.string().describe('Version of the gateway.'),
  last_db_id: dbId.describe('The greatest db_id of the messages of the events.'),
  head_db_id: dbId.describe('The greatest db_id that was assigned in any event.'),
  total: z.number().int().describe('Messages of the events.'),
  pending: z.number().int().describe('Messages of the events after the cursor; counting stops at 1,000.'),
  pruned: z.string().describe('Changes whenever retention deletes messages of the events.'),
  level: z.boolean().describe('False if this gateway is itself an edge that may lack messages of its core.'),
  edges: z
    .array(z.string())
    .optional()
    .describe(
      'Identifiers of the edges between the first core and the caller: this gateway, if it is one, and those it follows.',
    ),
  revocations_version: z.string().describe('Changes with the revocations.'),
  revocations: z.array(RevocationRecordSchema).optional().describe('Absent if the version is the one in the query.'),
})
export type EdgeState = z.output<typeof EdgeStateSchema>

/** What `GET /api/edge/pruned` returns. */
export const PrunedBoundsSchema = z.array(
  z.object({ event_id: z.string(), pruned_db_id: dbId.describe('The greatest db_id that retention has deleted.') }),
)

/** Messages after the cursor of an edge are counted up to this number. */
export const MAX_PENDING_COUNT = 1_000

/** Maximum number of events per page of `GET /api/edge/pruned`. */
export const PRUNED_PAGE = 1_000
