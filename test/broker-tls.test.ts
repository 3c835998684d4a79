// needs: rabbitmq, openssl
// limit: 400s
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type Authority, makeAuthority } from './support/certificates.ts'
import { type Env, type Gateway, startGateway } from './support/gateway.ts'
import { type Broker, startBroker, uniqueNames } from './support/rabbitmq.ts'
import { chat, eventUrl, restIds } from './support/rooms.ts'
import { brokerEnv } from './support/stage.ts'
import { suite } from './support/suite.ts'
import { freePort, getJson, type Json, postJson, tempDir, until } from './support/wait.ts'

let authority: Authority
let stranger: Authority
let broker: Broker
let tlsPort: number
const started: Gateway[] = []

/** A gateway that reaches the broker's TLS port under this host name. */
const serve = async (env: Env, host = '127.0.0.1', port = tlsPort): Promise<Gateway> => {
  const url = `amqps://guest:guest@${host}:${port}`
  const gateway = await startGateway({ env: brokerEnv(url, uniqueNames('tls'), env) })
  started.push(gateway)
  return gateway
}

/** The fault of both connections, once both have it; it must name its code, its cause and what to do. */
const faultOf = async (gateway: Gateway, code: string): Promise<Json> => {
  let faults: Json[] = []
  const both = async (): Promise<boolean> => {
    faults = ((await getJson(`${gateway.url}/readyz`)).body.faults ?? []) as Json[]
    return faults.filter((fault) => fault.code === code).length === 2
  }
  await until(both, { what: `two faults ${code}`, timeoutMs: 40_000 }).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(faults)}`)
  })
  return faults[0]
}

/** Publishes through the broker and finds it in the log. */
const carries = async (gateway: Gateway): Promise<void> => {
  await gateway.ready(60_000)
  assert.is((await postJson(`${eventUrl(gateway, 'room')}/messages`, chat(1))).status, 202)
  await until(async () => (await restIds(gateway, 'room')).length === 1, { what: 'the message' })
}

const client = (from: Authority): Env => {
  const { certFile, keyFile } = from.issue()
  return { RABBITMQ_CERT_FILE: certFile, RABBITMQ_KEY_FILE: keyFile }
}

const amqps = suite('AMQP over TLS', { timeoutMs: 150_000 })

amqps.before(async () => {
  authority = makeAuthority()
  stranger = makeAuthority('somebody else')
  tlsPort = await freePort()
  const { certFile, keyFile } = authority.issue({ names: ['DNS:localhost', 'IP:127.0.0.1'] })
  broker = await startBroker({
    config: [
      `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
      `listeners.ssl.2 = 127.0.0.2:${tlsPort}`,
      `ssl_options.cacertfile = ${authority.caFile}`,
      `ssl_options.certfile = ${certFile}`,
      `ssl_options.keyfile = ${keyFile}`,
      'ssl_options.verify = verify_peer',
      'ssl_options.fail_if_no_peer_cert = true',
    ].join('\n'),
  })
})
amqps.after.each(async () => {
  for (const gateway of started.splice(0)) await gateway.dispose()
})
amqps.after(() => broker?.dispose())

amqps('carries messages both ways with the CA and a client certificate, by name and by address', async () => {
  const env = { RABBITMQ_CA_FILE: authority.caFile, ...client(authority) }
  await carries(await serve(env))
  await carries(await serve(env, 'localhost'))
})

amqps('refuses a broker whose certificate no trusted authority has signed, and says what to set', async () => {
  const fault = await faultOf(await serve({ ...client(authority) }), 'broker_certificate_untrusted')
  assert.match(fault.hint, /RABBITMQ_CA_FILE/)
  const wrong = await serve({ RABBITMQ_CA_FILE: stranger.caFile, ...client(authority) })
  assert.match((await faultOf(wrong, 'broker_certificate_untrusted')).message, /certificate/)
})

amqps('refuses a broker whose certificate is for another name', async () => {
  const env = { RABBITMQ_CA_FILE: authority.caFile, ...client(authority) }
  const fault = await faultOf(await serve(env, '127.0.0.2'), 'broker_certificate_name')
  assert.match(fault.message, /127\.0\.0\.2/)
  assert.match(fault.hint, /another name/)
})

amqps('says that the broker wants a client certificate, or does not trust the one it gets', async () => {
  const none = await serve({ RABBITMQ_CA_FILE: authority.caFile })
  assert.match((await faultOf(none, 'broker_client_certificate')).hint, /RABBITMQ_CERT_FILE/)
  const foreign = await serve({ RABBITMQ_CA_FILE: authority.caFile, ...client(stranger) })
  await faultOf(foreign, 'broker_client_certificate')
})

amqps('tells a port without TLS from one with it', async () => {
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

amqps.run()
