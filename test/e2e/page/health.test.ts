// needs: rabbitmq, pika, chromium
import type { Browser, Page, Route } from 'playwright-core'
import * as assert from 'uvu/assert'
import { violations } from '../../support/clients/axe.ts'
import { launchChromium } from '../../support/clients/browser.ts'
import { openSse } from '../../support/clients/sse.ts'
import { guarded, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { FULL } from '../../support/harness/tier.ts'
import { until } from '../../support/harness/wait.ts'
import { addRejected, clearRejected, type NewRejected, rejectedRows } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { type Line, startProxy } from '../../support/servers/proxy.ts'
import { type SharedBroker, sharedBroker } from '../../support/servers/rabbitmq.ts'
import { getElementText, getElementTexts, Pages } from '../../support/stages/pages.ts'
import { newRoom } from '../../support/stages/rooms.ts'
import { openStage, type Stage, streamUrl, waitForMessages } from '../../support/stages/stage.ts'

let browser: Browser
let broker: SharedBroker
/** Proxy between the gateway and the broker. */
let line: Line
let stage: Stage
let gateway: Gateway
let pages: Pages

const test = suite('the health page')

test.before(async () => {
  broker = await sharedBroker()
  const url = new URL(broker.url)
  line = await startProxy(Number(url.port))
  url.port = String(line.port)
  stage = await openStage(broker.url, 'health', { env: { RABBITMQ_URL: url.href } })
  gateway = stage.gateway
  browser = await launchChromium()
  pages = new Pages(browser, () => gateway.url)
})
test.before.each(() => clearRejected(gateway.dbFile))
test.after.each(() => pages.close())
test.after(async () => {
  await browser?.close()
  await stage?.dispose()
  await line?.close()
  await broker?.dispose()
})

const add = (...rows: NewRejected[]): number[] => addRejected(gateway.dbFile, rows)
const good = (event_id: string, message_id: string): string =>
  `{"event_id":"${event_id}","message_id":"${message_id}","message_content":"late","id":12302548181076029}`

const isState = (page: Page, is: string): Promise<unknown> => page.waitForSelector(`.state[data-is="${is}"]`)

const row = (id: number | undefined): string => `.rejected[data-id="${id}"]`

/** The page with a clock that `soon` advances. */
const openHurried = async (): Promise<Page> => {
  const page = await pages.open('/livez')
  await page.clock.install()
  await page.goto(`${gateway.url}/health`)
  return page
}

/** Waits for the page after its next refresh. Its clock runs four times as fast as real time, which leaves time for responses. */
const soon = (page: Page, selector: string): Promise<unknown> =>
  until(
    async () => {
      await page.clock.runFor(1_000)
      return page.locator(selector).first().isVisible()
    },
    { what: selector, everyMs: 250 },
  )

const figure = (page: Page, name: string): Promise<string> => getElementText(page, `[data-figure="${name}"] .figure`)

test('shows that everything works, with metrics, and plots the samples', async () => {
  const room = newRoom()
  const stream = await openSse(streamUrl(gateway, room))
  await stage.publish(Array.from({ length: 50 }, (_, n) => good(room, `m${n}`)))
  const page = await pages.open('/health')
  await isState(page, 'ready')
  assert.is(await getElementText(page, '.state [role="status"]'), 'All components work')
  await until(async () => (await figure(page, 'readers')) === '1')
  await until(async () => (await getElementText(page, '[data-figure="ingest"]')).includes('50 stored'), {
    what: '50 stored',
  })
  // A rate is shown for as long as messages arrive.
  let published = 50
  const hasRate = async (): Promise<boolean> => {
    await stage.publish(Array.from({ length: 20 }, () => good(room, `m${published++}`)))
    return /^[1-9][\d.]* \/s$/.test(await figure(page, 'ingest'))
  }
  await until(hasRate, { what: 'the rate', everyMs: 500 })
  assert.match(await figure(page, 'lag'), /(ms|s)$/)
  await until(async () => (await figure(page, 'queue')) === '0', { what: 'an empty queue' })
  await page.waitForSelector('[data-plot="messages"] canvas')
  assert.is(await page.locator('[data-plot] canvas').count(), 6)
  assert.match((await page.getAttribute('[data-plot="readers"] figure', 'aria-label')) ?? '', 'Current 1')
  stream.close()
})

const HOST = {
  ready: true,
  workers: 1,
  version: '1.0',
  schema_version: 5,
  readers: 3,
  retention_messages_per_event: null,
}

test('shows the hosts of a cluster, and what to do about a failed check, in both languages', async () => {
  const page = await pages.open('/livez')
  await page.route('**/api/health*', async (route) => {
    const response = await route.fetch()
    const { data } = await response.json()
    const consumers = { consumer: 'active', clock_offset_seconds: 0.01, retention_days: 30, last_seen_seconds: 0 }
    const standby = { check: 'standby', level: 'failed', code: 'standby_missing', names: ['db2'] }
    const cluster = {
      ...{ safe: false, database: { ...data.cluster.database, timeline: 2 } },
      checks: [{ ...standby, text: 'No synchronous standby streams.', hint: 'Start the standby.' }],
      gateways: [
        { ...HOST, ...consumers, gateway: 'a:80', own: true, live: true },
        { ...HOST, ...consumers, gateway: 'b:80', own: false, live: false, ready: false, consumer: 'none' },
      ],
    }
    await route.fulfill({ response, json: { status: 'success', data: { ...data, cluster } } })
  })
  await page.goto(`${gateway.url}/health`)
  await page.waitForSelector('.cluster [data-check="standby"][data-level="failed"]')
  const shown = await getElementText(page, '.cluster')
  assert.match(shown, /Not safe[\s\S]*No synchronous standby streams\.[\s\S]*What to do: Start the standby\./)
  assert.match(await getElementText(page, '[data-gateway="a:80"]'), /this one\s*ready\s*active[\s\S]*30 days/)
  assert.match(await getElementText(page, '[data-gateway="b:80"]'), /gone\s*none/)
  await page.click('#language')
  assert.match(
    await getElementText(page, '.cluster'),
    /不安全[\s\S]*没有同步备库在接收数据；synchronous_standby_names 为 db2。[\s\S]*请启动备库/,
  )
  assert.equal(await violations(page), [])
})

test('shows a fault while it lasts: the broker is unreachable, and then reachable', async () => {
  const page = await openHurried()
  await isState(page, 'ready')
  await line.close()
  const fault = page.locator('.fault[data-component="consumer"]')
  await soon(page, '.fault[data-component="consumer"]')
  await isState(page, 'faulty')
  await until(async () => /broker_unreachable[\s\S]*RABBITMQ_URL[\s\S]*since/.test((await fault.textContent()) ?? ''), {
    what: 'what fails, what to do, since when',
  })
  assert.match(await getElementText(page, '.state [role="status"]'), /Not ready\. .*consumer: broker_/)
  await until(async () => (await getElementText(page, '[data-figure="queue"]')).includes('not connected to the broker'))
  await page.click('#language')
  assert.match((await fault.textContent()) ?? '', '请检查 RABBITMQ_URL')
  line = await startProxy(Number(new URL(broker.url).port), line.port)
  await soon(page, '.state[data-is="ready"]')
  await until(async () => (await page.locator('.fault').count()) === 0)
})

test.full('a gateway that does not respond is shown as unreachable, with its last metrics and their time', async () => {
  const page = await openHurried()
  await isState(page, 'ready')
  gateway.freeze()
  try {
    await soon(page, '.state[data-is="gone"]')
    assert.match(await getElementText(page, '.state'), /does not respond[\s\S]*The data below is from \d\d:\d\d:\d\d/)
    assert.ok((await figure(page, 'readers')) !== '')
  } finally {
    gateway.thaw()
  }
  await soon(page, '.state[data-is="ready"]')
})

test('a message is replayed by its button and reaches the subscribers of its event', async () => {
  const room = newRoom()
  const stream = await openSse(streamUrl(gateway, room))
  await stream.next('caught_up')
  const page = await openHurried()
  await isState(page, 'ready')
  await stage.publish(['{"event_id":NaN}'])
  await soon(page, '.rejected:has-text("invalid_json")')
  const bad = Number(await page.getAttribute('.rejected', 'data-id'))
  const [fine] = add({ body: good(room, 'late') })
  await page.click(`${row(fine)} .replay`)
  const [message] = await waitForMessages(stream, 1)
  await until(async () =>
    (await getElementText(page, '.results')).includes(`stored as message ${message!.id} of event ${room}`),
  )
  assert.is(await page.getAttribute('.results a', 'href'), `/events/${room}`)
  assert.is(await page.locator(row(fine)).count(), 0)
  await page.click(`${row(bad)} .replay`)
  await until(async () => (await getElementText(page, '.results')).includes('is still invalid: invalid_json'))
  assert.is(await page.locator(row(bad)).count(), 1)
  stream.close()
})

test.full('many are replayed at once, by reason, with a correct total', async () => {
  const room = newRoom()
  const bodies = Array.from({ length: 300 }, (_, n) => (n % 10 === 0 ? 'no json' : good(room, `m${n}`)))
  add(...bodies.map((body) => ({ body, reason: 'message_unstorable' })), { body: 'x', reason: 'invalid_utf8' })
  const page = await pages.open('/health')
  await page.click('.chip[data-reason="message_unstorable"]')
  // Without the chip there are as many rows, of all reasons.
  await page.waitForFunction(() => {
    const rows = [...document.querySelectorAll('.rejected')]
    return rows.length === 20 && rows.every(({ textContent }) => !textContent.includes('invalid_utf8'))
  })
  await page.click('.more')
  await page.waitForFunction(() => document.querySelectorAll('.rejected').length === 40)
  await page.click('.replay-all')
  const sum = '270 stored, 0 already stored, 30 still invalid, 0 gone.'
  await until(async () => (await getElementText(page, '.results')).includes(sum), { what: sum })
  assert.is(rejectedRows(gateway.dbFile).length, 31)
  await page.waitForSelector('.chip[data-reason="invalid_json"]')
})

const rejectedFor = (reason: string, rows: number): NewRejected[] =>
  Array.from({ length: rows }, () => ({ body: 'x', reason }))

/** Chooses a reason. @returns once its button is pressed, which can be before its rows are loaded */
const choose = async (page: Page, reason: string): Promise<void> => {
  await page.click(`.chip[data-reason="${reason}"]`)
  await page.waitForSelector(`.chip[data-reason="${reason}"][aria-pressed="true"]`)
}

/** Waits for rows, all of one reason. */
const hasRows = async (page: Page, reason: string, rows: number): Promise<void> => {
  const all = page.locator('.rejected')
  const chosen = all.filter({ hasText: reason })
  await until(async () => (await all.count()) === rows && (await chosen.count()) === rows, {
    what: `${rows} rows of ${reason}`,
  })
}

test('shows no rows of another reason before those of the chosen one are loaded', async () => {
  add(...rejectedFor('invalid_utf8', 30), ...rejectedFor('invalid_json', 5))
  const page = await pages.open('/health')
  const held: Route[] = []
  await page.route(/rejected\?.*invalid_json/, (route) => void held.push(route))
  await choose(page, 'invalid_utf8')
  await hasRows(page, 'invalid_utf8', 20)
  await choose(page, 'invalid_json')
  assert.equal(await getElementTexts(page, '.rejected, .quarantine .more'), [])
  await until(() => held.length === 1, { what: 'the request for the other rows' })
  await held.pop()!.continue()
  await hasRows(page, 'invalid_json', 5)
})

test('loads the rows of the chosen reason after a bulk replay of another one', async () => {
  add(...rejectedFor('invalid_utf8', 30), ...rejectedFor('invalid_json', 5))
  const page = await pages.open('/health')
  const held: Route[] = []
  await page.route('**/api/rejected/replay?*', (route) => void held.push(route))
  await choose(page, 'invalid_json')
  await hasRows(page, 'invalid_json', 5)
  await page.click('.replay-all')
  await until(() => held.length === 1, { what: 'the bulk replay' })
  await choose(page, 'invalid_utf8')
  await hasRows(page, 'invalid_utf8', 20)
  const reread = page.waitForRequest(/rejected\?/)
  await held.pop()!.fulfill({ json: { status: 'success', data: [], has_more: false, after: 0, through: 0 } })
  assert.match((await reread).url(), 'reason=invalid_utf8')
})

test('rows that could not be loaded are loaded on request', async () => {
  add(...rejectedFor('invalid_utf8', 3), ...rejectedFor('invalid_json', 2))
  const page = await pages.open('/health')
  await hasRows(page, '', 5)
  const json = { status: 'error', code: 'storage_unavailable', message: 'disk', hint: 'look' }
  await page.route(/rejected\?.*invalid_json/, (route) => route.fulfill({ status: 503, json }), { times: 1 })
  await choose(page, 'invalid_json')
  await page.waitForSelector('.quarantine .problem:has-text("storage_unavailable")')
  assert.equal(await getElementTexts(page, '.rejected'), [])
  assert.equal(await getElementTexts(page, '.quarantine .problem button'), ['Retry'])
  await page.click('.quarantine .problem button')
  await hasRows(page, 'invalid_json', 2)
  assert.is(await page.locator('.quarantine .problem').count(), 0)
})

test.full('more rows than one request returns stay when another message is quarantined', async () => {
  add(...rejectedFor('invalid_json', 210))
  const page = await openHurried()
  for (let rows = 20; rows < 200; rows += 20) {
    await hasRows(page, '', rows)
    await page.click('.quarantine .more')
  }
  await hasRows(page, '', 200)
  await page.click('.quarantine .more')
  await hasRows(page, '', 210)
  const [newest] = add(...rejectedFor('invalid_json', 1))
  await soon(page, row(newest))
  assert.is(await page.locator('.rejected').count(), 211)
})

test('nothing is deleted by accident: a dialog asks, Escape and Enter keep the row, and focus returns afterwards', async () => {
  const ids = add({ body: 'one' }, { body: 'two' }, { body: 'three' })
  const [first, second, third] = ids
  const page = await pages.open('/health')
  const drop = page.locator(`${row(third)} .drop`)
  const closed = () => page.waitForSelector('dialog', { state: 'detached' })
  for (const key of ['Escape', 'Enter']) {
    await drop.press('Enter')
    await page.waitForSelector('dialog[open]')
    assert.is(await page.evaluate(() => document.activeElement?.textContent), 'Cancel')
    await page.keyboard.press(key)
    await closed()
    assert.is(await drop.evaluate((button) => button === document.activeElement), true, 'back where it came from')
  }
  assert.is(rejectedRows(gateway.dbFile).length, 3)
  await drop.press('Enter')
  await page.waitForSelector('dialog[open]')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await until(async () => (await getElementText(page, '.results')).includes(`Row ${third} was deleted.`))
  assert.equal(
    rejectedRows(gateway.dbFile).map(({ rejected_id }) => rejected_id),
    [first, second],
  )
  await page.waitForFunction(
    (id) => document.activeElement?.closest('.rejected')?.getAttribute('data-id') === String(id),
    second,
  )
})

const HOSTILE = `"><img src=https://evil.example/x onerror=alert(1)><script>alert(2)</script>\u202egpj.exe\u001b[2J\u0000{t}`

test.full('hostile text in every field of the quarantine is text, with invisible characters made visible', async () => {
  const bytes = Buffer.concat([Buffer.from('<svg onload=alert(3)>\u202e'), Buffer.from([0xff, 0xfe, 0x00])])
  const [text, binary] = add(
    {
      body: `${HOSTILE}{"id":12302548181076029}`,
      reason: HOSTILE,
      detail: HOSTILE,
      exchange: HOSTILE,
      routing_key: HOSTILE,
      headers: `{${JSON.stringify(HOSTILE)}:${JSON.stringify(HOSTILE)},"n":12302548181076029,"__proto__":{"x":1}}`,
      properties: JSON.stringify({ messageId: HOSTILE, constructor: HOSTILE }),
    },
    { body: bytes },
  )
  const page = await pages.open('/health')
  await page.click(`${row(text)} [aria-expanded]`)
  await page.waitForSelector(`${row(text)} pre.body`)
  const shown = await getElementText(page, row(text))
  assert.is(shown.split('<script>alert(2)</script>⟨U+202E⟩gpj.exe⟨U+001B⟩[2J⟨U+0000⟩').length - 1, 6, shown)
  for (const unseen of ['\u202e', '\u001b', '\u0000']) assert.not.ok(shown.includes(unseen), shown)
  assert.is(shown.split('12302548181076029').length - 1, 2, 'digit for digit')
  assert.match(shown, '__proto__')
  await page.click(`${row(binary)} [aria-expanded]`)
  await page.waitForSelector(`${row(binary)} pre.body`)
  assert.is(
    await getElementText(page, `${row(binary)} pre.body`),
    '<svg onload=alert(3)>\\xe2\\x80\\xae\\xff\\xfe\\x00',
  )
  await page.click('#language')
  assert.is(await page.locator('main img, main script, main svg:not(.icon)').count(), 0)
})

test.full('headers and body of a message are shown with every digit and character unchanged', async () => {
  const body = '{"a":12302548181076029,"b":"\\ue00012345","c":1.10}'
  const raw = body.replace('\\ue000', '\ue000')
  const ids = add({ body, headers: body }, { body: raw, headers: raw })
  const page = await pages.open('/health')
  const printed = '{\n  "a": 12302548181076029,\n  "b": "\ue00012345",\n  "c": 1.10\n}'
  for (const [n, id] of ids.entries()) {
    await page.click(`${row(id)} [aria-expanded]`)
    await page.waitForSelector(`${row(id)} pre.body`)
    assert.equal(await getElementTexts(page, `${row(id)} pre`), [printed, [body, raw][n]])
  }
})

test('a token without the scope admin is refused with an explanation and no further requests; one with it is accepted', async () => {
  const closed = await startGateway({ env: guarded() })
  const own = new Pages(browser, () => closed.url)
  try {
    addRejected(closed.dbFile, [{ body: 'secret' }])
    const page = await own.open('/health')
    const use = async (token: string) => {
      await page.fill('#token', token)
      await page.click('.sign-in .primary')
    }
    await page.waitForSelector('#token')
    let asked = 0
    page.on('request', (request) => void (/\/api\/(health|rejected)/.test(request.url()) && asked++))
    await use(await sign({ events: '*', scope: 'publish' }))
    await page.waitForSelector('.refused')
    assert.match(await getElementText(page, '.refused'), 'scope admin')
    assert.equal(await getElementTexts(page, '.rejected, .figure'), [])
    assert.is(asked, 1)
    assert.equal(await violations(page), [])
    await page.click('.refused .primary')
    await page.waitForSelector('#token')
    const json = { status: 'error', code: 'token_expired', message: 'expired', hint: 'renew' }
    await page.route('**/api/rejected?*', (route) => route.fulfill({ status: 401, json }), { times: 1 })
    await use(await sign({ scope: 'admin' }))
    await isState(page, 'ready')
    // A new sign-in loads what was refused.
    await page.waitForSelector('#token')
    await use(await sign({ scope: 'admin' }))
    await page.waitForSelector('.rejected')
  } finally {
    await own.close()
    await closed.dispose()
  }
})

test.full('nothing is requested while the tab is hidden, and immediately when it is visible again', async () => {
  const page = await pages.open('/health')
  await page.clock.install()
  await page.reload()
  let asked = 0
  page.on('request', (request) => void (request.url().includes('/api/health') && asked++))
  const seesMore = async (what: string) => {
    const before = asked
    await until(
      async () => {
        await page.clock.runFor(1_000)
        return asked > before
      },
      { what },
    )
  }
  const setHidden = (hidden: boolean) =>
    page.evaluate((value) => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => value })
      document.dispatchEvent(new Event('visibilitychange'))
    }, hidden)
  await isState(page, 'ready')
  await seesMore('a question')
  await seesMore('and another')
  await setHidden(true)
  const before = asked
  await page.clock.runFor('10:00')
  assert.is(asked, before)
  await setHidden(false)
  await until(() => asked > before, { what: 'a question at once' })
})

