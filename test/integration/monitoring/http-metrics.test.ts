import net from 'node:net'
import * as assert from 'uvu/assert'
import { ROUTES } from '../../../src/http/app.ts'
import { openSse } from '../../support/clients/sse.ts'
import { bearer, guarded, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, getJson, postJson, request, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, getSampleValue, parseMetrics } from '../../support/stages/rooms.ts'

const http = suite('the metrics of HTTP requests')

const REQUESTS = 'gateway_http_requests_total'
const STREAM = '/api/events/:event_id/stream'
const MESSAGES = '/api/events/:event_id/messages'

const requestsOf = (route: string, method: string, status: number): string =>
  `${REQUESTS}{route="${route}",method="${method}",status="${status}"}`
const durationsOf = (route: string, method: string): string =>
  `gateway_http_request_duration_seconds_count{route="${route}",method="${method}"}`

const PREFLIGHT = { origin: 'https://page.example', 'access-control-request-method': 'GET' }

let gateway: Gateway
let port: number
let token: string

http.before(async () => {
  port = await freePort()
  gateway = await startGateway({ env: guarded({ METRICS_PORT: String(port), CORS_ORIGINS: 'https://page.example' }) })
  token = await sign({ sub: 'tester', events: '*', scope: 'read publish' })
})
http.after(async () => {
  await gateway?.dispose()
})

const samples = async (): Promise<Map<string, number>> =>
  parseMetrics((await getJson(`http://127.0.0.1:${port}/metrics`)).text)

/** Sends a raw request. @returns the response, once the server has closed the connection */
const raw = (text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(gateway.url)
    const socket = net.connect({ host: hostname, port: Number(port) }, () => socket.write(text))
    let answer = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk))
    socket.on('close', () => resolve(answer)).on('error', reject)
  })

/** Asserts that only this sample of the counter has increased, by one, and that its duration was observed. */
const counted = async (before: Map<string, number>, route: string, method: string, status: number): Promise<void> => {
  const rose = (now: Map<string, number>, name: string): number => (now.get(name) ?? 0) - (before.get(name) ?? 0)
  // The response can arrive before it is counted.
  const now = await until(
    async () => {
      const now = await samples()
      return rose(now, requestsOf(route, method, status)) > 0 ? now : null
    },
    { what: requestsOf(route, method, status) },
  )
  const grown = [...now.keys()].filter((name) => name.startsWith(REQUESTS) && rose(now, name) > 0)
  const scrape = requestsOf('/metrics', 'GET', 200)
  assert.equal(
    grown.filter((name) => name !== scrape),
    [requestsOf(route, method, status)],
  )
  assert.is(rose(now, requestsOf(route, method, status)), 1)
  assert.is(rose(now, durationsOf(route, method)), 1)
}

http('begin at 0 for each route and each of its successes', async () => {
  const now = await samples()
  for (const { path, method, responses } of ROUTES) {
    assert.ok(now.has(durationsOf(path, method)), `${method} ${path}`)
    for (const status of Object.keys(responses)) assert.ok(now.has(requestsOf(path, method, Number(status))), path)
  }
})

http('name the template of the route, the method and the status', async () => {
  const headers = bearer(token)
  const event = `${gateway.url}/api/events/incident%201`
  const cases: [() => Promise<unknown>, string, string, number][] = [
    [() => postJson(`${event}/messages`, chat(1), { headers }), MESSAGES, 'POST', 201],
    [() => getJson(`${event}/messages`, { headers }), MESSAGES, 'GET', 200],
    [() => getJson(`${event}/messages?limit=x`, { headers }), MESSAGES, 'GET', 400],
    [() => getJson(`${event}/messages`), MESSAGES, 'GET', 401],
    [() => request('HEAD', `${gateway.url}/livez`), '/livez', 'HEAD', 200],
    [() => request('DELETE', `${event}/messages`, undefined, { headers }), MESSAGES, 'DELETE', 405],
    [() => getJson(`${gateway.url}/api/events/a/b/c`), 'unmatched', 'GET', 404],
    [() => getJson(`${gateway.url}/api/health`), '/api/health', 'GET', 401],
    [() => getJson(`http://127.0.0.1:${port}/x`), 'unmatched', 'GET', 404],
    [() => request('OPTIONS', `${event}/messages`, undefined, { headers: PREFLIGHT }), MESSAGES, 'OPTIONS', 204],
    [() => raw('PROPFIND /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'), '/livez', 'other', 405],
    [() => getJson(`${gateway.url}/api/events/%ff/messages`, { headers }), MESSAGES, 'GET', 400],
  ]
  for (const [send, route, method, status] of cases) {
    const before = await samples()
    await send()
    await counted(before, route, method, status)
  }
})

http('count a stream when its header is sent, on each of its two ways, and a refused one once', async () => {
  const path = '/api/events/incident/stream'
  for (const headers of [bearer(token), { ...bearer(token), origin: 'https://page.example' }]) {
    const before = await samples()
    const stream = await openSse(gateway.url + path, { headers })
    await counted(before, STREAM, 'GET', 200)
    stream.close()
  }
  const before = await samples()
  assert.is((await getJson(gateway.url + path)).status, 401)
  await counted(before, STREAM, 'GET', 401)
  const next = await samples()
  const all = await openSse(`${gateway.url}/api/stream?event_id=a&event_id=b`, { headers: bearer(token) })
  await counted(next, '/api/stream', 'GET', 200)
  all.close()
})

http('have no label that a client has chosen', async () => {
  const before = await samples()
  const invalid = await raw('GET http://[:: HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n')
  assert.match(invalid, /^HTTP\/1\.1 400 .*"code":"invalid_path"/s)
  await counted(before, 'unmatched', 'GET', 400)
  await raw(`GET /secret-${'x'.repeat(9_000)} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`)
  const now = await samples()
  const routes = new Set([...now.keys()].flatMap((name) => /[{,]route="([^"]*)"/.exec(name)?.[1] ?? []))
  const known = new Set([...ROUTES.map(({ path }) => path), 'unmatched'])
  for (const route of routes) assert.ok(known.has(route), route)
})

http.full('of several workers are added up', async () => {
  const own = await startGateway({ env: { WORKERS: '2' } })
  const get = async (): Promise<Map<string, number>> => parseMetrics((await getJson(`${own.url}/metrics`)).text)
  await until(async () => getSampleValue(await get(), 'gateway_workers') === 2, { what: 'both workers' })
  const before = await get()
  for (let n = 0; n < 10; n++) await getJson(`${own.url}/api/events`, { headers: { connection: 'close' } })
  const stream = await openSse(`${own.url}/api/stream?event_id=*`)
  const rose = (now: Map<string, number>, name: string): number => now.get(name)! - before.get(name)!
  const now = await until(
    async () => {
      const now = await get()
      return rose(now, requestsOf('/api/stream', 'GET', 200)) === 1 ? now : null
    },
    { what: 'the stream' },
  )
  assert.is(rose(now, requestsOf('/api/events', 'GET', 200)), 10)
  assert.is(rose(now, durationsOf('/api/events', 'GET')), 10)
  stream.close()
  await own.dispose()
})

http.run()
