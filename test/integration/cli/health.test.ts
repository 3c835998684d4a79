// needs: openssl
import { createServer } from 'node:net'
import { hostname } from 'node:os'
import * as assert from 'uvu/assert'
import { callCli, runCli } from '../../support/clients/cli.ts'
import { guarded, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort } from '../../support/harness/wait.ts'
import { makeAuthority } from '../../support/servers/certificates.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'

const test = suite('deepsoc-gateway health')

const portOf = (gateway: Gateway): string => new URL(gateway.url).port

let gateway: Gateway

test.before(async () => {
  // The command needs no token.
  gateway = await startGateway({ env: guarded() })
})
test.after(() => gateway?.dispose())

test('reports a working gateway as ready and live, without a token', async () => {
  const env = { PORT: portOf(gateway) }
  assert.equal(await runCli(['health'], { env }), { code: 0, signal: null, stdout: 'ready\n', stderr: '' })
  assert.equal(await callCli(['health', '--live'], { env }), { code: 0, signal: null, stdout: 'live\n', stderr: '' })
  assert.is((await callCli(['health', '--url', gateway.url])).code, 0)
})

test('depends on no setting but the address, so that a file that is renewed makes no container unhealthy', async () => {
  const env = { PORT: portOf(gateway), JWT_SECRET_FILE: '/nowhere/secret', RABBITMQ_CA_FILE: '/nowhere/ca.pem' }
  assert.equal(await callCli(['health', '--live'], { env }), { code: 0, signal: null, stdout: 'live\n', stderr: '' })
})

test('reports the cluster of a gateway with SQLite to an operator alone', async () => {
  const call = (token: string | undefined, ...flags: string[]) =>
    callCli(['health', '--cluster', '--url', gateway.url, ...flags], { env: { GATEWAY_TOKEN: token } })
  const { code, stdout, stderr } = await call(await sign({ scope: 'admin' }))
  assert.equal([code, stderr], [0, ''])
  assert.match(stdout, /^ok {7}database {3}SQLite, .*\nok {7}consumer {3}No broker.*\nok {7}gateways /)
  assert.match(stdout, new RegExp(`\n${hostname()}:${portOf(gateway)} +ready .*\n\nsafe\n$`))
  for (const [token, error] of [
    [undefined, 'token_missing'],
    [await sign({ scope: 'publish', events: '*' }), 'scope_missing'],
  ] as const) {
    const refused = await call(token)
    assert.equal([refused.code, refused.stdout, refused.stderr.includes(error)], [1, '', true], refused.stderr)
  }
  assert.is((await call(undefined, '--live')).code, 2)
})

test('reports what is missing for a live gateway without its broker', async () => {
  const own = await startGateway({ env: { RABBITMQ_URL: `amqp://127.0.0.1:${await freePort()}` } })
  try {
    const env = { PORT: portOf(own) }
    const { code, stdout, stderr } = await callCli(['health'], { env })
    assert.equal([code, stdout], [1, ''])
    assert.match(stderr, /not_ready\n.*consumer: /)
    assert.match(stderr, 'hint: ')
    assert.is((await callCli(['health', '--live'], { env })).code, 0)
  } finally {
    await own.dispose()
  }
})

test('accepts any certificate of its own local gateway over HTTPS, and of no other one', async () => {
  const { certFile, keyFile } = makeAuthority().issue({ names: ['DNS:gateway.example'] })
  const tls = { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile }
  const own = await startGateway({ env: tls })
  try {
    assert.is((await callCli(['health'], { env: { PORT: portOf(own), ...tls } })).code, 0)
    const { code, stderr } = await callCli(['health', '--url', own.url])
    assert.equal([code, /gateway_unreachable/.test(stderr)], [1, true], stderr)
  } finally {
    await own.dispose()
  }
})

test('fails if nothing responds, if the response is late, and if another server responds', async () => {
  const gone = await callCli(['health'], { env: { PORT: String(await freePort()) } })
  assert.equal([gone.code, /gateway_unreachable/.test(gone.stderr)], [1, true], gone.stderr)
  const replies: [string | null, RegExp][] = [
    [null, /gateway_unreachable/],
    ['HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno', /unexpected_response/],
  ]
  for (const [reply, says] of replies) {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      if (reply !== null) socket.end(reply)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const { code, stderr } = await callCli(['health', '--url', `http://127.0.0.1:${port}`])
    server.close()
    assert.equal([code, says.test(stderr)], [1, true], stderr)
  }
})

test('an invalid configuration is reported as such', async () => {
  assert.is((await callCli(['health'], { env: { PORT: 'x' } })).code, 2)
  assert.is((await callCli(['health'], { env: { PORT: '0' } })).code, 2)
})

test.run()
