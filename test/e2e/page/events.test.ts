// needs: chromium
import type { Page, Route } from 'playwright-core'
import * as assert from 'uvu/assert'
import { bearer, guarded, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, postJson, until } from '../../support/harness/wait.ts'
import { startGateway } from '../../support/servers/gateway.ts'
import { getElementText, getElementTexts, isState, Pages, setUpSite } from '../../support/stages/pages.ts'
import { chat, chats, eventUrl, newRoom, publish } from '../../support/stages/rooms.ts'

const test = suite('the events page')
const site = setUpSite(test)

/** Returns the first rows: event, unread mark, count. */
const top = (page: Page, rows: number): Promise<string[]> =>
  page.$$eval(
    '#events > li',
    (items, most) =>
      items.slice(0, most).map((item) => {
        const [name, unread, count] = ['a', '.unread > :first-child, .unread.fresh', '.count'].map(
          (part) => item.querySelector(part)?.textContent ?? '-',
        )
        return `${name} | ${unread} | ${count}`
      }),
    rows,
  )

const becomes = async (page: Page, rows: string[]): Promise<void> => {
  let seen: string[] = []
  await until(async () => JSON.stringify((seen = await top(page, rows.length))) === JSON.stringify(rows), {
    what: `the rows ${rows}`,
  }).catch((error: Error) => {
    throw new Error(`${error.message}, but ${seen.join('; ')}`)
  })
}

test('shows that there are none yet and how to create one, until the first message arrives', async () => {
  const page = await site.pages.open('/')
  await isState(page, 'live')
  assert.match(await getElementText(page, '#empty'), /No events yet.*deepsoc-gateway demo/s)
  assert.is(await getElementText(page, '#summary').then((text) => text.trim()), '0 events, 0 unread messages')
  assert.is(await page.locator('.event-heads').count(), 0)
  const first = newRoom('first')
  await publish(site.gateway, first, chat(1))
  await becomes(page, [`${first} | new | 1 message`])
  assert.is(await page.locator('#empty').count(), 0)
})

test('lists events by latest activity and counts their messages while it is open', async () => {
  const [a, b] = [newRoom('list'), newRoom('list')]
  await publish(site.gateway, a, chats(2))
  await publish(site.gateway, b, chats(3))
  const page = await site.pages.open('/')
  await isState(page, 'live')
  await becomes(page, [`${b} | new | 3 messages`, `${a} | new | 2 messages`])
  await publish(site.gateway, a, chats(1_500))
  await becomes(page, [`${a} | new | 1,502 messages`, `${b} | new | 3 messages`])
  assert.is(await page.getAttribute('#events > li:first-child', 'data-busy'), 'true')
  const fresh = newRoom('事件/新')
  await publish(site.gateway, fresh, chat(1))
  await becomes(page, [`${fresh} | new | 1 message`, `${a} | new | 1,502 messages`])
  await page.click('#events > li:first-child a')
  await page.waitForSelector('#messages, #box')
  assert.is(await getElementText(page, '#title'), fresh)
})

test('marks messages that arrived since the last visit, in this tab and in the others', async () => {
  const event = newRoom('marks')
  await publish(site.gateway, event, chats(3))
  const page = await site.pages.open('/')
  await isState(page, 'live')
  const other = await page.context().newPage()
  await other.goto(site.gateway.url)
  await isState(other, 'live')
  await becomes(other, [`${event} | new | 3 messages`])
  await page.click(`#events a[href$="${event}"]`)
  await isState(page, 'live')
  await becomes(other, [`${event} | - | 3 messages`])
  await page.goBack()
  await isState(page, 'live')
  await publish(site.gateway, event, chats(2))
  for (const one of [page, other]) await becomes(one, [`${event} | 2 | 5 messages`])
  assert.is(await page.getAttribute('#events > li:first-child', 'data-unread'), 'true')
  await page.reload()
  await becomes(page, [`${event} | 2 | 5 messages`])

  await page.check('#only-unread')
  await page.click('#mark-all')
  await page.waitForSelector('#empty')
  assert.match(await getElementText(page, '#summary'), '0 unread messages')
  await publish(site.gateway, event, chat(1))
  await becomes(page, [`${event} | 1 | 6 messages`])
  assert.is(await page.locator('#events > li').count(), 1)
  assert.is((await getElementTexts(page, '#events .unread .unseen')).join(), '1 unread')
})

