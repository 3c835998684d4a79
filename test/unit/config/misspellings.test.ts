import * as assert from 'uvu/assert'
import { describeMisspelling, findMisspellings } from '../../../src/config/misspellings.ts'
import { VARIABLE_NAMES } from '../../../src/config/variables.ts'
import { suite } from '../../support/harness/suite.ts'

/** NAME → the suggested name, for variables of the process's environment. */
const found = (names: readonly string[], inDotEnv: readonly string[] = []): Record<string, string> => {
  const envOf = (list: readonly string[]) => Object.fromEntries(list.map((name) => [name, 'x']))
  const misspellings = findMisspellings({ processEnv: envOf(names), dotEnv: envOf(inDotEnv) })
  return Object.fromEntries(misspellings.map(({ name, suggestion }) => [name, suggestion]))
}

const test = suite('misspelled variables')

test('one inserted, deleted, substituted or swapped character, or another case, is found', () => {
  const expected = {
    JWT_SECRETT: 'JWT_SECRET',
    XJWT_SECRET: 'JWT_SECRET',
    JWT_SECRE: 'JWT_SECRET',
    WT_SECRET: 'JWT_SECRET',
    JWTSECRET: 'JWT_SECRET',
    JWT_SECRAT: 'JWT_SECRET',
    'JWT-SECRET': 'JWT_SECRET',
    JWT_SERCET: 'JWT_SECRET',
    JTW_SECRET: 'JWT_SECRET',
    jwt_secret: 'JWT_SECRET',
    Jwt_Secrett: 'JWT_SECRET',
    JWT_SECRET_FIL: 'JWT_SECRET_FILE',
    RABBITMQ_PASWORD_FILE: 'RABBITMQ_PASSWORD_FILE',
    RABBITMQ_HOSTS: 'RABBITMQ_HOST',
    RABITMQ_PORT: 'RABBITMQ_PORT',
    RABBITMQ_USR: 'RABBITMQ_USER',
    RABBITMQ_VHSOT: 'RABBITMQ_VHOST',
    DATABASE_URI: 'DATABASE_URL',
    CORS_ORIGIN: 'CORS_ORIGINS',
  }
  assert.equal(found(Object.keys(expected)), expected)
})

test('every name of ten characters or more is searched for', () => {
  const long = VARIABLE_NAMES.filter((name) => name.length >= 10)
  assert.ok(long.length > 40)
  for (const name of long) {
    assert.is(found([`${name}X`])[`${name}X`], name)
    assert.is(found([name.slice(1)])[name.slice(1)], name)
  }
})

test('known names, two edits and the variables of other software are left alone', () => {
  assert.equal(found([...VARIABLE_NAMES, 'JWT_SECRET_FILE', 'DATABASE_URL_FILE']), {})
  assert.equal(found(['JWT_SECRETTT', 'JWT_SCRT', 'JWT_SECRET_KEY', 'RABBITMQ_NODENAME', 'TWJ_SECRET']), {})
  const others = [
    'HOSTS',
    'PORTS',
    'SORT',
    'POST',
    'OAUTH',
    'PATH',
    'HOME',
    'WORKER',
    'LOGLEVEL',
    'CCACHE_DIR',
    'HOSTNAME',
  ]
  assert.equal(found([...others, 'SSL_CERT_FILE', 'RABBITMQ_HOME', 'KUBERNETES_PORT', 'port', 'host']), {})
})

test('.env is written for the gateway: short names are searched for there', () => {
  const expected = { HSOT: 'HOST', PORTS: 'PORT', auth: 'AUTH', LOGLEVEL: 'LOG_LEVEL', JWT_SECRETT: 'JWT_SECRET' }
  assert.equal(found([], Object.keys(expected)), expected)
})

test('a variable that is not set is no misspelling', () => {
  assert.equal(findMisspellings({ processEnv: { JWT_SECRETT: '', RABBITMQ_URLL: undefined }, dotEnv: {} }), [])
  assert.equal(findMisspellings({ processEnv: { JWT_SECRETT: '' }, dotEnv: { JWT_SECRETT: 'x' } }), [])
})

test('the message names both variables and no value', () => {
  assert.is(
    describeMisspelling({ name: 'JWT_SECRETT', suggestion: 'JWT_SECRET' }),
    'JWT_SECRETT is not a variable of the gateway; did you mean JWT_SECRET?',
  )
  const odd = findMisspellings({ processEnv: { 'JWT_SECRET\u001b': 'x' }, dotEnv: {} })
  assert.equal(odd, [], 'a name with control characters is not shown')
})

test.run()
