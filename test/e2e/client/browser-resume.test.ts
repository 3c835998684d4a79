// full
// needs: chromium
import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { type Json, until } from '../../support/harness/wait.ts'
import { setUpSite } from '../../support/stages/pages.ts'
import { chats, newRoom, publish } from '../../support/stages/rooms.ts'

const web = suite('a browser that loses its gateway')
const site = setUpSite(web)

web('lets a plain EventSource resume by itself with Last-Event-ID', async () => {
  const event_id = newRoom()
  const ids = await publish(site.gateway, event_id, chats(10))
  const page = await site.pages.open('/')
  await page.evaluate((path) => {
    const seen: number[] = []
    const source = new EventSource(`${path}?last_message_db_id=0`)
    source.addEventListener('new_message', (event) => seen.push(JSON.parse(event.data).db_id))
    Object.assign(globalThis, { seen, source })
  }, `/api/events/${event_id}/stream`)
  const seen = (): Promise<number[]> => page.evaluate(() => (globalThis as Json).seen)
  await until(async () => (await seen()).length === 10, { what: 'the history' })
  await site.gateway.restart()
  ids.push(...(await publish(site.gateway, event_id, chats(10))))
  await until(async () => (await seen()).length >= 20, { what: 'the rest' })
  assert.equal(await seen(), ids)
})

web.run()
