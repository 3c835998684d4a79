import { GatewayError } from '../../core/errors.ts'
import { isSafeMethod, type RequestView } from '../request-view.ts'
import { type Principal, toPrincipal } from './claims.ts'
import { extractCredential } from './credentials.ts'
import type { OriginCheck } from './origin.ts'
import type { Revocations } from './revocations.ts'
import type { Tickets } from './tickets.ts'
import { TokenVerifier, type VerificationKey, type VerifierOptions } from './token-verifier.ts'

/** What a caller wants to do. */
export type AccessAction = 'read' | 'stream' | 'publish' | 'ticket' | 'operate'

/** What AUTH=jwt works by. */
export interface TokenConfig {
  readonly keys: VerificationKey
  /** null: not checked. */
  readonly issuer: string | null
  readonly audience: string | null
  readonly cookie: string
  /** Events of a token without an `events` claim; null: it may read none. */
  readonly defaultEvents: readonly string[] | '*' | null
}

/** Who calls, and what they may touch. */
export interface Access {
  /** The events that the request gets, or `*` for all. */
  readonly events: readonly string[] | '*'
  /** All that the caller may read: nothing beyond it may show in an answer. */
  readonly readableEvents: readonly string[] | '*'
  /** null: everybody may do everything (AUTH=none). */
  readonly principal: Principal | null
  /** False once the subject was revoked: asked again where time has passed since. */
  readonly isStillValid: () => boolean
}

/**
 * The one function that every stream, page of messages, list, publish and admin call passes (A1).
 *
 * @param events the events named by the request; `*`: all that the caller may touch
 * @returns the events the caller gets
 * @throws GatewayError when the caller may not; a forbidden event and an unknown one look the same
 */
export type Authorise = (asked: RequestView, action: AccessAction, events: readonly string[] | '*') => Promise<Access>

const ALL: Omit<Access, 'events'> = { readableEvents: '*', principal: null, isStillValid: () => true }

/** `AUTH=none`: everybody who reaches the address may do everything. */
export const allowAll: Authorise = async (_asked, _action, events) => ({ ...ALL, events })

export interface AuthOptions {
  readonly tokens: TokenConfig
  readonly tickets: Tickets
  readonly revocations: Revocations
  readonly checkOrigin: OriginCheck
  readonly onKeySet: VerifierOptions['onJwksStatus']
}

const scopeMissing = (scope: string): GatewayError =>
  new GatewayError('scope_missing', `This needs a token with the scope ${scope}.`)

/** The events of a request that a grant covers. Never looks into the log, so unknown and forbidden take equally long. */
const requireGranted = (wanted: readonly string[] | '*', granted: readonly string[] | '*'): readonly string[] | '*' => {
  if (wanted === '*') return granted
  if (granted === '*' || wanted.every((event) => granted.includes(event))) return wanted
  throw new GatewayError('event_forbidden', 'The token does not open every event of this request.')
}

const grantedTo = (principal: Principal, action: AccessAction, events: readonly string[] | '*') => {
  switch (action) {
    case 'read':
    case 'stream':
      return requireGranted(events, principal.events)
    case 'publish':
      if (principal.publishableEvents.length === 0) throw scopeMissing('publish')
      return requireGranted(events, principal.publishableEvents)
    case 'operate':
      if (!principal.admin) throw scopeMissing('admin')
      return events
    case 'ticket':
      return events
  }
}

/** `AUTH=jwt`: who has a token, in the Authorization header, the cookie or, on streams, as a ticket. */
export const createAuthorizer = (options: AuthOptions): { authorise: Authorise; start: () => void } => {
  const { tokens, tickets, revocations, checkOrigin, onKeySet } = options
  const verifier = new TokenVerifier({ ...tokens, onJwksStatus: onKeySet })

  const principalFor = async (asked: RequestView, action: AccessAction): Promise<Principal> => {
    const credential = extractCredential(asked, tokens.cookie, action === 'stream')
    if (credential.kind === 'ticket') return tickets.redeem(credential.text)
    // A browser adds the cookie to whatever page asks, so where it counts the asking page counts too.
    if (credential.kind === 'cookie' && (action === 'stream' || !isSafeMethod(asked.method))) checkOrigin(asked)
    return toPrincipal(credential.text, await verifier.verify(credential.text), tokens.defaultEvents)
  }

  const authorise: Authorise = async (asked, action, events) => {
    const principal = await principalFor(asked, action)
    const stands = () => !revocations.isRevoked(principal)
    if (!stands()) throw new GatewayError('token_revoked', 'The token’s subject was revoked.')
    return {
      events: grantedTo(principal, action, events),
      readableEvents: principal.events,
      principal,
      isStillValid: stands,
    }
  }
  return { authorise, start: () => verifier.start() }
}
