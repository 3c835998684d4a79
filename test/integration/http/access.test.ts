import { connect } from 'node:net'
import * as assert from 'uvu/assert'
import { collectIds, openSse, type SseStream } from '../../support/clients/sse.ts'
import { bearer, guarded, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, getJson, type HttpResult, type Json, postJson, request, until } from '../../support/harness/wait.ts'
import { ROUTE_NAMES } from '../../support/repo/api-documents.ts'
import { addRejected, rejectedRows } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { startLocalGateway } from '../../support/servers/local-gateway.ts'
import { chat, chats, eventUrl, isError, metric } from '../../support/stages/rooms.ts'

const FRIEND = 'https://app.example'

/** Shared by both suites. */
let gateway: Gateway
let metricsPort: number
/** A token that can read `mine-1` and `mine-2` only. */
let reader: Record<string, string>
let everybody: Record<string, string>

const leaks = suite('an event that the token does not grant')

const publish = async (event: string, messages: Json): Promise<number[]> => {
  const answer = await postJson(`${eventUrl(gateway, event)}/messages`, messages, { headers: everybody })
  assert.is(answer.status, 201, answer.text)
  return [answer.body.data].flat().map(({ db_id }: Json) => db_id)
}

const get = (path: string, headers = reader): Promise<HttpResult> => getJson(gateway.url + path, { headers })

const open = (path: string, headers: Record<string, string> = {}): Promise<SseStream> =>
  openSse(gateway.url + path, { headers: { ...reader, ...headers } })

leaks.before(async () => {
  metricsPort = await freePort()
  const env = { CORS_ORIGINS: `https://first.example,${FRIEND}`, METRICS_PORT: String(metricsPort) }
  gateway = await startGateway({ env: guarded(env) })
  reader = bearer(await sign({ events: ['mine-1', 'mine-2', 'mine-empty'] }))
  everybody = bearer(await sign({ events: '*', scope: 'publish' }))
  await publish('foreign', chats(5))
  await publish('mine-1', chats(3))
  await publish('foreign', chats(5))
  await publish('mine-2', chats(2))
  await publish('foreign', chats(20))
})
/** Returns the parts of a response that do not differ from call to call. */
const shape = ({ status, headers, text }: HttpResult): unknown => {
  const { 'x-request-id': _id, date: _date, ...rest } = headers
  return [status, rest, text]
}

leaks('looks the same whether it exists or not, in status, headers and body', async () => {
  for (const path of ['/messages', '/messages?before=5&limit=1', '/stream', '/stream?tail=5&message_type=x']) {
    const known = await get(`/api/events/foreign${path}`)
    const unknown = await get(`/api/events/unknown${path}`)
    isError(known, 403, 'event_forbidden')
    assert.equal(shape(known), shape(unknown), path)
  }
  const streams = ['foreign', 'unknown'].map((event) => get(`/api/stream?event_id=mine-1&event_id=${event}`))
  const [known, unknown] = await Promise.all(streams)
  assert.equal(shape(known!), shape(unknown!))
  const posts = await Promise.all(
    ['foreign', 'unknown'].map((event) =>
      postJson(`${eventUrl(gateway, event)}/messages`, chat(1), { headers: bearer('') && reader }),
    ),
  )
  assert.equal(shape(posts[0]!), shape(posts[1]!))
  const head = (event: string) => request('HEAD', `${eventUrl(gateway, event)}/stream`, undefined, { headers: reader })
  assert.equal(shape(await head('foreign')), shape(await head('unknown')))
})

leaks('takes as long whether it exists or not', async () => {
  const times: Record<string, number[]> = { foreign: [], unknown: [] }
  for (let n = 0; n < 300; n++) {
    for (const event of n % 2 ? ['foreign', 'unknown'] : ['unknown', 'foreign']) {
      const from = performance.now()
      await get(`/api/events/${event}/messages`)
      times[event]!.push(performance.now() - from)
    }
  }
  const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!
  const [known, unknown] = [median(times.foreign!), median(times.unknown!)]
  // The store is not read, so any difference is noise; a read would show on one side only.
  assert.ok(Math.abs(known - unknown) < 0.4 * Math.max(known, unknown), `${known} ms, ${unknown} ms`)
})

