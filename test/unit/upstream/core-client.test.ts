import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as assert from 'uvu/assert'
import type { GatewayError } from '../../../src/core/errors.ts'
import { CoreClient } from '../../../src/upstream/core-client.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the core')

const error = (status: number, code: string) => (response: ServerResponse) =>
  response.writeHead(status).end(JSON.stringify({ status: 'error', code, message: 'm' }))

test('is told from an older one, another server, one that refuses the token, one that follows this edge, and one that is away', async () => {
  let answer: (response: ServerResponse) => unknown = () => {}
  const targets: string[] = []
  const server = createServer((request, response) => {
    targets.push(`${request.url} ${request.headers.authorization} ${request.headers['last-event-id']}`)
    answer(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/base`
  const client = new CoreClient({ url, events: ['a', 'b'], token: () => 't' })
  const { signal } = new AbortController()
  const codeOf = (call: Promise<unknown>) =>
    call.then(
      () => 'ok',
      ({ code, message }: GatewayError) => `${code}: ${message}`,
    )
  const cases: [answer: typeof answer, expected: RegExp][] = [
    [error(404, 'not_found'), /^upstream_incompatible: .*404 not_found/],
    [(response) => response.writeHead(302, { location: '/login' }).end(), /^upstream_incompatible: /],
    [(response) => response.end('<html>'), /^upstream_incompatible: /],
    [(response) => response.end('{"data":{"log_id":1}}'), /^upstream_incompatible: .*unknown form/],
    [error(401, 'token_expired'), /^upstream_refused: .*401 token_expired/],
    [error(403, 'scope_missing'), /^upstream_refused: .*403 scope_missing/],
    [error(503, 'overloaded'), /^upstream_unreachable: .*503 overloaded/],
    [error(429, 'too_many_streams'), /^upstream_unreachable: /],
    [(response) => response.destroy(), /^upstream_unreachable: .*does not respond/],
  ]
  for (const [reply, expected] of cases) {
    answer = reply
    assert.match(await codeOf(client.state(7, 'v', signal)), expected)
  }
  const [own] = client.edges
  const state = { log_id: 'l', version: '1', last_db_id: 0, head_db_id: 0, total: 0, pending: 0, pruned: '' }
  const followed = { ...state, level: true, revocations_version: 'v', edges: ['other', own] }
  answer = (response) => response.end(JSON.stringify({ data: followed }))
  assert.match(await codeOf(client.state(7, 'v', signal)), /^upstream_cycle: /)
  assert.equal(client.edges, [own, 'other'], 'the others of the cycle find it out too, and the list does not grow')
  answer = (response) => response.end('{}')
  assert.match(await codeOf(client.stream(7, signal)), /^upstream_incompatible: .*stream/)
  await codeOf(client.stream(0, signal))
  assert.equal(targets.slice(-3), [
    '/base/api/edge?event_id=a&event_id=b&after=7&revocations=v Bearer t undefined',
    '/base/api/stream?event_id=a&event_id=b Bearer t 7',
    '/base/api/stream?event_id=a&event_id=b Bearer t undefined',
  ])
  server.close()
  assert.match(await codeOf(client.pruned('', signal)), /^upstream_unreachable: /)
})

test.run()
