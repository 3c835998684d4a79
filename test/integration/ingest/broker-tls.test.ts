// needs: rabbitmq, openssl, pika
import { spawnSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type PublishError, Publisher, type PublisherOptions } from '../../../src/publisher/index.ts'
import { rejection } from '../../support/clients/agents.ts'
import { runCli } from '../../support/clients/cli.ts'
import { TEST_MS, WAIT_MS } from '../../support/harness/limits.ts'
import { pikaPython } from '../../support/harness/provision.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, getJson, type Json, postJson, tempDir, until } from '../../support/harness/wait.ts'
import { type Authority, makeAuthority } from '../../support/servers/certificates.ts'
import { type Env, type Gateway, ROOT, startGateway } from '../../support/servers/gateway.ts'
import { type ControlledBroker, controlledBroker, type Names, uniqueNames } from '../../support/servers/rabbitmq.ts'
import { chat, eventUrl, restIds } from '../../support/stages/rooms.ts'
import { brokerEnv } from '../../support/stages/stage.ts'

let authority: Authority
let stranger: Authority
let broker: ControlledBroker
let tlsPort: number
const started: Gateway[] = []

/** Starts a gateway that connects to the TLS port of the broker by this host name. */
const serve = async (env: Env, host = '127.0.0.1', port = tlsPort): Promise<Gateway> => {
  const url = `amqps://guest:guest@${host}:${port}`
  const gateway = await startGateway({ env: brokerEnv(url, uniqueNames('tls'), env) })
  started.push(gateway)
  return gateway
}