leaks('is not in the list, nor counted, nor paged over', async () => {
  const { body } = await get('/api/events')
  assert.equal(
    body.data.map(({ event_id }: Json) => event_id),
    ['mine-2', 'mine-1'],
  )
  assert.is(body.has_more, false)
  const first = (await get('/api/events?limit=1')).body
  assert.equal([first.data[0].event_id, first.has_more], ['mine-2', true])
  const second = (await get(`/api/events?limit=1&before=${first.data[0].last_db_id}`)).body
  assert.equal([second.data[0].event_id, second.has_more], ['mine-1', false])
  assert.equal((await get('/api/events', bearer(await sign({ events: ['foreign-2'] })))).body.data, [])
})

leaks('is not on a stream of all events, nor in its bounds', async () => {
  const stream = await open('/api/stream?event_id=*')
  const hello = (await stream.next('hello')).data
  await stream.next('caught_up')
  const mine = collectIds(stream)
  assert.is(mine.length, 5)
  assert.equal([hello.first_db_id, hello.last_db_id], [mine[0], mine.at(-1)])
  const seen = stream.events.length
  await publish('foreign', chats(3))
  const [next] = await publish('mine-1', chat(9))
  assert.is((await stream.next('new_message')).data.db_id, next)
  assert.is(stream.events.filter(({ event }) => event === 'new_message').length, 6)
  assert.ok(stream.events.length >= seen)
  assert.not.match(stream.raw().toString(), 'foreign')
  stream.close()
})

leaks('a token without events gets an empty list and a stream without messages', async () => {
  const nothing = bearer(await sign({ events: [] }))
  assert.equal((await get('/api/events', nothing)).body.data, [])
  for (const query of ['', '&tail=10', '&last_message_db_id=latest', '&message_type=a&message_from=b']) {
    const stream = await openSse(`${gateway.url}/api/stream?event_id=*${query}`, { headers: nothing })
    const hello = (await stream.next('hello')).data
    assert.equal([stream.status, hello.cursor, hello.first_db_id, hello.last_db_id], [200, 0, 0, 0], query)
    assert.equal((await stream.next('caught_up')).data, { last_message_db_id: 0 })
    await publish('foreign', chat(1))
    await publish('mine-1', chat(1))
    assert.equal(collectIds(stream), [])
    stream.close()
  }
})

leaks(
  'a cursor is validated against readable events only, so that it cannot probe for the end of the store',
  async () => {
    const ids = (await publish('mine-2', chats(2))).concat(await publish('foreign', chats(10)))
    const own = ids[1]!
    const head = ids.at(-1)!
    const verdictOf = async (cursor: number): Promise<string> => {
      const stream = await open('/api/stream?event_id=*', { 'last-event-id': String(cursor) })
      await stream.next('caught_up')
      const reset = stream.events.find(({ event }) => event === 'reset')
      stream.close()
      return reset === undefined ? 'honoured' : reset.data.reason
    }
    assert.is(await verdictOf(own), 'honoured')
    const beyond = await Promise.all([own + 1, head - 1, head, head + 1, head + 1_000].map(verdictOf))
    assert.equal([...new Set(beyond)], ['cursor_ahead'], 'the same before and behind the end of the log')
    const rest = await Promise.all(
      [own + 1, head, head + 1].map((cursor) => get(`/api/events/mine-1/messages?last_message_db_id=${cursor}`)),
    )
    assert.equal(new Set(rest.map(({ body }) => JSON.stringify([body.reset, body.last_message_db_id]))).size, 1)
    // A cursor of another readable event is valid, and a token for all events may learn the end.
    assert.is((await get(`/api/events/mine-1/messages?last_message_db_id=${own}`)).body.reset, undefined)
    const all = bearer(await sign({ events: '*' }))
    assert.is((await get(`/api/events/mine-1/messages?last_message_db_id=${head}`, all)).body.reset, undefined)
  },
)

