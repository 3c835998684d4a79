// needs: chromium
// limit: 400s
import type { Browser } from 'playwright-core'
import * as assert from 'uvu/assert'
import { launchChromium } from './support/browser.ts'
import { type Gateway, startGateway } from './support/gateway.ts'
import { isState, Pages, shownIds, shows, textOf } from './support/pages.ts'
import { chat, chats, eventUrl, newRoom, publish, restIds } from './support/rooms.ts'
import { suite } from './support/suite.ts'
import { type Json, postJson, until } from './support/wait.ts'

let gateway: Gateway
let browser: Browser
let pages: Pages

const web = suite('a page that loses its gateway', { timeoutMs: 120_000 })

web.before(async () => {
  gateway = await startGateway()
  browser = await launchChromium()
  pages = new Pages(browser, () => gateway.url)
})
web.after.each(() => pages.close())
web.after(async () => {
  await browser?.close()
  await gateway?.dispose()
})

web('misses and doubles nothing when the gateway is killed and started again', async () => {
  const event_id = newRoom()
  const ids = await publish(gateway, event_id, chats(40))
  const page = await pages.room(event_id)
  await isState(page, 'live')
  let publishing = true
  let lost = 0
  const publisher = (async () => {
    for (let n = 41; publishing; n++) {
      // The message_id makes it safe to send again what got no answer.
      const message = chat(n, { message_id: `m-${n}` })
      await until(
        async () => {
          const answer = await postJson(`${eventUrl(gateway, event_id)}/messages`, message).catch(() => undefined)
          if (!answer) lost += 1
          return answer?.status === 201
        },
        { what: 'the message is stored', timeoutMs: 60_000 },
      )
    }
  })()
  for (let round = 0; round < 3; round++) {
    const at = (await shownIds(page)).length
    await until(async () => (await shownIds(page)).length > at + 5, { timeoutMs: 60_000, what: 'more messages' })
    await gateway.kill9()
    await isState(page, 'waiting')
    await gateway.restart()
    await isState(page, 'live')
  }
  publishing = false
  await publisher
  assert.ok(lost > 0, 'no request met a dead gateway')
  const stored = await restIds(gateway, event_id)
  assert.equal(stored.slice(0, 40), ids)
  await shows(page, stored)
})

web('begins anew when the database was made anew', async () => {
  const own = await startGateway()
  const usual = gateway
  try {
    gateway = own
    await publish(own, 'room', chats(5))
    const page = await pages.room('room')
    await isState(page, 'live')
    await own.term()
    await isState(page, 'waiting')
    assert.match(await textOf(page, '#state'), 'the gateway is restarting')
    // More messages than the page has seen, so that its cursor looks honest to the new database.
    await own.restart({ DATABASE_URL: `sqlite:${own.dataDir}/another.db` })
    const ids = await publish(
      own,
      'room',
      chats(20, (n) => chat(100 + n)),
    )
    await isState(page, 'live')
    await shows(page, ids)
    assert.is(await textOf(page, '#messages > li:first-child .text'), 'message 101')
  } finally {
    await pages.close()
    gateway = usual
    await own.dispose()
  }
})

web('lets a plain EventSource resume by itself with Last-Event-ID', async () => {
  const event_id = newRoom()
  const ids = await publish(gateway, event_id, chats(10))
  const page = await pages.open('/')
  await page.evaluate((path) => {
    const seen: number[] = []
    const source = new EventSource(`${path}?last_message_db_id=0`)
    source.addEventListener('new_message', (event) => seen.push(JSON.parse(event.data).db_id))
    Object.assign(globalThis, { seen, source })
  }, `/api/events/${event_id}/stream`)
  const seen = (): Promise<number[]> => page.evaluate(() => (globalThis as Json).seen)
  await until(async () => (await seen()).length === 10, { what: 'the history' })
  await gateway.restart()
  ids.push(...(await publish(gateway, event_id, chats(10))))
  await until(async () => (await seen()).length >= 20, { timeoutMs: 60_000, what: 'the rest' })
  assert.equal(await seen(), ids)
})

web('says why a stream is refused, and tries no more', async () => {
  const page = await pages.room('x'.repeat(256))
  await isState(page, 'closed')
  assert.match(await textOf(page, '#state'), /^Closed: 400 event_id /)
})

web.run()
