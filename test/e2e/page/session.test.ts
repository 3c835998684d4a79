// needs: chromium, nginx
import type { Browser, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { launchChromium } from '../../support/clients/browser.ts'
import { bearer, guarded, now, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { type Json, postJson, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { type Nginx, startNginx } from '../../support/servers/nginx.ts'
import { getElementText, getElementTexts, isState, Pages } from '../../support/stages/pages.ts'
import { chat, eventUrl, newRoom } from '../../support/stages/rooms.ts'

const BASE = '/soc/gateway'

let browser: Browser
let gateway: Gateway
let nginx: Nginx
let pages: Pages

const test = suite('a signed-in page, below a path behind nginx')

test.before(async () => {
  const env = guarded({ BASE_PATH: BASE, TRUSTED_PROXIES: '127.0.0.1' })
  ;[gateway, browser] = await Promise.all([startGateway({ env }), launchChromium()])
  const { host } = new URL(gateway.url)
  nginx = await startNginx([host, host], { basePath: BASE })
  pages = new Pages(browser, () => nginx.url + BASE)
})
test.after.each(() => pages.close())
test.after(async () => {
  await nginx?.dispose()
  await browser?.close()
  await gateway?.dispose()
})

/** Publishes a message. @returns its db_id */
const say = async (event_id: string, n: number): Promise<number> => {
  const headers = bearer(await sign({ scope: 'publish' }))
  const { status, text, body } = await postJson(`${eventUrl(gateway, event_id)}/messages`, chat(n), { headers })
  assert.is(status, 201, text)
  return body.data.db_id
}

/** Enters a token. */
const give = async (page: Page, token: string): Promise<void> => {
  await page.fill('#token', token)
  await page.click('.sign-in .primary')
}

/** Ends all tokens of a user that were issued before. */
const revoke = async (sub: string, issued_before: string): Promise<void> => {
  const headers = bearer(await sign({ scope: 'admin' }))
  const { status } = await postJson(`${gateway.url}/api/revocations`, { sub, issued_before }, { headers })
  assert.is(status, 201)
}

/** Asserts that each link of the page leads into the gateway. */
const hasOwnLinks = async (page: Page): Promise<void> => {
  const links = await page.$$eval('a[href^="/"]', (all) => all.map((one) => one.getAttribute('href') ?? ''))
  assert.ok(links.length > 0)
  assert.equal(
    links.filter((link) => !link.startsWith(`${BASE}/`)),
    [],
  )
}

test('a token that is pasted once serves all tabs and survives a reload, until the sign-out ends it on all of them', async () => {
  const room = newRoom()
  await say(room, 1)
  const page = await pages.open('/')
  const waiting = await page.context().newPage()
  for (const one of [page, waiting]) {
    await one.goto(`${nginx.url}${BASE}/events/${room}`)
    await one.waitForSelector('#token')
  }
  await give(page, await sign({ events: '*', scope: 'admin' }))
  const third = await page.context().newPage()
  await third.goto(`${nginx.url}${BASE}/`)
  for (const one of [page, waiting, third]) await isState(one, 'live')
  await page.reload()
  await isState(page, 'live')
  await hasOwnLinks(page)
  await hasOwnLinks(third)
  await third.click('#gateway')
  await third.waitForSelector('.state[data-is="ready"]')
  assert.is(new URL(third.url()).pathname, `${BASE}/health`)
  await hasOwnLinks(third)
  await third.click('#sign-out')
  for (const one of [page, waiting, third]) await one.waitForSelector('#token')
  assert.is(await page.locator('.row').count(), 0)
  await page.reload()
  await page.waitForSelector('#token')
})

test('when the token ends the room, the draft and the search stay, and a new token continues there', async () => {
  const room = newRoom()
  const ids = [await say(room, 1)]
  const page = await pages.room(room)
  const claims = { sub: 'ann', events: [room], scope: 'chat' }
  await page.waitForSelector('#token')
  await give(page, await sign({ ...claims, iat: now() - 5 }))
  await isState(page, 'live')
  await page.fill('#text', 'a draft')
  await page.fill('#search', 'message')
  await revoke('ann', new Date().toISOString())
  await isState(page, 'closed')
  ids.push(await say(room, 2))
  await page.click('#sign-in')
  const stays = async (): Promise<Json> => [
    await page.locator('.row').count(),
    await page.inputValue('#text'),
    await page.inputValue('#search'),
  ]
  assert.equal(await stays(), [1, 'a draft', 'message'])
  // The form lies over the page, and can be put off.
  await page.click('#later')
  assert.is(await page.locator('#token').count(), 0)
  await page.click('#sign-in')
  const requests: string[] = []
  page.on('request', (request) => void requests.push(request.url()))
  await give(page, await sign({ ...claims, iat: now() + 60 }))
  await isState(page, 'live')
  await until(async () => (await page.locator('.row').count()) === 2, { what: 'the message that was missed' })
  assert.equal(await stays(), [2, 'a draft', 'message'])
  assert.is(await page.locator('#token').count(), 0)
  const resumed = requests.filter((url) => url.includes('/stream?')).map((url) => new URL(url).searchParams)
  assert.equal([...new Set(resumed.map((query) => query.get('last_message_db_id')))], [String(ids[0])])

  // The token of another user: nothing of the first one stays.
  await revoke('ann', new Date(Date.now() + 120_000).toISOString())
  await isState(page, 'closed')
  await page.click('#sign-in')
  await give(page, await sign({ ...claims, sub: 'bob' }))
  await isState(page, 'live')
  assert.equal(await stays(), [2, '', ''])
})

test('when the token ends the list of events stays, and a new token continues it', async () => {
  const [first, second] = [newRoom(), newRoom()]
  await say(first, 1)
  const page = await pages.open('/')
  const claims = { sub: 'cleo', events: [first, second] }
  await page.waitForSelector('#token')
  await give(page, await sign({ ...claims, iat: now() - 5 }))
  await isState(page, 'live')
  await revoke('cleo', new Date().toISOString())
  await isState(page, 'closed')
  assert.equal(
    (await getElementTexts(page, '#closed button')).map((text) => text.trim()),
    ['Retry now', 'Enter a token'],
  )
  await say(second, 2)
  await page.click('#sign-in')
  await give(page, await sign({ ...claims, iat: now() + 60 }))
  await isState(page, 'live')
  await until(async () => (await getElementTexts(page, '#events > li a')).join() === [second, first].join(), {
    what: 'the event that was missed',
  })
  assert.is(await page.locator('#closed').count(), 0)
})

test('an unknown path shows a page that leads back, and client.js finds the gateway by itself', async () => {
  const room = newRoom()
  const page = await pages.open('/')
  await page.waitForSelector('#token')
  await give(page, await sign({ events: [room] }))
  await isState(page, 'live')
  const answer = await page.goto(`${nginx.url}${BASE}/no/such/page`)
  assert.is(answer?.status(), 404)
  await page.waitForSelector('main h1')
  assert.is(await getElementText(page, 'main h1'), 'Page not found')
  await hasOwnLinks(page)
  const id = await say(room, 1)
  const received = await page.evaluate(
    async ([script, event]) => {
      const { openChannel } = (await import(script!)) as typeof import('../../../src/web/client/index.ts')
      return new Promise<number>((resolve) => {
        openChannel([event!], { onMessage: ({ db_id }) => resolve(db_id) })
      })
    },
    [`${BASE}/client.js`, room],
  )
  assert.is(received, id)
  await page.click('main a')
  await isState(page, 'live')
  assert.is(new URL(page.url()).pathname, `${BASE}/`)
})

test.run()
