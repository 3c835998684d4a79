import { createSecretKey, type KeyObject } from 'node:crypto'
import {
  createRemoteJWKSet,
  errors,
  type JWSHeaderParameters,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  jwtVerify,
} from 'jose'
import { errorChainText } from '../../core/error-text.ts'
import { GatewayError } from '../../core/errors.ts'
import { invalidToken } from './invalid-token.ts'

/**
 * Key for verifying tokens, of exactly one kind. The kind determines the algorithms; the header of a token never does.
 */
export type VerificationKey =
  | { readonly kind: 'secret'; readonly secret: Uint8Array }
  | { readonly kind: 'key'; readonly key: KeyObject; readonly algorithm: 'RS256' | 'ES256' | 'EdDSA' }
  | { readonly kind: 'jwks'; readonly url: URL }

/** Algorithms of a key set. Symmetric ones are excluded: everybody who can read the set could sign. */
const JWKS_ALGORITHMS = ['RS256', 'ES256', 'EdDSA']

/**
 * Maximum time after which a key removed by the issuer is no longer accepted, provided that the issuer is reachable.
 */
const REFRESH_MS = 600_000
/** Minimum interval between requests to the issuer, so that tokens with unknown keys do not cause one each. */
const COOLDOWN_MS = 30_000
/** The same while no key is known yet. */
const FIRST_COOLDOWN_MS = 1_000
/** Interval in which it is checked whether the key set must be read, so that readiness does not depend on requests. */
const CHECK_MS = 1_000
const TIMEOUT_MS = 3_000

/** Tolerance for an issuer whose clock is ahead: `nbf` may be this far in the future. There is none for `exp`. */
const NOT_BEFORE_GRACE_SECONDS = 5

export interface VerifierOptions {
  readonly keys: VerificationKey
  /** null if the issuer is not checked. */
  readonly issuer: string | null
  readonly audience: string | null
  /** Called with an error if the key set cannot be read, with null if it can. `usable`: cached keys are available. */
  readonly onJwksStatus: (error: GatewayError | null, usable: boolean) => void
  /** Monotonic clock in milliseconds, used for the age of the key set. */
  readonly clock?: () => number
}

/** Claims of a verified token. `exp` is present, finite and in the future. */
export type Claims = JWTPayload & { readonly exp: number }

/** The keys of an issuer. They are cached during its outages, and refreshed periodically and for an unknown key id. */
class JwksCache {
  readonly #remote: ReturnType<typeof createRemoteJWKSet>
  readonly #onJwksStatus: VerifierOptions['onJwksStatus']
  readonly #clock: () => number
  #loadedAt = Number.NEGATIVE_INFINITY
  #triedAt = Number.NEGATIVE_INFINITY
  #failed = false
  #refreshing: Promise<void> | null = null

  constructor(url: URL, { onJwksStatus, clock = () => performance.now() }: VerifierOptions) {
    // This class decides when to fetch: jose would expire the cache during an outage and fetch for every unknown key.
    this.#remote = createRemoteJWKSet(url, {
      timeoutDuration: TIMEOUT_MS,
      cacheMaxAge: Number.POSITIVE_INFINITY,
      cooldownDuration: Number.POSITIVE_INFINITY,
    })
    this.#onJwksStatus = onJwksStatus
    this.#clock = clock
  }

  get #hasKeys(): boolean {
    return this.#remote.jwks() !== undefined
  }

  get #isDue(): boolean {
    return !this.#hasKeys || this.#clock() - this.#loadedAt > REFRESH_MS
  }

  /** @throws GatewayError jwks_unavailable; JOSEError if no key matches */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    if (this.#isDue) {
      const refreshed = this.refresh()
      // During a known outage, do not wait for a response that may not come.
      if (!this.#hasKeys || !this.#failed) await refreshed
    }
    if (!this.#hasKeys) throw new GatewayError('jwks_unavailable', 'The key set of the issuer has not been loaded yet.')
    try {
      return await this.#remote(header as JWSHeaderParameters, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      await this.refresh()
      if (this.#failed) {
        throw new GatewayError('jwks_unavailable', 'The token names an unknown key, and the issuer does not respond.')
      }
      return this.#remote(header as JWSHeaderParameters, token)
    }
  }

  /** Fetches the key set if the last fetch has failed, or if it is too old. */
  refreshIfDue(): void {
    if (this.#failed || this.#isDue) void this.refresh()
  }

  /** Fetches the key set, unless a fetch was tried recently. Never rejects: cached keys remain in use. */
  refresh(): Promise<void> {
    const cooldown = this.#hasKeys ? COOLDOWN_MS : FIRST_COOLDOWN_MS
    if (this.#refreshing === null && this.#clock() - this.#triedAt > cooldown) {
      this.#refreshing = this.#load().finally(() => {
        this.#refreshing = null
      })
    }
    return this.#refreshing ?? Promise.resolve()
  }

  async #load(): Promise<void> {
    try {
      await this.#remote.reload()
      this.#loadedAt = this.#clock()
      this.#failed = false
      this.#onJwksStatus(null, true)
    } catch (cause) {
      this.#failed = true
      const text = `The key set could not be read: ${errorChainText(cause)}`
      this.#onJwksStatus(new GatewayError('jwks_unavailable', text, { cause }), this.#hasKeys)
    } finally {
      this.#triedAt = this.#clock()
    }
  }
}