leaks('does not affect the cursors that a subscriber receives', async () => {
  const before = (await get('/api/events/mine-1/messages')).body
  await publish('foreign', chats(5))
  const after = (await get(`/api/events/mine-1/messages?last_message_db_id=${before.last_message_db_id}`)).body
  assert.is(after.last_message_db_id, before.last_message_db_id)
  const latest = (await get('/api/events/mine-empty/messages?last_message_db_id=latest')).body
  assert.equal([latest.last_message_db_id, latest.data], [0, []])
  const stream = await open('/api/events/mine-1/stream?last_message_db_id=latest')
  assert.is((await stream.next('hello')).data.cursor, before.last_message_db_id)
  assert.is((await stream.next('caught_up')).data.last_message_db_id, before.last_message_db_id)
  stream.close()
})

leaks('is in no health response, and metrics are for operators only', async () => {
  isError(await get('/metrics'), 403, 'scope_missing')
  const ready = await get('/readyz')
  assert.equal(ready.body.data, { ready: true, mode: 'embedded' })
  const admin = bearer(await sign({ scope: 'admin' }))
  assert.ok((await get('/readyz', admin)).body.data.version)
  const figures = (await get('/metrics', admin)).text
  assert.match(figures, 'gateway_messages_stored_total')
  assert.not.match(figures, /foreign|mine|tester/)
  assert.match(figures, /gateway_http_requests_denied_total\{code="event_forbidden"\} [1-9]/)
})

for (const WORKERS of ['1', '2']) {
  const add = WORKERS === '1' ? leaks : leaks.full
  add(`/metrics on a port of its own asks for no token, and serves nothing else: ${WORKERS} worker(s)`, async () => {
    const port = WORKERS === '1' ? metricsPort : await freePort()
    const own =
      WORKERS === '1' ? gateway : await startGateway({ env: guarded({ METRICS_PORT: String(port), WORKERS }) })
    const figures = { url: `http://127.0.0.1:${port}` }
    await until(async () => (await metric(figures, 'gateway_subscribers')) === 0, { what: 'no readers' })
    for (const path of ['/', '/api/events', '/readyz', '/metricsx']) {
      isError(await getJson(figures.url + path), 404, 'not_found')
    }
    assert.is((await request('POST', `${figures.url}/metrics`, '')).status, 404)
    isError(await getJson(`${own.url}/metrics`), 401, 'token_missing')
    if (own !== gateway) await own.dispose()
  })
}

const STRANGERS = [
  'https://evil.example',
  'https://app.example.evil.example',
  'http://app.example',
  'https://app.example:444',
  'null',
  'https://APP.example',
  '*',
]

let cookie: string
let token: string

const origin = suite('pages of other sites')

origin.before(async () => {
  token = await sign({ events: '*', scope: 'publish admin' })
  cookie = `access_token=${token}`
})
origin.after(() => gateway?.dispose())

const post = (headers: Record<string, string>): Promise<HttpResult> =>
  postJson(`${eventUrl(gateway, 'room')}/messages`, chat(1), { headers })

const own = (): string => gateway.url

