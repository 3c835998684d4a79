import * as assert from 'uvu/assert'
import { findConfigWarnings } from '../../../src/config/warnings.ts'
import { suite } from '../../support/harness/suite.ts'

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

test('a misspelled variable is reported with the one that was probably meant', () => {
  const [warning] = findConfigWarnings({ processEnv: { JWT_SECRETT: 'x' }, dotEnv: {} })
  assert.equal([warning?.variable, warning?.suggestion], ['JWT_SECRETT', 'JWT_SECRET'])
})

test.run()
