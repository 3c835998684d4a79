// needs: chromium
import type { Browser, BrowserContext } from 'playwright-core'
import * as assert from 'uvu/assert'
import { launchChromium, launchDrowsyChromium } from '../../support/clients/browser.ts'
import { suite } from '../../support/harness/suite.ts'
import { until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { closeTabs, Tab } from '../../support/stages/client-pages.ts'
import { chats, metric, newRoom, publish, restIds } from '../../support/stages/rooms.ts'

let gateway: Gateway
let browser: Browser
let context: BrowserContext
let event_id: string
const tabs: Tab[] = []

/** Opens another tab that subscribes to the event of the test. */
const tab = async (options = {}, target: string | string[] = `/api/events/${event_id}/stream`): Promise<Tab> => {
  const opened = await Tab.open(context, gateway.url)
  tabs.push(opened)
  await opened.follow(target, options)
  await opened.is('live')
  return opened
}

const streams = (count: number): Promise<unknown> =>
  until(async () => (await metric(gateway, 'gateway_subscribers')) === count, {
    what: `${count} open streams`,
  })

const connectionOf = async (one: Tab): Promise<string> => (await one.status).connection

const leads = (one: Tab): Promise<unknown> =>
  until(async () => (await connectionOf(one)) === 'leading', { what: 'the lead' })

const follows = (one: Tab): Promise<unknown> =>
  until(async () => (await connectionOf(one)) === 'following', { what: 'a leader' })

/** Asserts that all tabs receive every message once and in order. */
const complete = async (...all: Tab[]): Promise<void> => {
  const ids = await restIds(gateway, event_id)
  for (const one of all) await one.gets(ids)
}

/** Publishes until it is stopped. */
const publishing = (): (() => Promise<void>) => {
  let on = true
  const done = (async () => {
    while (on) await publish(gateway, event_id, chats(3))
  })()
  return () => {
    on = false
    return done
  }
}

const sharing = suite('the tabs of a browser')

sharing.before(async () => {
  gateway = await startGateway({ env: { HEARTBEAT_SECONDS: '1' } })
  browser = await launchChromium()
})
sharing.before.each(async () => {
  context = await browser.newContext()
  event_id = newRoom()
})
sharing.after.each(async () => {
  await closeTabs(browser, tabs)
  await streams(0)
})
sharing.after(async () => {
  await browser?.close()
  await gateway?.dispose()
})

sharing('have one connection, whenever they are opened', async () => {
  await publish(gateway, event_id, chats(200))
  const first = await tab()
  const stop = publishing()
  const second = await tab()
  await follows(second)
  const third = await tab({ lastMessageDbId: 'latest' })
  await follows(third)
  await stop()
  await streams(1)
  assert.is(await connectionOf(first), 'leading')
  await publish(gateway, event_id, chats(5))
  await complete(first, second)
  const ids = await restIds(gateway, event_id)
  const some = await third.ids
  assert.ok(some.length >= 5)
  assert.equal(some, ids.slice(-some.length))
  await until(async () => (await second.status).heartbeatAt !== null, { what: 'a heartbeat passed on' })
})

sharing('have the connection taken over when the leading tab is closed', async () => {
  const [first, second, third] = [await tab(), await tab(), await tab()]
  await follows(second)
  await follows(third)
  const stop = publishing()
  await first.page.close()
  await leads(second)
  await second.is('live')
  await stop()
  await streams(1)
  await complete(second, third)
})

sharing('have it taken over when the leading tab crashes', async () => {
  const [first, second] = [await tab(), await tab()]
  await follows(second)
  const stop = publishing()
  const crash = first.page.waitForEvent('crash')
  first.cdp.send('Page.crash').catch(() => undefined)
  await crash
  await leads(second)
  await stop()
  await streams(1)
  await complete(second)
})

sharing.full('have it taken over when the browser puts the leading tab to sleep', async () => {
  const drowsy = await launchDrowsyChromium()
  try {
    context = drowsy.context
    const [first, second] = [await tab(), await tab()]
    await follows(second)
    await first.freeze(true)
    await leads(second)
    await publish(gateway, event_id, chats(20))
    await complete(second)
    await first.freeze(false)
    await complete(first)
    await follows(first)
    await streams(1)
  } finally {
    await drowsy.close()
  }
})

sharing.full('take over from a leading tab that hangs', async () => {
  const [first, second] = [await tab(), await tab()]
  await follows(second)
  await first.hang()
  await publish(gateway, event_id, chats(20))
  await leads(second)
  await complete(second)
  await first.wake()
  // When it wakes it is no longer the leader, and has missed nothing.
  await complete(first)
  await follows(first)
  await streams(1)
})

sharing('reconnect together after the gateway was killed', async () => {
  const [first, second] = [await tab(), await tab()]
  await follows(second)
  await publish(gateway, event_id, chats(10))
  await gateway.kill9()
  await first.is('waiting')
  await second.is('waiting')
  await gateway.restart()
  await publish(gateway, event_id, chats(10))
  await second.retry()
  await complete(first, second)
  await streams(1)
  assert.is(await connectionOf(second), 'following')
})

sharing.full('reset together when the database was replaced', async () => {
  const [first, second] = [await tab(), await tab()]
  await follows(second)
  await publish(gateway, event_id, chats(3))
  await complete(first, second)
  await gateway.restart({ HEARTBEAT_SECONDS: '1', DATABASE_URL: `sqlite:${gateway.dataDir}/another-${event_id}.db` })
  await publish(gateway, event_id, chats(4))
  await complete(first, second)
  for (const one of [first, second]) assert.is((await one.trial).resets.length, 1)
  await streams(1)
})

sharing.full('share only with equal tabs: same events, same user, and only if enabled', async () => {
  const first = await tab({ identity: 'a' })
  await follows(await tab({ identity: 'a' }))
  const others = [await tab({ identity: 'b' }), await tab({ share: false, identity: 'a' }), await tab({}, ['x'])]
  // The readable events of `*` depend on the token, so it is not shared without an identity.
  others.push(await tab({}, ['*']), await tab({}, ['*']))
  await streams(1 + others.length)
  assert.equal(await Promise.all(others.map(connectionOf)), ['leading', 'own', 'leading', 'own', 'own'])
  assert.is(await connectionOf(first), 'leading')
})

sharing('are not authorized by another tab: each authenticates to the gateway first', async () => {
  const first = await tab()
  const second = await Tab.open(context, gateway.url)
  tabs.push(second)
  await second.page.route('**/stream**', (route) =>
    route.fulfill({ status: 403, contentType: 'application/json', body: '{"code":"event_forbidden"}' }),
  )
  await second.follow(`/api/events/${event_id}/stream`)
  await second.is('closed', 'event_forbidden')
  await publish(gateway, event_id, chats(3))
  await complete(first)
  assert.equal(await second.ids, [])
})

sharing.run()
