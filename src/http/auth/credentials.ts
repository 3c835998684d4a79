import { GatewayError } from '../../core/errors.ts'
import type { RequestView } from '../request-view.ts'
import { readCookie, readSessionCookie } from './cookies.ts'
import { invalidToken } from './invalid-token.ts'

/** A credential, and the place in the request where it was found. */
export interface Credential {
  readonly kind: 'bearer' | 'cookie' | 'session' | 'ticket'
  readonly text: string
}

/** Query parameters that commonly contain tokens. */
const TOKEN_PARAMETERS = ['access_token', 'token', 'jwt', 'id_token', 'auth_token', 'bearer']

/** Returns the token of an Authorization header; null if it is not "Bearer" and one token. */
export const parseBearerToken = (header: string): string | null => /^Bearer +([^\s]+) *$/i.exec(header)?.[1] ?? null

/** @throws GatewayError token_invalid */
const parseBearer = (header: string): Credential => {
  const text = parseBearerToken(header)
  if (text === null) throw invalidToken('the Authorization header is not "Bearer" and one token')
  return { kind: 'bearer', text }
}

/** Returns the token of the Authorization header. @throws GatewayError token_missing or token_invalid */
export const requireBearer = (request: Pick<RequestView, 'get'>): string => {
  const header = request.get('authorization')
  if (header === '') throw new GatewayError('token_missing', 'The token must be in the Authorization header.')
  return parseBearer(header).text
}

/** Cookies that can carry a token. */
export interface TokenCookies {
  /** Name of the cookie of the token's issuer. */
  readonly cookie: string
  /** Prefix of all paths, which the name of the session's cookie contains. */
  readonly basePath: string
}

/**
 * Extracts the caller's credential: the Authorization header, otherwise a ticket if tickets are accepted, otherwise the
 * session, otherwise the cookie of the issuer. The first one present is used; if it is malformed, the others are not
 * tried. A session is followed by the cookie of the issuer, which is used if the session has ended.
 *
 * @throws GatewayError token_missing, token_invalid, ticket_invalid or token_in_query
 */
export const extractCredentials = (
  request: RequestView,
  { cookie, basePath }: TokenCookies,
  acceptTicket: boolean,
): readonly [Credential, Credential | null] => {
  const query = new URLSearchParams(request.querystring)
  const tokenParameter = TOKEN_PARAMETERS.find((name) => query.has(name))
  if (tokenParameter !== undefined) {
    throw new GatewayError('token_in_query', `A token in the query (${tokenParameter}=…) is never accepted.`)
  }
  const header = request.get('authorization')
  if (header !== '') return [parseBearer(header), null]
  const tickets = acceptTicket ? query.getAll('ticket') : []
  if (tickets.length > 1) throw new GatewayError('ticket_invalid', 'The request has more than one ticket.')
  if (tickets[0] !== undefined) return [{ kind: 'ticket', text: tickets[0] }, null]
  const cookies = request.get('cookie')
  const session = readSessionCookie(cookies, basePath)
  const text = readCookie(cookies, cookie)
  const issued = text === null ? null : ({ kind: 'cookie', text } as const)
  if (session !== null) return [{ kind: 'session', text: session }, issued]
  if (issued === null) throw new GatewayError('token_missing', 'This request needs a token.')
  return [issued, null]
}
