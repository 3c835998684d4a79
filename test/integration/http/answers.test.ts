import * as assert from 'uvu/assert'
import { openSse } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, request, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, isError, metric, parseMetrics, publish } from '../../support/stages/rooms.ts'

let gateway: Gateway

const answers = suite('HTTP answers')

answers.before(async () => {
  gateway = await startGateway()
  await publish(gateway, 'room', chat(1))
})
answers.after(() => gateway.dispose())

answers('gives every answer a request id of its own, errors included', async () => {
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

answers('says 404 as JSON where there is nothing', async () => {
  const paths = ['/nope', '/api', '/api/events/room', '/api/events/room/nope', '/events', '/page.ts']
  for (const path of [...paths, '/../package.json', '/..%2fpackage.json', '/src/cli.ts', '/events/a/b']) {
    isError(await getJson(gateway.url + path), 404, 'not_found')
  }
})

answers('says 405 with the methods that a path takes', async () => {
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

answers('is alive and ready, and says in which mode', async () => {
  const live = await getJson(`${gateway.url}/livez`)
  assert.equal([live.status, live.body], [200, { status: 'success', data: { live: true } }])
  const ready = await getJson(`${gateway.url}/readyz`)
  assert.is(ready.status, 200)
  assert.equal([ready.body.data.ready, ready.body.data.mode], [true, 'embedded'])
  assert.match(ready.body.data.version, /^\d+\.\d+\.\d+/)
})

answers('gives figures that a Prometheus can read', async () => {
  const { status, headers, text } = await getJson(`${gateway.url}/metrics`)
  assert.is(status, 200)
  assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/)
  const samples = parseMetrics(text)
  assert.is(samples.get('gateway_messages_stored_total'), 1)
  assert.is(samples.get('gateway_commit_seconds_bucket{le="+Inf"}'), samples.get('gateway_commit_seconds_count'))
  for (const name of [...samples.keys()].map((sample) => sample.replace(/\{.*|_(bucket|sum|count)$/g, ''))) {
    assert.match(text, new RegExp(`^# HELP ${name.replace(/_(bucket|sum|count)$/, '')} \\S`, 'm'))
  }
})

answers('counts its readers while they are there', async () => {
  const stream = await openSse(`${gateway.url}/api/events/room/stream`)
  await stream.next('hello')
  assert.is(await metric(gateway, 'gateway_readers'), 1)
  assert.is(await metric(gateway, 'gateway_channels'), 1)
  stream.close()
  await until(async () => (await metric(gateway, 'gateway_readers')) === 0, { what: 'no readers' })
  assert.is(await metric(gateway, 'gateway_channels'), 0)
})

answers('shows nothing of its inside in an error', async () => {
  for (const path of ['/nope', '/%ff', '/api/events?limit=x', '/api/stream']) {
    const { text } = await getJson(gateway.url + path)
    assert.not.match(text, /\.ts\b|node_modules|at .+:\d+:\d+|stack/)
  }
})

answers.run()
