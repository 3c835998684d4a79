import { connect } from 'node:net'
import * as assert from 'uvu/assert'
import { within } from '../../support/harness/limits.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'

const test = suite('HTTP that cannot be parsed')

let gateway: Gateway

test.before(async () => {
  gateway = await startGateway()
})
test.after(() => gateway.dispose())

/** Sends bytes as they are. @returns all that comes back until the gateway closes */
const exchange = (bytes: string): Promise<string> =>
  within(
    new Promise((resolve, reject) => {
      const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1', () => socket.write(bytes))
      let answer = ''
      socket.setEncoding('utf8')
      socket.on('data', (text: string) => {
        answer += text
      })
      socket.on('close', () => resolve(answer))
      socket.on('error', reject)
    }),
    'the gateway to answer and close',
  )

const bodyOf = (answer: string) => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))

test('a head that is too large is refused like every other error', async () => {
  const answer = await exchange(`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(20_000)}\r\n\r\n`)
  assert.match(answer, /^HTTP\/1\.1 431 /)
  assert.is(bodyOf(answer).code, 'headers_too_large')
  assert.type(bodyOf(answer).hint, 'string')
})

test('what is not HTTP is refused like every other error', async () => {
  const answer = await exchange('\x16\x03\x01\x02\x00 hello\r\n\r\n')
  assert.match(answer, /^HTTP\/1\.1 400 /)
  assert.is(bodyOf(answer).code, 'malformed_request')
})

test('neither costs the gateway anything', async () => {
  assert.is((await getJson(`${gateway.url}/readyz`)).status, 200)
})

test('a request target that is no path is refused, however it could be read', async () => {
  for (const target of ['//a@b#e]', '//x?y=z@&m=#e]', '/a#b', 'http://x/livez', '/\xe9', '/a\\b#', '*']) {
    const answer = await exchange(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 400 /, target)
    assert.match(answer, /"code":"(invalid_path|malformed_request)"/, target)
  }
})

test.run()
