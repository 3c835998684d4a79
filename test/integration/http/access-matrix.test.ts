import { createHmac, createSign } from 'node:crypto'
import * as assert from 'uvu/assert'
import { makeRouter, type RouteOptions } from '../../../src/http/app.ts'
import { bearer, forge, KeySetServer, makePair, now, type Pair, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { request } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'

/** Every route and method, from the router itself. Handlers are only registered, never called. */
const ROUTES = makeRouter({} as RouteOptions).stack.flatMap(({ methods, path }) =>
  methods.map((method) => `${method} ${String(path)}`),
)

/** Who may make a call. `everybody`: no token is asked for. */
type Rule = 'everybody' | 'any token' | 'reader of A' | 'reader of some' | 'publisher to A' | 'admin'

/** One row for each route and method: its rule, and a call that is right but for the token. `{event}` becomes A or B. */
const ROWS: Record<string, { rule: Rule; url: string; body?: string; ok: number }> = {
  'GET /api/events': { rule: 'reader of some', url: '/api/events', ok: 200 },
  'GET /api/events/:event_id/messages': { rule: 'reader of A', url: '/api/events/{event}/messages', ok: 200 },
  'POST /api/events/:event_id/messages': {
    rule: 'publisher to A',
    url: '/api/events/{event}/messages',
    body: '{"message_content":"hello"}',
    ok: 201,
  },
  'GET /api/events/:event_id/stream': { rule: 'reader of A', url: '/api/events/{event}/stream', ok: 200 },
  'GET /api/stream': { rule: 'reader of A', url: '/api/stream?event_id={event}', ok: 200 },
  'POST /api/stream-tickets': { rule: 'any token', url: '/api/stream-tickets', body: '', ok: 201 },
  'GET /api/revocations': { rule: 'admin', url: '/api/revocations', ok: 200 },
  'POST /api/revocations': { rule: 'admin', url: '/api/revocations', body: '{"sub":"nobody"}', ok: 201 },
  'DELETE /api/revocations/:subject': { rule: 'admin', url: '/api/revocations/nobody', ok: 200 },
  'GET /api/health': { rule: 'admin', url: '/api/health', ok: 200 },
  'GET /api/rejected': { rule: 'admin', url: '/api/rejected', ok: 200 },
  'POST /api/rejected/replay': { rule: 'admin', url: '/api/rejected/replay?all=true', body: '', ok: 200 },
  // Nothing is there; who may not look is not told so.
  'GET /api/rejected/:rejected_id': { rule: 'admin', url: '/api/rejected/7', ok: 404 },
  'POST /api/rejected/:rejected_id/replay': { rule: 'admin', url: '/api/rejected/7/replay', body: '', ok: 404 },
  'DELETE /api/rejected/:rejected_id': { rule: 'admin', url: '/api/rejected/7', ok: 200 },
  'GET /livez': { rule: 'everybody', url: '/livez', ok: 200 },
  'GET /readyz': { rule: 'everybody', url: '/readyz', ok: 200 },
  'GET /metrics': { rule: 'admin', url: '/metrics', ok: 200 },
  'GET /openapi.json': { rule: 'everybody', url: '/openapi.json', ok: 200 },
  'GET /asyncapi.json': { rule: 'everybody', url: '/asyncapi.json', ok: 200 },
  'GET /docs': { rule: 'everybody', url: '/docs', ok: 200 },
  'GET /': { rule: 'everybody', url: '/', ok: 200 },
  'GET /events/:event_id': { rule: 'everybody', url: '/events/{event}', ok: 200 },
  'GET /health': { rule: 'everybody', url: '/health', ok: 200 },
  'GET /client.js': { rule: 'everybody', url: '/client.js', ok: 200 },
  'GET /page.js': { rule: 'everybody', url: '/page.js', ok: 200 },
  'GET /page.css': { rule: 'everybody', url: '/page.css', ok: 200 },
}
for (const route of Object.keys(ROWS).filter((name) => name.startsWith('GET '))) {
  ROWS[route.replace('GET', 'HEAD')] = ROWS[route]!
}

const [A, B] = ['event-a', 'event-b']

/** What a token shows, or undefined for a token that is none at all. */
type Holder = { token: string | null; code?: string; may: Partial<Record<Rule, true>> }

const NOTHING = {}
const ISSUER = 'https://issuer.example'
const AUDIENCE = 'gateway'
const right = { iss: ISSUER, aud: AUDIENCE }

const pair = makePair('RS256')
const stranger = makePair('RS256')
const keySet = new KeySetServer()

const rs = (claims: Record<string, unknown>, { privateKey }: Pair = pair, kid = 'k1'): Promise<string> =>
  sign({ ...right, ...claims }, { key: privateKey, alg: 'RS256', kid })

/** A token whose signature is an HMAC, made with the public key as its secret. */
const confused = (): string => {
  const unsigned = forge({ alg: 'HS256', kid: 'k1' }, { ...right, events: '*', exp: now() + 60 }).slice(0, -1)
  return `${unsigned}.${createHmac('sha256', pair.publicPem).update(unsigned).digest('base64url')}`
}

const all = { events: '*', scope: 'publish admin' }

/** Rightly signed, with a number that JSON reads as infinite. */
const endless = (): string => {
  const header = Buffer.from('{"alg":"RS256","kid":"k1"}').toString('base64url')
  const claims = Buffer.from(`{"iss":"${ISSUER}","aud":"${AUDIENCE}","events":"*","exp":1e400}`).toString('base64url')
  const signature = createSign('RSA-SHA256').update(`${header}.${claims}`).sign(pair.privateKey, 'base64url')
  return `${header}.${claims}.${signature}`
}

const holders = async (): Promise<Record<string, Holder>> => ({
  none: { token: null, code: 'token_missing', may: NOTHING },
  junk: { token: 'junk', code: 'token_invalid', may: NOTHING },
  expired: { token: await rs({ ...all, exp: now() - 1 }), code: 'token_expired', may: NOTHING },
  'not yet': { token: await rs({ ...all, nbf: now() + 60 }), code: 'token_invalid', may: NOTHING },
  'wrong issuer': { token: await rs({ ...all, iss: 'https://other.example' }), code: 'token_invalid', may: NOTHING },
  'wrong audience': { token: await rs({ ...all, aud: 'other' }), code: 'token_invalid', may: NOTHING },
  'alg none': {
    token: forge({ alg: 'none', kid: 'k1' }, { ...right, ...all, exp: now() + 60 }),
    code: 'token_invalid',
    may: NOTHING,
  },
  'RS to HS confusion': { token: confused(), code: 'token_invalid', may: NOTHING },
  'foreign kid': { token: await rs(all, stranger, 'k2'), code: 'token_invalid', may: NOTHING },
  'foreign key under a known kid': { token: await rs(all, stranger, 'k1'), code: 'token_invalid', may: NOTHING },
  'no exp': { token: await rs({ ...all, exp: undefined }), code: 'token_invalid', may: NOTHING },
  'an exp that never comes': {
    token: endless(),
    code: 'token_invalid',
    may: NOTHING,
  },
  "A's token": {
    token: await rs({ events: [A] }),
    may: { 'any token': true, 'reader of A': true, 'reader of some': true },
  },
  'publish only': {
    token: await rs({ scope: 'publish' }),
    may: { 'any token': true, 'reader of some': true, 'publisher to A': true },
  },
  'A with publish': {
    token: await rs({ events: [A], scope: ['publish'] }),
    may: { 'any token': true, 'reader of A': true, 'reader of some': true, 'publisher to A': true },
  },
  admin: { token: await rs({ scope: 'admin' }), may: { 'any token': true, 'reader of some': true, admin: true } },
})

let gateway: Gateway

const matrix = suite('who may make which call', { timeoutMs: 120_000 })

matrix.before(async () => {
  await keySet.start()
  await keySet.publish({ pair, kid: 'k1' })
  gateway = await startGateway({ env: { JWT_JWKS_URL: keySet.url, JWT_ISSUER: ISSUER, JWT_AUDIENCE: AUDIENCE } })
  await gateway.ready()
})
matrix.after(async () => {
  await gateway?.dispose()
  await keySet.stop()
})

/** One call; of a stream only the head is waited for. */
const call = (method: string, url: string, headers: Record<string, string>, body?: string) => {
  const leave = new AbortController()
  return new Promise<{ status: number; headers: Record<string, unknown>; text: string }>((resolve, reject) => {
    if (url.includes('/stream') && method === 'GET' && !url.includes('tickets')) {
      void fetch(gateway.url + url, { headers, signal: leave.signal }).then(async (answer) => {
        const text = answer.status === 200 ? '' : await answer.text()
        resolve({ status: answer.status, headers: Object.fromEntries(answer.headers), text })
        leave.abort()
      }, reject)
      return
    }
    request(method, gateway.url + url, body, { headers }).then(resolve, reject)
  })
}

matrix('every route and method has its row', () => {
  assert.equal([...new Set(ROUTES)].sort(), Object.keys(ROWS).sort())
})

matrix('every holder gets what is theirs, and nothing else, by every route and method', async () => {
  let calls = 0
  for (const [who, { token, code, may }] of Object.entries(await holders())) {
    for (const [route, { rule, url, body, ok }] of Object.entries(ROWS)) {
      const method = route.split(' ')[0]!
      const answer = await call(method, url.replace('{event}', A), token === null ? {} : bearer(token), body)
      const expected = rule === 'everybody' || may[rule] ? ok : code === undefined ? 403 : 401
      assert.is(answer.status, expected, `${who}: ${route}: ${answer.text}`)
      if (expected === 401) {
        assert.match(String(answer.headers['www-authenticate']), /^Bearer realm="deepsoc-gateway"/, `${who}: ${route}`)
        if (method !== 'HEAD') assert.is(JSON.parse(answer.text).code, code, `${who}: ${route}`)
      }
      calls++
    }
  }
  assert.ok(calls > 400, `${calls} calls`)
})

matrix("A's token opens nothing of B, whatever else it may do", async () => {
  for (const claims of [{ events: [A] }, { events: [A], scope: 'publish' }, { events: [A], scope: 'publish admin' }]) {
    const headers = bearer(await rs(claims))
    for (const [route, { url, body }] of Object.entries(ROWS)) {
      if (!url.includes('{event}') || url.startsWith('/events/')) continue
      const answer = await call(route.split(' ')[0]!, url.replace('{event}', B), headers, body)
      assert.is(answer.status, 403, `${route}: ${answer.text}`)
    }
    const both = await call('GET', `/api/stream?event_id=${A}&event_id=${B}`, headers)
    assert.is(both.status, 403, 'one of two is one too many')
  }
})

matrix('a route has one spelling, so that what a proxy says of an address holds', async () => {
  const headers = bearer(await rs(all))
  for (const { url } of Object.values(ROWS)) {
    const [path = ''] = url.replace('{event}', A).split('?')
    if (path === '/') continue
    for (const other of [`${path}/`, path.toUpperCase(), path.replace('/', '//'), `${path};x`]) {
      // The last part of some is a name of the caller's own.
      if (other === path || /^\/(events|api\/\w+)\/[^/]+$/.test(other)) continue
      const answer = await request('GET', gateway.url + other, undefined, { headers })
      assert.is(answer.status, 404, other)
    }
  }
})

matrix('a method that a route does not take is refused before anything else, whoever asks', async () => {
  const paths = [...new Set(Object.values(ROWS).map(({ url }) => url.replace('{event}', A)))]
  for (const path of paths) {
    for (const method of ['PUT', 'PATCH', 'TRACE']) {
      const answer = await request(method, gateway.url + path, '')
      assert.is(answer.status, 405, `${method} ${path}`)
    }
  }
})

matrix.run()
