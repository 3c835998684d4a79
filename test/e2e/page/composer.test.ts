// needs: chromium
import type { Browser, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { launchChromium } from '../../support/clients/browser.ts'
import { bearer, guarded, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type Json, postJson, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { getElementText, isState, Pages } from '../../support/stages/pages.ts'
import { eventUrl, newRoom } from '../../support/stages/rooms.ts'

let browser: Browser
let gateway: Gateway
let pages: Pages

const test = suite('writing with a token')

test.before(async () => {
  const env = guarded({ JWT_DEFAULT_EVENTS: '*', JWT_DEFAULT_SCOPE: 'chat' })
  ;[gateway, browser] = await Promise.all([startGateway({ env }), launchChromium()])
  pages = new Pages(browser, () => gateway.url)
})
test.after.each(() => pages.close())
test.after(async () => {
  await browser?.close()
  await gateway?.dispose()
})

type TokenClaims = Parameters<typeof sign>[0]

/** Opens a page as the holder of these claims and waits until it is live and knows its caller. */
const openAs = async (path: string, claims: TokenClaims): Promise<Page> => {
  const page = await pages.open('/livez', { extraHTTPHeaders: bearer(await sign(claims)) })
  await Promise.all([page.waitForResponse('**/api/session'), page.goto(gateway.url + path)])
  await isState(page, 'live')
  return page
}

const stored = async (event_id: string): Promise<Json[]> => {
  const headers = bearer(await sign({}))
  return (await getJson(`${eventUrl(gateway, event_id)}/messages`, { headers })).body.data
}

test('a person writes under the name of the token, which cannot be changed', async () => {
  const event_id = newRoom()
  const page = await openAs(`/events/${event_id}`, { sub: 'analyst1', name: 'Ann Lee' })
  await page.fill('#text', 'hello')
  assert.match(await getElementText(page, '#author'), 'Ann Lee')
  assert.is(await page.locator('#name').count(), 0)
  await page.press('#text', 'Enter')
  await page.waitForSelector('.row')
  assert.is(await getElementText(page, '.row .role'), 'User')
  assert.equal(
    (await stored(event_id)).map((m) => [m.message_from, m.user_nickname, m.published_by, m.message_content.text]),
    [['analyst1', 'Ann Lee', 'analyst1', 'hello']],
  )
})

test('a person whose token has no display name writes under its sub', async () => {
  const page = await openAs(`/events/${newRoom()}`, { sub: 'analyst1' })
  await page.waitForSelector('#post')
  assert.match(await getElementText(page, '#author'), 'analyst1')
})

test('a holder of a token without a scope for it gets no field to write', async () => {
  const page = await openAs(`/events/${newRoom()}`, { sub: 'reader', scope: 'read' })
  await page.waitForSelector('#empty')
  assert.is(await page.locator('#post').count(), 0)
})

test('messages without an event have a room that the list offers', async () => {
  const page = await openAs('/', { sub: 'analyst1' })
  await page.click('#general')
  await isState(page, 'live')
  assert.is(new URL(page.url()).pathname, '/events/general')
  const notice = { message_type: 'system_notification', message_content: { data: { text: 'driving mode: auto' } } }
  const headers = bearer(await sign({ scope: 'publish' }))
  assert.is((await postJson(`${eventUrl(gateway, 'general')}/messages`, notice, { headers })).status, 201)
  await page.waitForSelector('.row')
  await page.goBack()
  await until(async () => (await page.locator('#events a').allTextContents()).includes('General'), { what: 'the row' })
  assert.is(await page.locator('#general').count(), 0)
})

test('the room for messages without an event is not offered to a caller who cannot read it', async () => {
  const page = await openAs('/', { sub: 'guest', events: ['another'] })
  assert.is(await page.locator('#general').count(), 0)
})

test.run()
