import { createHash } from 'node:crypto'
import { EventId } from '../../core/message.ts'
import { invalidToken } from './invalid-token.ts'
import type { Claims } from './token-verifier.ts'

/** Scope that allows publishing. */
export type PublishScope = 'publish' | 'chat'

/** What applies to a token without the claim. */
export interface ClaimDefaults {
  /** Events of a token without an `events` claim; null if it can read none. */
  readonly defaultEvents: readonly string[] | '*' | null
  /** Scope of a token without a `scope` claim; null for none. */
  readonly defaultScope: PublishScope | null
}

/** The holder of a token and its permissions. Times are in milliseconds since 1970. */
export interface Principal {
  /** null if the token has no subject, and therefore cannot be revoked. */
  readonly subject: string | null
  /** Identifies header and claims of the token without revealing them. */
  readonly tokenId: string
  /** Events that can be read. */
  readonly events: readonly string[] | '*'
  /** Display name of a person; null if the token has none. */
  readonly name: string | null
  /** `publish`: any message; `chat`: messages of the subject itself; null if nothing can be published. */
  readonly publishScope: PublishScope | null
  /** Events that can be published to; none without a publishScope. */
  readonly publishableEvents: readonly string[] | '*'
  readonly admin: boolean
  /** True if the holder is an edge, which can read what it needs to keep a copy of its events. */
  readonly edge: boolean
  /** True if the token is in the cookie of a session, or the ticket was issued for one. */
  readonly hasSession: boolean
  readonly issuedAt: number | null
  readonly expiresAt: number
}

/** One query joins all events of a token, and SQLite joins at most 500 tables. */
export const MAX_TOKEN_EVENTS = 400

const parseEventsClaim = (claim: unknown): readonly string[] | '*' | null => {
  if (claim === undefined || claim === null) return null
  if (claim === '*') return '*'
  // In a list, `*` is the event of that name: an issuer that lists the events of a user must not grant all of them.
  const ids = typeof claim === 'string' ? [claim] : claim
  if (!Array.isArray(ids)) throw invalidToken('its events claim is not a list')
  if (ids.length > MAX_TOKEN_EVENTS) throw invalidToken(`its events claim names more than ${MAX_TOKEN_EVENTS} events`)
  if (!ids.every((id) => EventId.safeParse(id).success))
    throw invalidToken('its events claim contains a value that is not an event id')
  return [...new Set(ids as string[])]
}

const parseScopeClaim = (claim: unknown): readonly unknown[] | null => {
  if (claim === undefined || claim === null) return null
  if (typeof claim === 'string') return claim.split(' ')
  if (Array.isArray(claim)) return claim
  throw invalidToken('its scope claim is neither a string nor a list')
}

const parseSubjectClaim = (claim: unknown): string | null => {
  if (claim === undefined || claim === null) return null
  if (typeof claim === 'string') return claim
  if (typeof claim === 'number') return String(claim)
  throw invalidToken('its sub claim is not a string')
}

/** Returns the display name: `name`, otherwise `preferred_username`, the standard claims of OpenID Connect. */
const parseNameClaims = ({ name, preferred_username }: Claims): string | null => {
  const isName = (claim: unknown): claim is string => typeof claim === 'string' && claim.trim() !== ''
  return [name, preferred_username].find(isName) ?? null
}

/** Identifies a token without its signature: anybody can turn an ECDSA signature into a second valid one. */
export const deriveTokenId = (token: string): string =>
  createHash('sha256')
    .update(token.slice(0, token.lastIndexOf('.')))
    .digest('base64url')
    .slice(0, 22)

const toPublishScope = (scopes: readonly unknown[]): PublishScope | null => {
  if (scopes.includes('publish')) return 'publish'
  return scopes.includes('chat') ? 'chat' : null
}

/**
 * Derives permissions from the claims of a verified token. `events` lists the events, or is `*` for all, that can be read and, with the
 * scope `publish` or `chat`, published to. It defaults to `defaultEvents`. If that is null as well, nothing can be read, and the
 * scope `publish`, as agents have it, allows publishing to every event.
 *
 * @throws GatewayError token_invalid if a claim has the wrong type or an invalid value
 */
export const toPrincipal = (
  token: string,
  claims: Claims,
  { defaultEvents, defaultScope }: ClaimDefaults,
): Principal => {
  const events = parseEventsClaim(claims.events) ?? defaultEvents
  const scopes = parseScopeClaim(claims.scope) ?? [defaultScope]
  const publishScope = toPublishScope(scopes)
  const { iat } = claims
  return {
    subject: parseSubjectClaim(claims.sub),
    tokenId: deriveTokenId(token),
    events: events ?? [],
    name: parseNameClaims(claims),
    publishScope,
    publishableEvents: publishScope === null ? [] : (events ?? (publishScope === 'publish' ? '*' : [])),
    admin: scopes.includes('admin'),
    edge: scopes.includes('edge'),
    hasSession: false,
    issuedAt: typeof iat === 'number' && Number.isFinite(iat) ? iat * 1_000 : null,
    expiresAt: claims.exp * 1_000,
  }
}