test('marks the newest events as read if more are loaded than the browser keeps marks of', async () => {
  const at = new Date().toISOString()
  const listed = (n: number) => ({
    event_id: `e-${n}`,
    messages: 1,
    first_db_id: n,
    last_db_id: n,
    first_at: at,
    last_at: at,
  })
  const all = Array.from({ length: 1_001 }, (_, n) => listed(1_001 - n))
  let data = all.slice(0, 1)
  const page = await site.pages.open('/livez')
  // The stream would reset the list, whose messages do not exist.
  await page.route('**/api/stream?*', (route) => route.abort())
  await page.route('**/api/events?*', (route) =>
    route.fulfill({ json: { status: 'success', data, has_more: false, log_id: 'a log' } }),
  )
  await page.goto(site.gateway.url)
  await becomes(page, ['e-1001 | new | 1 message'])
  await page.click('#mark-all')
  await becomes(page, ['e-1001 | - | 1 message'])
  data = all
  await page.reload()
  await becomes(page, ['e-1001 | - | 1 message', 'e-1000 | new | 1 message'])
  await page.click('#mark-all')
  await page.waitForSelector('#summary:has-text(", 1 unread message")')
  assert.equal(await top(page, 2), ['e-1001 | - | 1 message', 'e-1000 | - | 1 message'])
})

test.full('finds events by a part of their id, opens the only one, or one that is not listed', async () => {
  const [one, two] = [newRoom('Needle-A'), newRoom('needle-b')]
  for (const event of [one, two]) await publish(site.gateway, event, chat(1))
  const page = await site.pages.open('/')
  await isState(page, 'live')
  await page.fill('#search', ' NEEDLE ')
  await until(async () => (await page.locator('#events > li').count()) === 2, { what: 'two events' })
  await page.fill('#search', 'needle-a')
  await until(async () => (await page.locator('#events > li').count()) === 1, { what: 'one event' })
  await page.press('#search', 'Enter')
  await page.waitForSelector('#title')
  assert.is(await getElementText(page, '#title'), one)
  await page.goBack()
  const unknown = 'never/seen #1'
  await page.fill('#search', unknown)
  await page.waitForSelector('#empty')
  assert.match(await getElementText(page, '#empty'), /None of the \d+ loaded events matches/)
  assert.is((await getElementText(page, '#open')).trim(), `Open event “${unknown}”`)
  await page.click('#open')
  await page.waitForSelector('#title')
  assert.is(await getElementText(page, '#title'), unknown)
  assert.is(new URL(page.url()).pathname, `/events/${encodeURIComponent(unknown)}`)
})

test('finds messages of all events by their text, opens one in its room, marked, and comes back to the hits', async () => {
  const [one, two] = [newRoom('hit'), newRoom('hit')]
  const [first] = await publish(site.gateway, one, chat(1, { message_content: '<b>攻击</b> from 203.0.113.77\u202e' }))
  await publish(site.gateway, two, chat(1, { message_content: 'seen again: 203.0.113.77' }))
  const page = await site.pages.open('/')
  await isState(page, 'live')
  await page.fill('#search', '203.0.113.77')
  await page.waitForSelector('#hits-status:has-text("2 messages, newest first")')
  assert.equal(await getElementTexts(page, '.hit-event'), [two, one])
  assert.equal(await getElementTexts(page, '.hit mark'), ['203.0.113.77', '203.0.113.77'])
  await page.fill('#search', '攻击')
  await page.waitForSelector('#hits-status:has-text("1 message, newest first")')
  assert.match(await getElementText(page, '.hit-text'), /^<b>攻击<\/b> from 203\.0\.113\.77⟨U\+202E⟩/)
  await page.click('.hit a')
  await page.waitForSelector(`.row[data-id="${first}"][data-selected="true"]`)
  assert.is(new URL(page.url()).pathname, `/events/${one}`)
  assert.is(await page.inputValue('#search'), '攻击')
  await page.waitForSelector('#found:text-is("1 of 1 loaded messages")')
  await page.goBack()
  await page.waitForSelector('#hits-status:has-text("1 message, newest first")')
  assert.is(await page.inputValue('#search'), '攻击')
  await page.fill('#search', 'nowhere-to-be-found')
  await page.waitForSelector('#hits-status:has-text("No message contains all of this.")')
  await page.fill('#search', 'x')
  await page.waitForSelector('#hits', { state: 'detached' })
})

