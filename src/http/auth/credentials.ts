import { GatewayError } from '../../core/errors.ts'
import type { RequestView } from '../request-view.ts'

/** A credential, and the place in the request where it was found. */
export interface Credential {
  readonly kind: 'bearer' | 'cookie' | 'ticket'
  readonly text: string
}

/** Query parameters that commonly contain tokens. */
const TOKEN_PARAMETERS = ['access_token', 'token', 'jwt', 'id_token', 'auth_token', 'bearer']

const invalidToken = (reason: string): GatewayError =>
  new GatewayError('token_invalid', `The token is not accepted: ${reason}.`)

const parseBearer = (header: string): Credential => {
  const [, text] = /^Bearer +([^\s]+) *$/i.exec(header) ?? []
  if (text === undefined) throw invalidToken('the Authorization header is not "Bearer" and one token')
  return { kind: 'bearer', text }
}

/**
 * @returns the cookie's value or null. Two different values are refused: a neighbouring site may have set one of them
 */
const readCookie = (header: string, name: string): string | null => {
  const values = new Set<string>()
  for (const part of header.split(';')) {
    const equals = part.indexOf('=')
    if (equals < 0 || part.slice(0, equals).trim() !== name) continue
    values.add(
      part
        .slice(equals + 1)
        .trim()
        .replace(/^"(.*)"$/, '$1'),
    )
  }
  if (values.size > 1) throw invalidToken(`the cookie ${name} is there more than once`)
  const [value = ''] = values
  return value === '' ? null : value
}

/**
 * Extracts the caller's credential: the Authorization header, otherwise a ticket if tickets are accepted, otherwise the
 * cookie. The first one present is used; if it is malformed, the others are not tried.
 *
 * @throws GatewayError token_missing, token_invalid, ticket_invalid or token_in_query
 */
export const extractCredential = (request: RequestView, cookie: string, acceptTicket: boolean): Credential => {
  const query = new URLSearchParams(request.querystring)
  const tokenParameter = TOKEN_PARAMETERS.find((name) => query.has(name))
  if (tokenParameter !== undefined) {
    throw new GatewayError('token_in_query', `A token in the query (${tokenParameter}=…) is never accepted.`)
  }
  const header = request.get('authorization')
  if (header !== '') return parseBearer(header)
  const tickets = acceptTicket ? query.getAll('ticket') : []
  if (tickets.length > 1) throw new GatewayError('ticket_invalid', 'The request has more than one ticket.')
  if (tickets[0] !== undefined) return { kind: 'ticket', text: tickets[0] }
  const text = readCookie(request.get('cookie'), cookie)
  if (text === null) throw new GatewayError('token_missing', 'This request needs a token.')
  return { kind: 'cookie', text }
}
