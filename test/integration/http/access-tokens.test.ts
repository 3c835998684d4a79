import { once } from 'node:events'
import http from 'node:http'
import { mock } from 'node:test'
import * as assert from 'uvu/assert'
import { collectIds, openSse, Reader } from '../../support/clients/sse.ts'
import { bearer, forge, guarded, KeySetServer, makePair, now, sign } from '../../support/clients/tokens.ts'
import { untilListening } from '../../support/harness/listeners.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { getJson, type HttpResult, type Json, postJson, request, until } from '../../support/harness/wait.ts'
import { type Env, type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { type LocalGateway, startLocalGateway } from '../../support/servers/local-gateway.ts'
import { chat, chats, eventUrl, isError } from '../../support/stages/rooms.ts'

const list = (gateway: Pick<Gateway, 'url'>, headers: Record<string, string>): Promise<HttpResult> =>
  getJson(`${gateway.url}/api/events`, { headers })

const publish = async (gateway: Pick<Gateway, 'url'>, event: string, messages: Json): Promise<void> => {
  const headers = bearer(await sign({ scope: 'publish' }))
  const answer = await postJson(`${eventUrl(gateway, event)}/messages`, messages, { headers })
  assert.is(answer.status, 201, answer.text)
}

const withGateway = async (env: Env, work: (gateway: Gateway) => Promise<void>): Promise<void> => {
  const gateway = await startGateway({ env })
  try {
    await work(gateway)
  } finally {
    await gateway.dispose()
  }
}

const ticketOf = async (gateway: Pick<Gateway, 'url'>, token: string): Promise<string> => {
  const answer = await postJson(`${gateway.url}/api/stream-tickets`, '', { headers: bearer(token) })
  assert.is(answer.status, 201, answer.text)
  assert.equal(answer.body.data.expires_in, 30)
  return answer.body.data.ticket
}

const revoke = async (gateway: Pick<Gateway, 'url'>, body: Json): Promise<HttpResult> =>
  postJson(`${gateway.url}/api/revocations`, body, { headers: bearer(await sign({ scope: 'admin' })) })

/** Shared by all suites unless stated otherwise. */
let gateway: Gateway
let many: Gateway
/** Runs in this process, so that `mock` controls the clock of its tokens. */
let local: LocalGateway

const tokens = suite('tokens')

tokens.before(async () => {
  gateway = await startGateway({ env: guarded() })
  await publish(gateway, 'a', chats(3))
  await publish(gateway, 'b', chats(2))
})

tokens('with a stronger hash than the configured one are rejected as well', async () => {
  for (const alg of ['HS384', 'HS512']) {
    isError(await list(gateway, bearer(await sign({}, { alg }))), 401, 'token_invalid')
  }
})

tokens('are rejected in every manipulated form', async () => {
  const good = await sign({ events: '*' })
  const [header = '', claims = '', signature = ''] = good.split('.')
  const bent = [
    `${header}.${claims}.`,
    `${header}.${claims}`,
    `${header}.${claims}.${signature}x`,
    `${header}.${Buffer.from('{"exp":9999999999}').toString('base64url')}.${signature}`,
    `.${claims}.${signature}`,
    '..',
    'a.b.c',
    `${good}.${signature}`,
    forge({ alg: 'HS256', crit: ['x'], x: 1 }, { exp: now() + 60 }, signature),
    forge({ alg: 'HS256', b64: false, crit: ['b64'] }, { exp: now() + 60 }, signature),
    forge({ alg: 'none' }, { exp: now() + 60 }),
    forge({ alg: 'HS256', jwk: { kty: 'oct', k: 'AAAA' } }, { exp: now() + 60 }, signature),
  ]
  for (const token of bent) isError(await list(gateway, bearer(token)), 401, 'token_invalid')
  for (const authorization of ['Bearer', 'Bearer a b', `Basic ${good}`, good, `Bearer\t${good} x`]) {
    isError(await list(gateway, { authorization }), 401, 'token_invalid')
  }
  assert.is((await list(gateway, { authorization: `bearer ${good}` })).status, 200, 'the scheme has no case')
})

tokens('are rejected if their claims are invalid', async () => {
  const senseless = [
    { events: 7 },
    { events: [7] },
    { events: ['a\nb'] },
    { events: [''] },
    { events: Array.from({ length: 401 }, (_, n) => `e${n}`) },
    { scope: 7 },
    { scope: { publish: true } },
    { sub: ['x'] },
    { exp: 'soon' },
    { nbf: 'now' },
  ]
  for (const claims of senseless) isError(await list(gateway, bearer(await sign(claims as Json))), 401, 'token_invalid')
  for (const events of [
    ['a', 'a'],
    'a',
    ['a', '*'],
    '*',
    Array.from({ length: 400 }, (_, n) => (n === 0 ? 'a' : `e${n}`)),
  ]) {
    const answer = await list(gateway, bearer(await sign({ events })))
    assert.ok(
      answer.body.data.some((event: Json) => event.event_id === 'a'),
      JSON.stringify(events).slice(0, 50),
    )
  }
})

tokens('the event * can be granted alone', async () => {
  const headers = bearer(await sign({ events: ['*'], scope: 'publish' }))
  const literal = `${gateway.url}/api/events/%2A/messages`
  assert.is((await postJson(literal, chats(2), { headers })).status, 201)
  assert.is((await getJson(literal, { headers })).body.data.length, 2)
  assert.equal(
    (await list(gateway, headers)).body.data.map(({ event_id }: Json) => event_id),
    ['*'],
  )
  isError(await getJson(`${eventUrl(gateway, 'a')}/messages`, { headers }), 403, 'event_forbidden')
  isError(await postJson(`${eventUrl(gateway, 'a')}/messages`, chat(1), { headers }), 403, 'event_forbidden')
  const stream = await openSse(
    `${gateway.url}/api/stream?event_id=*&ticket=${await ticketOf(gateway, headers.authorization!.slice(7))}`,
  )
  await stream.next('caught_up')
  assert.equal(
    stream.events.filter(({ event }) => event === 'new_message').map(({ data }) => data.event_id),
    ['*', '*'],
  )
  stream.close()
})

tokens('a small clock difference is tolerated for nbf, never for exp', async () => {
  assert.is((await list(gateway, bearer(await sign({ nbf: now() + 3 })))).status, 200)
  isError(await list(gateway, bearer(await sign({ nbf: now() + 60 }))), 401, 'token_invalid')
  isError(await list(gateway, bearer(await sign({ exp: now() }))), 401, 'token_expired')
})

tokens('a token without an events claim reads JWT_DEFAULT_EVENTS, and nothing if that is not set', async () => {
  const headers = bearer(await sign({}))
  assert.equal((await list(gateway, headers)).body.data, [])
  isError(await getJson(`${eventUrl(gateway, 'a')}/messages`, { headers }), 403, 'event_forbidden')
  await withGateway(guarded({ JWT_DEFAULT_EVENTS: 'a, c', JWT_COOKIE: 'session' }), async (own) => {
    const cookie = `session=${await sign({})}`
    assert.is((await getJson(`${eventUrl(own, 'a')}/messages`, { headers: { cookie } })).status, 200)
    isError(await getJson(`${eventUrl(own, 'b')}/messages`, { headers }), 403, 'event_forbidden')
    const named = bearer(await sign({ events: ['x'] }))
    isError(await getJson(`${eventUrl(own, 'a')}/messages`, { headers: named }), 403, 'event_forbidden')
    isError(await list(own, { cookie: `access_token=${await sign({})}` }), 401, 'token_missing')
  })
})

tokens('are accepted in the cookie, if there is only one', async () => {
  const good = await sign({ events: '*' })
  for (const cookie of [`access_token=${good}`, `x=1; access_token=${good}; y=2`, `access_token="${good}"`]) {
    assert.is((await list(gateway, { cookie })).status, 200, cookie.slice(0, 20))
  }
  for (const cookie of ['access_token=', `xaccess_token=${good}`, `other=${good}`]) {
    isError(await list(gateway, { cookie }), 401, 'token_missing')
  }
  isError(await list(gateway, { cookie: `access_token=junk; access_token=${good}` }), 401, 'token_invalid')
  isError(await list(gateway, { cookie: `access_token=${good}`, ...bearer('junk') }), 401, 'token_invalid')
})

tokens('are never accepted in the query, and are not logged from there', async () => {
  const good = await sign({ events: '*' })
  for (const name of ['access_token', 'token', 'jwt']) {
    isError(await getJson(`${gateway.url}/api/events?${name}=${good}`), 400, 'token_in_query')
    const stream = await openSse(`${eventUrl(gateway, 'a')}/stream?${name}=${good}`)
    assert.is(stream.status, 400)
    isError(
      await getJson(`${gateway.url}/api/events?${name}=${good}`, { headers: bearer(good) }),
      400,
      'token_in_query',
    )
  }
  assert.not.match(gateway.output(), good.slice(20, 60))
})

const tickets = suite('tickets')

tickets('open exactly one stream, with the events of their token', async () => {
  const ticket = await ticketOf(gateway, await sign({ events: ['a'] }))
  const stream = await openSse(`${gateway.url}/api/stream?event_id=*&ticket=${ticket}`)
  await stream.next('caught_up')
  assert.equal(
    stream.events.filter(({ event }) => event === 'new_message').map(({ data }) => data.event_id),
    ['a', 'a', 'a'],
  )
  stream.close()
  const again = await getJson(`${eventUrl(gateway, 'a')}/stream?ticket=${ticket}`)
  isError(again, 401, 'ticket_invalid')
})

tickets('are consumed by any use, and open nothing but streams', async () => {
  const token = await sign({ events: ['a'], scope: 'publish admin' })
  const ticket = await ticketOf(gateway, token)
  for (const path of ['/api/events', '/api/events/a/messages', '/metrics', '/api/revocations']) {
    isError(await getJson(`${gateway.url}${path}?ticket=${ticket}`), 401, 'token_missing')
  }
  isError(await postJson(`${gateway.url}/api/stream-tickets?ticket=${ticket}`, ''), 401, 'token_missing')
  isError(await postJson(`${eventUrl(gateway, 'a')}/messages?ticket=${ticket}`, chat(1)), 401, 'token_missing')
  isError(await getJson(`${eventUrl(gateway, 'b')}/stream?ticket=${ticket}`), 403, 'event_forbidden')
  isError(await getJson(`${eventUrl(gateway, 'a')}/stream?ticket=${ticket}`), 401, 'ticket_invalid')
})

tickets('that were never issued are rejected, whatever they look like', async () => {
  const real = await ticketOf(gateway, await sign({ events: '*' }))
  for (const ticket of [
    '',
    'x',
    `${real}x`,
    real.slice(1),
    real.toLowerCase(),
    encodeURIComponent('a\0b'),
    'x'.repeat(4_000),
  ]) {
    isError(await getJson(`${eventUrl(gateway, 'a')}/stream?ticket=${ticket}`), 401, 'ticket_invalid')
  }
  isError(await getJson(`${eventUrl(gateway, 'a')}/stream?ticket=${real}&ticket=${real}`), 401, 'ticket_invalid')
})

tickets('end the stream of a client that reconnects with a used one, so that it stops or gets another', async () => {
  const ticket = await ticketOf(gateway, await sign({ events: ['a'] }))
  const url = `${eventUrl(gateway, 'a')}/stream?ticket=${ticket}`
  const first = await openSse(url)
  await first.next('caught_up')
  first.close()
  // Clients that retry on any status, and those that put the id into the query.
  for (const [path, headers] of [
    [url, { 'last-event-id': first.lastEventId }],
    [`${url}&lastEventId=${first.lastEventId}`, {}],
    [`${eventUrl(gateway, 'a')}/stream?ticket=never-issued`, { 'last-event-id': '7' }],
  ] as const) {
    const again = await openSse(path, { headers })
    assert.equal([again.status, again.headers['content-type']], [200, 'text/event-stream; charset=utf-8'])
    assert.is((await again.closed).reason, 'ended')
    assert.equal(
      again.events.map(({ event, data }) => [event, data]),
      [['closing', { reason: 'ticket_invalid' }]],
    )
    assert.is(again.retry, 86_400_000)
  }
  isError(await getJson(url), 401, 'ticket_invalid')
  const denied = { headers: bearer(await sign({ scope: 'admin' })) }
  assert.match((await getJson(`${gateway.url}/metrics`, denied)).text, /denied_total\{code="ticket_invalid"\} [1-9]/)
})

tickets('work without tokens too, so that clients need not distinguish', () =>
  withGateway({}, async (open) => {
    const answer = await postJson(`${open.url}/api/stream-tickets`, '')
    assert.is(answer.status, 201)
    const stream = await openSse(`${eventUrl(open, 'a')}/stream?ticket=${answer.body.data.ticket}`)
    assert.is(stream.status, 200)
    stream.close()
  }),
)

const workers = suite('with workers')

workers.before(async () => {
  const count = runs(2, 3)
  many = await startGateway({ env: guarded({ WORKERS: String(count), HEARTBEAT_SECONDS: '1' }) })
  await untilListening(many, count)
})
workers.after(() => many?.dispose())

workers('a ticket is accepted once across all workers', async () => {
  const token = await sign({ events: '*' })
  let opened = 0
  for (let round = 0; round < 8; round++) {
    const ticket = await ticketOf(many, token)
    const streams = await Promise.all(
      Array.from({ length: 12 }, () => openSse(`${eventUrl(many, 'a')}/stream?ticket=${ticket}`)),
    )
    assert.is(streams.filter(({ status }) => status === 200).length, 1, `round ${round}`)
    opened += 1
    for (const stream of streams) stream.close()
  }
  assert.is(opened, 8)
})

workers('a stream ends at once after a revocation, on every worker; others stay', async () => {
  const urls = [`${eventUrl(many, 'a')}/stream`, `${many.url}/api/stream?event_id=*`] as const
  const open = (token: string) =>
    Promise.all(Array.from({ length: 8 }, (_, n) => openSse(urls[n % 2]!, { headers: bearer(token) })))
  const spared = await sign({ sub: 'alice', events: '*', iat: now() - 5 })
  const hit = await sign({ sub: 'mallory', events: '*', iat: now() - 5 })
  const [others, theirs] = await Promise.all([open(spared), open(hit)])
  await Promise.all(theirs.map((stream) => stream.next('caught_up')))
  const answer = await revoke(many, { sub: 'mallory' })
  assert.is(answer.status, 201)
  const revokedAt = Date.parse(answer.body.data.issued_before)
  for (const stream of theirs) {
    assert.equal((await stream.next('closing')).data, { reason: 'token_expired' })
    // By the clock of the worker: a heartbeat is sent each second.
    const later = stream.events.filter(
      ({ event, data }) => event === 'heartbeat' && Date.parse(data.server_time) > revokedAt,
    )
    assert.ok(later.length <= 1, `${later.length} heartbeats after the revocation`)
  }
  // Every worker rejects it from now on, in each of many attempts.
  for (let n = 0; n < 20; n++) isError(await list(many, bearer(hit)), 401, 'token_revoked')
  for (let n = 0; n < 5; n++) assert.is((await list(many, bearer(spared))).status, 200)
  assert.ok(others.every((stream) => stream.events.every(({ event }) => event !== 'closing')))
  for (const stream of others) stream.close()
})

workers('a sign-out ends the streams of the session on every worker; other streams of the token stay', async () => {
  const token = await sign({ events: '*' })
  const session = `${many.url}/api/session`
  const [pair = ''] = (await postJson(session, '', { headers: bearer(token) })).headers['set-cookie']![0]!.split(';')
  const open = (headers: Record<string, string>) =>
    Promise.all(Array.from({ length: 8 }, () => openSse(`${eventUrl(many, 'a')}/stream`, { headers })))
  const [ending, staying] = [await open({ cookie: pair }), await open(bearer(token))]
  assert.is((await request('DELETE', session, '', { headers: { cookie: pair } })).status, 200)
  for (const stream of ending) assert.equal((await stream.next('closing')).data, { reason: 'token_expired' })
  for (const stream of staying) {
    await stream.next('heartbeat')
    assert.ok(stream.events.every(({ event }) => event !== 'closing'))
    stream.close()
  }
})

const revocations = suite('revocations')

revocations.after(() => gateway?.dispose())

revocations('apply to earlier tokens, also after a kill -9; a token issued later is valid', async () => {
  const old = await sign({ sub: 'bob', events: '*', iat: now() - 5 })
  assert.is((await list(gateway, bearer(old))).status, 200)
  const answer = await revoke(gateway, { sub: 'bob' })
  const line = await gateway.waitForLog(({ msg }) => msg === 'subject revoked')
  assert.equal([line.sub, line.actor], ['bob', 'tester'])
  assert.equal([answer.status, answer.body.data.sub, answer.body.data.until], [201, 'bob', null])
  await gateway.kill9()
  await gateway.restart()
  isError(await list(gateway, bearer(old)), 401, 'token_revoked')
  isError(await list(gateway, bearer(await sign({ sub: 'bob', iat: undefined } as Json))), 401, 'token_revoked')
  assert.is((await list(gateway, bearer(await sign({ sub: 'bob', iat: now() + 2 })))).status, 200)
  assert.is((await list(gateway, bearer(await sign({ sub: 'rob', iat: now() - 5 })))).status, 200)
})

revocations('apply to a message whose body is still arriving', async () => {
  const token = await sign({ sub: 'slow', events: '*', scope: 'publish', iat: now() - 10 })
  const url = new URL(`${eventUrl(gateway, 'a')}/messages`)
  const headers = { ...bearer(token), 'content-type': 'application/json', expect: '100-continue' }
  const sent = http.request(url, { method: 'POST', headers })
  const response = once(sent, 'response') as Promise<[http.IncomingMessage]>
  sent.flushHeaders()
  await once(sent, 'continue')
  sent.write('{"message_content":')
  await revoke(gateway, { sub: 'slow' })
  sent.end('1}')
  const [{ statusCode }] = await response
  assert.is(statusCode, 401)
})

revocations('apply to tickets issued before', async () => {
  const ticket = await ticketOf(gateway, await sign({ sub: 'carol', events: '*' }))
  await revoke(gateway, { sub: 'carol' })
  isError(await getJson(`${eventUrl(gateway, 'a')}/stream?ticket=${ticket}`), 401, 'token_revoked')
})

revocations('can have an expiry and be removed', async () => {
  const headers = bearer(await sign({ scope: 'admin' }))
  const token = await sign({ sub: 'dave', events: '*' })
  const later = new Date(Date.now() + 3_600_000).toISOString()
  await revoke(gateway, { sub: 'dave', issued_before: later })
  isError(await list(gateway, bearer(await sign({ sub: 'dave', iat: now() + 60 }))), 401, 'token_revoked')
  await revoke(gateway, { sub: 'dave' })
  const standing = (await getJson(`${gateway.url}/api/revocations`, { headers })).body.data
  assert.is(standing.find(({ sub }: Json) => sub === 'dave').issued_before, later, 'the later of two holds')
  const lift = () => request('DELETE', `${gateway.url}/api/revocations/dave`, '', { headers })
  assert.equal([(await lift()).body.data, (await lift()).body.data], [{ lifted: true }, { lifted: false }])
  assert.is((await list(gateway, bearer(token))).status, 200)
})

revocations('are rejected if they are invalid', async () => {
  for (const body of [{}, { sub: '' }, { sub: 7 }, { sub: 'x', until: 'soon' }, { sub: 'x', more: 1 }, [], null, 'x']) {
    isError(await revoke(gateway, JSON.stringify(body)), 400, 'invalid_revocation')
  }
  isError(await revoke(gateway, '{'), 400, 'invalid_json')
  isError(await revoke(gateway, JSON.stringify({ sub: 'x'.repeat(5_000) })), 413, 'body_too_large')
})

const keys = suite('the keys of tokens')

keys('that cannot be read at startup are reported by /readyz, and work once they can', async () => {
  const issuer = await new KeySetServer().start()
  const pair = makePair('ES256')
  const token = await sign({ events: '*' }, { key: pair.privateKey, alg: pair.alg, kid: 'k0' })
  issuer.failing = true
  await issuer.publish({ pair, kid: 'k0' })
  await withGateway({ JWT_JWKS_URL: issuer.url }, async (own) => {
    isError(await list(own, bearer(token)), 503, 'jwks_unavailable')
    const ready = await getJson(`${own.url}/readyz`)
    assert.equal([ready.status, ready.body.faults], [503, [{ component: 'jwks', code: 'jwks_unavailable' }]])
    issuer.failing = false
    // Without a token: a load balancer sends no other request to a gateway that is not ready.
    await until(async () => (await getJson(`${own.url}/readyz`)).status === 200, { what: 'the keys' })
    assert.is((await list(own, bearer(token))).status, 200)
  })
  await issuer.stop()
})

const clock = suite('the clock of tokens')

clock.before(async () => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() })
  local = await startLocalGateway(guarded())
})
clock.after(async () => {
  await local?.stop()
  mock.timers.reset()
})