test.full('shows hostile ids as text, with invisible characters made visible', async () => {
  const hostile = [
    '<img src="http://evil.example/x" onerror="alert(1)">',
    '"><script>alert(2)</script>',
    'javascript:alert(3)',
    '../../../health?x=<svg onload=alert(4)>#1',
    'file\u202egpj.exe',
    '__proto__',
    'constructor',
    '*',
    '%2e%2e%2f',
    'x'.repeat(255),
  ].map((name) => `${name}`)
  for (const event of hostile) await publish(site.gateway, event, chat(1))
  const page = await site.pages.open('/', { viewport: { width: 360, height: 740 } })
  await isState(page, 'live')
  const shown = hostile.map((id) => id.replace('\u202e', '⟨U+202E⟩')).reverse()
  await becomes(
    page,
    shown.map((id) => `${id} | new | 1 message`),
  )
  assert.is(await page.locator('main :is(img, script, iframe, svg:not(.icon))').count(), 0)
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0)
  for (const [index, id] of hostile.entries()) {
    await page.click(`#events > li:nth-child(${hostile.length - index}) a`)
    await page.waitForSelector('#title')
    assert.is(await getElementText(page, '#title'), id.replace('\u202e', '⟨U+202E⟩'))
    await page.goBack()
    await isState(page, 'live')
  }
})

test('shows the state of the gateway on every page: what fails, that it is unreachable, that it is back', async () => {
  const broken = await startGateway({ env: { RABBITMQ_URL: `amqp://127.0.0.1:${await freePort()}` } })
  const own = new Pages(site.browser, () => broken.url)
  try {
    const page = await own.open('/')
    await page.waitForSelector('#gateway[data-is="faulty"]')
    assert.match(await getElementText(page, '#gateway'), /Gateway: Not ready.*consumer: broker_unreachable/s)
    await page.click('#gateway')
    await page.waitForSelector('.fault')
    assert.is(new URL(page.url()).pathname, '/health')
  } finally {
    await own.close()
    await broken.dispose()
  }
  const page = await site.pages.open('/')
  await page.waitForSelector('#gateway[data-is="ready"]')
  await page.clock.install()
  await page.reload()
  await page.waitForSelector('#gateway[data-is="ready"]')
  const after = async (is: string): Promise<void> => {
    await until(
      async () => {
        await page.clock.runFor(2_000)
        return page.locator(`#gateway[data-is="${is}"]`).isVisible()
      },
      { what: `the mark ${is}` },
    )
  }
  await page.route('**/readyz', (route) => route.abort('connectionrefused'))
  await after('gone')
  assert.match(await getElementText(page, '#gateway'), 'Unreachable')
  await page.unroute('**/readyz')
  await after('ready')
  // It hangs: the connection is there, and no answer comes.
  await page.route('**/readyz', () => undefined)
  await after('gone')
})

test('shows that the gateway is an edge, of which core, and how far it is behind, in both languages', async () => {
  const page = await site.pages.open('/')
  const upstream = { core: 'core.example:8080', state: 'away', lag_messages: 1, lag_seconds: 34 }
  const answer = (data: unknown) => ({ json: { status: 'success', data } })
  let data: unknown = { ready: true, mode: 'edge', degraded: true, upstream }
  await page.route('**/readyz', (route) => route.fulfill(answer(data)))
  await page.waitForSelector('#gateway[data-is="behind"]')
  const text = 'Edge of core.example:8080 · cut off from its core · 1 message behind · 34 s behind'
  assert.is(await getElementText(page, '#edge'), text)
  assert.is(await page.getAttribute('#gateway', 'title'), text)
  await page.click('#language')
  const chinese = 'core.example:8080 的边缘网关 · 与核心网关断开 · 落后 1 条消息 · 落后 34 秒'
  await until(async () => (await getElementText(page, '#edge')) === chinese)
  data = { ready: true, mode: 'edge', upstream: { ...upstream, state: 'live', lag_messages: 0, lag_seconds: 0 } }
  await page.waitForSelector('#gateway[data-is="ready"]')
  assert.is(await getElementText(page, '#edge'), 'core.example:8080 的边缘网关 · 已是最新')
})

