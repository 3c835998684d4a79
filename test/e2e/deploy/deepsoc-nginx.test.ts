// needs: nginx
import { createServer, request as httpRequest, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as assert from 'uvu/assert'
import { openSse } from '../../support/clients/sse.ts'
import { guarded, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, postJson } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { type Nginx, startDeepsocNginx } from '../../support/servers/nginx.ts'
import { newRoom } from '../../support/stages/rooms.ts'

const test = suite('nginx in front of DeepSOC and the gateway')

let gateway: Gateway
let deepsoc: Server
let nginx: Nginx
let headers: Record<string, string>

test.before(async () => {
  // Stands in for DeepSOC's web process: it responds with what nginx has sent to it, and accepts WebSockets.
  deepsoc = createServer(({ url, headers }, response) => response.end(JSON.stringify({ url, host: headers.host })))
  deepsoc.on('upgrade', (_request, socket) => {
    socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  })
  await new Promise<void>((resolve) => deepsoc.listen(0, '127.0.0.1', resolve))
  const env = {
    BASE_PATH: '/gateway',
    JWT_DEFAULT_EVENTS: '*',
    JWT_DEFAULT_SCOPE: 'chat',
    TRUSTED_PROXIES: '127.0.0.1',
  }
  gateway = await startGateway({ env: guarded(env) })
  nginx = await startDeepsocNginx({
    gateway: new URL(gateway.url).host,
    deepsoc: `127.0.0.1:${(deepsoc.address() as AddressInfo).port}`,
  })
  // The cookie that DeepSOC sets when its user signs in.
  headers = { cookie: `access_token=${await sign({ sub: 'ann' })}` }
})
test.after(async () => {
  await nginx?.dispose()
  await gateway?.dispose()
  deepsoc?.closeAllConnections()
  deepsoc?.close()
})

test('DeepSOC keeps its own paths, and its Socket.IO can use a WebSocket', async () => {
  const { host } = new URL(nginx.url)
  for (const path of ['/', '/health', '/warroom/e-1', '/api/event/list', '/api/events/e-1/stream', '/gateways']) {
    assert.equal((await getJson(nginx.url + path)).body, { url: path, host })
  }
  const upgrade = { connection: 'Upgrade', upgrade: 'websocket' }
  const status = await new Promise((resolve, reject) => {
    const request = httpRequest(`${nginx.url}/socket.io/?transport=websocket`, { headers: upgrade })
    request.once('upgrade', ({ statusCode }, socket) => {
      socket.destroy()
      resolve(statusCode)
    })
    request
      .once('response', ({ statusCode }) => resolve(statusCode))
      .once('error', reject)
      .end()
  })
  assert.is(status, 101)
})

test('the gateway is below its own path, for a page of the same origin', async () => {
  const below = `${nginx.url}/gateway`
  for (const path of ['/deepsoc.js', '/client.js']) {
    const { status, text } = await getJson(below + path)
    assert.is(status, 200)
    assert.ok(text.includes('EventSource') || text.includes('event-stream'), path)
  }
  assert.match((await getJson(`${below}/`)).text, '<script type="module" src="/gateway/page.js">')
  assert.is((await getJson(below)).status, 301)
  const metrics = await getJson(`${below}/metrics`)
  assert.is(metrics.status, 404)
  assert.match(metrics.text, 'nginx')
  assert.is((await getJson(`${below}/api/session`, { headers })).body.data.sub, 'ann')
  const room = newRoom()
  const stream = await openSse(`${below}/api/events/${room}/stream`, { headers })
  await stream.next('caught_up')
  const message = { message_type: 'user_message', message_content: { type: 'text', text: '1' } }
  // A browser names the origin of the page; a cookie from another origin is refused.
  const origin = { ...headers, origin: nginx.url }
  const url = `${below}/api/events/${room}/messages`
  const posted = await postJson(url, message, { headers: origin })
  assert.is(posted.status, 201, posted.text)
  assert.is((await stream.next('new_message')).data.message_from, 'ann')
  stream.close()
  assert.is((await getJson(url, { headers })).body.data.length, 1)
  assert.is((await getJson(`${below}/api/events`, { headers })).body.data[0].event_id, room)
})

test.run()
