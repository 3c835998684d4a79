// needs: chromium
import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser, BrowserContext, Page, Route } from 'playwright-core'
import * as assert from 'uvu/assert'
import { launchChromium, launchDrowsyChromium } from '../../support/clients/browser.ts'
import { bearer, guarded, now, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { FULL } from '../../support/harness/tier.ts'
import { postJson, until } from '../../support/harness/wait.ts'
import { addMessages } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { startProxy } from '../../support/servers/proxy.ts'
import { Tab } from '../../support/stages/client-pages.ts'
import { getElementText, isState, Pages } from '../../support/stages/pages.ts'
import { holds, row, watchLine } from '../../support/stages/room-page.ts'
import { chat, chats, eventUrl, metric, newRoom, publish, restIds } from '../../support/stages/rooms.ts'

let browser: Browser
let gateway: Gateway
/** A gateway that requires tokens. */
let closed: Gateway
let pages: Pages
let closedPages: Pages
/** URL of the gateway for the pages of the test, if it differs from its own address. */
let through: string | null = null

const test = suite('the connection of a war room')

test.before(async () => {
  const env = { HEARTBEAT_SECONDS: '1' }
  ;[gateway, closed] = await Promise.all([startGateway({ env }), startGateway({ env: { ...env, ...guarded() } })])
  browser = await launchChromium()
  pages = new Pages(browser, () => through ?? gateway.url)
  closedPages = new Pages(browser, () => closed.url)
})
test.before.each(async () => {
  if (!gateway.running) await gateway.restart()
})
test.after.each(async () => {
  await pages.close()
  await closedPages.close()
  through = null
})
test.after(async () => {
  await browser?.close()
  await gateway?.dispose()
  await closed?.dispose()
})

const openRoom = async (event_id: string, options = {}): Promise<Page> => {
  const page = await pages.room(event_id, options)
  await isState(page, 'live')
  return page
}

/** Returns a value in the opened connection panel. */
const fact = (page: Page, name: string): Promise<string> =>
  getElementText(page, `#state .facts > div:has(dt:text-is("${name}")) dd`)

const says = (page: Page, selector: string, text: string | RegExp): Promise<unknown> =>
  until(
    async () => {
      const shown = await getElementText(page, selector)
      return typeof text === 'string' ? shown.includes(text) : text.test(shown)
    },
    { what: `${text} in ${selector}` },
  )

/** All messages are read from the start, so no more are published than the test needs. */
const PACE_MS = 100

/** Publishes until it is stopped and retries requests without a response. @returns the number of those */
const publishing = (event_id: string): (() => Promise<number>) => {
  let on = true
  let lost = 0
  const done = (async () => {
    for (let n = 0; on; n++) {
      // The message_id makes the retry safe.
      const message = chat(n, { message_id: `m-${n}` })
      const send = async (): Promise<boolean> => {
        const answer = await postJson(`${eventUrl(gateway, event_id)}/messages`, message).catch(() => null)
        if (answer === null) lost++
        return answer?.status === 201
      }
      await until(send, { what: 'the message is stored' })
      await sleep(PACE_MS)
    }
    return lost
  })()
  return () => {
    on = false
    return done
  }
}

test('loses and duplicates nothing when the gateway is killed and restarts, in two tabs on one connection', async () => {
  const event_id = newRoom()
  const ids = await publish(gateway, event_id, chats(40))
  const first = await openRoom(event_id)
  const second = await first.context().newPage()
  await second.goto(first.url())
  await isState(second, 'live')
  const oneStream = (): Promise<unknown> =>
    until(async () => (await metric(gateway, 'gateway_subscribers')) === 1, {
      what: 'one stream for both',
    })
  await oneStream()
  const stop = publishing(event_id)
  for (let round = 0; round < (FULL ? 2 : 1); round++) {
    const before = (await restIds(gateway, event_id)).length
    await until(async () => (await restIds(gateway, event_id)).length > before + 5, { what: 'more messages' })
    await gateway.kill9()
    await Promise.all([isState(first, 'waiting'), isState(second, 'waiting')])
    await says(first, '#state summary', /^Connection lost.*Retrying in \d+ s$/)
    await gateway.restart()
    await Promise.all([isState(first, 'live'), isState(second, 'live')])
  }
  assert.ok((await stop()) > 0, 'no request met a dead gateway')
  const stored = await restIds(gateway, event_id)
  assert.equal(stored.slice(0, 40), ids)
  for (const tab of [first, second]) {
    // The browser draws at most one frame per second of a background tab.
    await tab.bringToFront()
    await holds(tab, stored)
  }
  await oneStream()
  await first.click('#state summary')
  await second.click('#state summary')
  const owners = [await fact(first, 'Connection of'), await fact(second, 'Connection of')].sort()
  assert.equal(owners, ['another tab', 'this tab, shared with others'])
  // The tab with the connection closes; the other one takes over.
  const [leader, other] = (await fact(first, 'Connection of')) === 'another tab' ? [second, first] : [first, second]
  const mine = publishing(event_id)
  await leader.close()
  await oneStream()
  await mine()
  await other.bringToFront()
  await holds(other, await restIds(gateway, event_id))
})

test.full('shows the connection state, the cursor it resumed from, and the time of the last data', async () => {
  const proxy = await startProxy(Number(new URL(gateway.url).port))
  try {
    through = `http://127.0.0.1:${proxy.port}`
    const event_id = newRoom()
    const ids = await publish(gateway, event_id, chats(3))
    proxy.freeze()
    const opening = pages.room(event_id)
    proxy.thaw()
    const page = await opening
    await isState(page, 'live')
    await page.click('#state summary')
    await says(page, '#heartbeat', /^\d\d:\d\d:\d\d$/)
    assert.is(await fact(page, 'State'), 'Live ')
    assert.is(await fact(page, 'Last message'), `#${ids[2]}`)
    assert.is(await fact(page, 'Connection of'), 'this tab, shared with others')
    const beat = await getElementText(page, '#heartbeat')
    await until(async () => (await getElementText(page, '#heartbeat')) !== beat, { what: 'the next heartbeat' })
    ids.push(...(await publish(gateway, event_id, chats(2))))
    await says(page, '#count', '5 messages')
    // A retry can replace the text before it is read.
    const texts = await watchLine(page)
    // No data passes any more, without an error.
    proxy.freeze()
    await isState(page, 'waiting')
    const lost = /^Connection lost: no data for two heartbeat intervals\s*Retrying in \d+ s$/
    await until(async () => (await texts()).some((text) => lost.test(text)), { what: String(lost) })
    await says(page, '#said', 'Connection lost: no data for two heartbeat intervals')
    await page.click('#retry')
    await isState(page, 'connecting')
    proxy.reset()
    proxy.thaw()
    await isState(page, 'live')
    await says(page, '#resumed-from', `#${ids[4]}`)
    await holds(page, ids)
    const wrong = await pages.room('x'.repeat(256))
    await isState(wrong, 'closed')
    assert.is(await getElementText(wrong, '#state summary'), 'Closed ')
    assert.match(await getElementText(wrong, '#refused'), /400 event_id/)
  } finally {
    await proxy.close()
  }
})

test.full('shows its progress while catching up', async () => {
  const event_id = newRoom()
  await publish(gateway, event_id, chats(3))
  const page = await openRoom(event_id)
  const texts = await watchLine(page)
  await gateway.kill9()
  await isState(page, 'waiting')
  const missed = FULL ? 30_000 : 3_000
  const at = Date.now()
  addMessages(
    gateway.dbFile,
    event_id,
    Array.from({ length: missed }, (_, n) => ({ body: chat(n), at })),
  )
  // Such a slow network results in many steps of few messages.
  const cdp = await page.context().newCDPSession(page)
  const slow = { offline: false, latency: 0, uploadThroughput: -1, downloadThroughput: 400_000 }
  await cdp.send('Network.emulateNetworkConditions', slow)
  await gateway.restart()
  await isState(page, 'live')
  await says(page, '#count', `${(missed + 3).toLocaleString('en-US')} messages`)
  const progress = (await texts()).flatMap((text) => {
    const [, n, at, of] = /^Catching up: ([\d,]+) messages?, ([\d,]+) of ([\d,]+)$/.exec(text) ?? []
    return n === undefined ? [] : [[n, at, of].map((one) => Number(one!.replaceAll(',', '')))]
  })
  assert.ok(progress.length > 1, (await texts()).join('\n'))
  for (const [n, at, of] of progress) {
    assert.is(of, missed)
    assert.is(n, at)
  }
})

test.full('continues after the machine slept', async () => {
  const proxy = await startProxy(Number(new URL(gateway.url).port))
  try {
    through = `http://127.0.0.1:${proxy.port}`
    const event_id = newRoom()
    const ids = await publish(gateway, event_id, chats(5))
    const page = await openRoom(event_id)
    // While the machine sleeps nothing runs, the clock advances, and the network drops the connection.
    proxy.freeze()
    await page.evaluate(() => {
      const { now } = Date
      Date.now = () => now() + 3_600_000
    })
    ids.push(...(await publish(gateway, event_id, chats(5))))
    await isState(page, 'waiting')
    proxy.reset()
    proxy.thaw()
    await isState(page, 'live')
    await holds(page, ids)
  } finally {
    await proxy.close()
  }
})

// Needs a browser of its own; the client's own test does the same in the short form.
if (FULL) {
  test('resumes when the browser wakes its tab', async () => {
    const drowsy = await launchDrowsyChromium()
    try {
      const event_id = newRoom()
      const ids = await publish(gateway, event_id, chats(5))
      const tab = await Tab.open(drowsy.context, gateway.url)
      const { page } = tab
      await page.goto(`${gateway.url}/events/${event_id}`)
      await isState(page, 'live')
      await page.click('#state summary')
      await tab.freeze(true)
      const more = await publish(gateway, event_id, chats(5))
      await tab.freeze(false)
      await says(page, '#resumed-from', `#${ids.at(-1)}`)
      await isState(page, 'live')
      // Nothing that waits for a frame: a tab that slept need not be in front when it wakes.
      const drawn = (): Promise<number[]> =>
        page.$$eval('.row', (rows) => rows.map((one) => Number(one.getAttribute('data-id'))))
      await until(async () => (await drawn()).length === 10, { what: 'all messages' })
      assert.equal(await drawn(), [...ids, ...more])
      assert.equal(tab.faults, [])
    } finally {
      await drowsy.close()
    }
  })
}

test('shows that the browser is offline, and continues once it is not', async () => {
  const event_id = newRoom()
  const ids = await publish(gateway, event_id, chats(2))
  const page = await openRoom(event_id)
  await page.context().setOffline(true)
  await gateway.kill9()
  await says(page, '#state summary', 'Connection lost: this browser is offline')
  await gateway.restart()
  ids.push(...(await publish(gateway, event_id, chats(2))))
  await page.context().setOffline(false)
  await isState(page, 'live')
  await holds(page, ids)
})

/** Opens a room whose first page is intercepted: `abort` fails it, `hold` delays it, `pass` forwards it. */
const openRefused = async (event_id: string) => {
  const page = await pages.open('/livez')
  const held: Route[] = []
  let asked = 0
  let way: 'abort' | 'hold' | 'pass' = 'abort'
  await page.route('**/api/events/*/messages?*limit=120', (route) => {
    asked++
    if (way === 'hold') held.push(route)
    else return way === 'abort' ? route.abort() : route.continue()
  })
  const open = async (): Promise<void> => {
    await page.goto(`${gateway.url}/events/${event_id}`)
    await isState(page, 'waiting')
    await says(page, '#state summary', /the gateway cannot be reached.*Retrying in \d+ s/)
    await page.click('#state summary')
    await page.waitForSelector('#retry')
  }
  return {
    page,
    open,
    held,
    asked: () => asked,
    let: (next: typeof way): void => {
      way = next
      if (way === 'pass') for (const route of held.splice(0)) void route.continue()
    },
  }
}

test('waits for a gateway that is unreachable when the room is opened, and retries immediately on request', async () => {
  const event_id = newRoom()
  const ids = await publish(gateway, event_id, chats(2))
  const room = await openRefused(event_id)
  // Without the room's own retries, which wait longer than this, only the button can make it try.
  await room.page.addInitScript((shortestRetryMs) => {
    const later = window.setTimeout
    window.setTimeout = ((act: () => void, ms = 0) => (ms < shortestRetryMs ? later(act, ms) : 0)) as typeof later
  }, 700)
  await room.open()
  assert.is(room.asked(), 1)
  room.let('pass')
  await room.page.click('#retry')
  await isState(room.page, 'live')
  await holds(room.page, ids)
})

test.full('loses no click on its retry button during automatic retries, and treats none as an error', async () => {
  const event_id = newRoom()
  const ids = await publish(gateway, event_id, chats(2))
  const room = await openRefused(event_id)
  const { page, held } = room
  await room.open()
  const { x, y, width, height } = (await page.locator('#retry').boundingBox())!
  await page.mouse.move(x + width / 2, y + height / 2)
  room.let('hold')
  await until(() => held.length === 1, { what: 'the retry of its own' })
  await isState(page, 'loading')
  const tries = room.asked()
  await page.mouse.down()
  await page.mouse.up()
  await page.mouse.down()
  room.let('pass')
  await isState(page, 'live')
  await page.mouse.up()
  assert.is(await page.evaluate(() => document.querySelector('#retry:hover, #retry:focus')?.id), 'retry')
  assert.is(await page.getAttribute('#retry', 'aria-disabled'), 'true')
  await holds(page, ids)
  assert.is(room.asked(), tries, 'nothing is asked for twice')
  await page.click('#state summary')
  await page.click('#state summary')
  await page.waitForSelector('.line-facts')
  assert.is(await page.locator('#retry').count(), 0, 'what is live offers no retry')
})

test('restarts, and shows so, when the database was replaced', async () => {
  await publish(gateway, 'room', chats(5))
  const page = await openRoom('room')
  // It is shown during the first attempt to reconnect, which may end before the gateway does.
  const texts = await watchLine(page)
  await gateway.term()
  await until(async () => (await texts()).join('\n').includes('the gateway is restarting'), { what: 'the restart' })
  // More messages than the page has received, so that its cursor is valid for the new database.
  await gateway.restart({ DATABASE_URL: `sqlite:${gateway.dataDir}/another.db` })
  const ids = await publish(
    gateway,
    'room',
    chats(20, (n) => chat(100 + n)),
  )
  await isState(page, 'live')
  await holds(page, ids)
  assert.match(await getElementText(page, `${row(ids.at(-1))} .body`), 'message 120')
  await page.click('#state summary')
  assert.match(await fact(page, 'Last reset'), /^the database was replaced, at \d\d:\d\d:\d\d$/)
})

/** Seconds for which a token outlives several loads of a page, of which the first one on this machine started at `from`. */
const lifeOf = (from: number): number => 5 + Math.ceil((5 * (performance.now() - from)) / 1_000)

test('asks for a token, shows when it has expired, and continues with the next one', async () => {
  const event_id = newRoom()
  const writer = bearer(await sign({ events: [event_id], scope: 'publish' }))
  const write = async (): Promise<number> => {
    const { body } = await postJson(`${eventUrl(closed, event_id)}/messages`, chat(1), { headers: writer })
    return body.data.db_id
  }
  const ids = [await write()]
  const from = performance.now()
  const page = await closedPages.room(event_id)
  const give = async (token: string): Promise<void> => {
    await page.fill('#token', token)
    await page.click('.sign-in .primary')
  }
  await page.waitForSelector('#token')
  // Of a room that this token does not open, this is said once.
  await give(await sign({ events: ['another'], scope: 'chat', exp: now() + 600 }))
  await page.waitForSelector('#refused:has-text("403")')
  assert.is(await getElementText(page, '#state summary'), 'Closed ')
  assert.is(await page.locator('#closed, #empty, #post').count(), 0)
  await page.click('#sign-in')
  await give(await sign({ events: [event_id], exp: now() + lifeOf(from) }))
  await isState(page, 'live')
  await isState(page, 'closed')
  await says(page, '#state summary', /^Closed: the token has expired/)
  // Loaded messages stay readable; a new token is required to continue.
  await page.waitForSelector('.row')
  ids.push(await write())
  await page.click('#sign-in')
  await give(await sign({ events: [event_id], exp: now() + 600 }))
  await isState(page, 'live')
  await holds(page, ids)
})

const cookieFor = (context: BrowserContext, token: string): Promise<void> =>
  context.addCookies([{ name: 'access_token', value: token, url: closed.url }])

test.full('continues automatically if the cookie was renewed before the expiry, and manually if after', async () => {
  const event_id = newRoom()
  const token = async (seconds: number): Promise<string> =>
    sign({ events: [event_id], scope: 'publish', exp: now() + seconds })
  const write = async (): Promise<number> =>
    (await postJson(`${eventUrl(closed, event_id)}/messages`, chat(1), { headers: bearer(await token(60)) })).body.data
      .db_id
  const ids = [await write()]
  const page = await closedPages.open('/livez')
  const texts = async (): Promise<string> => getElementText(page, '#state summary')
  const from = performance.now()
  await cookieFor(page.context(), await token(600))
  await page.goto(`${closed.url}/events/${event_id}`)
  await isState(page, 'live')
  let life = lifeOf(from)
  // It shows for less than a second that the token has expired.
  let shown = async (): Promise<string[]> => []
  for (let renewed = false; !renewed; life *= 2) {
    const end = now() + life
    await cookieFor(page.context(), await token(life))
    await page.reload()
    await page.waitForSelector('#state:is([data-state="live"], [data-state="closed"])')
    shown = await watchLine(page)
    // Long enough for a busy machine to show that it continued.
    await cookieFor(page.context(), await token(4 * life))
    // Otherwise the machine was so slow that the first one had expired.
    renewed = now() < end
  }
  await until(async () => (await shown()).some((text) => text.includes('the token has expired')), {
    what: 'the expiry',
  })
  await isState(page, 'live')
  ids.push(await write())
  await isState(page, 'closed')
  assert.match(await texts(), /^Closed: the token has expired/)
  ids.push(await write())
  await cookieFor(page.context(), await token(600))
  await page.click('#state summary')
  await page.click('#retry')
  await isState(page, 'live')
  await holds(page, ids)
})

test.run()
