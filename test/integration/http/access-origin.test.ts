import * as assert from 'uvu/assert'
import { openSse } from '../../support/clients/sse.ts'
import { bearer, guarded, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type HttpResult, postJson, request } from '../../support/harness/wait.ts'
import { ROUTE_NAMES } from '../../support/repo/api-documents.ts'
import { addRejected, rejectedRows } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, eventUrl, isError } from '../../support/stages/rooms.ts'

const FRIEND = 'https://app.example'
const STRANGERS = [
  'https://evil.example',
  'https://app.example.evil.example',
  'http://app.example',
  'https://app.example:444',
  'null',
  'https://APP.example',
  '*',
]

let gateway: Gateway
let cookie: string
let token: string

const origin = suite('pages of other sites')

origin.before(async () => {
  gateway = await startGateway({ env: guarded({ CORS_ORIGINS: `https://first.example,${FRIEND}` }) })
  token = await sign({ events: '*', scope: 'publish admin' })
  cookie = `access_token=${token}`
})
origin.after(() => gateway?.dispose())

const post = (headers: Record<string, string>): Promise<HttpResult> =>
  postJson(`${eventUrl(gateway, 'room')}/messages`, chat(1), { headers })

const own = (): string => gateway.url

origin('cannot change anything with the cookie of a reader', async () => {
  for (const stranger of STRANGERS) {
    isError(await post({ cookie, origin: stranger }), 403, 'origin_forbidden')
    const ticket = await postJson(`${gateway.url}/api/stream-tickets`, '', { headers: { cookie, origin: stranger } })
    isError(ticket, 403, 'origin_forbidden')
    const lift = await request('DELETE', `${gateway.url}/api/revocations/x`, '', {
      headers: { cookie, origin: stranger },
    })
    isError(lift, 403, 'origin_forbidden')
  }
  for (const site of ['cross-site', 'same-site']) {
    isError(await post({ cookie, 'sec-fetch-site': site }), 403, 'origin_forbidden')
  }
  for (const headers of [
    { origin: own() },
    { origin: FRIEND, 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-origin' },
    {} as Record<string, string>,
  ]) {
    assert.is((await post({ cookie, ...headers })).status, 201, JSON.stringify(headers))
  }
})

/** Every call that changes something. */
const CHANGES = ROUTE_NAMES.filter((route) => !route.startsWith('GET '))

origin(
  'are refused every call that changes something, whatever its body and type, before anything is looked at',
  async () => {
    assert.ok(CHANGES.length >= 6 && CHANGES.some((route) => route.includes('rejected')), CHANGES.join())
    const open = await startGateway()
    const [kept] = addRejected(open.dbFile, [{ body: '{"event_id":"room","message_id":"replayed"}' }])
    const foreign: Record<string, string>[] = [
      { origin: 'https://evil.example' },
      // What a form of another page sends.
      { origin: 'null', 'content-type': 'text/plain' },
      { 'sec-fetch-site': 'cross-site', 'content-type': 'application/x-www-form-urlencoded' },
    ]
    for (const route of CHANGES) {
      const [method = '', path = ''] = route.split(' ')
      const url = `${path.replace(':rejected_id', String(kept)).replace(/:\w+/, 'room')}?all=true`
      for (const headers of foreign) {
        isError(
          await request(method, gateway.url + url, '', { headers: { cookie, ...headers } }),
          403,
          'origin_forbidden',
        )
        // Without tokens a page needs no cookie.
        isError(await request(method, open.url + url, '', { headers }), 403, 'origin_forbidden')
      }
    }
    assert.is(rejectedRows(open.dbFile).length, 1)
    await open.dispose()
  },
)

origin('cannot open a stream with the cookie of a reader', async () => {
  const open = (headers: Record<string, string>) => openSse(`${eventUrl(gateway, 'room')}/stream`, { headers })
  for (const headers of [
    ...STRANGERS.map((stranger) => ({ origin: stranger })),
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ] as Record<string, string>[]) {
    assert.is((await open({ cookie, ...headers })).status, 403, JSON.stringify(headers))
  }
  for (const headers of [{}, { origin: own() }, { origin: FRIEND }, { 'sec-fetch-site': 'same-origin' }] as Record<
    string,
    string
  >[]) {
    const stream = await open({ cookie, ...headers })
    assert.is(stream.status, 200, JSON.stringify(headers))
    stream.close()
  }
})

const corsHeaders = ({ headers }: { headers: Record<string, unknown> }): Record<string, unknown> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('access-control-')))

