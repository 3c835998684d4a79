import { createHmac, createSign } from 'node:crypto'
import * as assert from 'uvu/assert'
import type { z } from 'zod'
import { ROUTES } from '../../../src/http/app.ts'
import { bearer, forge, KeySetServer, makePair, now, type Pair, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { request } from '../../support/harness/wait.ts'
import { addRejected } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'

const [A, B] = ['event-a', 'event-b']

type AnyRoute = (typeof ROUTES)[number]

/** Every route and method of the route definitions. */
const CALLS = ROUTES.flatMap((route) =>
  (route.method === 'GET' ? ['GET', 'HEAD'] : [route.method]).map((method) => ({ route, method })),
)

const nameOf = ({ method, path }: Pick<AnyRoute, 'method' | 'path'>): string => `${method} ${path}`

const namesEvent = ({ path, query }: AnyRoute): boolean => path.includes('/:event_id') || query?.event_id !== undefined

const exampleOf = (field: z.ZodType): unknown => field.meta()?.example

/** Returns the URL of a call that is valid except for the token, built from the examples of its definition. */
const targetOf = ({ path, params = {}, query = {} }: AnyRoute, event: string): string => {
  const filled = path.replace(/:(\w+)/g, (_all, name: string) => {
    if (name === 'event_id') return event
    // A separate row, since some calls delete it.
    if (name === 'rejected_id') return String(addRejected(gateway.dbFile, [{ body: 'x' }])[0])
    return String(exampleOf(params[name]!))
  })
  const search = new URLSearchParams()
  for (const [name, field] of Object.entries(query)) {
    const example = name === 'event_id' ? event : exampleOf(field)
    if (example !== undefined) search.set(name, String(example))
  }
  return search.size === 0 ? filled : `${filled}?${search}`
}

const bodyOf = ({ method, body }: AnyRoute): string | undefined =>
  method === 'GET' ? undefined : body === undefined ? '' : JSON.stringify(body.example)

/** Returns the first success status of the definition. */
const successOf = ({ responses }: AnyRoute): number => Math.min(...Object.keys(responses).map(Number))

/** Permissions of a token; `read` and `publish` apply to event A. */
type Rights = { readonly read?: true; readonly publish?: true; readonly operate?: true; readonly follow?: true }

/** A token with its permissions, or with the error code if it is invalid. */
type Holder = { token: string | null } & ({ code: string } | { may: Rights })

/** Returns whether these permissions allow a call that names event A or no event. */
const isAllowed = (route: AnyRoute, may: Rights): boolean => {
  switch (route.access) {
    case 'public':
    case 'ticket':
    case 'session':
      return true
    case 'read':
    case 'stream':
      // Without an event the call applies to the events of the token, if any.
      return !namesEvent(route) || may.read === true
    case 'follow':
      return may.follow === true
    case 'publish':
      return may.publish === true
    case 'operate':
      return may.operate === true
  }
}

const ISSUER = 'https://issuer.example'
const AUDIENCE = 'gateway'
const right = { iss: ISSUER, aud: AUDIENCE }

const pair = makePair('RS256')
const stranger = makePair('RS256')
const keySet = new KeySetServer()

const rs = (claims: Record<string, unknown>, { privateKey }: Pair = pair, kid = 'k1'): Promise<string> =>
  sign({ ...right, ...claims }, { key: privateKey, alg: 'RS256', kid })

/** Signs a token by HMAC with the public key as the secret. */
const confused = (): string => {
  const unsigned = forge({ alg: 'HS256', kid: 'k1' }, { ...right, events: '*', exp: now() + 60 }).slice(0, -1)
  return `${unsigned}.${createHmac('sha256', pair.publicPem).update(unsigned).digest('base64url')}`
}

const all = { events: '*', scope: 'publish admin' }

/** Validly signed, with an exp that JSON parses as infinite. */
const endless = (): string => {
  const header = Buffer.from('{"alg":"RS256","kid":"k1"}').toString('base64url')
  const claims = Buffer.from(`{"iss":"${ISSUER}","aud":"${AUDIENCE}","events":"*","exp":1e400}`).toString('base64url')
  const signature = createSign('RSA-SHA256').update(`${header}.${claims}`).sign(pair.privateKey, 'base64url')
  return `${header}.${claims}.${signature}`
}

const holders = async (): Promise<Record<string, Holder>> => ({
  none: { token: null, code: 'token_missing' },
  junk: { token: 'junk', code: 'token_invalid' },
  expired: { token: await rs({ ...all, exp: now() - 1 }), code: 'token_expired' },
  'not yet': { token: await rs({ ...all, nbf: now() + 60 }), code: 'token_invalid' },
  'wrong issuer': { token: await rs({ ...all, iss: 'https://other.example' }), code: 'token_invalid' },
  'wrong audience': { token: await rs({ ...all, aud: 'other' }), code: 'token_invalid' },
  'alg none': {
    token: forge({ alg: 'none', kid: 'k1' }, { ...right, ...all, exp: now() + 60 }),
    code: 'token_invalid',
  },
  'RS to HS confusion': { token: confused(), code: 'token_invalid' },
  'foreign kid': { token: await rs(all, stranger, 'k2'), code: 'token_invalid' },
  'foreign key under a known kid': { token: await rs(all, stranger, 'k1'), code: 'token_invalid' },
  'no exp': { token: await rs({ ...all, exp: undefined }), code: 'token_invalid' },
  'an exp that never comes': {
    token: endless(),
    code: 'token_invalid',
  },
  "A's token": { token: await rs({ events: [A] }), may: { read: true } },
  'an edge of A': { token: await rs({ events: [A], scope: 'edge' }), may: { read: true, follow: true } },
  'publish only': { token: await rs({ scope: 'publish' }), may: { publish: true } },
  'A with publish': { token: await rs({ events: [A], scope: ['publish'] }), may: { read: true, publish: true } },
  // The example of the publish route is a message of an agent.
  'A with chat': { token: await rs({ events: [A], scope: 'chat' }), may: { read: true } },
  'chat only': { token: await rs({ scope: 'chat' }), may: {} },
  admin: { token: await rs({ scope: 'admin' }), may: { operate: true } },
})

let gateway: Gateway

const matrix = suite('the access matrix')

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

/** Sends one call; for a stream, waits for the response headers only. */
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

matrix('no route that reads events or changes anything is public', () => {
  for (const route of ROUTES) {
    const { path, method, access } = route
    const isApi = path.startsWith('/api/')
    if (isApi || method !== 'GET') assert.is.not(access, 'public', nameOf(route))
    if (isApi && namesEvent(route)) assert.ok(['read', 'stream', 'follow', 'publish'].includes(access), nameOf(route))
    if (namesEvent(route) && method !== 'GET') assert.is(access, 'publish', nameOf(route))
    assert.is(access === 'follow', path.startsWith('/api/edge'), nameOf(route))
    // A ticket is valid for one call only.
    assert.is(access === 'ticket', path === '/api/stream-tickets', nameOf(route))
    // It shows a caller only what its own token has.
    assert.is(access === 'session', path === '/api/session', nameOf(route))
    const isOperators = /^\/(api\/(health|rejected|revocations)|metrics)(\/|$)/.test(path)
    assert.is(access === 'operate', isOperators, nameOf(route))
  }
})

matrix('every token gets exactly its permissions, on every route and method', async () => {
  let calls = 0
  for (const [who, { token, ...holder }] of Object.entries(await holders())) {
    for (const { route, method } of CALLS) {
      const answer = await call(method, targetOf(route, A), token === null ? {} : bearer(token), bodyOf(route))
      const where = `${who}: ${method} ${route.path}`
      const isPublic = route.access === 'public'
      const allowed = isPublic || ('may' in holder && isAllowed(route, holder.may))
      const expected = allowed ? successOf(route) : 'may' in holder ? 403 : 401
      assert.is(answer.status, expected, `${where}: ${answer.text}`)
      if (expected === 401 && 'code' in holder) {
        assert.match(String(answer.headers['www-authenticate']), /^Bearer realm="deepsoc-gateway"/, where)
        if (method !== 'HEAD') assert.is(JSON.parse(answer.text).code, holder.code, where)
      }
      calls++
    }
  }
  assert.ok(calls > 400, `${calls} calls`)
})

matrix("A's token opens nothing of B, whatever else it may do", async () => {
  for (const claims of [
    { events: [A] },
    { events: [A], scope: 'publish' },
    { events: [A], scope: 'chat' },
    { events: [A], scope: 'publish admin' },
  ]) {
    const headers = bearer(await rs(claims))
    for (const { route, method } of CALLS) {
      if (!namesEvent(route) || route.access === 'public') continue
      const answer = await call(method, targetOf(route, B), headers, bodyOf(route))
      assert.is(answer.status, 403, `${method} ${route.path}: ${answer.text}`)
    }
    const both = await call('GET', `/api/stream?event_id=${A}&event_id=${B}`, headers)
    assert.is(both.status, 403, 'one of two is one too many')
  }
})

matrix('a token with the scope chat publishes messages of people, to its own events', async () => {
  const hello = JSON.stringify({ message_type: 'chat', message_content: { content: 'hello' } })
  const post = async (event: string, claims: Record<string, unknown>) =>
    call('POST', `/api/events/${event}/messages`, bearer(await rs(claims)), hello)
  assert.is((await post(A, { events: [A], scope: 'chat' })).status, 201)
  assert.is((await post(A, { events: '*', scope: ['chat', 'admin'] })).status, 201)
  for (const [event, claims, code] of [
    [B, { events: [A], scope: 'chat' }, 'event_forbidden'],
    [A, { scope: 'chat' }, 'event_forbidden'],
    [A, { events: [A] }, 'scope_missing'],
    [A, { events: [A], scope: 'admin' }, 'scope_missing'],
  ] as const) {
    const answer = await post(event, claims)
    assert.is(answer.status, 403, answer.text)
    assert.is(JSON.parse(answer.text).code, code)
  }
})

matrix('a route has one spelling, so that path rules of a proxy apply', async () => {
  const headers = bearer(await rs(all))
  for (const route of ROUTES) {
    const [path = ''] = targetOf(route, A).split('?')
    if (path === '/') continue
    for (const other of [`${path}/`, path.toUpperCase(), path.replace('/', '//'), `${path};x`]) {
      // The last part of some paths is chosen by the caller.
      if (other === path || /^\/(events|api\/\w+)\/[^/]+$/.test(other)) continue
      const answer = await request('GET', gateway.url + other, undefined, { headers })
      assert.is(answer.status, 404, other)
    }
  }
})

matrix('an unsupported method is rejected before anything else, for every caller', async () => {
  const paths = new Set(ROUTES.map((route) => targetOf(route, A)))
  for (const path of paths) {
    for (const method of ['PUT', 'PATCH', 'TRACE']) {
      const answer = await request(method, gateway.url + path, '')
      assert.is(answer.status, 405, `${method} ${path}`)
    }
  }
})

matrix.run()
