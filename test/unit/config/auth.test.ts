import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { loadConfig } from '../../../src/config/config.ts'
import { explainConfig } from '../../../src/config/explain.ts'
import type { GatewayError } from '../../../src/core/errors.ts'
import type { Env } from '../../../src/platform/env.ts'
import { makePair } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { tempDir } from '../../support/harness/wait.ts'

const SECRET = 'a secret of thirty-two bytes, so.'

const faultsOf = (env: Env): string[] => {
  try {
    loadConfig(env)
    return []
  } catch (error) {
    assert.is((error as GatewayError).code, 'config_invalid', String(error))
    return (error as GatewayError).message.split('\n')
  }
}

const refused = (env: Env, ...says: RegExp[]): void => {
  const faults = faultsOf(env)
  assert.is(faults.length, says.length, `${JSON.stringify(env)}: ${faults.join(' | ')}`)
  for (const [index, text] of says.entries()) assert.match(faults[index]!, text)
}

const file = (text: string): string => {
  const path = join(tempDir(), 'key')
  writeFileSync(path, text)
  return path
}

const access = suite('the settings of access')

access('tokens are required once a key is set, and AUTH=none overrides it', () => {
  assert.is(loadConfig({}).tokens, null)
  assert.is(loadConfig({ JWT_SECRET: SECRET }).tokens?.keys.kind, 'secret')
  assert.is(loadConfig({ JWT_SECRET: SECRET, AUTH: 'jwt' }).tokens?.keys.kind, 'secret')
  assert.is(loadConfig({ JWT_SECRET: SECRET, AUTH: 'none' }).tokens, null)
  refused({ AUTH: 'jwt' }, /^AUTH=jwt needs one of JWT_SECRET, JWT_PUBLIC_KEY, JWT_JWKS_URL\.$/)
})

access('an open address needs a key, or an explicit AUTH=none', () => {
  refused({ HOST: '0.0.0.0' }, /not a loopback address/)
  assert.is(loadConfig({ HOST: '0.0.0.0', JWT_SECRET: SECRET }).tokens?.keys.kind, 'secret')
  assert.is(loadConfig({ HOST: '0.0.0.0', AUTH: 'none' }).tokens, null)
  // An invalid key must not disable the check of the address.
  refused({ HOST: '0.0.0.0', JWT_SECRET: 'short' }, /^JWT_SECRET has 5 bytes/)
})

access('a secret that is too short for HS256 is refused, and never shown', () => {
  const short = 'x'.repeat(31)
  refused({ JWT_SECRET: short }, /^JWT_SECRET has 31 bytes; HS256 needs at least 32/)
  assert.not.match(faultsOf({ JWT_SECRET: short }).join(), short)
  // Bytes count, not characters.
  assert.equal(faultsOf({ JWT_SECRET: '密'.repeat(11) }), [])
  const shown = explainConfig({ processEnv: { JWT_SECRET: SECRET }, dotEnv: {} })
  assert.is(shown.find(({ name }) => name === 'JWT_SECRET')?.value, '***')
  assert.not.match(JSON.stringify(shown), SECRET)
})

