import * as assert from 'uvu/assert'
import { callCli } from '../../support/clients/cli.ts'
import { openSse } from '../../support/clients/sse.ts'
import { bearer, guarded, now, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type HttpResult, postJson, request, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, eventUrl, isError, newRoom } from '../../support/stages/rooms.ts'

const BASE = '/soc/gateway'
const NAME = 'gateway_session_soc_gateway'
/** A page of another site that is configured. */
const APP = { origin: 'https://app.example' }

/** Shared by both suites. */
let gateway: Gateway

const post = (token: string, headers: Record<string, string> = {}): Promise<HttpResult> =>
  postJson(`${gateway.url}/api/session`, '', { headers: { ...bearer(token), ...headers } })

const setCookies = ({ headers }: HttpResult): string[] => headers['set-cookie'] ?? []

/** The cookies of a browser. */
class Jar {
  readonly #cookies = new Map<string, string>()

  get header(): { cookie: string } {
    return { cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ') }
  }

  keep(answer: HttpResult): HttpResult {
    for (const [, name, value, age] of setCookies(answer).map(
      (text) => /^([^=]+)=([^;]*); Max-Age=(\d+)/.exec(text)!,
    )) {
      if (age === '0') this.#cookies.delete(name!)
      else this.#cookies.set(name!, value!)
    }
    return answer
  }
}

const signedIn = async (token: string): Promise<{ cookie: string }> => {
  const jar = new Jar()
  assert.is(jar.keep(await post(token)).status, 201)
  return jar.header
}

const callerOf = (headers: Record<string, string>): Promise<HttpResult> =>
  getJson(`${gateway.url}/api/session`, { headers })

const session = suite('the session of a browser')

session.before(async () => {
  const env = {
    BASE_PATH: `${BASE}/`,
    TRUSTED_PROXIES: '127.0.0.1',
    CORS_ORIGINS: APP.origin,
    MAX_STREAMS_PER_TOKEN: '3',
  }
  gateway = await startGateway({ env: guarded(env) })
})

session('is a cookie that no script can read, for pages of this gateway, until the token ends', async () => {
  const token = await sign({ sub: 'ann', name: 'Ann', scope: 'chat', events: ['a'], exp: now() + 600 })
  const answer = await post(token)
  assert.is(answer.status, 201, answer.text)
  assert.equal(answer.body.data, { sub: 'ann', name: 'Ann', scopes: ['chat'], events: ['a'], session: true })
  const [cookie = '', ...others] = setCookies(answer)
  assert.equal(others, [])
  const [, value, age] = new RegExp(`^${NAME}=([^;]+); Max-Age=(\\d+); Path=${BASE}; HttpOnly; SameSite=Strict$`).exec(
    cookie,
  )!
  assert.is(value, token)
  assert.ok(Number(age) > 0 && Number(age) <= 601, age)
  assert.equal((await callerOf({ cookie: `${NAME}=${token}` })).body.data, answer.body.data)
  assert.is((await callerOf(bearer(token))).body.data.session, false)
})

session('is sent over HTTPS only, if it was started over HTTPS', async () => {
  const token = await sign({})
  const { host } = new URL(gateway.url)
  const secure = [{ 'x-forwarded-proto': 'https' }, { origin: `https://${host}` }, { forwarded: 'proto=https' }]
  for (const headers of secure) assert.match(setCookies(await post(token, headers))[0]!, /; Secure$/)
  for (const headers of [{}, { 'x-forwarded-proto': 'http' }, { origin: `http://${host}` }]) {
    assert.not.match(setCookies(await post(token, headers))[0]!, 'Secure')
  }
})

session('begins with a token in the Authorization header only, which must be valid', async () => {
  const url = `${gateway.url}/api/session`
  const cookie = `access_token=${await sign({})}`
  isError(await postJson(url, '', { headers: { cookie } }), 401, 'token_missing')
  isError(await postJson(url, '', { headers: await signedIn(await sign({})) }), 401, 'token_missing')
  const refused = await post(await sign({ exp: now() - 1 }), { cookie })
  isError(refused, 401, 'token_expired')
  assert.equal(setCookies(refused), [])
})

session('counts for pages of the gateway only, for whatever they request', async () => {
  const [room, token] = [newRoom(), await sign({ events: '*', scope: 'publish' })]
  const headers = await signedIn(token)
  const own = { ...headers, origin: new URL(gateway.url).origin }
  const messages = `${eventUrl(gateway, room)}/messages`
  assert.is((await postJson(messages, chat(1), { headers: own })).status, 201)
  assert.is((await getJson(messages, { headers: { ...headers, 'sec-fetch-site': 'same-origin' } })).body.data.length, 1)
  for (const foreign of [APP, { origin: 'https://evil.example' }, { 'sec-fetch-site': 'same-site' }]) {
    const sent = { headers: { ...headers, ...foreign } }
    isError(await getJson(messages, sent), 403, 'origin_forbidden')
    isError(await getJson(`${eventUrl(gateway, room)}/stream`, sent), 403, 'origin_forbidden')
  }
  for (const foreign of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
    const sent = { headers: { ...headers, ...foreign } }
    isError(await postJson(messages, chat(2), sent), 403, 'origin_forbidden')
    isError(await request('DELETE', `${gateway.url}/api/session`, '', sent), 403, 'origin_forbidden')
  }
  isError(await postJson(messages, chat(2), { headers: { ...headers, ...APP } }), 403, 'origin_forbidden')
  // The page of the other site has the cookie of its own sign-in.
  const issued = { cookie: `${headers.cookie}; access_token=${token}`, ...APP }
  assert.is((await getJson(messages, { headers: issued })).status, 200)
})

session(
  'comes after the header and the ticket, and before the cookie of the issuer while its token is accepted',
  async () => {
    const { cookie } = await signedIn(await sign({ sub: 'ann' }))
    const issued = `access_token=${await sign({ sub: 'bob' })}`
    assert.is((await callerOf({ cookie: `${issued}; ${cookie}` })).body.data.sub, 'ann')
    isError(await callerOf({ cookie, ...bearer('junk') }), 401, 'token_invalid')
    isError(
      await getJson(`${gateway.url}/api/stream?event_id=*&ticket=x`, { headers: { cookie } }),
      401,
      'ticket_invalid',
    )
    isError(await callerOf({ cookie: `${cookie}; ${NAME}=junk` }), 401, 'token_invalid')
    const admin = bearer(await sign({ sub: 'admin', scope: 'admin' }))
    await postJson(`${gateway.url}/api/revocations`, { sub: 'ann' }, { headers: admin })
    isError(await callerOf({ cookie }), 401, 'token_revoked')
    assert.is((await callerOf({ cookie: `${issued}; ${cookie}` })).body.data.sub, 'bob')
  },
)

session('holds a token that is larger than a cookie can be', async () => {
  const events = Array.from({ length: 250 }, (_, n) => `event-${'x'.repeat(20)}-${n}`)
  const jar = new Jar()
  const parts = setCookies(jar.keep(await post(await sign({ events }))))
  assert.is(parts.length, 3)
  for (const part of parts) assert.ok(part.length < 4_096, `${part.length} bytes`)
  assert.equal((await callerOf(jar.header)).body.data.events, events)
  assert.is(jar.keep(await post(await sign({ events: ['a'] }), jar.header)).status, 201)
  assert.equal((await callerOf(jar.header)).body.data.events, ['a'])
  jar.keep(await post(await sign({ events }), jar.header))
  jar.keep(await request('DELETE', `${gateway.url}/api/session`, '', { headers: jar.header }))
  assert.is(jar.header.cookie, '')
})

session('ends with its streams at the sign-out; other streams of the token count with them, and stay', async () => {
  const [room, token] = [newRoom(), await sign({ events: '*', scope: 'publish' })]
  const jar = new Jar()
  jar.keep(await post(token))
  const { header } = jar
  const stream = `${eventUrl(gateway, room)}/stream`
  const { ticket } = (await postJson(`${gateway.url}/api/stream-tickets`, '', { headers: header })).body.data
  const ending = [await openSse(stream, { headers: header }), await openSse(`${stream}?ticket=${ticket}`)]
  const staying = await openSse(stream, { headers: bearer(token) })
  isError(await getJson(stream, { headers: header }), 429, 'too_many_streams')
  const left = jar.keep(await request('DELETE', `${gateway.url}/api/session`, '', { headers: header }))
  assert.equal([left.status, left.body.data, jar.header.cookie], [200, { signed_out: true }, ''])
  for (const one of ending) assert.equal((await one.next('closing')).data, { reason: 'token_expired' })
  await postJson(`${eventUrl(gateway, room)}/messages`, chat(1), { headers: bearer(token) })
  await staying.next('new_message')
  staying.close()
})

session('takes its unused tickets with it at the sign-out, but not those of the token', async () => {
  const token = await sign({ events: '*' })
  const jar = new Jar()
  jar.keep(await post(token))
  const ticketFor = async (headers: Record<string, string>): Promise<string> =>
    (await postJson(`${gateway.url}/api/stream-tickets`, '', { headers })).body.data.ticket
  const [ofSession, ofToken] = [await ticketFor(jar.header), await ticketFor(bearer(token))]
  await request('DELETE', `${gateway.url}/api/session`, '', { headers: jar.header })
  const stream = `${eventUrl(gateway, newRoom())}/stream?ticket=`
  await until(async () => (await getJson(stream + ofSession)).body?.code === 'token_expired', {
    what: 'the end of the ticket',
  })
  const open = await openSse(stream + ofToken)
  await open.next('hello')
  open.close()
  jar.keep(await post(token))
  const again = await openSse(stream.split('?')[0]!, { headers: jar.header })
  await again.next('hello')
  again.close()
})

const base = suite('a gateway with a BASE_PATH')

base.after(() => gateway?.dispose())

base('serves everything below it, by one spelling of each address', async () => {
  const { origin } = new URL(gateway.url)
  assert.is(gateway.url, origin + BASE)
  for (const path of [
    '/',
    '/page.js',
    '/page.css',
    '/client.js',
    '/deepsoc.js',
    '/livez',
    '/docs',
    '/events/a',
    '/health',
  ]) {
    assert.is((await getJson(gateway.url + path)).status, 200, path)
    for (const other of [
      path,
      `${BASE}${BASE}${path}`,
      `/soc/GATEWAY${path}`,
      `/soc/%67ateway${path}`,
      `${BASE}x${path}`,
    ]) {
      const answer = await getJson(origin + other)
      isError(answer, 404, 'not_found')
      if (!other.startsWith(`${BASE}/`)) assert.match(answer.body.hint, 'BASE_PATH')
    }
  }
  const moved = await getJson(`${origin}${BASE}?x=1`)
  assert.equal([moved.status, moved.headers.location], [308, `${BASE}/?x=1`])
  const token = bearer(await sign({ events: '*', scope: 'admin' }))
  const stream = await openSse(`${eventUrl(gateway, newRoom())}/stream`, { headers: token })
  await stream.next('caught_up')
  stream.close()
  isError(await getJson(`${origin}/api/stream?event_id=*`, { headers: token }), 404, 'not_found')
  // Metrics name the routes, whatever is in front of them.
  assert.match(
    (await getJson(`${gateway.url}/metrics`, { headers: token })).text,
    'route="/api/events/:event_id/stream"',
  )
})

base('names it in pages, scripts and API documents', async () => {
  const page = (await getJson(`${gateway.url}/`)).text
  const links = [...page.matchAll(/(?:href|src)="(\/[^"]*)"/g)].map(([, link]) => link)
  assert.equal(links, [`${BASE}/page.css`, `${BASE}/page.js`])
  assert.match((await getJson(`${gateway.url}/client.js`)).text, /^const GATEWAY_BASE="\/soc\/gateway";/)
  assert.equal((await getJson(`${gateway.url}/openapi.json`)).body.servers, [{ url: BASE }])
  assert.is((await getJson(`${gateway.url}/asyncapi.json`)).body.servers.gateway.pathname, BASE)
  const docs = (await getJson(`${gateway.url}/docs`)).text
  assert.match(docs, 'href="openapi.json"')
  assert.not.match(docs, 'href="/')
})

base('answers an unknown path with a page in a browser, and in JSON otherwise', async () => {
  const { origin } = new URL(gateway.url)
  const browser = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' }
  for (const url of [`${gateway.url}/nope`, `${gateway.url}/api/nope`, `${gateway.url}/events/a/b`, `${origin}/nope`]) {
    const { status, headers, text } = await getJson(url, { headers: browser })
    assert.equal(
      [status, headers['content-type'], headers.vary],
      [404, 'text/html; charset=utf-8', 'Origin, Accept'],
      url,
    )
    assert.match(text, `src="${BASE}/page.js"`)
    assert.match(String(headers['content-security-policy']), "script-src 'self'")
    for (const accept of ['application/json', '*/*', 'text/event-stream']) {
      isError(await getJson(url, { headers: { accept } }), 404, 'not_found')
    }
    isError(await postJson(url, '', { headers: browser }), 404, 'not_found')
  }
  isError(await getJson(`${gateway.url}/api/stream-tickets`, { headers: browser }), 405, 'method_not_allowed')
})

base('is found by the command line', async () => {
  const { port } = new URL(gateway.url)
  const { code, stdout, stderr } = await callCli(['health', '--live'], { env: { PORT: port, BASE_PATH: BASE } })
  assert.equal([code, stdout], [0, 'live\n'], stderr)
})

session.run()
base.run()
