// needs: nginx
// full
import * as assert from 'uvu/assert'
import { Reader } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, postJson, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { type Nginx, startEdgeNginx } from '../../support/servers/nginx.ts'
import { edgeIsLive, metric, newRoom } from '../../support/stages/rooms.ts'

const test = suite('two edges behind nginx')

let core: Gateway
let edges: Gateway[]
let nginx: Nginx

test.before(async () => {
  core = await startGateway()
  edges = []
  for (let n = 0; n < 2; n++) {
    edges.push(await startGateway({ env: { UPSTREAM_URL: core.url, TRUSTED_PROXIES: '127.0.0.1' } }))
  }
  for (const edge of edges) await edgeIsLive(edge)
  nginx = await startEdgeNginx(edges.map(({ url }) => new URL(url).host))
})
test.after(async () => {
  await nginx?.dispose()
  for (const gateway of [...(edges ?? []), core]) await gateway?.dispose()
})

test('while one edge after the other is killed or drained, a reader and a publisher through nginx lose nothing', async () => {
  const room = newRoom()
  const reader = new Reader(`${nginx.url}/api/events/${room}/stream`, { retryMs: 50, isPatient: true }).start()
  await reader.waitForConnections(1)
  const stored: number[] = []
  for (const end of [(edge: Gateway) => edge.kill9(), (edge: Gateway) => edge.term()]) {
    for (let round = 0; round < 2; round++) {
      await until(async () => (await Promise.all(edges.map((edge) => metric(edge, 'gateway_subscribers')))).includes(1))
      const serving = (await metric(edges[0]!, 'gateway_subscribers')) > 0 ? edges[0]! : edges[1]!
      await end(serving)
      for (let n = 0; n < 10; n++) {
        const message = { message_id: `m-${stored.length}`, message_content: n }
        let id = 0
        await until(
          async () => {
            const { status, text } = await postJson(`${nginx.url}/api/events/${room}/messages`, message)
            if (status !== 201 && status !== 200) return false
            id = JSON.parse(text).data.db_id
            return true
          },
          { what: message.message_id },
        )
        stored.push(id)
      }
      await reader.waitForId(stored.at(-1)!)
      await serving.restart()
      await edgeIsLive(serving)
    }
  }
  await reader.stop()
  assert.equal(reader.ids, stored)
  assert.equal(
    reader.control.filter(({ event }) => event === 'reset'),
    [],
  )
})

test('its metrics are not public, and its state is', async () => {
  assert.is((await getJson(`${nginx.url}/metrics`)).status, 404)
  const { body } = await getJson(`${nginx.url}/readyz`)
  assert.is(body.data.upstream.state, 'live')
})

test.run()
