import { createPrivateKey, createSecretKey, type KeyObject } from 'node:crypto'
import { SignJWT } from 'jose'

/** A signing key and its algorithm. */
export interface SigningKey {
  readonly key: KeyObject
  readonly algorithm: 'HS256' | 'RS256' | 'ES256' | 'EdDSA'
}

export const secretSigner = (secret: Uint8Array): SigningKey => ({ key: createSecretKey(secret), algorithm: 'HS256' })

/**
 * @param pem a private key
 * @returns null if it is invalid or of an unsupported type
 */
export const privateSigner = (pem: string): SigningKey | null => {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    return null
  }
  if (key.asymmetricKeyType === 'rsa') return { key, algorithm: 'RS256' }
  if (key.asymmetricKeyType === 'ed25519') return { key, algorithm: 'EdDSA' }
  const curve = key.asymmetricKeyDetails?.namedCurve
  return key.asymmetricKeyType === 'ec' && curve === 'prime256v1' ? { key, algorithm: 'ES256' } : null
}

export interface TokenClaims {
  readonly subject: string
  readonly events: readonly string[] | '*' | null
  readonly scopes: readonly string[]
  /** Seconds. */
  readonly lifetime: number
  readonly issuer: string | null
  readonly audience: string | null
}

/** Signs a test token. Claims are not validated here. */
export const signToken = (trial: TokenClaims, { key, algorithm }: SigningKey): Promise<string> => {
  const token = new SignJWT({
    ...(trial.events === null ? {} : { events: trial.events }),
    ...(trial.scopes.length === 0 ? {} : { scope: trial.scopes.join(' ') }),
  })
    .setProtectedHeader({ alg: algorithm, typ: 'JWT' })
    .setSubject(trial.subject)
    .setIssuedAt()
    .setExpirationTime(Math.floor(Date.now() / 1_000) + trial.lifetime)
  if (trial.issuer !== null) token.setIssuer(trial.issuer)
  if (trial.audience !== null) token.setAudience(trial.audience)
  return token.sign(key)
}
