// full
import * as assert from 'uvu/assert'
import { openSse, type SseStream } from '../../support/clients/sse.ts'
import { provision } from '../../support/harness/provision.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, postJson } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { startNginx } from '../../support/servers/nginx.ts'
import { PROXIES, type RunningProxy, startProxy } from '../../support/servers/proxies.ts'
import { chat, eventUrl, isError, newRoom, publish } from '../../support/stages/rooms.ts'

const test = suite('the gateway behind')

let gateway: Gateway

test.before(async () => {
  // Only a message makes a stream move.
  const env = { AUTH: 'none', TRUSTED_PROXIES: '127.0.0.1', MAX_STREAMS_PER_ADDRESS: '1', HEARTBEAT_SECONDS: '3600' }
  gateway = await startGateway({ env })
})
test.after(() => gateway.dispose())

const STARTS = [
  {
    name: 'nginx',
    need: 'nginx' as const,
    start: (): Promise<RunningProxy> => {
      const { host } = new URL(gateway.url)
      return startNginx([host, host])
    },
  },
  ...PROXIES.map((recipe) => ({ ...recipe, start: () => startProxy(recipe, gateway.url) })),
]

const flushes = async ({ url }: RunningProxy): Promise<void> => {
  // A browser that accepts compression, and a first write that fills small buffers.
  const room = `${newRoom()}/1?c%d 事件`
  await publish(gateway, room, chat(0, { message_content: 'x'.repeat(2_000) }))
  const path = `/api/events/${encodeURIComponent(room)}/stream`
  const stream = await openSse(url + path, { headers: { 'accept-encoding': 'gzip, deflate, br' } })
  assert.is(stream.status, 200)
  assert.is(stream.headers['content-encoding'], undefined)
  await stream.next('caught_up')
  for (let n = 1; n <= 3; n++) {
    await publish(gateway, room, chat(n))
    assert.is((await stream.next('new_message')).data.event_id, room)
  }
  assert.equal(stream.parseErrors, [])
  stream.close()
}

const admitsOwnPage = async ({ url }: RunningProxy): Promise<void> => {
  const room = newRoom()
  const post = (headers: Record<string, string>) =>
    postJson(`${eventUrl({ url }, room)}/messages`, chat(1), { headers })
  assert.is((await post({ origin: url })).status, 201)
  const evil = { origin: 'http://evil.example' }
  for (const name of ['x-forwarded-host', 'forwarded']) {
    const claim = name === 'forwarded' ? 'for=203.0.113.9;host=evil.example' : 'evil.example'
    isError(await post({ ...evil, [name]: claim }), 403, 'origin_forbidden')
  }
}

/** The claimed address would be allowed one stream; the real one is this machine, which has no limit. */
const replacesAddress = async ({ url }: RunningProxy, claimed: string): Promise<void> => {
  const path = `/api/events/${newRoom()}/stream`
  const headers = { 'x-forwarded-for': claimed, forwarded: `for=${claimed}` }
  const streams: SseStream[] = []
  for (const base of [gateway.url, gateway.url, url, url]) streams.push(await openSse(base + path, { headers }))
  for (const stream of streams) stream.close()
  assert.equal(
    streams.map(({ status }) => status),
    [200, 429, 200, 200],
  )
}

for (const [index, { name, need, start }] of STARTS.entries()) {
  const missing = await provision(need).then(
    () => null,
    (error: Error) => error.message,
  )
  if (missing !== null) {
    test.skip(name, missing)
    continue
  }
  test(`${name} sends each event at once, to its own page, by its address, and no metrics`, async () => {
    const proxy = await start()
    try {
      await flushes(proxy)
      await admitsOwnPage(proxy)
      await replacesAddress(proxy, `203.0.113.${index}`)
      assert.ok([403, 404].includes((await getJson(`${proxy.url}/metrics`)).status))
      assert.is((await getJson(`${proxy.url}/readyz`)).status, 200)
    } finally {
      await proxy.dispose()
    }
  })
}

test.run()
