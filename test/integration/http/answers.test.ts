// workers: 1; full: 1, 3
import { once } from 'node:events'
import { connect } from 'node:net'
import * as assert from 'uvu/assert'
import { openSse } from '../../support/clients/sse.ts'
import { within } from '../../support/harness/limits.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type Json, request, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, chats, isError, metric, parseMetrics, publish } from '../../support/stages/rooms.ts'

/** Shared by all suites. */
let gateway: Gateway

const list = suite('GET /api/events')

list.before(async () => {
  gateway = await startGateway()
})

list('is empty at first, and lists events by latest activity', async () => {
  const empty = await getJson(`${gateway.url}/api/events`)
  assert.equal([empty.status, empty.body.data, empty.body.has_more], [200, [], false])
  const a = await publish(gateway, 'a', chats(3))
  const b = await publish(gateway, 'b', chats(2))
  const names = async (): Promise<string[]> =>
    (await getJson(`${gateway.url}/api/events`)).body.data.map((event: Json) => event.event_id)
  assert.equal(await names(), ['b', 'a'])
  const [last] = await publish(gateway, 'a', chat(4))
  assert.equal(await names(), ['a', 'b'])
  const [first, second] = (await getJson(`${gateway.url}/api/events`)).body.data
  assert.equal([first.messages, first.last_db_id, second.messages, second.last_db_id], [4, last, 2, b[1]])
  const { data } = (await getJson(`${gateway.url}/api/events/a/messages`)).body
  assert.equal([first.first_at, first.last_at], [data[0].received_at, data[3].received_at])
  assert.is(data[0].db_id, a[0])
})

list('pages by limit and before, without gaps or duplicates', async () => {
  for (let n = 0; n < 11; n++) await publish(gateway, `page-${n}`, chat(n))
  const all = (await getJson(`${gateway.url}/api/events?limit=1000`)).body
  assert.is(all.has_more, false)
  assert.is(all.data.length, 13)
  for (const limit of [1, 4, 13]) {
    const seen: Json[] = []
    let more = true
    while (more) {
      const before = seen.length === 0 ? '' : `&before=${seen.at(-1).last_db_id}`
      const { body } = await getJson(`${gateway.url}/api/events?limit=${limit}${before}`)
      seen.push(...body.data)
      more = body.has_more
      assert.is(more, seen.length < all.data.length, `has_more behind ${seen.length}`)
    }
    assert.equal(seen, all.data, `limit ${limit}`)
  }
})

list('rejects malformed parameters, and reduces a limit above the maximum to it', async () => {
  for (const query of ['limit=0', 'limit=-1', 'limit=x', 'limit=', 'before=x', 'before=-1', 'limit=1&limit=1']) {
    isError(await getJson(`${gateway.url}/api/events?${query}`), 400, 'invalid_query')
  }
  assert.is((await getJson(`${gateway.url}/api/events?limit=1000000`)).status, 200)
})

const answers = suite('HTTP answers')

answers('sets a unique request id on every response, errors included', async () => {
  const seen = new Set<string>()
  for (const path of [
    '/',
    '/livez',
    '/api/events',
    '/api/events/room/messages',
    '/nope',
    '/api/events?limit=x',
    '/%',
  ]) {
    const { headers } = await getJson(gateway.url + path)
    assert.match(String(headers['x-request-id']), /^[0-9a-f-]{36}$/, path)
    assert.is(headers['x-content-type-options'], 'nosniff', path)
    seen.add(String(headers['x-request-id']))
  }
  assert.is(seen.size, 7)
})

answers('responds 404 in JSON for unknown paths', async () => {
  const paths = ['/nope', '/api', '/api/events/room', '/api/events/room/nope', '/events', '/page.ts']
  for (const path of [...paths, '/../package.json', '/..%2fpackage.json', '/src/cli.ts', '/events/a/b']) {
    isError(await getJson(gateway.url + path), 404, 'not_found')
  }
})

answers('responds 404 with the page to a browser that opens an unknown path', async () => {
  const headers = { accept: 'text/html,*/*;q=0.8' }
  for (const path of ['/nope', '/api/events/room', '/events/a/b']) {
    const { status, text } = await getJson(gateway.url + path, { headers })
    assert.is(status, 404, path)
    assert.match(text, 'src="/page.js"')
  }
})

