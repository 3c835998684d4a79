// needs: chromium
// limit: 400s
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import * as assert from 'uvu/assert'
import { launchChromium } from './support/browser.ts'
import { type Gateway, ROOT, startGateway } from './support/gateway.ts'
import { isState, Pages, shownIds, shows, textOf, textsOf } from './support/pages.ts'
import { chat, chats, eventUrl, newRoom, publish, restIds } from './support/rooms.ts'
import { suite } from './support/suite.ts'
import { getJson, type Json, postJson, until } from './support/wait.ts'

let gateway: Gateway
let browser: Browser
let pages: Pages

const web = suite('the page in a browser', { timeoutMs: 120_000 })

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

web('shows the history of an event, then what comes', async () => {
  const event_id = newRoom()
  const ids = await publish(gateway, event_id, chats(1_200))
  const page = await pages.room(event_id)
  await isState(page, 'live')
  await shows(page, ids)
  ids.push(...(await publish(gateway, event_id, [chat(1_201), chat(1_202)])))
  await shows(page, ids)
  assert.is(await textOf(page, '#state'), 'Live')
  assert.is(await textOf(page, '#messages > li:last-child .text'), 'message 1202')
  assert.is(await textOf(page, '#messages > li:last-child .id'), `#${ids.at(-1)}`)
})

web('shows the messages that the agents of DeepSOC send, in the words of the reader', async () => {
  const event_id = newRoom()
  const lines = readFileSync(join(ROOT, 'test/fixtures/messages.jsonl'), 'utf8').trim().split('\n')
  const bodies = lines.map((line) => line.replace(/"event_id":"[^"]*",("user_id")/, '$1'))
  await postJson(`${eventUrl(gateway, event_id)}/messages`, `[${bodies.join(',')}]`)
  const page = await pages.room(event_id, { locale: 'zh-CN' })
  await isState(page, 'live')
  await shows(page, await restIds(gateway, event_id))
  const chinese = ['系统', '安全指挥官', '安全管理员', '安全管理员', '安全工程师', '安全工程师', '执行器', '安全专家']
  assert.equal(await textsOf(page, '.role'), [...chinese, '安全专家', 'AI助手'])
  assert.is(await textOf(page, '#state'), '实时')
  assert.is(await textOf(page, '#send'), '发送')
  const texts = await textsOf(page, '.text')
  assert.equal(texts, [
    '指挥官正在分析',
    '先取证\n再封禁',
    '已建行动',
    '已建指令',
    '**恶意IP**',
    '### 概述',
    '建议封禁',
  ])
  const english = await pages.room(event_id)
  await isState(english, 'live')
  assert.equal((await textsOf(english, '.role')).slice(0, 3), ['System', 'Captain', 'Manager'])
  // The rows that have no text show their JSON at once, each digit of it.
  const shown = (await textsOf(english, '#messages > li > pre')).join()
  assert.match(shown, '"playbook_id": 12302548181076029')
})

web('keeps every number as it was written', async () => {
  const event_id = newRoom()
  const numbers = ['12302548181076029', '-9007199254740993', '1.0', '1e400', '0.10000000000000000001', '7']
  const body = `{"message_content":{"data":{"list":[${numbers.join(',')}],"text":9007199254740993,"s":"1.0 \\" 2.0"}}}`
  await publish(gateway, event_id, body)
  await publish(gateway, event_id, '{"message_content":12302548181076029}')
  const page = await pages.room(event_id)
  await isState(page, 'live')
  const [first, second] = await textsOf(page, 'pre')
  assert.equal(
    first
      ?.match(/\[([^\]]*)\]/)?.[1]
      ?.split(/[\s,]+/)
      .filter(Boolean),
    numbers,
  )
  assert.match(first!, '"text": 9007199254740993')
  assert.match(first!, '"s": "1.0 \\" 2.0"')
  assert.is(second, '12302548181076029')
})

web('shows hostile texts as text: nothing runs, nothing is fetched', async () => {
  const hostile = [
    '<img src="http://evil.example/x" onerror="alert(1)">',
    '<script>alert(2)</script>',
    '"><svg/onload=alert(3)>',
    'javascript:alert(4)',
    '<a href="javascript:alert(5)">x</a><iframe srcdoc="<script>parent.alert(6)</script>"></iframe>',
    '</script><style>*{display:none}</style>{{7*7}}',
  ]
  const event_id = `<img src=x onerror=alert(0)>${newRoom()}`
  for (const text of hostile) {
    await publish(gateway, event_id, { message_from: text, message_type: text, message_content: { data: { text } } })
    await publish(gateway, event_id, {
      message_from: text,
      message_type: text,
      message_content: { data: { [text]: text } },
    })
  }
  const page = await pages.room(event_id)
  await isState(page, 'live')
  await shows(page, await restIds(gateway, event_id))
  assert.equal(await textsOf(page, '.text'), hostile)
  const senders = await textsOf(page, '.from')
  assert.equal(
    senders,
    hostile.flatMap((one) => [one, one]),
  )
  assert.is(await textOf(page, '#title'), event_id)
  assert.is(await page.locator('#messages :is(img, script, svg, iframe, style, a)').count(), 0)
  const index = await pages.open('/')
  await index.locator('#events a', { hasText: event_id }).click()
  await isState(index, 'live')
  assert.is(await textOf(index, '#title'), event_id)
})

