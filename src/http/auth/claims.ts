import { createHash } from 'node:crypto'
import { GatewayError } from '../../core/errors.ts'
import { EventId } from '../../core/message.ts'
import type { Claims } from './token-verifier.ts'

/** The holder of a token and its permissions. Times are in milliseconds since 1970. */
export interface Principal {
  /** null if the token has no subject, and therefore cannot be revoked. */
  readonly subject: string | null
  /** Identifies the token without revealing it. */
  readonly tokenId: string
  /** Events that can be read. */
  readonly events: readonly string[] | '*'
  /** Events that can be published to. */
  readonly publishableEvents: readonly string[] | '*'
  readonly admin: boolean
  readonly issuedAt: number | null
  readonly expiresAt: number
}

/** One query joins all events of a token, and SQLite joins at most 500 tables. */
const MAX_EVENTS = 400

const invalid = (reason: string): GatewayError =>
  new GatewayError('token_invalid', `The token is not accepted: ${reason}.`)

const parseEventsClaim = (claim: unknown): readonly string[] | '*' | null => {
  if (claim === undefined || claim === null) return null
  const ids = typeof claim === 'string' ? [claim] : claim
  if (!Array.isArray(ids)) throw invalid('its events claim is not a list')
  if (ids.includes('*')) return '*'
  if (ids.length > MAX_EVENTS) throw invalid(`its events claim names more than ${MAX_EVENTS} events`)
  if (!ids.every((id) => EventId.safeParse(id).success))
    throw invalid('its events claim contains a value that is not an event id')
  return [...new Set(ids as string[])]
}

const parseScopeClaim = (claim: unknown): readonly unknown[] => {
  if (claim === undefined || claim === null) return []
  if (typeof claim === 'string') return claim.split(' ')
  if (Array.isArray(claim)) return claim
  throw invalid('its scope claim is neither a string nor a list')
}

const parseSubjectClaim = (claim: unknown): string | null => {
  if (claim === undefined || claim === null) return null
  if (typeof claim === 'string') return claim
  if (typeof claim === 'number') return String(claim)
  throw invalid('its sub claim is not a string')
}

/**
 * Derives permissions from the claims of a verified token. `events` lists the events that can be read and, with the
 * scope `publish`, published to. It defaults to `defaultEvents`. If that is null as well, nothing can be read, and the
 * scope `publish`, as agents have it, allows publishing to every event.
 *
 * @throws GatewayError token_invalid if a claim has the wrong type or an invalid value
 */
export const toPrincipal = (
  token: string,
  claims: Claims,
  defaultEvents: readonly string[] | '*' | null,
): Principal => {
  const events = parseEventsClaim(claims.events) ?? defaultEvents
  const scopes = parseScopeClaim(claims.scope)
  const { iat } = claims
  return {
    subject: parseSubjectClaim(claims.sub),
    tokenId: createHash('sha256').update(token).digest('base64url').slice(0, 22),
    events: events ?? [],
    publishableEvents: scopes.includes('publish') ? (events ?? '*') : [],
    admin: scopes.includes('admin'),
    issuedAt: typeof iat === 'number' && Number.isFinite(iat) ? iat * 1_000 : null,
    expiresAt: claims.exp * 1_000,
  }
}