const CLAIM_TEXTS: Record<string, string> = {
  exp: 'it has no usable expiry (exp)',
  nbf: 'it is not valid yet (nbf)',
  iss: 'its issuer (iss) is not the expected one',
  aud: 'its audience (aud) is not the expected one',
}

/** Converts a verification error, without revealing the contents of the token. */
const toTokenError = (error: unknown): GatewayError => {
  if (error instanceof GatewayError) return error
  if (error instanceof errors.JWTExpired) return tokenExpired()
  if (error instanceof errors.JWTClaimValidationFailed) {
    return invalidToken(CLAIM_TEXTS[error.claim] ?? 'one of its claims is invalid')
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return invalidToken('its signature algorithm is not allowed')
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return invalidToken('its signature does not match the key')
  if (error instanceof errors.JWKSNoMatchingKey) return invalidToken('its key is not in the key set')
  if (error instanceof errors.JWKSMultipleMatchingKeys)
    return invalidToken('it does not name the key of the key set that signed it')
  return invalidToken('it is not a readable signed token')
}

/**
 * Decoders also accept padding, blanks, the other alphabet and set unused bits. One token would have many texts, each with limits of its own.
 */
const isCanonical = (token: string): boolean =>
  token.split('.').every((part) => Buffer.from(part, 'base64url').toString('base64url') === part)

export const tokenExpired = (): GatewayError => new GatewayError('token_expired', 'The token has expired.')

/** Verifies signature, times, issuer and audience of tokens. claims.ts derives the permissions. */
export class TokenVerifier {
  readonly #options: JWTVerifyOptions
  readonly #keys: JwksCache | KeyObject
  #checkTimer: NodeJS.Timeout | undefined

  constructor(options: VerifierOptions) {
    const { keys, issuer, audience } = options
    this.#options = {
      algorithms: keys.kind === 'secret' ? ['HS256'] : keys.kind === 'key' ? [keys.algorithm] : JWKS_ALGORITHMS,
      requiredClaims: ['exp'],
      clockTolerance: NOT_BEFORE_GRACE_SECONDS,
      ...(issuer === null ? {} : { issuer }),
      ...(audience === null ? {} : { audience }),
    }
    if (keys.kind === 'jwks') this.#keys = new JwksCache(keys.url, options)
    else this.#keys = keys.kind === 'secret' ? createSecretKey(keys.secret) : keys.key
  }

  /** Fetches the key set now, and again whenever that is due. */
  start(): void {
    const keys = this.#keys
    if (!(keys instanceof JwksCache)) return
    keys.refreshIfDue()
    this.#checkTimer = setInterval(() => keys.refreshIfDue(), CHECK_MS)
  }

  stop(): void {
    clearInterval(this.#checkTimer)
  }

  /** @throws GatewayError token_invalid, token_expired or jwks_unavailable */
  async verify(token: string): Promise<Claims> {
    try {
      if (!isCanonical(token)) throw invalidToken('it is not canonical base64url')
      const { payload } = await (this.#keys instanceof JwksCache
        ? jwtVerify(token, this.#keys.find, this.#options)
        : jwtVerify(token, this.#keys, this.#options))
      const { exp } = payload
      // 1e400 is a valid JSON number, but parses as Infinity and would never expire.
      if (!Number.isFinite(exp)) throw invalidToken('its exp is not a valid time')
      // The tolerance applies to nbf only: a stream ends at exp and must not reopen for a few seconds.
      if (exp! * 1_000 <= Date.now()) throw tokenExpired()
      return payload as Claims
    } catch (error) {
      throw toTokenError(error)
    }
  }
}