answers('responds 405 with the allowed methods', async () => {
  const cases: [string, string, string[]][] = [
    ['POST', '/api/events', ['GET', 'HEAD']],
    ['DELETE', '/api/events/room/messages', ['GET', 'HEAD', 'POST']],
    ['PUT', '/api/events/room/messages', ['GET', 'HEAD', 'POST']],
    ['POST', '/api/events/room/stream', ['GET', 'HEAD']],
    ['PATCH', '/', ['GET', 'HEAD']],
    ['POST', '/metrics', ['GET', 'HEAD']],
  ]
  for (const [method, path, allowed] of cases) {
    const answer = await request(method, gateway.url + path, '')
    isError(answer, 405, 'method_not_allowed')
    assert.equal(String(answer.headers.allow).split(', ').sort(), allowed, `${method} ${path}`)
  }
})

answers('answers HEAD as GET, without a body', async () => {
  for (const path of ['/', '/page.js', '/livez', '/readyz', '/metrics', '/api/events', '/api/events/room/messages']) {
    const head = await request('HEAD', gateway.url + path)
    const get = await getJson(gateway.url + path)
    assert.is(head.status, 200, path)
    assert.is(head.text, '')
    assert.is(head.headers['content-type'], get.headers['content-type'])
    if (path !== '/metrics') assert.is(head.headers['content-length'], get.headers['content-length'], path)
  }
  const missing = await request('HEAD', `${gateway.url}/nope`)
  assert.equal([missing.status, missing.text], [404, ''])
  assert.is((await request('HEAD', `${gateway.url}/api/events?limit=x`)).status, 400)
})

answers('serves the page under a policy that lets no foreign script run', async () => {
  for (const path of ['/', '/events/room', '/events/a%2Fb.c', '/page.js', '/page.css']) {
    const { status, headers, text } = await getJson(gateway.url + path)
    assert.is(status, 200, path)
    const policy = String(headers['content-security-policy'])
    for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]) {
      assert.ok(policy.split('; ').includes(rule), `${rule} in ${policy}`)
    }
    assert.not.match(policy, /unsafe|\*/)
    assert.ok(text.length > 100)
  }
  const { text } = await getJson(`${gateway.url}/`)
  assert.not.match(text, /<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=/i)
})

answers('is live and ready, and reports its mode', async () => {
  const live = await getJson(`${gateway.url}/livez`)
  assert.equal([live.status, live.body], [200, { status: 'success', data: { live: true } }])
  const ready = await getJson(`${gateway.url}/readyz`)
  assert.is(ready.status, 200)
  assert.equal([ready.body.data.ready, ready.body.data.mode], [true, 'embedded'])
  assert.match(ready.body.data.version, /^\d+\.\d+\.\d+/)
})

answers('serves metrics in Prometheus format', async () => {
  const stored = await metric(gateway, 'gateway_messages_stored_total')
  await publish(gateway, 'room', chat(1))
  const { status, headers, text } = await getJson(`${gateway.url}/metrics`)
  assert.is(status, 200)
  assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/)
  const samples = parseMetrics(text)
  assert.is(samples.get('gateway_messages_stored_total'), stored + 1)
  assert.is(
    samples.get('gateway_commit_duration_seconds_bucket{le="+Inf"}'),
    samples.get('gateway_commit_duration_seconds_count'),
  )
  for (const name of [...samples.keys()].map((sample) => sample.replace(/\{.*|_(bucket|sum|count)$/g, ''))) {
    assert.match(text, new RegExp(`^# HELP ${name.replace(/_(bucket|sum|count)$/, '')} \\S`, 'm'))
  }
})

answers('counts its open subscribers', async () => {
  const stream = await openSse(`${gateway.url}/api/events/room/stream`)
  await stream.next('hello')
  assert.is(await metric(gateway, 'gateway_subscribers'), 1)
  assert.is(await metric(gateway, 'gateway_channels'), 1)
  stream.close()
  await until(async () => (await metric(gateway, 'gateway_subscribers')) === 0, { what: 'no readers' })
  assert.is(await metric(gateway, 'gateway_channels'), 0)
})

answers('reveals no internals in an error', async () => {
  for (const path of ['/nope', '/%ff', '/api/events?limit=x', '/api/stream']) {
    const { text } = await getJson(gateway.url + path)
    assert.not.match(text, /\.ts\b|node_modules|at .+:\d+:\d+|stack/)
  }
})

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

