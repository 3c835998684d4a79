import { createHash } from 'node:crypto'
import * as z from 'zod'
import { EdgeStateSchema, PRUNED_PAGE, PrunedBoundsSchema } from '../../core/edge-state.ts'
import { createFilter } from '../../core/subscription-filter.ts'
import type { MessageStore, Revocation } from '../../store/store.ts'
import type { UpstreamView } from '../../upstream/status.ts'
import { successSchema } from '../api/schemas.ts'
import { dbIdField, EventsField, limitField } from '../parameters.ts'
import { sendSuccess } from '../responses.ts'
import { defineRoute, STORAGE_ERRORS } from '../route.ts'

export interface EdgeRouteOptions {
  readonly store: MessageStore
  readonly version: string
  /** The core of this gateway if it is an edge itself, otherwise null. */
  readonly upstream: UpstreamView | null
  readonly listRevocations: () => Promise<Revocation[]>
}

const EVENTS_QUERY = { event_id: EventsField.optional() }

const hashRevocations = (revocations: readonly Revocation[]): string =>
  createHash('sha256')
    .update(JSON.stringify(revocations.map(({ subject, issued_before, until }) => [subject, issued_before, until])))
    .digest('base64url')
    .slice(0, 16)

/** What edges read besides the stream, about once a second. */
export const EDGE_ROUTES = [
  defineRoute({
    method: 'GET',
    path: '/api/edge',
    access: 'follow',
    tag: 'operation',
    summary: 'State that an edge compares its copy with',
    description: 'Requires the scope edge. Edges call it about once a second.',
    query: {
      ...EVENTS_QUERY,
      after: dbIdField('The greatest db_id that the edge has.'),
      revocations: z.string().optional().describe('The version of the revocations that the edge has.'),
    },
    responses: {
      200: {
        description: 'The state.',
        schema: successSchema(EdgeStateSchema),
        example: {
          status: 'success',
          data: {
            log_id: '6f0f1c1e-5a86-4c0a-8f0a-0f7a54cf0a51',
            version: '0.2.0',
            last_db_id: 1,
            head_db_id: 1,
            total: 1,
            pruned: '0 0',
            pending: 0,
            level: true,
            edges: [],
            revocations_version: 'T1PNoY0wolj8iZEH',
            revocations: [{ subject: 'ann', issued_before: 1_763_805_600_000, until: null }],
          },
        },
      },
    },
    errors: [...STORAGE_ERRORS, 'invalid_query', 'invalid_event_id', 'too_many_events'],
    handler:
      ({ store, version, upstream, listRevocations }: EdgeRouteOptions) =>
      async ({ ctx, access, query }) => {
        // An edge of this edge must learn what the core has now.
        await upstream?.refresh()
        await upstream?.settled()
        const revocations = await listRevocations()
        const revocations_version = hashRevocations(revocations)
        const { last_db_id, head_db_id, pruned_db_id } = await store.bounds(createFilter(access.events))
        sendSuccess(ctx, 200, {
          log_id: store.logId,
          version,
          last_db_id,
          head_db_id: Math.max(head_db_id, pruned_db_id),
          ...(await store.following.state(access.events, query.after ?? 0)),
          edges: upstream?.edges ?? [],
          level: upstream?.isLevel ?? true,
          revocations_version,
          ...(query.revocations === revocations_version ? {} : { revocations }),
        })
      },
  }),
  defineRoute({
    method: 'GET',
    path: '/api/edge/pruned',
    access: 'follow',
    tag: 'operation',
    summary: 'List what retention has deleted of each event',
    description: 'Requires the scope edge. Sorted by event_id; the next page starts after the last one.',
    query: {
      ...EVENTS_QUERY,
      after: z.string().optional().describe('Only events after this event_id.'),
      limit: limitField(PRUNED_PAGE, PRUNED_PAGE),
    },
    responses: {
      200: {
        description: 'One page; empty at the end.',
        schema: successSchema(PrunedBoundsSchema),
        example: { status: 'success', data: [] },
      },
    },
    errors: [...STORAGE_ERRORS, 'invalid_query', 'invalid_event_id', 'too_many_events'],
    handler:
      ({ store }: EdgeRouteOptions) =>
      async ({ ctx, access, query }) =>
        sendSuccess(ctx, 200, await store.following.pruned(access.events, query.after ?? '', query.limit)),
  }),
]
