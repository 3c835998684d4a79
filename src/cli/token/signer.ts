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
  /** Display name, or null. */
  readonly name: string | null
  readonly events: readonly string[] | '*' | null
  readonly scopes: readonly string[]
  /** Seconds. */
  readonly lifetime: number
  readonly issuer: string | null
  readonly audience: string | null
}

/** Signs a test token. Claims are not validated here. */
export const signToken = (claims: TokenClaims, { key, algorithm }: SigningKey): Promise<string> => {
  const token = new SignJWT({
    ...(claims.name === null ? {} : { name: claims.name }),
    ...(claims.events === null ? {} : { events: claims.events }),
    ...(claims.scopes.length === 0 ? {} : { scope: claims.scopes.join(' ') }),
  })
    .setProtectedHeader({ alg: algorithm, typ: 'JWT' })
    .setSubject(claims.subject)
    .setIssuedAt()
    .setExpirationTime(Math.floor(Date.now() / 1_000) + claims.lifetime)
  if (claims.issuer !== null) token.setIssuer(claims.issuer)
  if (claims.audience !== null) token.setAudience(claims.audience)
  return token.sign(key)
}