answers('without tokens is served to this machine only, whatever host name a foreign page uses', async () => {
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

const malformed = suite('HTTP that cannot be parsed')

malformed.after(() => gateway.dispose())

/** Sends raw bytes. @returns everything received until the gateway closes the connection */
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

malformed('a head that is too large is rejected in the format of every other error', async () => {
  const answer = await exchange(`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(20_000)}\r\n\r\n`)
  assert.match(answer, /^HTTP\/1\.1 431 /)
  assert.is(bodyOf(answer).code, 'headers_too_large')
  assert.type(bodyOf(answer).hint, 'string')
})

malformed('input that is not HTTP is rejected in the format of every other error', async () => {
  const answer = await exchange('\x16\x03\x01\x02\x00 hello\r\n\r\n')
  assert.match(answer, /^HTTP\/1\.1 400 /)
  assert.is(bodyOf(answer).code, 'malformed_request')
})

malformed('neither harms the gateway', async () => {
  assert.is((await getJson(`${gateway.url}/readyz`)).status, 200)
})

malformed('a request target that is not a path is rejected, whatever its meaning', async () => {
  for (const target of [
    '//a@b#e]',
    '//x?y=z@&m=#e]',
    '/a#b',
    'http://user@x/livez',
    'http:///livez',
    '/\xe9',
    '/a\\b#',
    '*',
  ]) {
    const answer = await exchange(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 400 /, target)
    assert.match(answer, /"code":"(invalid_path|malformed_request)"/, target)
  }
})

malformed('a target with a host is served like its path, by the rules for that host', async () => {
  const get = (target: string, rest = '') => exchange(`GET ${target} HTTP/1.1\r\n${rest}Connection: close\r\n\r\n`)
  for (const target of [
    'http://x/livez',
    'HTTP://127.0.0.1:1/livez?a=b',
    'https://x/readyz',
    'http://x',
    'http://x?a',
  ]) {
    assert.match(await get(target, 'Host: other.example\r\n'), /^HTTP\/1\.1 200 /, target)
  }
  const foreign = await get('http://evil.example/livez', 'Host: x\r\n')
  assert.match(foreign, /^HTTP\/1\.1 403 .*"code":"host_forbidden"/s)
  await publish(gateway, 'absolute', chat(1))
  const page = await get(`${gateway.url}/api/events/absolute/messages?limit=1`, 'Host: x\r\nExpect: nothing\r\n')
  assert.is(bodyOf(page).data.length, 1)
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
  socket.setEncoding('utf8').write(`GET ${gateway.url}/api/events/absolute/stream HTTP/1.1\r\nHost: x\r\n\r\n`)
  let answer = ''
  socket.on('data', (text: string) => (answer += text))
  await until(() => answer.includes('event: new_message'), { what: 'the message', saw: () => answer })
  socket.destroy()
})

malformed('several Host fields are rejected on every path', async () => {
  for (const path of ['/livez', '/', '/api/events', '/api/events/a/stream', '/nope', 'http://x/livez', '/metrics']) {
    const answer = await exchange(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nhOsT: localhost\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 400 /, path)
    assert.is(bodyOf(answer).code, 'malformed_request', path)
  }
})

malformed('localhost is this machine in every spelling', async () => {
  for (const host of ['LOCALHOST.', 'localhost.:8080', 'LocalHost:1']) {
    assert.is((await getJson(`${gateway.url}/api/events`, { headers: { host } })).status, 200, host)
  }
})

malformed('an idle connection is kept for longer than a proxy keeps its own, or as configured', async () => {
  const { headers } = await getJson(`${gateway.url}/livez`, { headers: { connection: 'keep-alive' } })
  assert.is(headers['keep-alive'], 'timeout=75')
  const short = await startGateway({ env: { KEEP_ALIVE_TIMEOUT_SECONDS: '1' } })
  const socket = connect(Number(new URL(short.url).port), '127.0.0.1')
  socket.setEncoding('utf8').write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
  let answer = ''
  socket.on('data', (text: string) => (answer += text))
  await within(once(socket, 'close'), 'the gateway to close an idle connection')
  assert.match(answer, /^HTTP\/1\.1 200 .*^Keep-Alive: timeout=1\r$/ms)
  await short.dispose()
})

list.run()
answers.run()
malformed.run()
