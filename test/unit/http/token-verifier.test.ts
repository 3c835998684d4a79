import { mock } from 'node:test'
import * as assert from 'uvu/assert'
import { parsePublicKey } from '../../../src/config/parsers.ts'
import type { GatewayError } from '../../../src/core/errors.ts'
import { toPrincipal } from '../../../src/http/auth/claims.ts'
import { TokenVerifier, type VerificationKey } from '../../../src/http/auth/token-verifier.ts'
import { KeySetServer, makePair, otherSpellings, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { until } from '../../support/harness/wait.ts'

const keys = suite('the keys of tokens')

const pairs = [makePair('RS256'), makePair('ES256'), makePair('EdDSA')] as const
const by = (index: 0 | 1 | 2, kid = `k${index}`, key = pairs[index].privateKey): Promise<string> =>
  sign({ events: '*' }, { key, alg: pairs[index].alg, kid })
const members = (...indexes: (0 | 1 | 2)[]) => indexes.map((index) => ({ pair: pairs[index], kid: `k${index}` }))

/** Returns `good`, or the error code of a token. */
const verdict = (verifier: TokenVerifier, token: string): Promise<string> =>
  verifier.verify(token).then(
    () => 'good',
    ({ code }: GatewayError) => code,
  )

const verifierOf = (keys: VerificationKey, clock?: () => number): TokenVerifier =>
  new TokenVerifier({ keys, issuer: null, audience: null, onJwksStatus: () => undefined, ...(clock && { clock }) })

keys('of every kind verify their own signatures, and no others', async () => {
  for (const [index, { alg, publicPem }] of pairs.entries()) {
    const verifier = verifierOf({ kind: 'key', ...parsePublicKey(publicPem) })
    assert.is(await verdict(verifier, await by(index as 0)), 'good', alg)
    const other = makePair(alg as 'RS256').privateKey
    assert.is(await verdict(verifier, await by(index as 0, 'k', other)), 'token_invalid', alg)
    // The public key is public; a gateway that trusted the algorithm in the token would accept this.
    const confused = await sign({}, { key: Buffer.from(publicPem), alg: 'HS256' })
    assert.is(await verdict(verifier, confused), 'token_invalid', alg)
  }
})

keys('verify a token in one spelling only', async () => {
  for (const [index, { alg, publicPem }] of pairs.entries()) {
    const verifier = verifierOf({ kind: 'key', ...parsePublicKey(publicPem) })
    const token = await by(index as 0)
    for (const spelling of otherSpellings(token)) {
      assert.is(await verdict(verifier, spelling), 'token_invalid', `${alg} ${spelling}`)
    }
    const [header, claims, signature] = token.split('.')
    assert.is(await verdict(verifier, `${header}=.${claims}.${signature}`), 'token_invalid', alg)
    assert.is(await verdict(verifier, `${header}.${claims}\n.${signature}`), 'token_invalid', alg)
  }
})

/** Order of the curve P-256. */
const P256 = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

keys('give a token one id, whatever its signature: of an ECDSA signature anybody can make another one', async () => {
  const { publicPem } = pairs[1]
  const verifier = verifierOf({ kind: 'key', ...parsePublicKey(publicPem) })
  const token = await by(1)
  const [header, claims, signature = ''] = token.split('.')
  const bytes = Buffer.from(signature, 'base64url')
  const s = P256 - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
  const other = Buffer.concat([bytes.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')])
  const again = `${header}.${claims}.${other.toString('base64url')}`
  assert.is.not(again, token)
  const idOf = async (text: string): Promise<string> =>
    toPrincipal(text, await verifier.verify(text), { defaultEvents: null, defaultScope: null }).tokenId
  assert.is(await idOf(again), await idOf(token))
  assert.is.not(await idOf(await sign({ sub: 'other' }, { key: pairs[1].privateKey, alg: 'ES256' })), await idOf(token))
})

const withKeySet = async (
  work: (issuer: KeySetServer, verifier: TokenVerifier, pass: (ms: number) => void) => Promise<void>,
): Promise<void> => {
  const issuer = await new KeySetServer().start()
  let time = 0
  try {
    await work(
      issuer,
      verifierOf({ kind: 'jwks', url: new URL(issuer.url) }, () => time),
      (ms) => {
        time += ms
      },
    )
  } finally {
    await issuer.stop()
  }
}

keys('of a set are requested once, whatever tokens arrive', () =>
  withKeySet(async (issuer, verifier) => {
    await issuer.publish(...members(0, 1, 2))
    const tokens = await Promise.all(([0, 1, 2, 0, 1, 2] as const).map((index) => by(index)))
    assert.equal([...new Set(await Promise.all(tokens.map((token) => verdict(verifier, token))))], ['good'])
    assert.is(await verdict(verifier, await sign({}, { kid: 'k0' })), 'token_invalid', 'no symmetric key in a set')
    assert.is(issuer.asked, 1)
  }),
)

keys('that rotate are found, and removed ones are rejected', () =>
  withKeySet(async (issuer, verifier, pass) => {
    await issuer.publish(...members(0))
    assert.is(await verdict(verifier, await by(0)), 'good')
    await issuer.publish(...members(0, 1))
    pass(31_000)
    assert.is(await verdict(verifier, await by(1)), 'good', 'a new key is looked for at once')
    await issuer.publish(...members(1))
    assert.is(await verdict(verifier, await by(0)), 'good', 'nobody has asked yet')
    pass(601_000)
    assert.is(await verdict(verifier, await by(0)), 'token_invalid')
    assert.is(await verdict(verifier, await by(1)), 'good')
  }),
)

keys('are read again although no token arrives', () =>
  withKeySet(async (issuer, verifier, pass) => {
    /** Lets time pass until the issuer is asked again, since the interval begins only when the last answer was read. */
    const askedAgain = async (ms: number): Promise<void> => {
      const { asked } = issuer
      const isAsked = (): boolean => {
        pass(ms)
        return issuer.asked > asked
      }
      await until(isAsked, { what: 'another request' })
    }
    await issuer.publish(...members(0))
    verifier.start()
    await until(() => issuer.asked === 1, { what: 'the first request' })
    issuer.failing = true
    await askedAgain(601_000)
    issuer.failing = false
    await askedAgain(31_000)
    verifier.stop()
  }),
)

keys('are kept through an outage of the issuer, however long', () =>
  withKeySet(async (issuer, verifier, pass) => {
    await issuer.publish(...members(0))
    assert.is(await verdict(verifier, await by(0)), 'good')
    issuer.failing = true
    for (let hours = 0; hours < 50; hours++) {
      pass(3_600_000)
      assert.is(await verdict(verifier, await by(0)), 'good')
    }
    assert.is(await verdict(verifier, await by(1)), 'jwks_unavailable', 'perhaps a new key: no verdict on it')
    issuer.failing = false
    await issuer.publish(...members(1))
    pass(3_600_000)
    assert.is(await verdict(verifier, await by(1)), 'good')
  }),
)

keys(
  'that are cached work immediately in an outage, also while the issuer accepts connections and does not respond',
  () =>
    withKeySet(async (issuer, verifier, pass) => {
      await issuer.publish(...members(0))
      const token = await by(0)
      assert.is(await verdict(verifier, token), 'good')
      issuer.failing = true
      pass(601_000)
      assert.is(await verdict(verifier, token), 'good')
      issuer.silent = true
      const asked = issuer.asked
      pass(31_000)
      // The request never ends, so a result that waits for its response would never come.
      const endless = mock.method(AbortSignal, 'timeout', () => new AbortController().signal)
      try {
        for (let n = 0; n < 20; n++) assert.is(await verdict(verifier, token), 'good')
        assert.is(endless.mock.callCount(), 1, 'the issuer was asked again')
      } finally {
        endless.mock.restore()
      }
      await until(() => issuer.asked === asked + 1, { what: 'the background refresh' })
    }),
)

keys('that are unknown do not cause a request to the issuer each time', () =>
  withKeySet(async (issuer, verifier, pass) => {
    await issuer.publish(...members(0))
    assert.is(await verdict(verifier, await by(0)), 'good')
    for (let n = 0; n < 100; n++) {
      assert.is(await verdict(verifier, await by(0, `unknown-${n}`)), 'token_invalid')
      pass(1_000)
    }
    assert.ok(issuer.asked <= 5, `asked ${issuer.asked} times in 100 s`)
  }),
)

keys.run()
