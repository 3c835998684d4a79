import type { TokenConfig } from '../http/auth/authorize.ts'
import type { VerificationKey } from '../http/auth/token-verifier.ts'
import type { Limits } from '../http/quotas.ts'
import { isLoopback } from './parsers.ts'
import type { RawConfig } from './raw-config.ts'
import { type ConfigValues, KEY_VARIABLES } from './variables.ts'

/** True if a key for tokens is set, valid or not. */
const hasTokenKey = ({ sources }: Pick<RawConfig, 'sources'>): boolean =>
  KEY_VARIABLES.some((name) => sources.has(name))

/** Returns the effective AUTH: jwt if a key is set, unless AUTH overrides it. */
export const effectiveAuth = ({ values, sources }: Pick<RawConfig, 'values' | 'sources'>): 'jwt' | 'none' =>
  values.AUTH ?? (hasTokenKey({ sources }) ? 'jwt' : 'none')

/** Requires at most one key, a key with AUTH=jwt, and a key or an explicit AUTH if the address is not loopback. */
export const validateAuth = (raw: RawConfig): void => {
  const [first, second] = KEY_VARIABLES.filter((name) => raw.sources.has(name))
  if (second !== undefined) raw.problems.push(`${first} and ${second} are both set; keep one.`)
  if (raw.values.AUTH === 'jwt' && !hasTokenKey(raw)) {
    raw.problems.push(`AUTH=jwt needs one of ${KEY_VARIABLES.join(', ')}.`)
  }
  const { HOST: host } = raw.values
  if (host !== undefined && !isLoopback(host) && !raw.sources.has('AUTH') && !hasTokenKey(raw)) {
    raw.problems.push(
      'HOST is not a loopback address: everybody on the network could read and publish. Set JWT_SECRET or another key, or AUTH=none if you mean it.',
    )
  }
}

/** Returns the key that verifies tokens, even if AUTH=none; null if none is set. */
export const findVerificationKey = (values: ConfigValues): VerificationKey | null => {
  if (values.JWT_SECRET !== null) return { kind: 'secret', secret: values.JWT_SECRET }
  if (values.JWT_PUBLIC_KEY !== null) return { kind: 'key', ...values.JWT_PUBLIC_KEY }
  return values.JWT_JWKS_URL === null ? null : { kind: 'jwks', url: values.JWT_JWKS_URL }
}

/** @returns null if AUTH=none */
export const buildTokenConfig = (values: ConfigValues): TokenConfig | null => {
  const keys = findVerificationKey(values)
  if (keys === null || values.AUTH === 'none') return null
  return {
    keys,
    issuer: values.JWT_ISSUER,
    audience: values.JWT_AUDIENCE,
    cookie: values.JWT_COOKIE,
    defaultEvents: values.JWT_DEFAULT_EVENTS,
    defaultScope: values.JWT_DEFAULT_SCOPE,
  }
}

/**
 * Returns the host names that are served in addition to IP addresses and single-label names; null if any host is
 * served. Without tokens, a foreign page could otherwise point its own host name at this gateway (DNS rebinding).
 */
export const buildAllowedHosts = (values: ConfigValues, tokens: TokenConfig | null): readonly string[] | null => {
  if (tokens !== null || (values.ALLOWED_HOSTS === null && values.AUTH === 'none')) return null
  return values.ALLOWED_HOSTS ?? []
}

export const buildLimits = (values: ConfigValues): Limits => ({
  streams: values.MAX_STREAMS,
  streamsPerToken: values.MAX_STREAMS_PER_TOKEN,
  streamsPerAddress: values.MAX_STREAMS_PER_ADDRESS,
  publishRate: values.PUBLISH_RATE,
  publishBurst: values.PUBLISH_BURST,
  connections: values.MAX_CONNECTIONS,
  connectionsPerAddress: values.MAX_CONNECTIONS_PER_ADDRESS,
  headersMs: values.HEADERS_TIMEOUT_SECONDS * 1_000,
  requestMs: values.REQUEST_TIMEOUT_SECONDS * 1_000,
  keepAliveMs: values.KEEP_ALIVE_TIMEOUT_SECONDS * 1_000,
})
