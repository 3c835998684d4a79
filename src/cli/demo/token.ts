import type { Config } from '../../config/config.ts'
import { type ParsedArgs, UsageError } from '../command.ts'
import { refuseTokenFile } from '../gateway-client.ts'
import { secretSigner, signToken } from '../token/signer.ts'
import { noToken, openTokenSource, type TokenSource } from '../token/source.ts'

/** Lifetime of a signed token, and how long before its expiry the next one is signed, in seconds. */
const LIFETIME = 300
const RESERVE = 60

/**
 * Returns the token source of `serve --demo`. With JWT_SECRET it signs its own tokens.
 *
 * @throws UsageError if a token is required but can be neither signed nor found, GatewayError config_invalid
 */
export const demoToken = async (args: ParsedArgs, { broker, tokens }: Config): Promise<TokenSource> => {
  if (broker !== null) {
    refuseTokenFile(args)
    return noToken
  }
  if (args.text('token-file') !== undefined) return openTokenSource(args)
  if (tokens === null) return noToken
  if (tokens.keys.kind === 'secret') return createSignedTokens(tokens, tokens.keys.secret)
  const source = await openTokenSource(args)
  if ((await source()) !== null) return source
  throw new UsageError(
    '--demo needs a token to publish, but the gateway has only public keys, which cannot sign one: pass a token with the scope publish by --token-file, GATEWAY_TOKEN_FILE or GATEWAY_TOKEN',
  )
}

const createSignedTokens = ({ issuer, audience }: NonNullable<Config['tokens']>, secret: Uint8Array): TokenSource => {
  const claims = {
    subject: 'demo',
    name: null,
    events: '*',
    scopes: ['publish'],
    lifetime: LIFETIME,
    issuer,
    audience,
  } as const
  let signed: Promise<string> | null = null
  let renewAt = 0
  return () => {
    // Wall clock, not monotonic: after the machine slept, the token may have expired.
    if (signed !== null && Date.now() < renewAt) return signed
    renewAt = Date.now() + (LIFETIME - RESERVE) * 1_000
    signed = signToken(claims, secretSigner(secret))
    return signed
  }
}