origin('are answered by exactly the configured origin, errors and streams included', async () => {
  const auth = bearer(token)
  for (const path of ['/api/events', '/api/events/room/messages', '/api/events?limit=x', '/nope', '/readyz']) {
    const answer = await getJson(gateway.url + path, { headers: { ...auth, origin: FRIEND } })
    assert.is(answer.headers['access-control-allow-origin'], FRIEND, path)
    assert.is(answer.headers['access-control-allow-credentials'], 'true', path)
    assert.match(String(answer.headers.vary), /Origin/i, path)
  }
  for (const headers of [auth, {}] as Record<string, string>[]) {
    const stream = await openSse(`${eventUrl(gateway, 'room')}/stream`, { headers: { ...headers, origin: FRIEND } })
    assert.is(stream.headers['access-control-allow-origin'], FRIEND, String(stream.status))
    assert.is(stream.headers['access-control-allow-credentials'], 'true')
    assert.match(String(stream.headers.vary), /Origin/i)
    assert.is(stream.headers['x-content-type-options'], 'nosniff')
    stream.close()
  }
  for (const stranger of STRANGERS) {
    const headers = { ...auth, origin: stranger }
    assert.equal(corsHeaders(await getJson(`${gateway.url}/api/events`, { headers })), {}, stranger)
    const stream = await openSse(`${eventUrl(gateway, 'room')}/stream`, { headers })
    assert.equal(corsHeaders(stream), {}, stranger)
    stream.close()
  }
})

origin('may ask beforehand, if they are named', async () => {
  const preflight = (from: string) =>
    request('OPTIONS', `${eventUrl(gateway, 'room')}/messages`, undefined, {
      headers: {
        origin: from,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      },
    })
  const friend = await preflight(FRIEND)
  assert.is(friend.status, 204)
  assert.is(friend.headers['access-control-allow-origin'], FRIEND)
  assert.match(String(friend.headers['access-control-allow-headers']), /Authorization.*Last-Event-ID/)
  assert.match(String(friend.headers['access-control-allow-methods']), /POST/)
  for (const stranger of STRANGERS) assert.equal(corsHeaders(await preflight(stranger)), {}, stranger)
})

origin('get no right from a host that a caller made up', async () => {
  const headers = { cookie, origin: 'https://evil.example', 'x-forwarded-host': 'evil.example' }
  isError(await post(headers), 403, 'origin_forbidden')
})

const answers = suite('every answer')

answers.before(async () => {
  gateway = await startGateway()
})
answers.after(() => gateway?.dispose())

answers('forbids sniffing, framing, referrers and foreign scripts', async () => {
  for (const path of [
    '/',
    '/page.js',
    '/events/x',
    '/api/events',
    '/nope',
    '/metrics',
    '/api/events?limit=x',
    '/readyz',
  ]) {
    const { headers } = await getJson(gateway.url + path)
    assert.is(headers['x-content-type-options'], 'nosniff', path)
    assert.is(headers['referrer-policy'], 'no-referrer', path)
    assert.is(headers['cross-origin-resource-policy'], 'same-origin', path)
    const policy = String(headers['content-security-policy']).split('; ')
    assert.ok(policy.includes("default-src 'none'") && policy.includes("frame-ancestors 'none'"), path)
    assert.not.match(String(policy), /unsafe|\*|data: *;.*script/)
    if (path.startsWith('/api')) assert.is(headers['cache-control'], 'no-store', path)
  }
})

answers('without tokens is given to this machine only, whatever name a foreign page has for it', async () => {
  const named = (host: string, headers = {}) => getJson(`${gateway.url}/api/events`, { headers: { host, ...headers } })
  for (const host of [
    'evil.example',
    'evil.example:8080',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    'evil.',
    '[::1].x',
  ]) {
    isError(await named(host), 403, 'host_forbidden')
    isError(await named(host, { origin: `http://${host}` }), 403, 'host_forbidden')
  }
  for (const host of [
    '127.0.0.1:1',
    'gateway:8080',
    'localhost',
    'localhost:8080',
    'app.localhost',
    '[::1]:80',
    '10.0.0.7',
  ]) {
    assert.is((await named(host)).status, 200, host)
  }
  const open = await startGateway({ env: { AUTH: 'none' } })
  const statusOf = async (host: string) => (await getJson(`${open.url}/api/events`, { headers: { host } })).status
  assert.is(await statusOf('gateway.example'), 200)
  await open.restart({ ALLOWED_HOSTS: 'gateway.example, localhost' })
  assert.equal(
    await Promise.all(
      ['gateway.example', 'Gateway.Example:8080', '10.0.0.7:1', 'evil.example', 'x.gateway.example'].map(statusOf),
    ),
    [200, 200, 200, 403, 403],
  )
  await open.dispose()
})

origin.run()
answers.run()
