import type { Logger } from 'pino'
import { type AskDesk, ownDesk } from '../cluster/coordinator.ts'
import type { Config } from '../config/config.ts'
import type { GatewayError } from '../core/errors.ts'
import { type Authorise, allowEverybody, makeAuthorise } from '../http/auth/authorize.ts'
import { makeOriginCheck } from '../http/auth/origin.ts'
import { isHit, Revocations } from '../http/auth/revocations.ts'
import { Tickets } from '../http/auth/tickets.ts'
import { Gate } from '../http/quotas.ts'
import { Proxies } from '../http/trusted-proxies.ts'
import type { Health } from '../monitoring/health.ts'
import type { Log, Revocation, TicketStore } from '../store/store.ts'
import type { Live } from '../streams/hub.ts'

/** What workers share with each other; a process alone needs none of it. */
export interface Siblings {
  readonly ask: AskDesk
  readonly tellRevocation: (revocation: Revocation) => void
  /** Calls back for what a sibling has told. */
  readonly onRevocation: (listener: (revocation: Revocation) => void) => void
}

export interface AccessParts {
  readonly config: Config
  readonly logger: Logger
  readonly log: Log
  readonly live: Live
  readonly health: Health
  readonly siblings: Siblings | undefined
}

/** Who may do what, and how much of it: put together once for each worker. */
export interface AccessRules {
  readonly authorise: Authorise
  readonly tickets: Tickets
  readonly revocations: Revocations
  readonly gate: Gate
  readonly proxies: Proxies
  /** Called once the log is open, before the first request. @throws GatewayError storage_* */
  readonly start: () => Promise<void>
}

export const makeAccess = ({ config, logger, log, live, health, siblings }: AccessParts): AccessRules => {
  const { tokens, corsOrigins, trustedProxies, limits } = config
  const proxies = new Proxies(trustedProxies)
  const ask = siblings?.ask ?? ownDesk()
  const tickets = new Tickets(log.tickets === undefined ? ask : sharing(ask, log.tickets))
  const revocations = new Revocations({
    log,
    onRevoked: (revocation) =>
      live.expel(({ subject, issuedAt }) => subject === revocation.subject && isHit(revocation, issuedAt)),
    tell: siblings?.tellRevocation ?? (() => undefined),
  })
  siblings?.onRevocation((revocation) => revocations.heard(revocation))
  const rules = { tickets, revocations, gate: new Gate(limits, ask, proxies), proxies }
  if (tokens === null) return { ...rules, authorise: allowEverybody, start: () => revocations.start() }
  const { authorise, start } = makeAuthorise({
    tokens,
    tickets,
    revocations,
    checkOrigin: makeOriginCheck({ proxies, corsOrigins }),
    onKeySet: noteKeySet(health, logger),
  })
  return {
    ...rules,
    authorise,
    start: async () => {
      await revocations.start()
      if (tokens.keys.kind === 'jwks') health.expect('keys', 'keys_unavailable', 'not read yet')
      start()
    },
  }
}

/** A desk whose values lie where all hosts find them; what is counted, each host counts for itself. */
const sharing =
  (ask: AskDesk, tickets: TicketStore): AskDesk =>
  async (question) => {
    if (question.do === 'keep') {
      await tickets.keep(question.id, question.value, question.ms)
      return { ok: true }
    }
    if (question.do !== 'take') return ask(question)
    const value = await tickets.take(question.id)
    return value === null ? { ok: false } : { ok: true, value }
  }

/** Without any key nobody gets in; while keys of before are at hand, an issuer that is away is worth a line only. */
const noteKeySet = (health: Health, logger: Logger) => {
  let away = false
  return (error: GatewayError | null, usable: boolean): void => {
    if (error === null) health.ok('keys')
    else if (!usable) health.fail('keys', error)
    else if (!away) logger.warn({ code: error.code, hint: error.hint }, error.message)
    away = error !== null
  }
}
