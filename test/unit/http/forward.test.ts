import type { Context } from 'koa'
import * as assert from 'uvu/assert'
import type { Access } from '../../../src/http/auth/authorize.ts'
import { forwardToCore } from '../../../src/http/forward.ts'
import type { ForwardedRequest, UpstreamView } from '../../../src/upstream/status.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('a request that an edge forwards')

test('has the token of its caller, and its address as a proxy adds it', async () => {
  const requests: ForwardedRequest[] = []
  const forward = async (request: ForwardedRequest) => {
    requests.push(request)
    return { status: 201, headers: {}, body: Buffer.from('') }
  }
  const send = (headers: Record<string, string>, method = 'POST') => {
    const socket = { remoteAddress: '192.0.2.7' }
    const req = { socket, complete: true }
    const ctx = { method, get: (name: string) => headers[name] ?? '', req, set: () => {} }
    return forwardToCore(ctx as unknown as Context, {} as Access, { forward } as unknown as UpstreamView, () => 't')
  }
  await send({ 'content-type': 'application/json', cookie: 'secret' })
  await send({ 'x-forwarded-for': '198.51.100.1' })
  await send({ 'content-type': 'application/json', 'content-length': '7', 'idempotency-key': 'k' }, 'DELETE')
  assert.equal(
    requests.map(({ headers }) => headers),
    [
      { authorization: 'Bearer t', 'content-type': 'application/json', 'x-forwarded-for': '192.0.2.7' },
      { authorization: 'Bearer t', 'x-forwarded-for': '198.51.100.1, 192.0.2.7' },
      { authorization: 'Bearer t', 'idempotency-key': 'k', 'x-forwarded-for': '192.0.2.7' },
    ],
  )
  assert.equal(
    requests.map(({ body }) => body !== null),
    [true, true, false],
    'a DELETE has no body',
  )
})

test.run()
