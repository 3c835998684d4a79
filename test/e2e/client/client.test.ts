// needs: chromium
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Browser, BrowserContextOptions } from 'playwright-core'
import * as assert from 'uvu/assert'
import { buildWeb } from '../../../build/web.ts'
import type { Channel, ChannelOptions } from '../../../src/web/client/index.ts'
import { launchChromium, launchDrowsyChromium } from '../../support/clients/browser.ts'
import { bearer, guarded, now, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, postJson, until } from '../../support/harness/wait.ts'
import { type Env, type Gateway, ROOT, startGateway } from '../../support/servers/gateway.ts'
import { startProxy } from '../../support/servers/proxy.ts'
import { closeTabs, Tab } from '../../support/stages/client-pages.ts'
import { chat, chats, metric, newRoom, publish, restIds } from '../../support/stages/rooms.ts'

const MOST_BYTES = 5_000

let browser: Browser
const gateways: Gateway[] = []
const tabs: Tab[] = []
/** The gateway of the tests that leave nothing behind but their events. */
let shared: Gateway

/** A gateway of the test's own. */
const gateway = async (env: Env = {}): Promise<Gateway> => {
  const started = await startGateway({ env: { HEARTBEAT_SECONDS: '1', ...env } })
  gateways.push(started)
  return started
}

const tab = async (url: string, options: BrowserContextOptions = {}): Promise<Tab> => {
  const opened = await Tab.open(await browser.newContext(options), url)
  tabs.push(opened)
  return opened
}

const streamOf = (event_id: string): string => `/api/events/${event_id}/stream`

const client = suite('the browser client')

client.before(async () => {
  ;[browser, shared] = await Promise.all([launchChromium(), startGateway({ env: { HEARTBEAT_SECONDS: '1' } })])
})
client.before.each(async () => {
  if (!shared.running) await shared.restart()
  await until(async () => (await metric(shared, 'gateway_subscribers')) === 0, { what: 'no stream of an earlier test' })
})
client.after.each(async () => {
  await closeTabs(browser, tabs)
  for (const one of gateways.splice(0)) await one.dispose()
})
client.after(async () => {
  await browser?.close()
  await shared?.dispose()
})

client(`has less than ${MOST_BYTES} bytes, gzipped`, async () => {
  await buildWeb()
  const { length } = gzipSync(readFileSync(join(ROOT, 'dist/web/client.js')), { level: 9 })
  assert.ok(length < MOST_BYTES, `${length} bytes`)
})

client('can be imported under the name of the package', async () => {
  // Its declarations are built for the package only, so the compiler must not search for them here.
  const name: string = 'deepsoc-gateway/client'
  const { openChannel } = await import(name)
  const open: (target: string, options: ChannelOptions) => Channel = openChannel
  assert.type(open, 'function')
})

client('delivers the history, then live messages, with every digit', async () => {
  const it = shared
  const event_id = newRoom()
  const ids = await publish(it, event_id, chats(700))
  const page = await tab(it.url)
  await page.follow(streamOf(event_id))
  await page.is('live')
  ids.push(...(await publish(it, event_id, '{"message_content":{"playbook_id":12302548181076029}}')))
  await page.gets(ids)
  const { states, texts } = await page.trial
  assert.equal(
    states.map(([state]) => state),
    ['connecting', 'catching_up', 'live'],
  )
  assert.match(texts.at(-1)!, '"playbook_id":12302548181076029')
  const status = await page.status
  assert.is(status.cursor, ids.at(-1))
  assert.is(status.hello?.last_db_id, ids.at(-2))
  await until(async () => (await page.status).heartbeatAt !== null, { what: 'a heartbeat' })
})

client('follows several events on one stream', async () => {
  const it = shared
  const [a, b] = [newRoom(), newRoom('房间 &')]
  const page = await tab(it.url)
  await page.follow([a, b])
  await page.is('live')
  const ids = [
    ...(await publish(it, a, chat(1))),
    ...(await publish(it, b, chat(2))),
    ...(await publish(it, a, chat(3))),
  ]
  await publish(it, newRoom(), chat(4))
  await page.gets(ids)
  assert.is(await metric(it, 'gateway_subscribers'), 1)
})

