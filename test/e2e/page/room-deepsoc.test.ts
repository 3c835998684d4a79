// needs: chromium
import type { Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { type Json, until } from '../../support/harness/wait.ts'
import { getElementText, isState, setUpSite } from '../../support/stages/pages.ts'
import { row, sees } from '../../support/stages/room-page.ts'
import { newRoom, publish } from '../../support/stages/rooms.ts'

const test = suite('what DeepSOC’s users know on the pages of the gateway')
const site = setUpSite(test)

const agent = (message_type: string, data: Json, fields: Json = {}): Json => ({
  message_from: '_captain',
  message_type,
  message_category: 'agent',
  message_content: { data, timestamp: '2026-11-22T10:00:00.123456' },
  ...fields,
})

const textIs = (page: Page, selector: string, text: string): Promise<unknown> =>
  until(async () => (await page.locator(selector).count()) > 0 && (await getElementText(page, selector)) === text, {
    what: `${selector} "${text}"`,
  })

test('an event is shown by its name, severity and status, and its id second', async () => {
  const event_id = newRoom('named')
  await publish(site.gateway, event_id, [agent('llm_response', { event_name: 'SSH爆破', response_type: 'ROGER' })])
  const page = await site.pages.room(event_id)
  await isState(page, 'live')
  await textIs(page, '#title', 'SSH爆破')
  assert.is(await getElementText(page, '#event-id'), event_id)
  const facts = { event_name: 'SSH爆破 2', event_status: 'summarized', severity: 'high', event_summary: 'sum' }
  await publish(site.gateway, event_id, [agent('event_summary_generated', facts, { message_from: '_expert' })])
  await textIs(page, '#title', 'SSH爆破 2')
  await textIs(page, '#severity', 'high')
  await textIs(page, '#event-status', 'summarized')
  assert.is(await page.title(), 'SSH爆破 2 – deepsoc-gateway')
})

test('the list of events has the names of stored events, and is searched by them', async () => {
  const event_id = newRoom('listed')
  await publish(site.gateway, event_id, [agent('event_next_round_initiated', { event_name: '挖矿木马', text: '2' })])
  const page = await site.pages.open('/')
  await isState(page, 'live')
  const link = `#events a[href$="${event_id}"]`
  await textIs(page, `${link} .event-name`, '挖矿木马')
  assert.is(await getElementText(page, `${link} .event-id`), event_id)
  assert.is(await getElementText(page, `${link} .status`), 'pending')
  await page.fill('#search', '挖矿')
  await until(async () => (await page.locator('#events > li').count()) === 1, { what: 'one event' })
  assert.is(await page.locator(link).count(), 1)
})

test('a user is shown by the nickname, a response by its answer, and a message with its own time', async () => {
  const event_id = newRoom('people')
  const id = 'f5c0619c-451e-47ec-a665-a2e42c258e24'
  const [written, roger, delayed] = await publish(site.gateway, event_id, [
    {
      message_from: 'user',
      user_id: id,
      user_nickname: '小王',
      message_type: 'user_message',
      message_content: { type: 'text', text: 'hello' },
    },
    agent('llm_response', { response_type: 'ROGER', response_text: '收到', req_id: 'r' }),
    agent('llm_request', { text: 'notice' }, { message_from: 'system', created_at: '2025-07-07T04:27:28Z' }),
  ])
  const page = await site.pages.room(event_id)
  await isState(page, 'live')
  await sees(page, delayed)
  assert.is(await getElementText(page, `${row(written)} .from`), '小王')
  assert.is(await page.getAttribute(`${row(written)} .from`, 'title'), id)
  assert.is(await page.locator(`${row(written)} .receipt`).count(), 0)
  assert.is(await getElementText(page, `${row(roger)} .type`), 'roger')
  assert.match(await getElementText(page, `${row(roger)} .body`), /^Roger\s*收到$/)
  assert.is(await page.getAttribute(`${row(delayed)} time`, 'datetime'), '2025-07-07T04:27:28.000Z')
  assert.match(await getElementText(page, `${row(delayed)} .receipt`), /^received /)
})

test.run()
