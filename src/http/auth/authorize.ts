import { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import { isSafeMethod, type RequestView } from '../request-view.ts'
import { type ClaimDefaults, deriveTokenId, type Principal, toPrincipal } from './claims.ts'
import { type Credential, extractCredentials } from './credentials.ts'
import { type EndedSessions, signedOut } from './ended-sessions.ts'
import type { OriginCheck } from './origin.ts'
import type { Revocations } from './revocations.ts'
import type { Tickets } from './tickets.ts'
import { TokenVerifier, tokenExpired, type VerificationKey, type VerifierOptions } from './token-verifier.ts'

/** The action that a caller requests. */
export type AccessAction = 'read' | 'stream' | 'follow' | 'publish' | 'ticket' | 'session' | 'operate'

/** Configuration of AUTH=jwt. */
export interface TokenConfig extends ClaimDefaults {
  readonly keys: VerificationKey
  /** null if the issuer is not checked. */
  readonly issuer: string | null
  readonly audience: string | null
  readonly cookie: string
}

/** Caller and granted access of a request. */
export interface Access {
  /** The events that the request was granted, or `*` for all. */
  readonly events: readonly string[] | '*'
  /** All events that the caller can read. No response may reveal anything about others. */
  readonly readableEvents: readonly string[] | '*'
  /** null if everybody is allowed everything (AUTH=none). */
  readonly principal: Principal | null
  /**
   * Must be called after asynchronous work.
   *
   * @throws GatewayError token_revoked or token_expired if the access has ended meanwhile
   */
  readonly requireValid: () => void
}

/**
 * Authorizes a request. Every stream, page of messages, list, publish and admin call passes through this function (A1).
 *
 * @param events the events that the request names; `*` for all that the caller can access
 * @returns the granted access
 * @throws GatewayError if the caller is not allowed; the error does not reveal whether a forbidden event exists
 */
export type Authorise = (request: RequestView, action: AccessAction, events: readonly string[] | '*') => Promise<Access>

const ALL: Omit<Access, 'events'> = { readableEvents: '*', principal: null, requireValid: noop }

/** `AUTH=none`: everybody who can reach the address is allowed everything. */
export const allowAll: Authorise = async (_request, _action, events) => ({ ...ALL, events })

export interface AuthOptions {
  readonly tokens: TokenConfig
  readonly tickets: Tickets
  readonly revocations: Revocations
  readonly endedSessions: EndedSessions
  /** Prefix of all paths; '' if there is none. */
  readonly basePath: string
  readonly checkOrigin: OriginCheck
  /** The same, without other origins that are configured. */
  readonly checkOwnOrigin: OriginCheck
  readonly onJwksStatus: VerifierOptions['onJwksStatus']
}

const scopeMissing = (scope: string): GatewayError =>
  new GatewayError('scope_missing', `This request needs a token with the scope ${scope}.`)

/**
 * Returns the requested events if the grant covers them. It never reads the store, so that unknown and forbidden events
 * take equally long.
 */
const requireGranted = (
  requested: readonly string[] | '*',
  granted: readonly string[] | '*',
): readonly string[] | '*' => {
  if (requested === '*') return granted
  if (granted === '*' || requested.every((event) => granted.includes(event))) return requested
  throw new GatewayError('event_forbidden', 'The token does not permit every event of this request.')
}

const grantEvents = (principal: Principal, action: AccessAction, events: readonly string[] | '*') => {
  switch (action) {
    case 'read':
    case 'stream':
      return requireGranted(events, principal.events)
    case 'follow':
      if (!principal.edge) throw scopeMissing('edge')
      return requireGranted(events, principal.events)
    case 'publish':
      if (principal.publishScope === null) throw scopeMissing('publish or chat')
      return requireGranted(events, principal.publishableEvents)
    case 'operate':
      if (!principal.admin) throw scopeMissing('admin')
      return events
    case 'ticket':
    case 'session':
      return events
  }
}

/** Authorizes requests by tokens. */
export interface Authorizer {
  readonly authorise: Authorise
  /** Returns the token with which a caller was authorized; null if it used a ticket. */
  readonly callerToken: (request: RequestView, access: Access) => string | null
  readonly start: () => void
  readonly stop: () => void
}

/** `AUTH=jwt`: accepts a token in the Authorization header or in a cookie, and on streams a ticket. */
export const createAuthorizer = (options: AuthOptions): Authorizer => {
  const { tokens, tickets, revocations, endedSessions, basePath, checkOrigin, checkOwnOrigin, onJwksStatus } = options
  const cookies = { cookie: tokens.cookie, basePath }
  const verifier = new TokenVerifier({ ...tokens, onJwksStatus })

  const requireNotRevoked = (principal: Principal): void => {
    if (revocations.isRevoked(principal)) throw new GatewayError('token_revoked', 'The token’s subject was revoked.')
  }

  const verify = async (request: RequestView, action: AccessAction, { kind, text }: Credential): Promise<Principal> => {
    // Browsers attach cookies to requests of any page, so the origin must be checked as well.
    if (kind === 'session') checkOwnOrigin(request)
    if (kind === 'cookie' && (action === 'stream' || !isSafeMethod(request.method))) checkOrigin(request)
    const principal =
      kind === 'ticket'
        ? await tickets.redeem(text)
        : { ...toPrincipal(text, await verifier.verify(text), tokens), hasSession: kind === 'session' }
    requireNotRevoked(principal)
    return principal
  }

  const principalFor = async (request: RequestView, action: AccessAction): Promise<Principal> => {
    const [credential, next] = extractCredentials(request, cookies, action === 'stream')
    try {
      return await verify(request, action, credential)
    } catch (error) {
      // A session that was revoked must not hide a newer token of the issuer.
      if (next === null) throw error
      return verify(request, action, next)
    }
  }

  const authorise: Authorise = async (request, action, events) => {
    const from = performance.now()
    const principal = await principalFor(request, action)
    const requireValid = (): void => {
      requireNotRevoked(principal)
      if (principal.hasSession && endedSessions.hasEndedSince(principal.tokenId, from)) throw signedOut()
      if (principal.expiresAt <= Date.now()) throw tokenExpired()
    }
    return {
      events: grantEvents(principal, action, events),
      readableEvents: principal.events,
      principal,
      requireValid,
    }
  }
  const callerToken = (request: RequestView, { principal }: Access): string | null => {
    const candidates = extractCredentials(request, cookies, false)
    return candidates.find((one) => one !== null && deriveTokenId(one.text) === principal?.tokenId)?.text ?? null
  }
  return { authorise, callerToken, start: () => verifier.start(), stop: () => verifier.stop() }
}
