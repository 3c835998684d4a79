// needs: openssl
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import * as assert from 'uvu/assert'
import { type PublishError, Publisher } from '../../../src/publisher/index.ts'
import { readSettings } from '../../../src/publisher/settings.ts'
import { suite } from '../../support/harness/suite.ts'
import { tempDir } from '../../support/harness/wait.ts'
import { makeAuthority } from '../../support/servers/certificates.ts'

const test = suite('publisher-environment')

const NO_FILES = { caFile: null, certFile: null, keyFile: null }

const faultOf = (make: () => unknown): PublishError => {
  try {
    make()
  } catch (error) {
    assert.is((error as PublishError).code, 'config_invalid')
    return error as PublishError
  }
  throw new Error('no config_invalid')
}

test("the gateway's own variables name the broker; the URL wins over the five, options over both", () => {
  const five = {
    RABBITMQ_HOST: 'h',
    RABBITMQ_PORT: '5673',
    RABBITMQ_USER: 'u',
    RABBITMQ_PASSWORD: 'p',
    RABBITMQ_VHOST: 'v',
  }
  const host = { hosts: [{ hostname: 'h', port: 5673 }], username: 'u', password: 'p', vhost: 'v', tls: null }
  assert.equal(readSettings({}, five).address, host)
  const env = {
    ...five,
    RABBITMQ_URL: 'amqps://a%40:b%2F@[::1]/x%2Fy',
    RABBITMQ_EXCHANGE: 'ours',
    MAX_MESSAGE_BYTES: '10',
  }
  assert.equal(readSettings({}, env), {
    address: { hosts: [{ hostname: '::1', port: 5671 }], username: 'a@', password: 'b/', vhost: 'x/y', tls: NO_FILES },
    exchange: 'ours',
    maxMessageBytes: 10,
  })
  const given = readSettings({ url: 'amqp://localhost', exchange: 'mine', maxMessageBytes: 11 }, env)
  assert.equal(given, {
    address: {
      hosts: [{ hostname: 'localhost', port: 5672 }],
      username: 'guest',
      password: 'guest',
      vhost: '/',
      tls: null,
    },
    exchange: 'mine',
    maxMessageBytes: 11,
  })
  const hosts = [
    { hostname: 'a', port: 5672 },
    { hostname: 'b', port: 5673 },
  ]
  assert.equal(readSettings({ url: 'amqp://a,b:5673' }, env).address.hosts, hosts)
  assert.equal(readSettings({}, { RABBITMQ_HOST: 'a, b' }).address.hosts, [hosts[0], { hostname: 'b', port: 5672 }])
  assert.is(readSettings({}, { RABBITMQ_HOST: 'h', RABBITMQ_USER: '' }).exchange, 'deepsoc_notifications_exchange')
})

test('secrets can be read from files', () => {
  const file = join(tempDir(), 'secret')
  writeFileSync(file, 'amqp://u:from%20file@h\n')
  assert.is(readSettings({}, { RABBITMQ_URL_FILE: file }).address.password, 'from file')
  writeFileSync(file, 'plain\n')
  assert.is(readSettings({}, { RABBITMQ_HOST: 'h', RABBITMQ_PASSWORD_FILE: file }).address.password, 'plain')
  const unreadable = faultOf(() => readSettings({}, { RABBITMQ_URL_FILE: 'amqp://u:hunter2@h' }))
  assert.match(unreadable.message, /^RABBITMQ_URL_FILE cannot be read: ENOENT/)
  assert.not.match(inspect(unreadable), 'hunter2', 'a secret that was set instead of its file is not shown')
})

