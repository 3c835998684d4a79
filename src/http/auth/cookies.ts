import type { Context } from 'koa'
import type { TrustedProxies } from '../trusted-proxies.ts'
import { invalidToken } from './invalid-token.ts'

/** Browsers store up to 4,096 bytes in a cookie, and a token with a hundred events is longer. */
const PARTS = /.{1,3800}/g

/** Dependencies of the cookie. */
export interface SessionCookieOptions {
  /** Prefix of all paths; '' if there is none. */
  readonly basePath: string
  readonly proxies: TrustedProxies
}

/** Returns the name of the cookie. It contains the base path, since browsers also send the cookies of shorter paths. */
export const sessionCookieName = (basePath: string): string => `gateway_session${basePath.replace(/[^\w-]/g, '_')}`

/**
 * Returns a cookie's value; null if it is missing or empty.
 *
 * @throws GatewayError token_invalid for two different values, of which a neighbouring site may have set one
 */
export const readCookie = (header: string, name: string): string | null => findCookie(parseCookies(header), name)

/** Returns the values of each cookie by its name. */
const parseCookies = (header: string): ReadonlyMap<string, ReadonlySet<string>> => {
  const cookies = new Map<string, Set<string>>()
  for (const part of header.split(';')) {
    const equals = part.indexOf('=')
    if (equals < 0) continue
    const name = part.slice(0, equals).trim()
    const value = part
      .slice(equals + 1)
      .trim()
      .replace(/^"(.*)"$/, '$1')
    const values = cookies.get(name)
    if (values === undefined) cookies.set(name, new Set([value]))
    else values.add(value)
  }
  return cookies
}

const findCookie = (cookies: ReadonlyMap<string, ReadonlySet<string>>, name: string): string | null => {
  const values = cookies.get(name) ?? new Set()
  if (values.size > 1) throw invalidToken(`the cookie ${name} is there more than once`)
  const [value = ''] = values
  return value === '' ? null : value
}

const partName = (name: string, part: number): string => (part === 0 ? name : `${name}.${part}`)

/** Returns the values of the cookie's parts, in order. @throws GatewayError token_invalid if a part has several values */
const readParts = (header: string, name: string): string[] => {
  const cookies = parseCookies(header)
  const parts: string[] = []
  for (;;) {
    const value = findCookie(cookies, partName(name, parts.length))
    if (value === null) return parts
    parts.push(value)
  }
}

/** Returns the token of the session; null if there is no session. @throws GatewayError token_invalid */
export const readSessionCookie = (header: string, basePath: string): string | null =>
  readParts(header, sessionCookieName(basePath)).join('') || null

/**
 * Stores a token in the browser until a time, in milliseconds since 1970, or removes it.
 *
 * @param session null to remove the cookie
 */
export const setSessionCookie = (
  ctx: Context,
  { basePath, proxies }: SessionCookieOptions,
  session: { readonly token: string; readonly until: number } | null,
): void => {
  const name = sessionCookieName(basePath)
  const parts = session?.token.match(PARTS) ?? []
  const seconds = session === null ? 0 : Math.ceil((session.until - Date.now()) / 1_000)
  // The origin of the page shows HTTPS, even if the proxy that ends it is not trusted.
  const isSecure = proxies.isHttps(ctx.req) || ctx.get('origin').startsWith('https:')
  const attributes = `; Path=${basePath || '/'}; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`
  // The parts of a longer token before would be read with the new one.
  const count = Math.max(parts.length, 1, countParts(ctx.get('cookie'), name))
  ctx.set(
    'Set-Cookie',
    Array.from({ length: count }, (_, part) => {
      const value = parts[part] ?? ''
      return `${partName(name, part)}=${value}; Max-Age=${value === '' ? 0 : seconds}${attributes}`
    }),
  )
}

const countParts = (header: string, name: string): number => {
  const names = new Set(header.split(';').map((pair) => pair.split('=', 1)[0]!.trim()))
  let count = 0
  while (names.has(partName(name, count))) count++
  return count
}