/** Waits until both connections have failed and returns the fault, which must have code, cause and hint. */
const faultOf = async (gateway: Gateway, code: string): Promise<Json> => {
  let faults: Json[] = []
  const both = async (): Promise<boolean> => {
    faults = ((await getJson(`${gateway.url}/readyz`)).body.faults ?? []) as Json[]
    return faults.filter((fault) => fault.code === code).length === 2
  }
  await until(both, { what: `two faults ${code}` }).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(faults)}`)
  })
  return faults[0]
}

/** Publishes through the broker and waits until the message is stored. */
const carries = async (gateway: Gateway): Promise<void> => {
  await gateway.ready()
  assert.is((await postJson(`${eventUrl(gateway, 'room')}/messages`, chat(1))).status, 202)
  await until(async () => (await restIds(gateway, 'room')).length === 1, { what: 'the message' })
}

const client = (from: Authority): Env => {
  const { certFile, keyFile } = from.issue()
  return { RABBITMQ_CERT_FILE: certFile, RABBITMQ_KEY_FILE: keyFile }
}

const amqps = suite('AMQP over TLS')

amqps.before(async () => {
  authority = makeAuthority()
  stranger = makeAuthority('somebody else')
  tlsPort = await freePort()
  const { certFile, keyFile } = authority.issue({ names: ['DNS:localhost', 'IP:127.0.0.1'] })
  broker = await controlledBroker()
  const options = [
    `{cacertfile, "${authority.caFile}"}`,
    `{certfile, "${certFile}"}`,
    `{keyfile, "${keyFile}"}`,
    '{verify, verify_peer}',
    '{fail_if_no_peer_cert, true}',
  ]
  for (const address of ['127.0.0.1', '127.0.0.2']) {
    const listener = `{"${address}", ${tlsPort}}, [${options}], 10`
    // RabbitMQ 3.11 added a parameter.
    const started = await broker.evaluate(`case erlang:function_exported(rabbit_networking, start_ssl_listener, 4) of
        true -> rabbit_networking:start_ssl_listener(${listener}, 1);
        false -> rabbit_networking:start_ssl_listener(${listener})
      end`)
    assert.is(started, 'ok')
  }
})
amqps.after.each(async () => {
  for (const gateway of started.splice(0)) await gateway.dispose()
})

amqps('carries messages both ways with the CA and a client certificate, by name and by address', async () => {
  const env = { RABBITMQ_CA_FILE: authority.caFile, ...client(authority) }
  await carries(await serve(env))
  await carries(await serve(env, 'localhost'))
})

amqps('refuses a broker without a certificate of a trusted authority, and names the setting', async () => {
  const fault = await faultOf(await serve({ ...client(authority) }), 'broker_certificate_untrusted')
  assert.match(fault.hint, /RABBITMQ_CA_FILE/)
  const wrong = await serve({ RABBITMQ_CA_FILE: stranger.caFile, ...client(authority) })
  assert.match((await faultOf(wrong, 'broker_certificate_untrusted')).message, /certificate/)
})

amqps.full('refuses a broker whose certificate is for another name', async () => {
  const env = { RABBITMQ_CA_FILE: authority.caFile, ...client(authority) }
  const fault = await faultOf(await serve(env, '127.0.0.2'), 'broker_certificate_name')
  assert.match(fault.message, /127\.0\.0\.2/)
  assert.match(fault.hint, /another host name/)
})

amqps('reports that the broker requires a client certificate, or does not trust the one it received', async () => {
  const none = await serve({ RABBITMQ_CA_FILE: authority.caFile })
  assert.match((await faultOf(none, 'broker_client_certificate')).hint, /RABBITMQ_CERT_FILE/)
  const foreign = await serve({ RABBITMQ_CA_FILE: authority.caFile, ...client(stranger) })
  await faultOf(foreign, 'broker_client_certificate')
})

amqps('distinguishes a port without TLS from one with it', async () => {
  const env = { RABBITMQ_CA_FILE: authority.caFile, ...client(authority) }
  const gateway = await serve(env, '127.0.0.1', broker.port)
  assert.match((await faultOf(gateway, 'broker_tls_failed')).hint, /5671/)
})

amqps('takes renewed files at its next connection, without a restart', async () => {
  const dir = tempDir()
  const put = (from: Authority): void => {
    const { certFile, keyFile } = from.issue()
    copyFileSync(certFile, join(dir, 'cert'))
    copyFileSync(keyFile, join(dir, 'key'))
  }
  put(stranger)
  const gateway = await serve({
    RABBITMQ_CA_FILE: authority.caFile,
    RABBITMQ_CERT_FILE: join(dir, 'cert'),
    RABBITMQ_KEY_FILE: join(dir, 'key'),
  })
  await faultOf(gateway, 'broker_client_certificate')
  put(authority)
  await carries(gateway)
})

const agents = suite('agents over TLS')

let gateway: Gateway
let names: Names
const open: Publisher[] = []

agents.before(async () => {
  names = uniqueNames('tls-agents')
  const env = { RABBITMQ_CA_FILE: authority.caFile, ...client(authority) }
  gateway = await startGateway({ env: brokerEnv(`amqps://guest:guest@127.0.0.1:${tlsPort}`, names, env) })
  await gateway.ready()
})
agents.after.each(async () => {
  for (const publisher of open.splice(0)) await publisher.close({ timeoutMs: 1 })
})
agents.after(async () => {
  await gateway?.dispose()
  await broker?.dispose()
})

/** Send timeout beyond the time limit of a test. */
const LONG_MS = 2 * TEST_MS

const publisherOf = (options: PublisherOptions = {}, host = '127.0.0.1'): Publisher => {
  const url = `amqps://guest:guest@${host}:${tlsPort}`
  const publisher = new Publisher({ url, exchange: names.exchange, sendTimeoutMs: LONG_MS, ...options })
  open.push(publisher)
  return publisher
}

const arrived = (room: string, count: number) =>
  until(async () => (await restIds(gateway, room)).length === count, { what: `${count} messages in ${room}` })

agents('the library publishes with the CA and a client certificate, by name and by address', async () => {
  const files = { caFile: authority.caFile, ...authority.issue() }
  await publisherOf(files).send({ event_id: 'library', n: 1 })
  await publisherOf(files, 'localhost').send({ event_id: 'library', n: 2 })
  await arrived('library', 2)
})

