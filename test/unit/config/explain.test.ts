import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type ConfigEntry, explainConfig } from '../../../src/config/explain.ts'
import { CONFIG_VARIABLES, VARIABLE_NAMES, type VariableName } from '../../../src/config/variables.ts'
import type { GatewayError } from '../../../src/core/errors.ts'
import type { Env } from '../../../src/platform/env.ts'
import { suite } from '../../support/harness/suite.ts'
import { tempDir } from '../../support/harness/wait.ts'

const SECRET = 'hunter2-do-not-show, long enough'

const fileOf = (text: string): string => {
  const file = join(tempDir(), 'secret')
  writeFileSync(file, text)
  return file
}

const explain = (own: Env, dotEnv: Env = {}): Record<VariableName, Omit<ConfigEntry, 'name'>> =>
  Object.fromEntries(explainConfig({ processEnv: own, dotEnv }).map(({ name, ...rest }) => [name, rest])) as Record<
    VariableName,
    Omit<ConfigEntry, 'name'>
  >

const test = suite('the explained configuration')

test('nothing set: every variable in the order of the table, with its default if it has one', () => {
  const entries = explainConfig({ processEnv: {}, dotEnv: {} })
  assert.equal(
    entries.map(({ name }) => name),
    [...VARIABLE_NAMES],
  )
  for (const { name, value, source } of entries) {
    assert.is(source, 'default', name)
    if (name === 'AUTH' || name === 'RABBITMQ_PASSWORD') continue
    assert.is(value, CONFIG_VARIABLES[name].default, name)
  }
})

test('each value has the source that it was taken from', () => {
  const own = { PORT: '1', WORKERS: '', LOG_LEVEL: 'warn', JWT_SECRET_FILE: fileOf(SECRET), RABBITMQ_HOST: 'own' }
  const dotEnv = { PORT: '2', WORKERS: '3', RABBITMQ_USER: 'bob', RABBITMQ_PASSWORD_FILE: fileOf(SECRET) }
  const { PORT, WORKERS, LOG_LEVEL, JWT_SECRET, HOST, RABBITMQ_HOST, RABBITMQ_USER, RABBITMQ_PASSWORD } = explain(
    own,
    dotEnv,
  )
  assert.equal(PORT, { value: '1', source: 'environment' })
  assert.equal(WORKERS, { value: '1', source: 'default' }, 'an empty text in the environment switches .env off')
  assert.equal(LOG_LEVEL, { value: 'warn', source: 'environment' })
  assert.equal(JWT_SECRET, { value: '***', source: 'file' })
  assert.equal(HOST, { value: '127.0.0.1', source: 'default' })
  assert.equal(RABBITMQ_HOST, { value: 'own', source: 'environment' })
  assert.equal(RABBITMQ_USER, { value: 'bob', source: '.env' })
  assert.equal(RABBITMQ_PASSWORD, { value: '***', source: 'file' })
})

test('a secret is masked if it is set, and only then', () => {
  const secrets = VARIABLE_NAMES.filter((name) => 'secret' in CONFIG_VARIABLES[name])
  assert.is(secrets.length, 9)
  const unset = explain({})
  for (const name of secrets) {
    if (CONFIG_VARIABLES[name].default === null) assert.is(unset[name].value, null, name)
  }
  assert.is(explain({ JWT_SECRET: SECRET }).JWT_SECRET.value, '***')
  assert.is(explain({ GATEWAY_TOKEN: 'abc.def' }).GATEWAY_TOKEN.value, '***')
  assert.is(explain({ OTEL_EXPORTER_OTLP_HEADERS: 'a=b' }).OTEL_EXPORTER_OTLP_HEADERS.value, '***')
  const five = explain({ RABBITMQ_HOST: 'h', RABBITMQ_PASSWORD: SECRET })
  assert.is(five.RABBITMQ_PASSWORD.value, '***')
  assert.is(five.RABBITMQ_HOST.value, 'h')
  assert.is(explain({ DATABASE_URL: 'sqlite:/var/x.db' }).DATABASE_URL.value, 'sqlite:/var/x.db')
})

test('a URL is shown without user, password and query', () => {
  const password = 'hunter2'
  for (const url of [`amqp://bob:${password}@h/v`, `amqps://${password}@h`, `amqp://bob:${password}%2F@h:1/a%2Fb`]) {
    const shown = explain({ RABBITMQ_URL: url }).RABBITMQ_URL.value!
    assert.match(shown, '//***@h')
    assert.not.match(shown, password)
  }
  const slash = explain({ RABBITMQ_URL: `amqp://bob:12/${password}@h/v` }).RABBITMQ_URL.value
  assert.is(slash, 'amqp://***@h/v', 'a slash that should have been encoded unmasks nothing')
  assert.is(explain({ JWT_JWKS_URL: 'https://h/k?key=1' }).JWT_JWKS_URL.value, 'https://h/k?***')
})

test('a secret that looks like a URL is masked as a whole', () => {
  const OTEL_EXPORTER_OTLP_HEADERS = 'api-key=hunter2,x-source=https://a'
  for (const [name, env] of [
    ['JWT_SECRET', { JWT_SECRET: `pass://${SECRET}` }],
    ['OTEL_EXPORTER_OTLP_HEADERS', { OTEL_EXPORTER_OTLP_HEADERS }],
    ['RABBITMQ_PASSWORD', { RABBITMQ_HOST: 'h', RABBITMQ_PASSWORD: 'p://hunter2?x' }],
  ] as const) {
    assert.is(explain(env)[name].value, '***', name)
  }
  assert.is(explain({ RABBITMQ_URL: 'amqp://bob:hun\nter2@h' }).RABBITMQ_URL.value, 'amqp://***@h')
})

test('AUTH is shown with its effective value', () => {
  assert.equal(explain({}).AUTH, { value: 'none', source: 'default' })
  assert.equal(explain({ JWT_SECRET: SECRET }).AUTH, { value: 'jwt', source: 'default' })
  assert.equal(explain({ JWT_SECRET_FILE: fileOf(SECRET) }).AUTH, { value: 'jwt', source: 'default' })
  assert.equal(explain({}, { JWT_JWKS_URL: 'https://h/k' }).AUTH, { value: 'jwt', source: 'default' })
  assert.equal(explain({ JWT_SECRET: SECRET, AUTH: 'none' }).AUTH, { value: 'none', source: 'environment' })
  assert.equal(explain({ JWT_SECRET: SECRET }, { AUTH: 'jwt' }).AUTH, { value: 'jwt', source: '.env' })
})

test('an invalid configuration is not explained', () => {
  try {
    explainConfig({ processEnv: { PORT: 'x' }, dotEnv: { RABBITMQ_PORT: '1' } })
    assert.unreachable()
  } catch (error) {
    assert.is((error as GatewayError).code, 'config_invalid')
    assert.is((error as GatewayError).message.split('\n').length, 2)
  }
})

test.run()
