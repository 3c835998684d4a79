// needs: openssl
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { loadConfig } from '../../../src/config/config.ts'
import { explainConfig } from '../../../src/config/explain.ts'
import type { Env } from '../../../src/platform/env.ts'
import { suite } from '../../support/harness/suite.ts'
import { tempDir } from '../../support/harness/wait.ts'
import { type Authority, makeAuthority } from '../../support/servers/certificates.ts'

let authority: Authority
let dir: string

/** Returns every problem that loadConfig finds in an environment. */
const faultsOf = (env: Env): string[] => {
  try {
    loadConfig(env)
  } catch (error) {
    return (error as Error).message.split('\n')
  }
  return []
}

const fileOf = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text)
  return join(dir, name)
}

const AMQPS = 'amqps://broker.example'

const config = suite('configuration of TLS')

config.before(() => {
  authority = makeAuthority()
  dir = tempDir()
})

config('takes a certificate with its key, and a broker with its authority', () => {
  const { certFile, keyFile } = authority.issue()
  const files = { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile }
  const forBroker = { RABBITMQ_CA_FILE: authority.caFile, RABBITMQ_CERT_FILE: certFile, RABBITMQ_KEY_FILE: keyFile }
  const env = { ...files, RABBITMQ_URL: AMQPS, ...forBroker }
  const { tls, broker } = loadConfig(env)
  assert.equal(tls, { certFile, keyFile })
  assert.equal(broker?.address.tls, { caFile: authority.caFile, certFile, keyFile })
  const shown = explainConfig({ processEnv: env, dotEnv: {} })
  assert.is(shown.find(({ name }) => name === 'TLS_KEY_FILE')?.value, keyFile)
})

config('refuses half a pair, a wrong pair, and files that are none', () => {
  const [one, two] = [authority.issue(), authority.issue()]
  const pairs: [string, string, RegExp][] = [
    [one.certFile, '', /^TLS_CERT_FILE is set without TLS_KEY_FILE\.$/],
    ['', one.keyFile, /^TLS_KEY_FILE is set without TLS_CERT_FILE\.$/],
    [one.certFile, two.keyFile, /^TLS_CERT_FILE and TLS_KEY_FILE: .*key values mismatch/],
    [join(dir, 'nothing'), one.keyFile, /cannot be read: ENOENT/],
    [dir, one.keyFile, /cannot be read: EISDIR/],
    [fileOf('junk', 'junk'), one.keyFile, /cannot be used/],
    [one.certFile, fileOf('junk', 'junk'), /cannot be used/],
    [one.keyFile, one.certFile, /cannot be used/],
  ]
  for (const [TLS_CERT_FILE, TLS_KEY_FILE, expected] of pairs) {
    const faults = faultsOf({ TLS_CERT_FILE, TLS_KEY_FILE })
    assert.is(faults.length, 1, faults.join('\n'))
    assert.match(faults[0]!, expected)
    assert.not.match(faults[0]!, /PRIVATE KEY/)
  }
})

config('refuses files for a broker that is not reached over TLS: they would guard nothing', () => {
  const files = { RABBITMQ_CA_FILE: authority.caFile }
  for (const where of [{}, { RABBITMQ_URL: 'amqp://h' }, { RABBITMQ_HOST: 'h' }]) {
    assert.match(faultsOf({ ...where, ...files }).join(), /RABBITMQ_CA_FILE set without an amqps:\/\/ RABBITMQ_URL/)
  }
})

config('refuses an authority that is none, and half a client certificate', () => {
  const { certFile, keyFile } = authority.issue()
  const broker = { RABBITMQ_URL: AMQPS }
  for (const file of [join(dir, 'nothing'), fileOf('junk', 'junk'), fileOf('cut', '-----BEGIN CERTIFICATE-----\nx')]) {
    assert.match(faultsOf({ ...broker, RABBITMQ_CA_FILE: file }).join(), /^RABBITMQ_CA_FILE cannot be used/)
  }
  assert.equal(faultsOf({ ...broker, RABBITMQ_CERT_FILE: certFile }), [
    'RABBITMQ_CERT_FILE is set without RABBITMQ_KEY_FILE.',
  ])
  const wrong = { RABBITMQ_CERT_FILE: certFile, RABBITMQ_KEY_FILE: authority.issue().keyFile }
  assert.match(
    faultsOf({ ...broker, ...wrong }).join(),
    /^RABBITMQ_CERT_FILE and RABBITMQ_KEY_FILE cannot be used: .*mismatch/,
  )
  assert.equal(faultsOf({ ...broker, RABBITMQ_CERT_FILE: certFile, RABBITMQ_KEY_FILE: keyFile }), [])
})

config.run()