test('errors name the problem, and never a secret', () => {
  const cases: [object, Record<string, string>, RegExp][] = [
    [{}, {}, /No broker is configured/],
    [{ url: 'http://secret@h' }, {}, /url must be an amqp/],
    [{ url: 'amqp://u:secret@a,' }, {}, /url must be an amqp/],
    [{}, { RABBITMQ_HOST: 'a,' }, /RABBITMQ_HOST/],
    [{}, { RABBITMQ_HOST: 'rabbit:5672' }, /RABBITMQ_HOST .* RABBITMQ_PORT/],
    [{}, { RABBITMQ_URL: 'amqp://u:secret@h/?heartbeat=1' }, /no query/],
    [{}, { RABBITMQ_URL: 'amqp://u:secret%zz@h' }, /percent-encoded/],
    [{}, { RABBITMQ_HOST: 'h', RABBITMQ_PORT: '0' }, /RABBITMQ_PORT/],
    [{}, { RABBITMQ_HOST: 'h', MAX_MESSAGE_BYTES: 'many' }, /MAX_MESSAGE_BYTES/],
    [{ url: 'amqp://h', exchange: 'x'.repeat(241) }, {}, /exchange/],
  ]
  for (const [options, env, about] of cases) {
    const { message } = faultOf(() => readSettings(options, env))
    assert.match(message, about)
    assert.not.match(message, 'secret')
  }
})

test('the TLS files of amqps:// come from the options, or else the environment, and are checked', () => {
  const authority = makeAuthority()
  const [one, two] = [authority.issue(), authority.issue()]
  const env = {
    RABBITMQ_URL: 'amqps://h',
    RABBITMQ_CA_FILE: authority.caFile,
    RABBITMQ_CERT_FILE: one.certFile,
    RABBITMQ_KEY_FILE: one.keyFile,
  }
  const ofEnv = { caFile: authority.caFile, ...one }
  assert.equal(readSettings({}, env).address.tls, ofEnv)
  assert.equal(readSettings({ url: 'amqps://other' }, env).address.tls, ofEnv)
  assert.equal(readSettings({ ...two }, env).address.tls, { caFile: authority.caFile, ...two })
  // The files of the environment belong to the address of the environment.
  assert.is(readSettings({ url: 'amqp://other' }, env).address.tls, null)
  const junk = join(tempDir(), 'junk')
  writeFileSync(junk, 'secret junk')
  const cases: [object, Record<string, string>, RegExp][] = [
    [{ url: 'amqp://h', caFile: authority.caFile }, {}, /^caFile set without an amqps:\/\/ URL: nothing would be/],
    [{}, { ...env, RABBITMQ_URL: 'amqp://h' }, /^RABBITMQ_CA_FILE, RABBITMQ_CERT_FILE, RABBITMQ_KEY_FILE set without/],
    [{}, { ...env, RABBITMQ_KEY_FILE: '' }, /^RABBITMQ_CERT_FILE is set without RABBITMQ_KEY_FILE\.$/],
    [{ url: 'amqps://h', keyFile: one.keyFile }, {}, /^keyFile is set without certFile\.$/],
    [{ keyFile: two.keyFile }, env, /^RABBITMQ_CERT_FILE and keyFile cannot be used: .*key values mismatch/],
    [{ caFile: junk }, env, /^caFile cannot be used: it contains no certificate in PEM\.$/],
    [{}, { ...env, RABBITMQ_CA_FILE: '/nowhere' }, /^RABBITMQ_CA_FILE cannot be used: ENOENT/],
  ]
  for (const [options, variables, about] of cases) {
    const { message } = faultOf(() => readSettings(options, variables))
    assert.match(message, about)
    assert.not.match(message, 'secret')
  }
})

test('invalid limits are rejected', () => {
  const url = 'amqp://127.0.0.1:1'
  for (const options of [
    { maxQueued: 0 },
    { maxQueued: 1.5 },
    { sendTimeoutMs: -1 },
    { maxMessageBytes: 0 },
    { outbox: '' },
  ]) {
    faultOf(() => new Publisher({ url, ...options }))
  }
})

test('an option by its previous name is refused, and the error names the new one', () => {
  const options = { url: 'amqp://h', onSetAside: () => undefined }
  assert.match(faultOf(() => new Publisher(options)).message, 'onSetAside was renamed to onRefused')
})

test.run()
