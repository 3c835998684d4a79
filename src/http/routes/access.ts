import type Router from '@koa/router'
import type { Logger } from 'pino'
import { z } from 'zod'
import { GatewayError } from '../../core/errors.ts'
import { decodeUtf8 } from '../../core/message.ts'
import type { Revocation } from '../../store/store.ts'
import type { Authorise } from '../auth/authorize.ts'
import type { Revocations } from '../auth/revocations.ts'
import { TICKET_TTL_MS, type Tickets } from '../auth/tickets.ts'
import { readBody } from '../body.ts'
import { sendSuccess } from '../responses.ts'

const MAX_BODY_BYTES = 4_096
const MAX_SUBJECT = 255

export interface AccessOptions {
  readonly authorise: Authorise
  /** Who was shut out, and by whom, belongs into the log. */
  readonly logger: Logger
  readonly tickets: Tickets
  readonly revocations: Revocations
  /** All that stand. */
  readonly listRevocations: () => Promise<Revocation[]>
}

const time = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text))

export const Subject = z.string().min(1).max(MAX_SUBJECT)

/** Who is shut out. */
export const RevocationBody = z.strictObject({
  sub: Subject.describe('The subject whose tokens are refused.'),
  issued_before: time.optional().describe('Tokens issued up to this time are refused; now, if absent.'),
  until: time.nullish().describe('Forgotten after this time; never, if absent.'),
})

const toJson = ({ subject, issued_before, until }: Revocation) => ({
  sub: subject,
  issued_before: new Date(issued_before).toISOString(),
  until: until === null ? null : new Date(until).toISOString(),
})

/** @throws GatewayError invalid_revocation, and what reading a body throws */
const readRevocation = async (request: Parameters<typeof readBody>[0]): Promise<Revocation> => {
  const text = decodeUtf8(await readBody(request, MAX_BODY_BYTES))
  if (typeof text !== 'string') throw new GatewayError(text.refusal.reason, text.refusal.detail)
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (cause) {
    throw new GatewayError('invalid_json', 'The body is not JSON.', { cause })
  }
  const { success, data, error } = RevocationBody.safeParse(body)
  if (!success) throw new GatewayError('invalid_revocation', z.prettifyError(error).replaceAll('\n', ' '))
  return { subject: data.sub, issued_before: data.issued_before ?? Date.now(), until: data.until ?? null }
}

/** Tickets for streams, and shutting subjects out. */
export const registerAccessRoutes = (router: Router, options: AccessOptions): void => {
  const { authorise, tickets, revocations, logger } = options

  router.post('/api/stream-tickets', async (ctx) => {
    const { principal } = await authorise(ctx, 'ticket', '*')
    const ticket = await tickets.issue(principal)
    sendSuccess(ctx, 201, { ticket, expires_in: TICKET_TTL_MS / 1_000 })
  })

  router.get('/api/revocations', async (ctx) => {
    await authorise(ctx, 'operate', '*')
    sendSuccess(ctx, 200, (await options.listRevocations()).map(toJson))
  })

  router.post('/api/revocations', async (ctx) => {
    const { principal } = await authorise(ctx, 'operate', '*')
    const revocation = toJson(await revocations.add(await readRevocation(ctx.req)))
    logger.info({ ...revocation, by: principal?.subject ?? null }, 'a subject was revoked')
    sendSuccess(ctx, 201, revocation)
  })

  router.delete('/api/revocations/:subject', async (ctx) => {
    const { principal } = await authorise(ctx, 'operate', '*')
    const sub = ctx.params.subject ?? ''
    const lifted = await revocations.remove(sub)
    if (lifted) logger.info({ sub, by: principal?.subject ?? null }, 'a revocation was taken back')
    sendSuccess(ctx, 200, { lifted })
  })
}