origin('cannot change anything with a visitor’s cookie', async () => {
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

/** Every state-changing call. */
const CHANGES = ROUTE_NAMES.filter((route) => !route.startsWith('GET '))

origin(
  'are refused every call that changes something, whatever its body and type, before anything is looked at',
  async () => {
    assert.ok(CHANGES.length >= 6 && CHANGES.some((route) => route.includes('rejected')), CHANGES.join())
    const open = await startGateway()
    const [kept] = addRejected(open.dbFile, [{ body: '{"event_id":"room","message_id":"replayed"}' }])
    const foreign: Record<string, string>[] = [
      { origin: 'https://evil.example' },
      // A form submission of another page.
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
        // Without authentication a page needs no cookie.
        isError(await request(method, open.url + url, '', { headers }), 403, 'origin_forbidden')
      }
    }
    assert.is(rejectedRows(open.dbFile).length, 1)
    await open.dispose()
  },
)

origin('cannot open a stream with a visitor’s cookie', async () => {
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

/** Sends a head as it is, and returns what comes back, in lower case except the first line. */
const rawRequest = async (path: string, fields: string, url = gateway.url, method = 'GET'): Promise<string> => {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write(`${method} ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n${fields}\r\nConnection: close\r\n\r\n`)
  const answer = (await socket.setEncoding('latin1').toArray()).join('')
  return answer.replace(/(?<=\r\n)[\w-]+(?=: )/g, (name) => name.toLowerCase())
}

const corsHeaders = ({ headers }: { headers: Record<string, unknown> }): Record<string, unknown> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('access-control-')))

origin('receive exactly the configured origin in CORS headers, errors and streams included', async () => {
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
  const long = `/api/events?x=${'x'.repeat(9_000)}`
  for (const path of ['/api/events/%ff/messages', '/api/events#x', long, '/api/stream', '/api/stream?event_id=%00']) {
    const answer = await rawRequest(path, `Origin: ${FRIEND}`)
    assert.match(answer, /^HTTP\/1\.1 4\d\d /, path)
    assert.match(answer, `\r\naccess-control-allow-origin: ${FRIEND}\r\n`, answer)
  }
  // Node's parser refuses these.
  for (const fields of [`X: ${'x'.repeat(20_000)}\r\nOrigin: ${FRIEND}`, `Origin: ${FRIEND}\r\nContent-Length: x`]) {
    const answer = await rawRequest('/api/events', fields)
    assert.match(answer, /^HTTP\/1\.1 4(00|31) /)
    assert.match(answer, `\r\naccess-control-allow-origin: ${FRIEND}\r\n`, answer)
    assert.not.match(await rawRequest('/api/events', fields.replace(FRIEND, 'https://evil.example')), 'access-control')
  }
  for (const stranger of STRANGERS) {
    const headers = { ...auth, origin: stranger }
    assert.equal(corsHeaders(await getJson(`${gateway.url}/api/events`, { headers })), {}, stranger)
    const stream = await openSse(`${eventUrl(gateway, 'room')}/stream`, { headers })
    assert.equal(corsHeaders(stream), {}, stranger)
    stream.close()
  }
})

origin('can read that their request took too long', async () => {
  const own = await startLocalGateway({
    HEADERS_TIMEOUT_SECONDS: '1',
    REQUEST_TIMEOUT_SECONDS: '1',
    CORS_ORIGINS: FRIEND,
  })
  try {
    const fields = `Content-Type: application/json\r\nContent-Length: 9\r\nOrigin: ${FRIEND}`
    const answer = await rawRequest('/api/events/room/messages', fields, own.url, 'POST')
    assert.match(answer, /^HTTP\/1\.1 408 /)
    assert.match(answer, `\r\naccess-control-allow-origin: ${FRIEND}\r\n`, answer)
  } finally {
    await own.stop()
  }
})

origin('can send preflight requests if they are configured', async () => {
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
  const allowed = String(friend.headers['access-control-allow-headers'])
  assert.match(allowed, /Authorization.*Last-Event-ID/)
  assert.match(allowed, /Traceparent,Tracestate,X-Requested-With/)
  assert.match(String(friend.headers['access-control-allow-methods']), /POST/)
  for (const stranger of STRANGERS) assert.equal(corsHeaders(await preflight(stranger)), {}, stranger)
})

origin('gain nothing from a forged Host header', async () => {
  const headers = { cookie, origin: 'https://evil.example', 'x-forwarded-host': 'evil.example' }
  isError(await post(headers), 403, 'origin_forbidden')
})

leaks.run()
origin.run()