client('loses and duplicates nothing when the gateway is killed and restarted', async () => {
  const it = shared
  const event_id = newRoom()
  const page = await tab(it.url)
  await page.follow(streamOf(event_id))
  await page.is('live')
  for (let round = 0; round < 2; round++) {
    await publish(it, event_id, chats(30))
    await it.kill9()
    const { reason, retryAt } = await page.is('waiting')
    assert.ok(['connection_lost', 'unreachable'].includes(reason!.code), reason!.code)
    assert.ok(retryAt! > Date.now() - 1_000, String(retryAt))
    await it.restart()
    await publish(it, event_id, chats(30))
    await page.is('live')
  }
  await page.gets(await restIds(it, event_id))
  assert.equal((await page.trial).resets, [])
})

client('detects a silent connection, and resumes after its last id', async () => {
  const it = shared
  const line = await startProxy(Number(new URL(it.url).port))
  try {
    const event_id = newRoom()
    const ids = await publish(it, event_id, chats(3))
    const page = await tab(`http://127.0.0.1:${line.port}`)
    await page.follow(streamOf(event_id))
    // Two shortest intervals and a second; the unlearned timeout is 31 s, and an interval may be a millisecond short.
    await until(async () => (await page.status).idleTimeoutMs <= 3_000, { what: 'the learned timeout' })
    line.freeze()
    ids.push(...(await publish(it, event_id, chats(3))))
    await page.is('waiting', 'heartbeat_timeout')
    line.thaw()
    await page.is('live')
    await page.gets(ids)
  } finally {
    await line.close()
  }
})

client.full('after a sleep, a working connection is kept and a dead one replaced', async () => {
  const it = shared
  const line = await startProxy(Number(new URL(it.url).port))
  try {
    const event_id = newRoom()
    const page = await tab(`http://127.0.0.1:${line.port}`)
    await page.follow(streamOf(event_id))
    await page.is('live')
    const sleep = (): Promise<void> =>
      page.page.evaluate(() => {
        const { now } = Date
        const ahead = now() + 3_600_000 - performance.now()
        Date.now = () => ahead + performance.now()
      })
    await until(async () => (await page.status).connection === 'leading', { what: 'the lead' })
    const { states } = await page.trial
    await sleep()
    const ids = await publish(it, event_id, chats(2))
    const { lastEventAt } = await page.status
    await until(async () => (await page.status).lastEventAt! > lastEventAt! + 5_000, {
      what: 'five seconds of heartbeats',
    })
    assert.equal((await page.trial).states, states)
    line.freeze()
    await sleep()
    await page.is('waiting', 'heartbeat_timeout')
    line.reset()
    line.thaw()
    ids.push(...(await publish(it, event_id, chats(2))))
    await page.gets(ids)
  } finally {
    await line.close()
  }
})

client.full('allows the browser to freeze its tab, and continues when it wakes', async () => {
  const it = shared
  const event_id = newRoom()
  const drowsy = await launchDrowsyChromium()
  try {
    const page = await Tab.open(drowsy.context, it.url)
    await page.follow(streamOf(event_id))
    await page.is('live')
    await page.freeze(true)
    const ids = await publish(it, event_id, chats(5))
    await page.freeze(false)
    await page.gets(ids)
    // The browser closes a connection of the page only when it wakes.
    await until(async () => (await metric(it, 'gateway_subscribers')) === 1, { what: 'the end of its old stream' })
    assert.ok((await page.trial).states.some(([state, code]) => state === 'waiting' && code === 'tab_frozen'))
    assert.equal(page.faults, [])
  } finally {
    await drowsy.close()
  }
})

client('reports that the browser is offline, and reconnects with the network', async () => {
  const it = shared
  const event_id = newRoom()
  const page = await tab(it.url)
  await page.follow(streamOf(event_id))
  await page.is('live')
  await page.page.context().setOffline(true)
  await it.kill9()
  await page.is('waiting', 'offline')
  await it.restart()
  const ids = await publish(it, event_id, chats(2))
  await page.page.context().setOffline(false)
  await page.gets(ids)
  await page.is('live')
})