/** In the short form, each width, language and theme once. */
const SHAPES = FULL
  ? [360, 1440].flatMap((width) =>
      (['en', 'zh-CN'] as const).flatMap((language) =>
        (['light', 'dark'] as const).map((colorScheme) => ({ width, language, colorScheme })),
      ),
    )
  : ([
      { width: 360, language: 'en', colorScheme: 'light' },
      { width: 360, language: 'zh-CN', colorScheme: 'dark' },
      { width: 1440, language: 'zh-CN', colorScheme: 'light' },
    ] as const)

test.full('axe finds no problem, and nothing is too wide: languages, themes, widths', async () => {
  const long = 'notifications.frontend.'.repeat(8)
  const [id] = add(
    { body: '{"event_id":7}', reason: 'invalid_event_id', detail: 'event_id: expected a string', routing_key: long },
    { body: 'x'.repeat(5_000), reason: 'invalid_json', headers: '{"a":"b"}' },
  )
  const page = await pages.open('/livez')
  // With the table of workers.
  await page.route('**/api/health*', async (route) => {
    const response = await route.fetch()
    const { data } = await response.json()
    const workers = [...data.workers, { ...data.workers[0], worker: 2, pid: 2 }]
    await route.fulfill({ response, json: { status: 'success', data: { ...data, workers, workers_expected: 2 } } })
  })
  await page.goto(`${gateway.url}/health`)
  for (const { width, language, colorScheme } of SHAPES) {
    const what = `${width} ${language} ${colorScheme}`
    await page.setViewportSize({ width, height: 900 })
    await page.emulateMedia({ colorScheme })
    if ((await page.getAttribute('html', 'lang')) !== language) await page.click('#language')
    await page.reload()
    await page.waitForSelector('[data-plot] canvas')
    await page.waitForSelector('.workers tbody tr:nth-child(2)')
    assert.is(await page.getAttribute('html', 'lang'), language)
    await page.click(`${row(id! + 1)} [aria-expanded]`)
    await page.waitForSelector('pre.body')
    await page.click(`${row(id)} .replay`)
    await page.waitForSelector('.results li')
    assert.equal(await violations(page), [], what)
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    assert.ok(wide <= 0, `${what}: ${wide} px too wide`)
    await page.click(`${row(id)} .drop`)
    await page.waitForSelector('dialog[open]')
    assert.equal(await violations(page), [], `${what}, with the dialog`)
    await page.keyboard.press('Escape')
    await page.waitForSelector('dialog', { state: 'detached' })
  }
})

test.run()