access('a secret that is too short is reported with the places to change it', () => {
  refused(
    { JWT_SECRET: 'short' },
    /Generate one .* and set it here and where the tokens are signed \(DeepSOC: JWT_SECRET_KEY/,
  )
  refused({ JWT_SECRET_KEY: 'deepsoc_jwt_secret_key' }, /^JWT_SECRET_KEY has 22 bytes; .* JWT_SECRET_KEY in its \.env/)
})

access('the secret of DeepSOC’s .env requires tokens, unless a key has a name of the gateway’s own', () => {
  const env = { JWT_SECRET_KEY: SECRET }
  const keysOf = (own: Env) => loadConfig({ ...env, ...own }).tokens!.keys
  const keys = keysOf({})
  assert.ok(keys.kind === 'secret' && Buffer.from(keys.secret).toString() === SECRET)
  assert.is(loadConfig({ ...env, HOST: '0.0.0.0' }).tokens?.keys.kind, 'secret')
  assert.is(loadConfig({ ...env, AUTH: 'none' }).tokens, null)
  assert.is(keysOf({ JWT_SECRET: '' }).kind, 'secret')
  const other = 'another secret of thirty-two bytes'
  const own = keysOf({ JWT_SECRET: other })
  assert.ok(own.kind === 'secret' && Buffer.from(own.secret).toString() === other)
  const fromFile = keysOf({ JWT_SECRET_FILE: file(other) })
  assert.ok(fromFile.kind === 'secret' && Buffer.from(fromFile.secret).toString() === other)
  assert.is(keysOf({ JWT_PUBLIC_KEY: makePair('EdDSA').publicPem }).kind, 'key')
  assert.is(keysOf({ JWT_JWKS_URL: 'https://h/k' }).kind, 'jwks')
  const shownFrom = (layers: Parameters<typeof explainConfig>[0]) =>
    explainConfig(layers).find(({ name }) => name === 'JWT_SECRET')
  const shown = { name: 'JWT_SECRET', value: '***' }
  assert.equal(shownFrom({ processEnv: {}, dotEnv: env }), { ...shown, source: '.env' })
  assert.equal(shownFrom({ processEnv: env, dotEnv: {} }), { ...shown, source: 'environment' })
  assert.equal(shownFrom({ processEnv: { JWT_SECRET_FILE: file(other) }, dotEnv: env }), { ...shown, source: 'file' })
})

access('secret and key come from files too', () => {
  const keys = loadConfig({ JWT_SECRET_FILE: file(`${SECRET}\n`) }).tokens!.keys
  assert.ok(keys.kind === 'secret' && Buffer.from(keys.secret).toString() === SECRET)
  const { publicPem } = makePair('ES256')
  assert.is(loadConfig({ JWT_PUBLIC_KEY_FILE: file(publicPem) }).tokens?.keys.kind, 'key')
  refused({ JWT_SECRET: SECRET, JWT_SECRET_FILE: file(SECRET) }, /are both set/)
})

access('two kinds of key at once are refused', () => {
  const { publicPem } = makePair('EdDSA')
  refused({ JWT_SECRET: SECRET, JWT_PUBLIC_KEY: publicPem }, /^JWT_SECRET and JWT_PUBLIC_KEY are both set/)
  refused({ JWT_SECRET: SECRET, JWT_JWKS_URL: 'https://h/k' }, /^JWT_SECRET and JWT_JWKS_URL are both set/)
})

access('the type of a public key decides on the algorithm', () => {
  for (const alg of ['RS256', 'ES256', 'EdDSA'] as const) {
    const { publicPem } = makePair(alg)
    for (const JWT_PUBLIC_KEY of [publicPem, publicPem.replaceAll('\n', '\\n')]) {
      const keys = loadConfig({ JWT_PUBLIC_KEY }).tokens!.keys
      assert.is(keys.kind === 'key' && keys.algorithm, alg)
    }
  }
})

access('an unsuitable public key is rejected with the reason', () => {
  const pem = (key: { export(options: object): string | Buffer }, type: string) =>
    key.export({ type, format: 'pem' }).toString()
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const curve = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
  const ed = generateKeyPairSync('ed25519')
  const x = generateKeyPairSync('x25519')
  refused({ JWT_PUBLIC_KEY: pem(ed.privateKey, 'pkcs8') }, /contains a private key/)
  refused({ JWT_PUBLIC_KEY: pem(weak.publicKey, 'spki') }, /1024 bits; at least 2048/)
  for (const key of [curve.publicKey, x.publicKey]) {
    refused({ JWT_PUBLIC_KEY: pem(key, 'spki') }, /must be an RSA \(RS256\), P-256 \(ES256\) or Ed25519/)
  }
  refused({ JWT_PUBLIC_KEY: 'no pem' }, /is not PEM text/)
  refused({ JWT_PUBLIC_KEY: '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----' }, /not a readable public key/)
})

access('a key set is only fetched over HTTPS, or from this machine', () => {
  for (const JWT_JWKS_URL of [
    'https://issuer.example/keys',
    'http://127.0.0.1:8/keys',
    'http://localhost/k',
    'http://[::1]/k',
  ]) {
    assert.is(loadConfig({ JWT_JWKS_URL }).tokens?.keys.kind, 'jwks', JWT_JWKS_URL)
  }
  for (const JWT_JWKS_URL of ['http://issuer.example/keys', 'https://user:pass@h/keys', 'file:///etc/passwd', 'keys']) {
    refused({ JWT_JWKS_URL }, /^JWT_JWKS_URL must be an https/)
  }
})

access('host names are checked without tokens only; AUTH=none accepts any, unless they are configured', () => {
  const hosts = (env: Record<string, string>) => loadConfig(env).hosts
  assert.equal(hosts({}), [])
  assert.equal(hosts({ ALLOWED_HOSTS: 'Gateway.example, localhost' }), ['gateway.example', 'localhost'])
  assert.is(hosts({ AUTH: 'none' }), null)
  assert.equal(hosts({ AUTH: 'none', HOST: '0.0.0.0', ALLOWED_HOSTS: 'localhost' }), ['localhost'])
  assert.is(hosts({ JWT_SECRET: SECRET, ALLOWED_HOSTS: 'localhost' }), null)
  for (const bad of ['*', 'a.example:80', 'https://a.example', 'a..b', '.a']) {
    refused({ ALLOWED_HOSTS: bad }, /^ALLOWED_HOSTS must be host names/)
  }
})

access('lists are exact', () => {
  assert.equal(loadConfig({ CORS_ORIGINS: 'https://a.example, http://b:8080' }).corsOrigins, [
    'https://a.example',
    'http://b:8080',
  ])
  for (const bad of [
    '*',
    'a.example',
    'https://a.example/',
    'https://*.example',
    'null',
    'https://A.example',
    'https://a:443',
  ]) {
    refused({ CORS_ORIGINS: bad }, /^CORS_ORIGINS must be exact origins/)
  }
  const apps = [
    'capacitor://localhost',
    'ionic://localhost',
    'tauri://localhost',
    'http://tauri.localhost',
    'chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb',
    'moz-extension://6b1a1f6c-7ad0-4a4b-9d2b-2b6e5a0f6f0e',
    'app://-',
  ]
  assert.equal(loadConfig({ CORS_ORIGINS: apps.join() }).corsOrigins, apps)
  for (const [given, sent] of [
    ['https://app.example:443', 'https://app.example'],
    ['HTTPS://App.Example', 'https://app.example'],
    ['http://app.example:80/path?q#f', 'http://app.example'],
    ['https://app.example/', 'https://app.example'],
    ['https://user:secret@app.example', 'https://app.example'],
    ['https://bücher.example', 'https://xn--bcher-kva.example'],
    ['tauri://LOCALHOST/', 'tauri://localhost'],
  ] as const) {
    const problems = new RegExp(`^CORS_ORIGINS must be exact origins: browsers send ".*" as ${sent}\\.$`)
    refused({ CORS_ORIGINS: `https://a.example, ${given}` }, problems)
  }
  for (const bad of [
    'htps://a.example',
    'wss://a.example',
    'file:///',
    'data://a',
    'capacitor:localhost',
    'tauri://',
  ]) {
    refused({ CORS_ORIGINS: bad }, /^CORS_ORIGINS must be exact origins such as/)
  }
  const proxies = loadConfig({ TRUSTED_PROXIES: '10.0.0.0/8, 2001:db8::/32, 192.0.2.7' }).trustedProxies
  assert.ok(proxies.check('10.1.2.3') && proxies.check('192.0.2.7') && proxies.check('2001:db8::1', 'ipv6'))
  assert.not(proxies.check('11.1.2.3') || proxies.check('192.0.2.8'))
  for (const bad of ['proxy', '10.0.0.0/33', '10.0.0.0/x', '10.0.0.0/8/8', '::/129', '*']) {
    refused({ TRUSTED_PROXIES: bad }, /^TRUSTED_PROXIES must be/)
  }
  const events = (JWT_DEFAULT_EVENTS: string) =>
    loadConfig({ JWT_SECRET: SECRET, JWT_DEFAULT_EVENTS }).tokens!.defaultEvents
  assert.is(events('*'), '*')
  assert.equal(events('a, b'), ['a', 'b'])
  for (const bad of ['a,*', ',', 'a\nb', Array.from({ length: 401 }, (_, n) => n).join()])
    refused({ JWT_DEFAULT_EVENTS: bad }, /^JWT_DEFAULT_EVENTS must be/)
  refused({ JWT_COOKIE: 'a b' }, /^JWT_COOKIE must be/)
})

access('a token without a scope gets the scope of JWT_DEFAULT_SCOPE, which is never admin', () => {
  const scope = (JWT_DEFAULT_SCOPE?: string) =>
    loadConfig({ JWT_SECRET: SECRET, JWT_DEFAULT_SCOPE }).tokens!.defaultScope
  assert.is(scope(), null)
  assert.is(scope('chat'), 'chat')
  assert.is(scope('publish'), 'publish')
  for (const bad of ['admin', 'chat,publish', '*']) {
    refused({ JWT_DEFAULT_SCOPE: bad }, /^JWT_DEFAULT_SCOPE must be chat or publish/)
  }
})

access.run()
