// needs: chromium
// limit: 400s
import type { Browser } from 'playwright-core'
import * as assert from 'uvu/assert'
import { launchChromium } from './support/browser.ts'
import { type Gateway, startGateway } from './support/gateway.ts'
import { Pages } from './support/pages.ts'
import { chats, newRoom, publish } from './support/rooms.ts'
import { suite } from './support/suite.ts'
import { type Json, until } from './support/wait.ts'

let gateway: Gateway
let browser: Browser
let pages: Pages

const web = suite('a browser that loses its gateway', { timeoutMs: 120_000 })

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

web.run()