agents('the library reports the problem of a certificate, and rejects immediately', async () => {
  const own = authority.issue()
  const caFile = authority.caFile
  const message = { event_id: 'refused' }
  const untrusted = await rejection(publisherOf({ ...own }).send(message), 'broker_certificate_untrusted')
  assert.match(untrusted.hint, /RABBITMQ_CA_FILE/)
  await rejection(publisherOf({ caFile: stranger.caFile, ...own }).send(message), 'broker_certificate_untrusted')
  await rejection(publisherOf({ caFile, ...own }, '127.0.0.2').send(message), 'broker_certificate_name')
  await rejection(publisherOf({ caFile }).send(message), 'broker_client_certificate')
  await rejection(publisherOf({ caFile, ...stranger.issue() }).send(message), 'broker_client_certificate')
})

agents.full('the library names a port without TLS when a deadline ends its attempts', async () => {
  const url = `amqps://guest:guest@127.0.0.1:${broker.port}`
  const publisher = publisherOf({ caFile: authority.caFile, url, sendTimeoutMs: 2_000 })
  // A slow machine may not have attempted to connect before the first deadline.
  const codeOf = (): Promise<string> =>
    publisher.send({ event_id: 'refused' }).then(
      () => 'sent',
      ({ code }: PublishError) => code,
    )
  await until(async () => (await codeOf()) === 'broker_tls_failed', { what: 'broker_tls_failed' })
})

agents.full('an outbox waits for the right certificate, and continues automatically once it is there', async () => {
  const dir = tempDir()
  const put = (from: Authority): void => {
    const { certFile, keyFile } = from.issue()
    copyFileSync(certFile, join(dir, 'cert'))
    copyFileSync(keyFile, join(dir, 'key'))
  }
  put(stranger)
  const files = { caFile: authority.caFile, certFile: join(dir, 'cert'), keyFile: join(dir, 'key') }
  const publisher = publisherOf({ ...files, outbox: join(dir, 'outbox.db') })
  await publisher.send({ event_id: 'renewed' })
  await until(() => publisher.state.error?.code === 'broker_client_certificate', { what: 'the fault' })
  assert.is(publisher.queued, 1)
  put(authority)
  assert.ok(await publisher.flush({ timeoutMs: WAIT_MS }))
  await arrived('renewed', 1)
})

const variables = (): Record<string, string> => ({
  RABBITMQ_URL: `amqps://guest:guest@127.0.0.1:${tlsPort}`,
  RABBITMQ_EXCHANGE: names.exchange,
  RABBITMQ_CA_FILE: authority.caFile,
  ...(client(authority) as Record<string, string>),
})

agents.full('the command line publishes over TLS with the variables of the gateway', async () => {
  const args = ['publish', '--event', 'cli', '--content', 'x']
  const { code, stderr } = await runCli(args, { env: variables() })
  assert.is(code, 0, stderr)
  await arrived('cli', 1)
  const wrong = await runCli(args, { env: { ...variables(), RABBITMQ_CA_FILE: stranger.caFile } })
  assert.is(wrong.code, 1)
  assert.match(wrong.stderr, /broker_certificate_untrusted/)
})

agents.full('the Python example publishes over TLS with the variables of the gateway', async () => {
  const script = join(ROOT, 'examples', 'python', 'agent.py')
  const run = (env: Record<string, string>) =>
    spawnSync(pikaPython()!, ['-B', script, '--event-id', 'python', '--content', 'x'], {
      env: { PATH: process.env.PATH, ...env },
      encoding: 'utf8',
      timeout: WAIT_MS,
    })
  const sent = run(variables())
  assert.is(sent.status, 0, sent.stderr)
  await arrived('python', 1)
  for (const wrong of [{ RABBITMQ_CA_FILE: stranger.caFile }, { RABBITMQ_CERT_FILE: '', RABBITMQ_KEY_FILE: '' }]) {
    const { status, stderr } = run({ ...variables(), ...wrong })
    assert.is(status, 1)
    assert.match(stderr, /broker_tls_failed/)
  }
})

amqps.run()
agents.run()
