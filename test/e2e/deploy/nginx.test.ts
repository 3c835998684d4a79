// needs: nginx
import * as assert from 'uvu/assert'
import { IdReader } from '../../support/clients/load.ts'
import { openSse } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, postJson, tempDir, until } from '../../support/harness/wait.ts'
import { messageRows } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { type Nginx, startNginx } from '../../support/servers/nginx.ts'
import { chats, metric, newRoom, publish } from '../../support/stages/rooms.ts'

const test = suite('two gateways behind nginx')

/** Limits out of the way, so that only nginx could end or delay a stream. */
const HEARTBEAT = { HEARTBEAT_SECONDS: '3600' }

let gateways: Gateway[]
let nginx: Nginx

test.before.each(async () => {
  // Both share one store; each finds the other's messages by polling, at least once a second.
  const dataDir = tempDir('gateway-nginx-data-')
  const env = { TRUSTED_PROXIES: '127.0.0.1', MAX_STREAMS_PER_ADDRESS: '1', ...HEARTBEAT }
  gateways = []
  for (let n = 0; n < 2; n++) gateways.push(await startGateway({ dataDir, env }))
  nginx = await startNginx(gateways.map(({ url }) => new URL(url).host))
})
test.after.each(async () => {
  await nginx?.dispose()
  for (const gateway of gateways) await gateway.dispose()
})

/** The gateway that serves the streams through nginx, and the other one. */
const byReaders = async (): Promise<[Gateway, Gateway]> => {
  const [first, second] = gateways as [Gateway, Gateway]
  return (await metric(first, 'gateway_subscribers')) > 0 ? [first, second] : [second, first]
}

test('each event arrives as soon as it happens, whichever gateway took the message', async () => {
  const room = newRoom()
  const stream = await openSse(`${nginx.url}/api/events/${room}/stream`)
  await stream.next('caught_up')
  for (const [n, gateway] of [...gateways, ...gateways].entries()) {
    await publish(gateway, room, { message_content: n })
    const { data } = await stream.next('new_message')
    assert.is(data.message_content, n)
  }
  const several = await openSse(`${nginx.url}/api/stream?event_id=${room}&event_id=${newRoom()}`)
  await several.next('caught_up')
  await publish(gateways[0]!, room, { message_content: 'last' })
  await several.next((event) => event.data?.message_content === 'last')
  stream.close()
  several.close()
})

test.full('a long history passes completely, byte for byte', async () => {
  const room = newRoom()
  await publish(
    gateways[0]!,
    room,
    chats(200, (n) => ({ message_content: 'x'.repeat(20_000) + n })),
  )
  const read = async (url: string): Promise<string[]> => {
    const stream = await openSse(`${url}/api/events/${room}/stream`)
    await stream.next('caught_up')
    stream.close()
    return stream.events.filter(({ event }) => event === 'new_message').map(({ rawData }) => rawData)
  }
  const [direct, through] = [await read(gateways[1]!.url), await read(nginx.url)]
  assert.is(direct.length, 200)
  assert.equal(through, direct)
})

test('while one gateway after the other is drained, subscribers and publishers lose nothing', async () => {
  const room = newRoom()
  const reader = new IdReader({ url: nginx.url } as Gateway, room, { retryMs: 50 })
  reader.start()
  const sent: string[] = []
  let going = true
  const publishing = (async () => {
    for (let n = 0; going; n++) {
      const message = { message_id: `m-${n}`, message_content: n }
      // A keep-alive connection of nginx may end during a request, which is then retried with its id.
      await until(
        async () => [201, 200].includes((await postJson(`${nginx.url}/api/events/${room}/messages`, message)).status),
        {
          what: `message ${n}`,
        },
      )
      sent.push(message.message_id)
    }
  })()
  const more = async (count: number): Promise<void> => {
    const goal = sent.length + count
    await until(() => sent.length >= goal, { what: `${count} more messages` })
  }
  for (let round = 0; round < 2; round++) {
    await more(50)
    await until(async () => (await Promise.all(gateways.map((g) => metric(g, 'gateway_subscribers')))).includes(1), {
      what: 'the reader at one of them',
    })
    const [serving] = await byReaders()
    assert.is((await serving.term()).code, 0, serving.output())
    assert.not.match(serving.output(), 'shutdown deadline exceeded')
    await more(50)
    await serving.restart()
  }
  going = false
  await publishing
  await reader.waitForCount(sent.length)
  await reader.stop()
  assert.equal(reader.messageIds, sent)
  assert.equal(
    messageRows(gateways[0]!.dbFile, room).map(({ message_id }) => message_id),
    sent,
  )
  assert.ok((reader.counts.closing ?? 0) >= 2, 'each drain ended its stream with a word')
  assert.is(reader.counts.reset ?? 0, 0)
})

test('nginx replaces addresses claimed by clients, and only nginx is trusted', async () => {
  const spoofed = { headers: { 'X-Forwarded-For': '203.0.113.9' } }
  const url = `/api/events/${newRoom()}/stream`
  const open = [await openSse(gateways[0]!.url + url, spoofed)]
  const second = await openSse(gateways[0]!.url + url, spoofed)
  assert.is(second.status, 429, 'the header is what limits count by')
  for (let n = 0; n < 2; n++) open.push(await openSse(nginx.url + url, spoofed))
  assert.equal(
    open.map(({ status }) => status),
    [200, 200, 200],
    'through nginx they come from here, which is not counted',
  )
  for (const stream of [...open, second]) stream.close()
})

test('the metrics of one gateway are not public', async () => {
  assert.is((await getJson(`${nginx.url}/metrics`)).status, 404)
  assert.is((await getJson(`${nginx.url}/readyz`)).status, 200)
  assert.is((await getJson(`${nginx.url}/`)).status, 200)
})

test.run()
