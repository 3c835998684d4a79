import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { loadConfig } from '../../../src/config/config.ts'
import { findConfigWarnings } from '../../../src/config/warnings.ts'
import { suite } from '../../support/harness/suite.ts'
import { ROOT } from '../../support/servers/gateway.ts'

const test = suite('warnings about the configuration')

const SAMPLE = 'deepsoc_jwt_secret_key_change_in_production'

test('the public key of DeepSOC’s sample is reported under the name that has it', () => {
  for (const name of ['JWT_SECRET', 'JWT_SECRET_KEY']) {
    const [warning, ...others] = findConfigWarnings({ processEnv: {}, dotEnv: { [name]: SAMPLE } })
    assert.is(warning?.variable, name)
    assert.match(warning!.text, /public/)
    assert.equal(others, [])
  }
  assert.equal(findConfigWarnings({ processEnv: { JWT_SECRET: 'x'.repeat(32) }, dotEnv: { JWT_SECRET: SAMPLE } }), [])
})

test('the key of deploy/kubernetes.yaml is refused, and the one of earlier versions reported', () => {
  const [, key] = /^ +JWT_SECRET: (\S+)$/m.exec(readFileSync(join(ROOT, 'deploy/kubernetes.yaml'), 'utf8'))!
  assert.throws(() => loadConfig({ JWT_SECRET: key! }), /JWT_SECRET has \d+ bytes/)
  const JWT_SECRET = 'change-me-to-the-output-of-openssl-rand-base64-48'
  const [warning] = findConfigWarnings({ processEnv: { JWT_SECRET }, dotEnv: {} })
  assert.match(String(warning?.text), /kubernetes\.yaml, which is public/)
})

test('a misspelled variable is reported with the one that was probably meant', () => {
  const [warning] = findConfigWarnings({ processEnv: { JWT_SECRETT: 'x' }, dotEnv: {} })
  assert.equal([warning?.variable, warning?.suggestion], ['JWT_SECRETT', 'JWT_SECRET'])
})

test.run()
