import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { parsePublicKey } from '../../../src/config/parsers.ts'
import { TokenVerifier } from '../../../src/http/auth/token-verifier.ts'
import { callCli } from '../../support/clients/cli.ts'
import { makePair } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { tempDir } from '../../support/harness/wait.ts'
import type { Env } from '../../support/servers/gateway.ts'

const test = suite('token')

const cli = (args: string[], env: Env = {}) => callCli(args, { env })

const KEY = 'a secret of the tests, of more than thirty-two bytes'

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())

test('token signs the claims of its flags, with data on stdout and text on stderr', async () => {
  const args = ['token', '--sub', 'ann', '--events', 'a, b', '--scope', 'publish,admin', '--expires', '15m']
  const env = { JWT_SECRET: KEY, JWT_ISSUER: 'me', JWT_AUDIENCE: 'you' }
  const { code, stdout, stderr } = await cli(args, env)
  assert.is(code, 0, stderr)
  assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/)
  assert.not.match(stderr, stdout.trim())
  const { iat, exp, ...claims } = claimsOf(stdout)
  assert.is(exp - iat, 900)
  assert.equal(claims, { sub: 'ann', events: ['a', 'b'], scope: 'publish admin', iss: 'me', aud: 'you' })
  const person = claimsOf(
    (await cli(['token', '--sub', 'ann', '--name', 'Ann Lee', '--scope', 'chat'], { JWT_SECRET: KEY })).stdout,
  )
  assert.equal([person.name, person.scope], ['Ann Lee', 'chat'])
  const plain = claimsOf((await cli(['token'], { JWT_SECRET: KEY })).stdout)
  assert.equal(Object.keys(plain).sort(), ['exp', 'iat', 'sub'])
  assert.is(claimsOf((await cli(['token', '--events', '*'], { JWT_SECRET: KEY })).stdout).events, '*')
})

test('token signs with a private key file too, and the gateway’s verifier accepts it', async () => {
  for (const alg of ['RS256', 'ES256', 'EdDSA'] as const) {
    const { privateKey, publicPem } = makePair(alg)
    const file = join(tempDir(), 'key.pem')
    writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }))
    const { code, stdout, stderr } = await cli(['token', '--key-file', file], { JWT_PUBLIC_KEY: publicPem })
    assert.is(code, 0, stderr)
    const keys = { kind: 'key' as const, ...parsePublicKey(publicPem) }
    const verifier = new TokenVerifier({ keys, issuer: null, audience: null, onJwksStatus: () => undefined })
    assert.is((await verifier.verify(stdout.trim())).sub, 'trial')
  }
})

test('token reports what is missing, exits with 2, and shows no secret', async () => {
  const calls: [string[], Env, RegExp][] = [
    [['token'], {}, /no key to sign with: set JWT_SECRET/],
    [['token', '--bogus'], { JWT_SECRET: KEY }, /bogus/],
    [['token', 'more'], { JWT_SECRET: KEY }, /more/],
    [['token', '--expires', 'soon'], { JWT_SECRET: KEY }, /--expires takes a time such as 15m/],
    [['token', '--expires', '0s'], { JWT_SECRET: KEY }, /--expires/],
    [['token', '--scope', 'root'], { JWT_SECRET: KEY }, /--scope takes publish, chat, admin and edge/],
    [['token', '--events', 'a,'], { JWT_SECRET: KEY }, /is not an event id/],
    [['token', '--events', 'a,..'], { JWT_SECRET: KEY }, /".." is not an event id/],
    [['token', '--key-file', '/nowhere'], {}, /cannot be read.*ENOENT/],
    [['token'], { JWT_SECRET: 'hunter2-too-short' }, /config_invalid/],
    [['token'], { JWT_PUBLIC_KEY: makePair('EdDSA').publicPem }, /pass the private key with --key-file/],
  ]
  for (const [args, env, says] of calls) {
    const { code, stdout, stderr } = await cli(args, env)
    assert.is(code, 2, args.join(' '))
    assert.is(stdout, '')
    assert.match(stderr, says)
    assert.not.match(stderr, /hunter2|thirty-two bytes'/)
  }
})

test.run()