/** Moves the clock beyond the expiry of every token signed so far. @returns a token that is valid from now on */
const expireTokens = async (claims: Parameters<typeof sign>[0] = {}): Promise<string> => {
  const later = Date.now() + 3_601_000
  const next = await sign({ ...claims, iat: Math.floor(later / 1_000), exp: Math.floor(later / 1_000) + 3_600 })
  mock.timers.setTime(later)
  return next
}

clock('a stream ends with a reason at its token’s expiry, and a renewed token resumes it', async () => {
  await publish(local, 'renewed', chats(3))
  const stream = `${eventUrl(local, 'renewed')}/stream`
  const first = await openSse(stream, { headers: bearer(await sign({ events: ['renewed'] })) })
  await first.next('caught_up')
  const token = await expireTokens({ events: ['renewed'] })
  assert.equal((await first.next('closing')).data, { reason: 'token_expired' })
  assert.is((await first.closed).reason, 'ended')
  await publish(local, 'renewed', chats(2))
  const headers = { ...bearer(token), 'last-event-id': first.lastEventId }
  const renewed = await openSse(stream, { headers })
  await renewed.next('caught_up')
  assert.is(collectIds(first).length, 3)
  assert.is(collectIds(renewed).length, 2)
  assert.ok(collectIds(renewed)[0]! > collectIds(first)[2]!)
  renewed.close()
})

