import type { Logger } from 'pino'
import { type CoordinatorClient, createLocalCoordinator } from '../cluster/coordinator.ts'
import type { ClusterPeers } from '../cluster/worker.ts'
import type { Config } from '../config/config.ts'
import type { GatewayError } from '../core/errors.ts'
import { noop } from '../core/noop.ts'
import { type Authorise, type Authorizer, allowAll, createAuthorizer } from '../http/auth/authorize.ts'
import { parseBearerToken } from '../http/auth/credentials.ts'
import { EndedSessions } from '../http/auth/ended-sessions.ts'
import { createOriginCheck } from '../http/auth/origin.ts'
import { coversToken, Revocations } from '../http/auth/revocations.ts'
import { Tickets } from '../http/auth/tickets.ts'
import { Quotas } from '../http/quotas.ts'
import type { RequestView } from '../http/request-view.ts'
import { TrustedProxies } from '../http/trusted-proxies.ts'
import type { HealthRegistry } from '../monitoring/health.ts'
import type { MessageStore, TicketStore } from '../store/store.ts'
import type { StreamHub } from '../streams/hub.ts'

export interface AccessControlOptions {
  readonly config: Config
  readonly logger: Logger
  readonly store: MessageStore
  readonly hub: StreamHub
  readonly health: HealthRegistry
  readonly clusterPeers: ClusterPeers | undefined
}

/** Authentication, authorization and limits of one worker. */
export interface AccessControl {
  readonly authorise: Authorise
  readonly callerToken: Authorizer['callerToken']
  readonly tickets: Tickets
  readonly revocations: Revocations
  readonly quotas: Quotas
  readonly proxies: TrustedProxies
  /** Ends the streams of a session in this process. */
  readonly closeSession: (tokenId: string) => void
  /** Ends the streams of a session in all workers and on all hosts. */
  readonly endSession: (tokenId: string) => void
  /** Must be called after the store is open and before the first request. @throws GatewayError storage_* */
  readonly start: () => Promise<void>
  readonly stop: () => void
}

export const createAccessControl = ({
  config,
  logger,
  store,
  hub,
  health,
  clusterPeers,
}: AccessControlOptions): AccessControl => {
  const { tokens, corsOrigins, trustedProxies, limits, basePath } = config
  const proxies = new TrustedProxies(trustedProxies, warnOfUntrustedProxy(logger))
  const coordinate = clusterPeers?.request ?? createLocalCoordinator()
  const endedSessions = new EndedSessions()
  const ticketStore = store.tickets === undefined ? coordinate : withSharedTickets(coordinate, store.tickets)
  const tickets = new Tickets(ticketStore, endedSessions)
  const revocations = new Revocations({
    store,
    onRevoked: (revocation) =>
      hub.closeWhere(({ subject, issuedAt }) => subject === revocation.subject && coversToken(revocation, issuedAt)),
    broadcast: clusterPeers?.broadcastRevocation ?? noop,
  })
  clusterPeers?.onRevocation((revocation) => revocations.apply(revocation))
  const closeSession = (tokenId: string): void => {
    // Before the streams are closed, so that none opens in between.
    endedSessions.add(tokenId)
    hub.closeWhere(({ session }) => session === tokenId)
  }
  clusterPeers?.onSessionEnd(closeSession)
  const endSession = (tokenId: string): void => {
    closeSession(tokenId)
    clusterPeers?.broadcastSessionEnd(tokenId)
    // The browser has discarded its token already; a host that is not notified closes the streams when the token ends.
    store.notifySessionEnd?.(tokenId).catch(noop)
  }
  const quotas = new Quotas(limits, coordinate, proxies)
  const rules = { tickets, revocations, quotas, proxies, closeSession, endSession }
  if (tokens === null) {
    const callerToken = (request: RequestView) => parseBearerToken(request.get('authorization'))
    return { ...rules, authorise: allowAll, callerToken, start: () => revocations.start(), stop: noop }
  }
  const { start, ...authorizer } = createAuthorizer({
    tokens,
    tickets,
    revocations,
    endedSessions,
    basePath,
    checkOrigin: createOriginCheck({ proxies, corsOrigins }),
    checkOwnOrigin: createOriginCheck({ proxies, corsOrigins: [] }),
    onJwksStatus: reportJwksHealth(health, logger),
  })
  return {
    ...rules,
    ...authorizer,
    start: async () => {
      await revocations.start()
      if (tokens.keys.kind === 'jwks') health.markPending('jwks', 'jwks_unavailable', 'not read yet')
      start()
    },
  }
}

/** Keeps tickets in the store that all hosts share; limits are still counted per host. */
const withSharedTickets =
  (coordinate: CoordinatorClient, tickets: TicketStore): CoordinatorClient =>
  async (request) => {
    if (request.do === 'put') {
      await tickets.put(request.id, request.value, request.ms)
      return { ok: true }
    }
    if (request.do !== 'take') return coordinate(request)
    const value = await tickets.take(request.id)
    return value === null ? { ok: false } : { ok: true, value }
  }

/** Without the address of the client, its limits do not apply or apply to all clients of the proxy together. */
const warnOfUntrustedProxy = (logger: Logger) => (address: string, isLoopback: boolean) =>
  logger.warn(
    { address, hint: 'If this is your proxy, add its address to TRUSTED_PROXIES.' },
    isLoopback
      ? 'X-Forwarded-For is ignored: the limits per address do not apply to the clients of this proxy'
      : 'X-Forwarded-For is ignored: the clients of this proxy share the limits of one address',
  )

/** Without any key every request is refused. If cached keys exist, an unreachable issuer only causes a warning. */
const reportJwksHealth = (health: HealthRegistry, logger: Logger) => {
  let isFailing = false
  return (error: GatewayError | null, usable: boolean): void => {
    if (error === null) health.markHealthy('jwks')
    else if (!usable) health.markFailed('jwks', error)
    else if (!isFailing)
      logger.warn(
        { code: error.code, hint: error.hint, cause: error.message },
        'failed to refresh the key set, keeping the cached one',
      )
    isFailing = error !== null
  }
}
