import type { TokenConfig } from '../http/auth/authorize.ts'
import type { VerificationKey } from '../http/auth/token-verifier.ts'
import type { Limits } from '../http/quotas.ts'
import { ConfigValueError, isLoopback, parseEventList, parsePublicKey, parseSecret, splitList } from './parsers.ts'

/** What was read of the environment, as far as access depends on it. */
interface RawConfig {
  readonly values: ReadonlyMap<string, unknown>
  readonly given: ReadonlySet<string>
  readonly problems: string[]
}

const KEY_VARIABLES = ['JWT_SECRET', 'JWT_PUBLIC_KEY', 'JWT_JWKS_URL'] as const

/** True when a key for tokens is given, good or not. */
export const hasTokenKey = (read: RawConfig): boolean => KEY_VARIABLES.some((name) => read.given.has(name))

/** The one key by which tokens are verified; null where there is none, or where it is told as a fault. */
const keysOf = (read: RawConfig): VerificationKey | null => {
  const [name, second] = KEY_VARIABLES.filter((variable) => read.values.has(variable))
  if (name === undefined) return null
  if (second !== undefined) read.problems.push(`${name} and ${second} are both set; keep one.`)
  const text = read.values.get(name) as string
  try {
    if (name === 'JWT_SECRET') return { kind: 'secret', secret: parseSecret(text) }
    if (name === 'JWT_PUBLIC_KEY') return { kind: 'key', ...parsePublicKey(text) }
    return { kind: 'jwks', url: new URL(text) }
  } catch (error) {
    if (!(error instanceof ConfigValueError)) throw error
    read.problems.push(`${name} ${error.message}`)
    return null
  }
}

/** Who may come in: AUTH, or jwt where a key is set. */
export const parseTokenConfig = (read: RawConfig): TokenConfig | null => {
  const value = <T>(name: string) => read.values.get(name) as T
  const keys = keysOf(read)
  const auth = value<string | undefined>('AUTH') ?? (hasTokenKey(read) ? 'jwt' : 'none')
  if (auth === 'none') return null
  if (!hasTokenKey(read)) read.problems.push(`AUTH=jwt needs one of ${KEY_VARIABLES.join(', ')}.`)
  if (keys === null) return null
  const events = value<string | undefined>('JWT_DEFAULT_EVENTS')
  return {
    keys,
    issuer: value<string | undefined>('JWT_ISSUER') ?? null,
    audience: value<string | undefined>('JWT_AUDIENCE') ?? null,
    cookie: value('JWT_COOKIE'),
    defaultEvents: events === undefined ? null : parseEventList(events),
  }
}

/**
 * Names of hosts with a domain that are served. A token proves more than a name; without one, a foreign page could have
 * its own name lead here.
 */
export const parseAllowedHosts = (read: RawConfig, tokens: TokenConfig | null): readonly string[] | null => {
  const named = read.values.get('ALLOWED_HOSTS') as string | undefined
  if (tokens !== null || (named === undefined && read.values.get('AUTH') === 'none')) return null
  return splitList((named ?? '').toLowerCase())
}

export const parseLimits = (read: RawConfig): Limits => {
  const value = (name: string) => read.values.get(name) as number
  return {
    streams: value('MAX_STREAMS'),
    streamsPerToken: value('MAX_STREAMS_PER_TOKEN'),
    streamsPerAddress: value('MAX_STREAMS_PER_ADDRESS'),
    publishRate: value('PUBLISH_RATE'),
    publishBurst: value('PUBLISH_BURST'),
    connections: value('MAX_CONNECTIONS'),
    connectionsPerAddress: value('MAX_CONNECTIONS_PER_ADDRESS'),
    headersMs: value('HEADERS_SECONDS') * 1_000,
    requestMs: value('REQUEST_SECONDS') * 1_000,
  }
}

/** An address that others reach is served with a key, or where AUTH says so. */
export const validateListenHost = (read: RawConfig): void => {
  const host = read.values.get('HOST') as string | undefined
  const guarded = read.given.has('AUTH') || hasTokenKey(read)
  if (host !== undefined && !isLoopback(host) && !guarded) {
    read.problems.push(
      'HOST is not a loopback address: everybody on the network could read and publish. Set JWT_SECRET or another key, or AUTH=none if you mean it.',
    )
  }
}