clock('tickets end with their token, and so do the streams that they opened', async () => {
  const token = await sign({ events: ['a'] })
  const [ticket, late] = [await ticketOf(local, token), await ticketOf(local, token)]
  const stream = await openSse(`${eventUrl(local, 'a')}/stream?ticket=${ticket}`)
  await stream.next('caught_up')
  await expireTokens()
  assert.equal((await stream.next('closing')).data, { reason: 'token_expired' })
  isError(await getJson(`${eventUrl(local, 'a')}/stream?ticket=${late}`), 401, 'token_expired')
})

clock('a revocation is forgotten after its time', async () => {
  const token = await sign({ sub: 'dave', events: '*' })
  const end = Date.now() + 60_000
  await revoke(local, { sub: 'dave', until: new Date(end).toISOString() })
  isError(await list(local, bearer(token)), 401, 'token_revoked')
  mock.timers.setTime(end - 1)
  isError(await list(local, bearer(token)), 401, 'token_revoked')
  mock.timers.setTime(end)
  assert.is((await list(local, bearer(token))).status, 200)
})

clock('a client whose token is renewed in time misses nothing over many expiries', async () => {
  const room = 'expiring'
  let token = await sign({ events: [room] })
  const headers = {
    get authorization() {
      return `Bearer ${token}`
    },
  }
  const reader = new Reader(`${eventUrl(local, room)}/stream`, { headers, retryMs: 50, obeysRetry: false }).start()
  const sent: number[] = []
  for (let expiries = 0; expiries < 4; expiries++) {
    await reader.waitForConnections(expiries + 1)
    sent.push(sent.length)
    await publish(local, room, chat(sent.length))
    token = await expireTokens({ events: [room] })
    // While the stream ends and reconnects.
    while (reader.connections <= expiries + 1 && reader.failed === undefined) {
      sent.push(sent.length)
      await publish(local, room, chat(sent.length))
    }
  }
  await reader.waitForCount(sent.length)
  await reader.stop()
  assert.equal([reader.failed, new Set(reader.ids).size, reader.ids.length], [undefined, sent.length, sent.length])
  assert.is(reader.connections, 5)
})

tokens.run()
tickets.run()
workers.run()
revocations.run()
keys.run()
clock.run()
