import { createHash } from 'node:crypto'
import { GatewayError } from '../../core/errors.ts'
import { EventId } from '../../core/message.ts'
import type { Claims } from './token-verifier.ts'

/** Who holds a token, and what it allows. Times in milliseconds since 1970. */
export interface Principal {
  /** null: the token names none, and cannot be revoked. */
  readonly subject: string | null
  /** Names the token without giving it away. */
  readonly tokenId: string
  /** What may be read. */
  readonly events: readonly string[] | '*'
  /** Where may be published. */
  readonly publishableEvents: readonly string[] | '*'
  readonly admin: boolean
  readonly issuedAt: number | null
  readonly expiresAt: number
}

/** One query joins the events of a token, and SQLite joins at most 500. */
const MAX_EVENTS = 400

const invalid = (why: string): GatewayError => new GatewayError('token_invalid', `The token is not accepted: ${why}.`)

const parseEventsClaim = (claim: unknown): readonly string[] | '*' | null => {
  if (claim === undefined || claim === null) return null
  const ids = typeof claim === 'string' ? [claim] : claim
  if (!Array.isArray(ids)) throw invalid('its events claim is no list')
  if (ids.includes('*')) return '*'
  if (ids.length > MAX_EVENTS) throw invalid(`its events claim names more than ${MAX_EVENTS} events`)
  if (!ids.every((id) => EventId.safeParse(id).success)) throw invalid('its events claim holds what is no event id')
  return [...new Set(ids as string[])]
}

const parseScopeClaim = (claim: unknown): readonly unknown[] => {
  if (claim === undefined || claim === null) return []
  if (typeof claim === 'string') return claim.split(' ')
  if (Array.isArray(claim)) return claim
  throw invalid('its scope claim is neither text nor a list')
}

const subjectOf = (claim: unknown): string | null => {
  if (claim === undefined || claim === null) return null
  if (typeof claim === 'string') return claim
  if (typeof claim === 'number') return String(claim)
  throw invalid('its sub claim is no text')
}

/**
 * What the claims of a verified token allow. `events` names what may be read and, with the scope `publish`,
 * published to. Without it `defaultEvents` holds; without that too nothing may be read, and the scope `publish`
 * is that of an agent: it publishes to every event.
 *
 * @throws GatewayError token_invalid for claims that make no sense
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
    subject: subjectOf(claims.sub),
    tokenId: createHash('sha256').update(token).digest('base64url').slice(0, 22),
    events: events ?? [],
    publishableEvents: scopes.includes('publish') ? (events ?? '*') : [],
    admin: scopes.includes('admin'),
    issuedAt: typeof iat === 'number' && Number.isFinite(iat) ? iat * 1_000 : null,
    expiresAt: claims.exp * 1_000,
  }
}
