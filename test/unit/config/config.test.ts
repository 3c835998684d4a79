import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import * as assert from 'uvu/assert'
import type { BrokerTls } from '../../../src/amqp/address.ts'
import { type Config, getGatewayMode, loadConfig } from '../../../src/config/config.ts'
import { renderEnvSample } from '../../../src/config/env-sample.ts'
import { mergeLayers } from '../../../src/config/load-env.ts'
import { CONFIG_VARIABLES, VARIABLE_NAMES, type VariableName } from '../../../src/config/variables.ts'
import { GatewayError } from '../../../src/core/errors.ts'
import type { Env } from '../../../src/platform/env.ts'
import { suite } from '../../support/harness/suite.ts'
import { tempDir } from '../../support/harness/wait.ts'
import { ROOT } from '../../support/servers/gateway.ts'

const SECRET = 'hunter2-do-not-show'

/** Returns the problems of an environment, one per entry. */
const faultsOf = (env: Env): string[] => {
  try {
    loadConfig(env)
  } catch (error) {
    assert.instance(error, GatewayError)
    assert.is((error as GatewayError).code, 'config_invalid', String(error))
    return (error as GatewayError).message.split('\n')
  }
  return []
}

const refused = (env: Env, ...says: (string | RegExp)[]): void => {
  const faults = faultsOf(env)
  assert.is(faults.length, says.length, `${JSON.stringify(env)}: ${faults.join(' | ')}`)
  for (const [index, text] of says.entries()) assert.match(faults[index]!, text)
}

const addressOf = (env: Env) => {
  const { broker } = loadConfig(env)
  if (broker === null) throw new Error('embedded mode')
  return broker.address
}

const secretFile = (text: string): string => {
  const file = join(tempDir(), 'secret')
  writeFileSync(file, text)
  return file
}

/** Every variable with the text of its default; null if it has none. */
const DEFAULTS: Record<string, string | null> = {
  HOST: '127.0.0.1',
  PORT: '8080',
  BASE_PATH: '/',
  WORKERS: '1',
  WORKER_TIMEOUT_SECONDS: '30',
  DATABASE_URL: 'sqlite:data/gateway.db',
  DATABASE_POOL_SIZE: '6',
  RABBITMQ_URL: null,
  RABBITMQ_HOST: null,
  RABBITMQ_PORT: '5672',
  RABBITMQ_USER: 'guest',
  RABBITMQ_PASSWORD: 'guest',
  RABBITMQ_VHOST: '/',
  RABBITMQ_EXCHANGE: 'deepsoc_notifications_exchange',
  RABBITMQ_QUEUE: 'frontend_notifications_queue',
  RABBITMQ_BINDING: 'notifications.frontend.#',
  RABBITMQ_QUEUE_TYPE: 'quorum',
  RABBITMQ_HEARTBEAT_SECONDS: '2',
  RABBITMQ_PREFETCH: '1000',
  INGEST_BUFFER_BYTES: '33554432',
  UPSTREAM_URL: null,
  UPSTREAM_TOKEN: null,
  UPSTREAM_EVENTS: '*',
  MAX_MESSAGE_BYTES: '1048576',
  JWT_SECRET: null,
  JWT_PUBLIC_KEY: null,
  JWT_JWKS_URL: null,
  JWT_ISSUER: null,
  JWT_AUDIENCE: null,
  JWT_COOKIE: 'access_token',
  JWT_DEFAULT_EVENTS: null,
  JWT_DEFAULT_SCOPE: null,
  GATEWAY_TOKEN: null,
  AUTH: null,
  CORS_ORIGINS: null,
  ALLOWED_HOSTS: null,
  TRUSTED_PROXIES: null,
  MAX_STREAMS: '20000',
  MAX_STREAMS_PER_TOKEN: '1000',
  MAX_STREAMS_PER_ADDRESS: '2000',
  PUBLISH_RATE: '5000',
  PUBLISH_BURST: '50000',
  MAX_CONNECTIONS: '25000',
  MAX_CONNECTIONS_PER_ADDRESS: '2500',
  HEADERS_TIMEOUT_SECONDS: '10',
  REQUEST_TIMEOUT_SECONDS: '60',
  KEEP_ALIVE_TIMEOUT_SECONDS: '75',
  HEARTBEAT_SECONDS: '15',
  STREAM_MAX_SECONDS: '0',
  SHUTDOWN_RETRY_SECONDS: '10',
  RETENTION_DAYS: null,
  RETENTION_MESSAGES_PER_EVENT: null,
  METRICS_PORT: null,
  OTEL_EXPORTER_OTLP_ENDPOINT: null,
  OTEL_EXPORTER_OTLP_HEADERS: null,
  OTEL_SERVICE_NAME: 'deepsoc-gateway',
  LOG_LEVEL: 'info',
  SHUTDOWN_SECONDS: '8',
  TLS_CERT_FILE: null,
  TLS_KEY_FILE: null,
  RABBITMQ_CA_FILE: null,
  RABBITMQ_CERT_FILE: null,
  RABBITMQ_KEY_FILE: null,
  NATIVE_MODULE_DIR: null,
  SEARCH: 'on',
}