client('resets when the database was replaced, or ends before its cursor', async () => {
  const it = await gateway()
  await publish(it, 'room', chats(5))
  const page = await tab(it.url)
  await page.follow(streamOf('room'))
  await page.is('live')
  await it.restart({ HEARTBEAT_SECONDS: '1', DATABASE_URL: `sqlite:${it.dataDir}/another.db` })
  const ids = await publish(it, 'room', chats(20))
  await until(async () => (await page.trial).resets.length === 1, { what: 'a reset' })
  await page.gets(ids)
  assert.is((await page.trial).resets[0].reason, 'log_changed')
  const ahead = await tab(it.url)
  await ahead.follow(streamOf('room'), { lastMessageDbId: 4_711 })
  await ahead.is('live')
  await ahead.gets(ids)
  assert.equal(
    (await ahead.trial).resets.map(({ reason, first_db_id }) => [reason, first_db_id]),
    [['cursor_ahead', 1]],
  )
  assert.is((await ahead.status).reset?.reason, 'cursor_ahead')
})

client.full('waits if the gateway has no free slot, and reports it', async () => {
  const it = await gateway({ MAX_STREAMS: '1' })
  const event_id = newRoom()
  const [first, second] = [await tab(it.url), await tab(it.url)]
  await first.follow(streamOf(event_id))
  await first.is('live')
  await second.follow(streamOf(event_id))
  const { reason, retryAt } = await second.is('waiting', 'overloaded')
  assert.is(reason?.status, 503)
  assert.type(reason?.hint, 'string')
  assert.ok(retryAt! - Date.now() > 4_000, 'Retry-After is 5 seconds at least')
  await first.page.close()
  await until(async () => (await metric(it, 'gateway_subscribers')) === 0, { what: 'a free place' })
  await second.retry()
  await second.is('live')
})

client('gets a ticket for each connection, and a new token when the old one has expired', async () => {
  const it = await gateway(guarded())
  const publisher = await sign({ events: ['room'], scope: 'publish' })
  const page = await tab(it.url)
  const urls: string[] = []
  page.page.on('request', (request) => urls.push(request.url()))
  let tokens = 0
  await page.page.exposeFunction('freshToken', () => {
    tokens++
    return sign({ events: ['room'], exp: now() + (tokens === 1 ? 3 : 600) })
  })
  await page.follow(streamOf('room'), { token: true })
  await page.is('live')
  await until(async () => (await page.trial).states.some(([, code]) => code === 'token_expired'), {
    what: 'the expiry',
  })
  await page.is('live')
  assert.is(tokens, 2)
  // A broken connection cannot be resumed with the ticket that opened it.
  await it.kill9()
  await page.is('waiting')
  await it.restart()
  const answer = await postJson(`${it.url}/api/events/room/messages`, chats(3), { headers: bearer(publisher) })
  await page.is('live')
  await page.gets(answer.body.data.map(({ db_id }: { db_id: number }) => db_id))
  const tickets = urls.map((url) => new URL(url).searchParams.get('ticket')).filter(Boolean)
  assert.is(new Set(tickets).size, tickets.length)
  assert.not.ok(urls.some((url) => url.includes('eyJ')))
})

client.full('needs no ticket if a cookie has the token, and reports why an event is not opened', async () => {
  const it = await gateway(guarded())
  const page = await tab(it.url)
  await page.follow(streamOf('room'))
  const { reason } = await page.is('closed', 'token_missing')
  assert.is(reason?.status, 401)
  const value = await sign({ events: ['room'] })
  await page.page.context().addCookies([{ name: 'access_token', value, url: it.url }])
  await page.retry()
  await page.is('live')
  const other = await tab(it.url)
  await other.page.context().addCookies([{ name: 'access_token', value, url: it.url }])
  await other.follow(streamOf('secret'))
  assert.is((await other.is('closed', 'event_forbidden')).reason?.status, 403)
  // A URL with a ticket that is no longer valid.
  const { body } = await postJson(`${it.url}/api/stream-tickets`, '', { headers: bearer(value) })
  const stale = await getJson(`${it.url}/api/events/room/stream?ticket=none`)
  assert.is(stale.status, 401)
  await other.follow(`${streamOf('room')}?ticket=${body.data.ticket}`)
  await other.is('live')
  await it.restart({ HEARTBEAT_SECONDS: '1' })
  await until(async () => (await other.trial).states.filter(([state]) => state === 'live').length === 2, {
    what: 'a connection by another ticket',
  })
})

client.run()
