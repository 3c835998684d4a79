import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, type JWK, type JWTPayload, SignJWT } from 'jose'
import type { Env } from '../servers/gateway.ts'

/** Key of the tests' HS256 tokens, new in each process. */
export const SECRET = randomBytes(48).toString('base64')

export const now = (): number => Math.floor(Date.now() / 1_000)

export type SignOptions = {
  key?: KeyObject | Uint8Array
  alg?: string
  kid?: string
}

/** Signs a token with these claims. Default: `iat` now and `exp` in an hour; undefined omits a claim. */
export const sign = (claims: JWTPayload, { key, alg = 'HS256', kid }: SignOptions = {}): Promise<string> => {
  const payload = { sub: 'tester', iat: now(), exp: now() + 3_600, ...claims }
  const given = Object.fromEntries(Object.entries(payload).filter(([, value]) => value !== undefined))
  return new SignJWT(given)
    .setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }) })
    .sign(key ?? Buffer.from(SECRET))
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Builds a token from any header, claims and signature. */
export const forge = (header: unknown, claims: unknown, signature = ''): string =>
  `${part(header)}.${part(claims)}.${signature}`

/** Returns other spellings of a token that a lenient base64url decoder reads as the same bytes. */
export const otherSpellings = (token: string): string[] => {
  const [header = '', claims = '', signature = ''] = token.split('.')
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  // The last character of 32 or 64 bytes has unused bits.
  const unusedBit = alphabet[alphabet.indexOf(signature.at(-1)!) ^ 1]!
  return [
    `${header}.${claims}.${signature.slice(0, 9)} ${signature.slice(9)}`,
    `${header}.${claims}.${signature}=`,
    `${header}.${claims}.${signature.slice(0, -1)}${unusedBit}`,
    `${header}.${claims}.${signature.replaceAll('-', '+').replaceAll('_', '/')}`,
  ].filter((spelling) => spelling !== token)
}

export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })

/** Settings of a gateway that accepts tokens signed with SECRET. */
export const guarded = (env: Env = {}): Env => ({ JWT_SECRET: SECRET, ...env })

export type Pair = { readonly privateKey: KeyObject; readonly publicPem: string; readonly alg: string }

export const makePair = (alg: 'RS256' | 'ES256' | 'EdDSA'): Pair => {
  const { privateKey } =
    alg === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : alg === 'ES256'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('ed25519')
  const publicPem = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString()
  return { privateKey, publicPem, alg }
}

/** Serves an issuer's key set over HTTP. Its keys can be changed, and it can be made to fail. */
export class KeySetServer {
  asked = 0
  failing = false
  /** It accepts connections and does not respond. */
  silent = false
  #keys: JWK[] = []
  readonly #server = http.createServer((_request, response) => {
    this.asked += 1
    if (this.silent) return
    response.statusCode = this.failing ? 500 : 200
    response.end(JSON.stringify({ keys: this.#keys }))
  })

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/keys`
  }

  async publish(...pairs: { pair: Pair; kid: string }[]): Promise<void> {
    this.#keys = await Promise.all(
      pairs.map(async ({ pair, kid }) => ({
        ...(await exportJWK(createPublicKey(pair.privateKey))),
        kid,
        alg: pair.alg,
      })),
    )
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