const config = suite('the configuration')

config('knows every variable with its default', () => {
  const known = Object.fromEntries(VARIABLE_NAMES.map((name) => [name, CONFIG_VARIABLES[name].default]))
  assert.equal(known, DEFAULTS)
})

config('.env.sample is generated, and its lines give the defaults once they are uncommented', () => {
  const sample = readFileSync(join(ROOT, '.env.sample'), 'utf8')
  assert.is(sample, renderEnvSample())
  const expected = Object.entries(DEFAULTS).map(([name, value]) => [name, value ?? ''])
  assert.equal(parseEnv(sample.replace(/^#(?=[A-Z_]+=)/gm, '')), Object.fromEntries(expected))
})

config('nothing set: embedded, on loopback, everything kept', () => {
  const { trustedProxies, ...rest } = loadConfig({})
  assert.equal(trustedProxies.rules, [])
  const expected: Omit<Config, 'trustedProxies'> = {
    host: '127.0.0.1',
    port: 8080,
    basePath: '',
    tls: null,
    workers: 1,
    workerTimeoutMs: 30_000,
    databaseFile: 'data/gateway.db',
    postgres: null,
    databaseConnections: 6,
    broker: null,
    upstream: null,
    maxMessageBytes: 1_048_576,
    tokens: null,
    publishedByKey: null,
    hasTokenKey: false,
    corsOrigins: [],
    hosts: [],
    limits: {
      streams: 20_000,
      streamsPerToken: 1_000,
      streamsPerAddress: 2_000,
      publishRate: 5_000,
      publishBurst: 50_000,
      connections: 25_000,
      connectionsPerAddress: 2_500,
      headersMs: 10_000,
      requestMs: 60_000,
      keepAliveMs: 75_000,
    },
    metricsPort: null,
    heartbeatMs: 15_000,
    streamMaxMs: 0,
    shutdownRetryMs: 10_000,
    retention: { maxAgeMs: null, messagesPerEvent: null },
    tracing: null,
    logLevel: 'info',
    search: true,
    shutdownMs: 8_000,
  }
  assert.equal(rest, expected)
})

config('an empty string counts as not set', () => {
  const empty = Object.fromEntries(
    VARIABLE_NAMES.flatMap((name) => [
      [name, ''],
      [`${name}_FILE`, ''],
    ]),
  )
  assert.equal(loadConfig(empty), loadConfig({}))
})

config('is frozen', () => {
  assert.ok(Object.isFrozen(loadConfig({})))
})

config('reports all problems at once, each with its constraint', () => {
  const bad: Partial<Record<VariableName, string>> = {
    HOST: 'a b',
    PORT: '65536',
    RABBITMQ_URL: 'http://x',
    RABBITMQ_QUEUE_TYPE: 'lazy',
    RABBITMQ_PREFETCH: '0',
    INGEST_BUFFER_BYTES: '0',
    MAX_MESSAGE_BYTES: '1e6',
    AUTH: 'maybe',
    HEARTBEAT_SECONDS: '-1',
    RETENTION_DAYS: '1.5',
    LOG_LEVEL: 'loud',
    SHUTDOWN_SECONDS: 'soon',
  }
  const faults = faultsOf(bad)
  for (const name of Object.keys(bad) as VariableName[]) {
    const rule = CONFIG_VARIABLES[name].constraint
    assert.ok(
      faults.some((fault) => fault.startsWith(`${name} must be ${rule}`)),
      `${name}: ${faults.join(' | ')}`,
    )
  }
  assert.is(faults.length, Object.keys(bad).length)
})

config('shows a wrong value, unless it is a secret', () => {
  refused({ PORT: 'eighty' }, /^PORT must be .*, not "eighty"\.$/)
  for (const url of [`http://u:${SECRET}@h`, `amqp://u:${SECRET}@h:port`, `${SECRET}`]) {
    refused({ RABBITMQ_URL: url }, /^RABBITMQ_URL must be an amqp:\/\/ or amqps:\/\/ URL\.$/)
  }
  for (const url of [`mysql://u:${SECRET}@h`, `postgres://u:${SECRET}@h:port/db`, 'sqlite:']) {
    assert.not.match(faultsOf({ DATABASE_URL: url }).join(), SECRET)
    assert.is(faultsOf({ DATABASE_URL: url }).length, 1)
  }
  assert.not.match(faultsOf({ JWT_SECRET: SECRET }).join(), SECRET)
})

config('reads a secret from the file that NAME_FILE names, without its last line break', () => {
  for (const end of ['', '\n', '\r\n']) {
    const env = { RABBITMQ_HOST: 'h', RABBITMQ_PASSWORD_FILE: secretFile(`${SECRET}${end}`) }
    assert.is(addressOf(env).password, SECRET)
  }
  assert.is(addressOf({ RABBITMQ_URL_FILE: secretFile('amqp://u:p@there') }).hosts[0]!.hostname, 'there')
  assert.is(loadConfig({ DATABASE_URL_FILE: secretFile('sqlite:x.db\n') }).databaseFile, 'x.db')
})

config('reports a secret set twice, an unreadable file, and an invalid text in a file', () => {
  const file = secretFile(`amqp://u:${SECRET}@h`)
  refused({ RABBITMQ_URL: 'amqp://h', RABBITMQ_URL_FILE: file }, /RABBITMQ_URL and RABBITMQ_URL_FILE are both set/)
  refused({ RABBITMQ_URL_FILE: '/nowhere/secret' }, /RABBITMQ_URL_FILE cannot be read.*ENOENT/)
  refused({ RABBITMQ_URL_FILE: secretFile(`http://u:${SECRET}@h`) }, /^RABBITMQ_URL must be an amqp[^,]*$/)
})

config('quotes an invalid value without what can be a password in it', () => {
  for (const [env, shown] of [
    [{ UPSTREAM_URL: `https://user:${SECRET}@core` }, '"https://***@core"'],
    [{ UPSTREAM_URL: `https://core/?token=${SECRET}` }, '"https://core/?***"'],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: `https://u:${SECRET}@otlp` }, '"https://***@otlp"'],
    [{ RABBITMQ_HOST: `amqp://soc:${SECRET}@mq` }, '"amqp://***@mq"'],
    [{ RABBITMQ_HOST: `soc:${SECRET}@mq:5672` }, '"***@mq:5672"'],
    [{ CORS_ORIGINS: `https://u:${SECRET}@app.example` }, '"https://***@app.example"'],
  ] as const) {
    refused(env, shown)
    assert.not.match(faultsOf(env).join(), SECRET)
  }
})

config('a problem is reported with variables that are probably misspelled, which may be its cause', () => {
  const env = { HOST: '0.0.0.0', JWT_SECRETT: SECRET }
  refused(env, /not a loopback address/, /^JWT_SECRETT is not a variable of the gateway; did you mean JWT_SECRET\?$/)
  assert.not.match(faultsOf(env).join(), SECRET)
})

config('every secret, and nothing else, has a file form in the sample', () => {
  const broker = ['RABBITMQ_URL', 'RABBITMQ_PASSWORD']
  const keys = ['JWT_SECRET', 'JWT_PUBLIC_KEY', 'JWT_JWKS_URL']
  const secrets = ['DATABASE_URL', ...broker, 'UPSTREAM_TOKEN', ...keys, 'GATEWAY_TOKEN', 'OTEL_EXPORTER_OTLP_HEADERS']
  assert.equal(
    [...renderEnvSample().matchAll(/also (\w+)_FILE/g)].map(([, name]) => name),
    secrets,
  )
})

config('the base path is a plain path, whose last slash does not matter', () => {
  for (const [BASE_PATH, path] of [
    ['/', ''],
    ['/gateway', '/gateway'],
    ['/gateway/', '/gateway'],
    ['/soc-1/gate.way_~', '/soc-1/gate.way_~'],
  ] as const) {
    assert.is(loadConfig({ BASE_PATH }).basePath, path)
  }
  for (const BASE_PATH of [
    'gateway',
    '//',
    '/a//b',
    '/..',
    '/a/../b',
    '/.',
    '/a b',
    '/ä',
    '/a?b',
    '/a%2Fb',
    'http://h/a',
  ]) {
    refused({ BASE_PATH }, /^BASE_PATH must be/)
  }
})

config('PORT and METRICS_PORT are different', () => {
  refused({ PORT: '9090', METRICS_PORT: '9090' }, /^METRICS_PORT and PORT are both 9090/)
  refused({ METRICS_PORT: '8080' }, /^METRICS_PORT and PORT are both 8080/)
  assert.is(loadConfig({ METRICS_PORT: '9090' }).metricsPort, 9090)
})

config('workers are a number, or one per core', () => {
  assert.is(loadConfig({ WORKERS: '3' }).workers, 3)
  assert.is(loadConfig({ WORKERS: 'auto' }).workers, availableParallelism())
  for (const WORKERS of ['0', '-1', '1.5', '257', 'many']) refused({ WORKERS }, /^WORKERS must be/)
})

config('an open address must be asked for explicitly', () => {
  for (const HOST of ['0.0.0.0', '::', '192.168.1.7', 'example.org']) {
    refused({ HOST }, /not a loopback address.*AUTH=none/)
    assert.is(loadConfig({ HOST, AUTH: 'none' }).host, HOST)
  }
  for (const HOST of ['127.0.0.1', '127.8.9.10', 'localhost', '::1']) assert.is(loadConfig({ HOST }).host, HOST)
  refused({ HOST: '127.evil.example' }, /not a loopback address/)
})

config('reads every part of a broker URL', () => {
  const address = {
    hosts: [{ hostname: 'h', port: 5672 }],
    username: 'guest',
    password: 'guest',
    vhost: '/',
    tls: null as BrokerTls | null,
  }
  const tls: BrokerTls = { caFile: null, certFile: null, keyFile: null }
  const table: [string, Partial<typeof address>][] = [
    ['amqp://h', {}],
    ['amqp://h/', {}],
    ['amqp://h/%2F', {}],
    ['amqps://h', { hosts: [{ hostname: 'h', port: 5671 }], tls }],
    ['amqps://h:99', { hosts: [{ hostname: 'h', port: 99 }], tls }],
    ['amqp://h/team', { vhost: 'team' }],
    ['amqp://h/a%2Fb%20c', { vhost: 'a/b c' }],
    ['amqp://bob:p%40ss%2F%3A@h', { username: 'bob', password: 'p@ss/:' }],
    ['amqp://b%C3%B6b:x@h', { username: 'böb', password: 'x' }],
    ['amqp://bob@h', { username: 'bob', password: '' }],
    ['amqp://[::1]:5673/v', { hosts: [{ hostname: '::1', port: 5673 }], vhost: 'v' }],
    ['amqp://10.0.0.1', { hosts: [{ hostname: '10.0.0.1', port: 5672 }] }],
    [
      'amqp://bob:p,%40@a,[::1]:5673,c:5674/v',
      {
        hosts: [
          { hostname: 'a', port: 5672 },
          { hostname: '::1', port: 5673 },
          { hostname: 'c', port: 5674 },
        ],
        username: 'bob',
        password: 'p,@',
        vhost: 'v',
      },
    ],
  ]
  for (const [url, over] of table) assert.equal(addressOf({ RABBITMQ_URL: url }), { ...address, ...over }, url)
})

config('rejects a broker URL that could only partly be supported', () => {
  refused({ RABBITMQ_URL: 'amqps://h?cacertfile=/x&verify=none' }, /RABBITMQ_URL must have no query/)
  refused({ RABBITMQ_URL: 'amqp://' }, /^RABBITMQ_URL must be/)
  refused({ RABBITMQ_URL: 'amqp:h' }, /^RABBITMQ_URL must be/)
  for (const hosts of ['a,', ',a', 'a,,b', 'a,b:port', 'a:5672:b', 'a,b@c:x'])
    refused({ RABBITMQ_URL: `amqp://${hosts}/v` }, /^RABBITMQ_URL must be/)
  refused({ RABBITMQ_URL: `amqp://u:%zz${SECRET}@h` }, /^RABBITMQ_URL must be [^%]*$/)
})

config('accepts the five single variables, which the URL overrides', () => {
  const five = {
    RABBITMQ_HOST: 'mq',
    RABBITMQ_PORT: '5673',
    RABBITMQ_USER: 'u',
    RABBITMQ_PASSWORD: 'p@/',
    RABBITMQ_VHOST: 'v/1',
  }
  const address = { hosts: [{ hostname: 'mq', port: 5673 }], username: 'u', password: 'p@/', vhost: 'v/1', tls: null }
  assert.equal(addressOf(five), address)
  assert.is(addressOf({ ...five, RABBITMQ_URL: 'amqp://winner' }).hosts[0]!.hostname, 'winner')
  const alone = addressOf({ RABBITMQ_HOST: 'mq' })
  assert.equal(alone, {
    ...address,
    hosts: [{ hostname: 'mq', port: 5672 }],
    username: 'guest',
    password: 'guest',
    vhost: '/',
  })
  const two = addressOf({ RABBITMQ_HOST: 'mq1, ::1, fe80::1%eth0', RABBITMQ_PORT: '5673' }).hosts
  assert.equal(two, [
    { hostname: 'mq1', port: 5673 },
    { hostname: '::1', port: 5673 },
    { hostname: 'fe80::1%eth0', port: 5673 },
  ])
  for (const RABBITMQ_HOST of ['a,', 'a:5672', ','])
    refused({ RABBITMQ_HOST }, /^RABBITMQ_HOST must be a host, or hosts/)
  refused({ RABBITMQ_PORT: '5673', RABBITMQ_USER: 'u' }, /RABBITMQ_PORT, RABBITMQ_USER set without RABBITMQ_HOST/)
})

config('the process’s own environment overrides .env, and an empty text there unsets a variable', () => {
  const read = mergeLayers({ processEnv: { HOST: 'h', PORT: '' }, dotEnv: { HOST: 'other', PORT: '1', WORKERS: '2' } })
  assert.equal(read, { HOST: 'h', PORT: '', WORKERS: '2' })
})

config('a secret of the environment, as a text or as a file, replaces both forms of .env', () => {
  for (const [processEnv, dotEnv] of [
    [{ DATABASE_URL_FILE: '/run/secrets/url' }, { DATABASE_URL: 'sqlite:x.db' }],
    [{ DATABASE_URL: 'sqlite:x.db' }, { DATABASE_URL_FILE: '/run/secrets/url' }],
  ] as const) {
    assert.equal(mergeLayers({ processEnv, dotEnv }), processEnv)
  }
  const TLS_CERT_FILE = '/tls.crt'
  assert.equal(mergeLayers({ processEnv: { TLS_CERT: 'x' }, dotEnv: { TLS_CERT_FILE } }), {
    TLS_CERT: 'x',
    TLS_CERT_FILE,
  })
})

config('a file takes the place of a secret that the image sets, if that is emptied', () => {
  const env = { DATABASE_URL: '', DATABASE_URL_FILE: secretFile('sqlite:x.db\n') }
  assert.is(loadConfig(env).databaseFile, 'x.db')
})

config('refuses a variable by its previous name, and names the new one', () => {
  for (const [old, name] of [
    ['HEADERS_SECONDS', 'HEADERS_TIMEOUT_SECONDS'],
    ['REQUEST_SECONDS', 'REQUEST_TIMEOUT_SECONDS'],
    ['DATABASE_CONNECTIONS', 'DATABASE_POOL_SIZE'],
    ['CACHE_DIR', 'NATIVE_MODULE_DIR'],
  ] as const) {
    refused({ [old]: '5' }, `${old} was renamed: set ${name} instead.`)
    assert.equal(faultsOf({ [old]: '' }), [])
  }
})

config('an edge has a core, and neither broker, PostgreSQL nor several workers', () => {
  const url = 'https://gateway.example/soc/'
  const edge = loadConfig({ UPSTREAM_URL: url, UPSTREAM_TOKEN: 'a.b', UPSTREAM_EVENTS: 'a, b' })
  const { upstream, broker } = edge
  assert.equal([getGatewayMode(edge), broker], ['edge', null])
  assert.equal([upstream!.url, upstream!.events, upstream!.token()], ['https://gateway.example/soc', ['a', 'b'], 'a.b'])
  const token = secretFile('first')
  const renewed = loadConfig({ UPSTREAM_URL: url, UPSTREAM_TOKEN_FILE: token }).upstream!
  assert.equal([renewed.events, renewed.token()], ['*', 'first'])
  writeFileSync(token, 'second\n')
  assert.is(renewed.token(), 'second')
  refused(
    { UPSTREAM_URL: url, RABBITMQ_URL: 'amqp://h/' },
    /UPSTREAM_URL and RABBITMQ_URL are set: an edge has no broker/,
  )
  refused({ UPSTREAM_URL: url, RABBITMQ_HOST: 'h' }, /UPSTREAM_URL and RABBITMQ_HOST/)
  refused({ UPSTREAM_URL: url, DATABASE_URL: 'postgres://u:p@h/d' }, /UPSTREAM_URL is set with a postgres:\/\//)
  refused({ UPSTREAM_URL: url, WORKERS: '2' }, /several WORKERS/)
  refused({ UPSTREAM_TOKEN: 'a.b', UPSTREAM_EVENTS: 'a' }, /^UPSTREAM_TOKEN, UPSTREAM_EVENTS set without UPSTREAM_URL/)
  for (const bad of ['ftp://h', 'h:80', 'https://u:p@h', 'https://h/?x=1'])
    refused({ UPSTREAM_URL: bad }, /^UPSTREAM_URL /)
  refused({ UPSTREAM_URL: url, UPSTREAM_EVENTS: Array(101).fill(0).map(String).join() }, /^UPSTREAM_EVENTS must be/)
})

config.run()