test('asks for a token if one is needed, explains why a wrong one is refused, and discards it on sign-out', async () => {
  const closed = await startGateway({ env: guarded() })
  const own = new Pages(site.browser, () => closed.url)
  try {
    const writer = { headers: bearer(await sign({ events: '*', scope: 'read publish' })) }
    const say = async (event: string) => {
      const { status } = await postJson(`${eventUrl(closed, event)}/messages`, chat(1), writer)
      assert.is(status, 201)
    }
    for (const event of ['mine', 'theirs']) await say(event)
    const page = await own.open('/')
    await page.waitForSelector('#token')
    assert.is(await page.locator('#events, #summary').count(), 0)
    await page.fill('#token', await sign({ events: '*' }, { key: Buffer.from('x'.repeat(64)) }))
    await page.press('#token', 'Enter')
    await until(async () => /^401 token_/.test(await getElementText(page, '.sign-in .problem')), {
      what: 'the refusal',
    })
    assert.is(await page.locator('#events').count(), 0)
    // As copied from a header, with a line break of the terminal.
    const token = await sign({ events: ['mine'] })
    await page.evaluate(
      (text) => {
        const field = document.querySelector<HTMLInputElement>('#token')!
        field.value = text
        field.dispatchEvent(new InputEvent('input', { bubbles: true }))
      },
      `Bearer ${token.slice(0, 40)} ${token.slice(40)}`,
    )
    await page.click('.sign-in .primary')
    await isState(page, 'live')
    await becomes(page, ['mine | new | 1 message'])
    assert.is(await page.locator('#events > li').count(), 1)
    for (const event of ['theirs', 'mine']) await say(event)
    await becomes(page, ['mine | new | 2 messages'])
    assert.is(await page.locator('#events > li').count(), 1)
    await page.click('#events a')
    await isState(page, 'live')
    await page.goBack()
    await page.reload()
    await isState(page, 'live')
    const kept = await page.evaluate((text) => JSON.stringify({ ...localStorage }).includes(text), token)
    assert.is(kept, false, 'no script can read the token')
    await page.click('#sign-out')
    await page.waitForSelector('#token')
    assert.is(await page.locator('#events').count(), 0)
    await page.reload()
    await page.waitForSelector('#token')
  } finally {
    await own.close()
    await closed.dispose()
  }
})

test.full('loads the newest of many, older ones on demand, and counts a reactivated old one completely', async () => {
  const [old, ...rest] = Array.from({ length: 460 }, (_, n) => `many-${String(n).padStart(3, '0')}`)
  await publish(site.gateway, old!, chats(7))
  for (const event of rest) await publish(site.gateway, event, chat(1))
  const page = await site.pages.open('/')
  await isState(page, 'live')
  const rows = page.locator('#events > li')
  await until(async () => (await rows.count()) === 200, { what: 'the first 200' })
  assert.match(await getElementText(page, '#summary'), /^\s*200 newest events/)
  await publish(site.gateway, old!, chat(1))
  await becomes(page, [`${old} | new | 8 messages`, 'many-459 | new | 1 message'])
  await page.fill('#search', 'many-0')
  await page.waitForSelector('.more-events')
  assert.match(await getElementText(page, '.more-events'), 'Older events are not loaded and not searched.')
  await page.fill('#search', '')
  await page.click('#more')
  await until(async () => (await rows.count()) === 401, { what: 'older ones' })
  await page.click('#more')
  await until(async () => (await page.locator('#more').count()) === 0, { what: 'the end' })
  const names = await getElementTexts(page, '#events > li a')
  assert.is(new Set(names).size, names.length)
  assert.equal(names.slice(0, 460), [old, ...rest.reverse()])
  assert.is(await page.locator('.more-events').count(), 0)
})

test.full('shows an error if the list cannot be loaded, and continues when it can', async () => {
  const page = await site.pages.open('/health')
  await page.evaluate(() => {
    history.pushState(null, '', '/no/such/page')
    dispatchEvent(new PopStateEvent('popstate'))
  })
  assert.is(await getElementText(page, 'h1'), 'Page not found')
  const held: Route[] = []
  let way: 'fail' | 'hold' | 'pass' = 'fail'
  await page.route('**/api/events?*', (route) => {
    if (way === 'hold') held.push(route)
    else if (way === 'pass') return route.continue()
    else {
      const json = { status: 'error', code: 'storage_unavailable', message: 'disk', hint: 'look' }
      return route.fulfill({ status: 503, json })
    }
  })
  let streams = 0
  page.on('request', (request) => void (request.url().includes('/api/stream?') && streams++))
  await page.click('main a')
  await page.waitForSelector('#problem')
  assert.match(
    await getElementText(page, '#problem'),
    'The list could not be loaded: 503 storage_unavailable · disk · look',
  )
  way = 'hold'
  await until(() => held.length === 1, { what: 'the retry of its own' })
  await page.click('#problem button')
  await until(() => held.length === 2, { what: 'the one that was asked for' })
  way = 'pass'
  for (const route of held) await route.continue()
  await isState(page, 'live')
  assert.is(await page.locator('#problem').count(), 0)
  const event = newRoom('after')
  await publish(site.gateway, event, chat(1))
  await becomes(page, [`${event} | new | 1 message`])
  assert.is(streams, 1)
})

test.run()
