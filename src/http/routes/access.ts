import type { Logger } from 'pino'
import * as z from 'zod'
import { GatewayError } from '../../core/errors.ts'
import { decodeUtf8 } from '../../core/message.ts'
import type { Revocation } from '../../store/store.ts'
import { successSchema } from '../api/schemas.ts'
import type { Revocations } from '../auth/revocations.ts'
import { TICKET_TTL_MS, type Tickets } from '../auth/tickets.ts'
import { readBody } from '../body.ts'
import { type ForwardOptions, forwardToCore, UPSTREAM_REFUSALS } from '../forward.ts'
import { sendSuccess } from '../responses.ts'
import { defineRoute, STORAGE_ERRORS } from '../route.ts'

const MAX_BODY_BYTES = 4_096
const MAX_SUBJECT = 255

export interface AccessOptions extends ForwardOptions {
  /** Logs revoked subjects and the caller that revoked them. */
  readonly logger: Logger
  readonly tickets: Tickets
  readonly revocations: Revocations
  /** Returns all revocations in force. */
  readonly listRevocations: () => Promise<Revocation[]>
}

const time = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text))

const RevocationBodySchema = z.strictObject({
  sub: z.string().min(1).max(MAX_SUBJECT).describe('The subject whose tokens are rejected.'),
  issued_before: time.optional().describe('Tokens issued up to this time are rejected; now if absent.'),
  until: time.nullish().describe('The revocation expires at this time; never if absent.'),
})

const TicketSchema = z.strictObject({ ticket: z.string(), expires_in: z.number().describe('Seconds.') })

const utc = z.iso.datetime().describe('ISO 8601 in UTC.')
const RevocationSchema = z.strictObject({ sub: z.string(), issued_before: utc, until: utc.nullable() })

const EXAMPLE_REVOCATION = { sub: 'ann', issued_before: '2026-11-22T10:00:00.000Z', until: null }

const toJson = ({ subject, issued_before, until }: Revocation) => ({
  sub: subject,
  issued_before: new Date(issued_before).toISOString(),
  until: until === null ? null : new Date(until).toISOString(),
})

/**
 * @param now default of `issued_before`, in milliseconds since 1970
 * @throws GatewayError invalid_revocation, invalid_json, invalid_utf8, and the errors of readBody
 */
const readRevocation = async (request: Parameters<typeof readBody>[0], now: () => number): Promise<Revocation> => {
  const text = decodeUtf8(await readBody(request, MAX_BODY_BYTES))
  if (typeof text !== 'string') throw new GatewayError(text.error.reason, text.error.detail)
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (cause) {
    throw new GatewayError('invalid_json', 'The body is not JSON.', { cause })
  }
  const { success, data, error } = RevocationBodySchema.safeParse(body)
  if (!success) throw new GatewayError('invalid_revocation', z.prettifyError(error).replaceAll('\n', ' '))
  return { subject: data.sub, issued_before: data.issued_before ?? now(), until: data.until ?? null }
}

/** Routes for stream tickets and for revoking the tokens of a subject. */
export const ACCESS_ROUTES = [
  defineRoute({
    method: 'POST',
    path: '/api/stream-tickets',
    access: 'ticket',
    tag: 'access',
    summary: 'Issue a ticket for one stream, valid once for 30 seconds',
    description: 'For EventSource, which cannot send headers: the ticket is passed as ?ticket= of a stream.',
    responses: {
      201: {
        description: 'The ticket.',
        schema: successSchema(TicketSchema),
        example: { status: 'success', data: { ticket: 'bVQ1…', expires_in: 30 } },
      },
    },
    errors: ['too_many_tickets'],
    handler:
      ({ tickets }: AccessOptions) =>
      async ({ ctx, access }) => {
        const ticket = await tickets.issue(access.principal)
        sendSuccess(ctx, 201, { ticket, expires_in: TICKET_TTL_MS / 1_000 })
      },
  }),
  defineRoute({
    method: 'GET',
    path: '/api/revocations',
    access: 'operate',
    tag: 'access',
    summary: 'List the revocations in force',
    description: 'Expired revocations are left out.',
    responses: {
      200: {
        description: 'By subject.',
        schema: successSchema(z.array(RevocationSchema)),
        example: { status: 'success', data: [EXAMPLE_REVOCATION] },
      },
    },
    errors: STORAGE_ERRORS,
    handler:
      ({ listRevocations }: AccessOptions) =>
      async ({ ctx }) =>
        sendSuccess(ctx, 200, (await listRevocations()).map(toJson)),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/revocations',
    access: 'operate',
    tag: 'access',
    summary: 'Revoke the tokens of a subject',
    description:
      'Its streams end within a second. Of two revocations the later times apply. An edge forwards it to its core.',
    body: { schema: RevocationBodySchema, description: 'The subject to revoke.', example: EXAMPLE_REVOCATION },
    responses: {
      201: {
        description: 'The stored revocation.',
        schema: successSchema(RevocationSchema),
        example: { status: 'success', data: EXAMPLE_REVOCATION },
      },
    },
    errors: [
      ...STORAGE_ERRORS,
      ...UPSTREAM_REFUSALS,
      'invalid_revocation',
      'invalid_json',
      'invalid_utf8',
      'body_too_large',
      'unsupported_content_encoding',
      'invalid_content_encoding',
      'request_aborted',
    ],
    handler:
      ({ revocations, logger, upstream, callerToken }: AccessOptions) =>
      async ({ ctx, access }) => {
        if (upstream !== null) return forwardToCore(ctx, access, upstream, callerToken)
        const revocation = toJson(await revocations.add(await readRevocation(ctx.req, () => revocations.now())))
        logger.info({ ...revocation, actor: access.principal?.subject ?? null }, 'subject revoked')
        sendSuccess(ctx, 201, revocation)
      },
  }),
  defineRoute({
    method: 'DELETE',
    path: '/api/revocations/:subject',
    access: 'operate',
    tag: 'access',
    summary: 'Remove a revocation',
    description: 'Tokens of the subject are accepted again until they expire. An edge forwards it to its core.',
    params: { subject: z.string().min(1).meta({ description: 'The subject.', example: EXAMPLE_REVOCATION.sub }) },
    responses: {
      200: {
        description: 'lifted: whether there was one.',
        schema: successSchema(z.strictObject({ lifted: z.boolean() })),
        example: { status: 'success', data: { lifted: true } },
      },
    },
    errors: [...STORAGE_ERRORS, ...UPSTREAM_REFUSALS],
    handler:
      ({ revocations, logger, upstream, callerToken }: AccessOptions) =>
      async ({ ctx, access, params }) => {
        if (upstream !== null) return forwardToCore(ctx, access, upstream, callerToken)
        const lifted = await revocations.remove(params.subject)
        if (lifted) {
          logger.info({ sub: params.subject, actor: access.principal?.subject ?? null }, 'revocation removed')
        }
        sendSuccess(ctx, 200, { lifted })
      },
  }),
]