web('makes control characters visible', async () => {
  const event_id = newRoom()
  await publish(
    gateway,
    event_id,
    chat(1, { message_content: { data: '\u001b[31mred\u001b[0m file\u202egpj.exe\r\nend\u0000' } }),
  )
  const page = await pages.room(event_id)
  const shown = await page.waitForSelector('.text')
  assert.is(await shown.textContent(), '⟨U+001B⟩[31mred⟨U+001B⟩[0m file⟨U+202E⟩gpj.exe\nend⟨U+0000⟩')
})

web('lists events by activity, live', async () => {
  const [a, b] = [newRoom('list'), newRoom('list')]
  await publish(gateway, a, chats(2))
  await publish(gateway, b, chats(3))
  const page = await pages.open('/')
  await isState(page, 'live')
  const top = (): Promise<string[]> =>
    page.$$eval('#events > li', (rows) =>
      rows.slice(0, 2).map((row) => [...row.querySelectorAll('a, .count')].map((node) => node.textContent).join(' ')),
    )
  const becomes = (rows: string[]): Promise<unknown> =>
    until(async () => JSON.stringify(await top()) === JSON.stringify(rows), { what: `the rows ${rows}` })
  await becomes([`${b} Messages: 3`, `${a} Messages: 2`])
  await publish(gateway, a, chats(1_500))
  await becomes([`${a} Messages: 1,502`, `${b} Messages: 3`])
  const fresh = newRoom('事件/新')
  await publish(gateway, fresh, chat(1))
  await becomes([`${fresh} Messages: 1`, `${a} Messages: 1,502`])
  await page.click('#events > li:first-child a')
  await isState(page, 'live')
  assert.is(await textOf(page, '#title'), fresh)
  await shows(page, await restIds(gateway, fresh))
})

web('posts what is typed, and says why when it cannot', async () => {
  const event_id = newRoom()
  const page = await pages.room(event_id)
  await isState(page, 'live')
  await page.waitForSelector('#empty:not([hidden])')
  await page.fill('#name', '王')
  await page.fill('#text', 'first\nline')
  await page.click('#send')
  await page.waitForSelector('#messages > li')
  assert.is(await page.isVisible('#empty'), false)
  assert.is(await page.inputValue('#text'), '')
  await page.fill('#text', 'second')
  await page.press('#text', 'Enter')
  await until(async () => (await shownIds(page)).length === 2, { what: 'the second row' })
  const { data } = (await getJson(`${eventUrl(gateway, event_id)}/messages`)).body
  const stored = data.map((m: Json) => [m.message_from, m.message_type, m.message_content.text])
  assert.equal(
    stored,
    ['first\nline', 'second'].map((said) => ['王', 'user_message', said]),
  )
  await page.fill('#text', 'x'.repeat(1_100_000))
  await page.click('#send')
  await until(async () => (await textOf(page, '#problem')).includes('413'), { what: 'the reason' })
  assert.is((await page.inputValue('#text')).length, 1_100_000)
})

web('stays at the end for a reader who is there, and only for that one', async () => {
  const event_id = newRoom()
  await publish(gateway, event_id, chats(300))
  const page = await pages.room(event_id, { viewport: { width: 360, height: 640 } })
  await isState(page, 'live')
  const below = (): Promise<number> => page.$eval('#box', (box) => box.scrollHeight - box.scrollTop - box.clientHeight)
  const atEnd = (): Promise<unknown> => until(async () => (await below()) < 40, { what: 'the end' })
  for (let n = 0; n < 10; n++) {
    await publish(gateway, event_id, chats(7))
    await until(async () => (await shownIds(page)).length === 307 + 7 * n, { what: 'the rows' })
    await atEnd()
  }
  assert.is(await page.isVisible('#to-end'), false)
  await page.$eval('#box', (box) => box.scrollTo(0, 500))
  await until(async () => (await below()) > 1_000, { what: 'a reader further up' })
  await publish(gateway, event_id, chats(3))
  await page.waitForSelector('#to-end:not([hidden])')
  assert.ok((await below()) > 1_000)
  assert.match(await textOf(page, '#to-end'), /3$/)
  await page.click('#to-end')
  await atEnd()
  assert.is(await page.$eval('html', (html) => html.scrollWidth), 360)
})

web.run()
