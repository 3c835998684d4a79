// needs: chromium
import type { Browser, BrowserContext, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { launchChromium } from '../../support/clients/browser.ts'
import { bearer, guarded, now, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { type Json, postJson, until } from '../../support/harness/wait.ts'
import { DeepsocPageServer } from '../../support/servers/deepsoc-page.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { eventUrl, newRoom } from '../../support/stages/rooms.ts'

let browser: Browser
let gateway: Gateway
let deepsoc: DeepsocPageServer
let context: BrowserContext
let event_id: string
let rows = 0

const test = suite('DeepSOC’s page with /deepsoc.js')

test.before(async () => {
  deepsoc = await DeepsocPageServer.start()
  const env = guarded({ CORS_ORIGINS: deepsoc.url, JWT_DEFAULT_EVENTS: '*', HEARTBEAT_SECONDS: '1' })
  ;[browser, gateway] = await Promise.all([launchChromium(), startGateway({ env })])
})
test.before.each(async () => {
  if (!gateway.running) await gateway.restart()
  context = await browser.newContext()
  event_id = newRoom('war')
  deepsoc.rows.length = 0
})
test.after.each(() => context.close())
test.after(async () => {
  await browser?.close()
  await gateway?.dispose()
  await deepsoc?.stop()
})

/** A token of DeepSOC, which has neither events nor scopes. */
const token = (seconds = 3_600): Promise<string> => sign({ sub: 'ann', exp: now() + seconds })

/** Stores a row in DeepSOC's database and publishes it, as an agent does. */
const say = async (fields: Json = {}): Promise<Json> => {
  const id = ++rows
  const row = {
    id,
    message_id: `m${id}`,
    event_id,
    message_from: '_captain',
    message_content: { text: `${id}` },
    ...fields,
  }
  deepsoc.rows.push(row)
  const headers = bearer(await sign({ sub: 'agent', exp: now() + 60, events: '*', scope: 'read publish' }))
  const { status, text } = await postJson(`${eventUrl(gateway, event_id)}/messages`, row, { headers })
  assert.is(status, 201, text)
  return row
}

const openPage = async (access_token: string): Promise<Page> => {
  await context.addInitScript((kept) => {
    if (localStorage.getItem('access_token') === null) localStorage.setItem('access_token', kept)
    localStorage.setItem('user_info', JSON.stringify({ user_id: 'u-1' }))
  }, access_token)
  const page = await context.newPage()
  await page.goto(`${deepsoc.url}/warroom/${event_id}?gateway=${encodeURIComponent(gateway.url)}`)
  return page
}

const textOf = (page: Page, selector: string): Promise<string> => page.locator(selector).innerText()

const badgeIs = (page: Page, text: RegExp): Promise<unknown> =>
  until(async () => text.test(await textOf(page, '#gateway-status')), {
    what: `the badge ${text}`,
    saw: () => textOf(page, '#gateway-status'),
  })

const linesAre = (page: Page, ...lines: string[]): Promise<unknown> => {
  const read = (): Promise<string[]> => page.locator('#lines li').allInnerTexts()
  return until(async () => (await read()).join() === lines.join(), { what: `the lines ${lines}`, saw: read })
}

/** Runs code among the variables of the page. */
const inPage = (page: Page, code: string): Promise<Json> => page.evaluate(code)

test('shows stored and live messages of another origin once and in order, across a restart', async () => {
  const first = [await say(), await say()]
  const page = await openPage(await token())
  await badgeIs(page, /实时/)
  const live = [await say(), await say()]
  const texts = [...first, ...live].map(({ message_content }) => message_content.text)
  await linesAre(page, ...texts)
  await gateway.restart()
  await badgeIs(page, /实时/)
  const last = await say()
  await linesAre(page, ...texts, last.message_content.text)
  assert.ok((await inPage(page, 'stats')) >= 0)
})

test('shows the line of the user once, and ends the thinking of the AI', async () => {
  const page = await openPage(await token())
  await badgeIs(page, /实时/)
  const content = { type: 'text', text: 'isolate it' }
  const pending = {
    temp_id: 't1',
    message_id: 't1',
    pending: true,
    message_type: 'user_message',
    message_content: content,
  }
  await inPage(page, `addMessage(${JSON.stringify(pending)})`)
  const row = await say({
    message_from: 'user',
    message_type: 'user_message',
    user_id: 'u-1',
    message_content: content,
  })
  await until(() => inPage(page, "document.querySelector('.pending') === null"), { what: 'no pending line' })
  await inPage(page, `socket.deliver('new_message', ${JSON.stringify({ ...row, temp_id: 't1' })})`)
  await inPage(page, "addMessage({ message_id: 'thinking', message_type: 'thinking' })")
  await linesAre(page, 'isolate it', 'thinking')
  await say({ message_from: 'ai_assistant', sender_type: 'ai', message_content: { text: 'answer' } })
  await linesAre(page, 'isolate it', 'answer')
})

test('includes what DeepSOC has sent by Socket.IO only', async () => {
  const page = await openPage(await token())
  await badgeIs(page, /实时/)
  const one = { id: null, message_id: 'only', event_id, message_content: { text: 'only there' } }
  await inPage(page, `socket.deliver('new_message', ${JSON.stringify(one)})`)
  await linesAre(page, 'only there')
})

test('asks for a sign-in when the token has expired, and continues with the new one', async () => {
  const page = await openPage(await token(5))
  await badgeIs(page, /登录已过期/)
  const missed = await say()
  await inPage(page, `localStorage.setItem('access_token', ${JSON.stringify(await token())})`)
  await badgeIs(page, /实时/)
  await linesAre(page, missed.message_content.text)
})

test.run()
