// needs: chromium
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { messageText, writeScript } from '../../../src/cli/demo/script.ts'
import { violations } from '../../support/clients/axe.ts'
import { launchChromium } from '../../support/clients/browser.ts'
import { guarded } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { FULL } from '../../support/harness/tier.ts'
import { getJson, until } from '../../support/harness/wait.ts'
import { addRejected, setTimes } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { getElementText, isState, Pages } from '../../support/stages/pages.ts'
import { chat, chats, newRoom, publish } from '../../support/stages/rooms.ts'
import { FIXTURE } from '../../support/stages/stage.ts'

const WIDTHS = [360, FULL ? 1280 : 820, 1920, ...(FULL ? [820] : [])]
const THEMES = ['light', 'dark'] as const
const LANGUAGES = ['en', 'zh-CN'] as const

let gateway: Gateway
let closed: Gateway
let browser: Browser
let pages: Pages
let guardedPages: Pages
/** War rooms of an English and a Chinese incident, and one with DeepSOC's own messages and unexpected ones. */
let rooms: string[]

const test = suite('the appearance of the pages')

const ODD = [
  '{"message_content":null}',
  '{"message_from":"x","message_type":"y","message_content":[1,{"a":12302548181076029},"z"]}',
  `{"message_from":"${'w'.repeat(200)}","message_type":"${'t'.repeat(200)}","message_content":"${'long'.repeat(400)}"}`,
  `{"message_from":"_executor","message_type":"command_result","message_content":{"data":{"command_name":"${'n'.repeat(200)}","status":"failed","result":{"${'k'.repeat(200)}":"${'v'.repeat(500)}"}}}}`,
  `{"message_from":"_expert","message_type":"event_summary_generated","message_content":{"data":{"event_summary":"# a\\n\\n| ${'c | '.repeat(20)}\\n|${'---|'.repeat(20)}\\n| ${'cell | '.repeat(20)}\\n\\n| | |\\n|---|---|\\n| a table | without headings |\\n\\n\`\`\`\\n${'code '.repeat(80)}\\n\`\`\`"}}}`,
]

test.before(async () => {
  ;[gateway, closed] = await Promise.all([startGateway(), startGateway({ env: guarded() })])
  const cues = writeScript({ seed: 12, events: 2, run: 'look' })
  rooms = [...new Set(cues.map(({ event_id }) => event_id))]
  for (const room of rooms) {
    const own = cues.filter(({ event_id }) => event_id === room)
    const texts = own.map((cue, id) => messageText(cue, { id, message_id: `${room}-${id}`, now: Date.now() }))
    const ids = await publish(gateway, room, `[${texts.join()}]`)
    setTimes(gateway.dbFile, new Map(ids.map((id, n) => [id, Date.now() - (ids.length - n) * 10_000])))
  }
  const last = newRoom(`odd-${'long-name-'.repeat(12)}`)
  rooms.push(last)
  const bodies = FIXTURE.map((line) => line.replace(/"event_id":"[^"]*",("user_id")/, '$1'))
  await publish(gateway, last, `[${[...bodies, ...ODD].join()}]`)
  addRejected(gateway.dbFile, [
    { body: '{"event_id":7}', reason: 'invalid_event_id', routing_key: 'notifications.frontend.'.repeat(8) },
    { body: 'x'.repeat(5_000), reason: 'invalid_json', headers: '{"a":"b"}' },
  ])
  browser = await launchChromium()
  pages = new Pages(browser, () => gateway.url)
  guardedPages = new Pages(browser, () => closed.url)
})
test.after.each(async () => {
  await pages.close()
  await guardedPages.close()
})
test.after(async () => {
  await browser?.close()
  await gateway?.dispose()
  await closed?.dispose()
})

const NAMES = ['events', 'room', 'odd room', 'docs', 'sign-in', 'health'] as const
type Name = (typeof NAMES)[number]

/** Waits until there is something on it. */
const isShown = async (page: Page, name: Name): Promise<void> => {
  if (name === 'docs') return
  if (name === 'sign-in') await page.waitForSelector('#token')
  else if (name === 'health') await page.waitForSelector('[data-plot] canvas')
  else await isState(page, 'live')
  if (name === 'room') await page.waitForSelector('.rate canvas')
}

/** A page with something on it, and what violates its policy counted. */
const show = async (name: Name, options: BrowserContextOptions = {}): Promise<Page> => {
  const paths = { events: '/', docs: '/docs', 'sign-in': '/', health: '/health' }
  const page =
    name === 'room' || name === 'odd room'
      ? await pages.room(rooms[name === 'room' ? 0 : 2]!, options)
      : await (name === 'sign-in' ? guardedPages : pages).open(paths[name], options)
  await isShown(page, name)
  return page
}

/** Returns the elements that extend beyond the window. */
const tooWide = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    if (document.documentElement.scrollWidth <= innerWidth) return []
    const wide = [...document.querySelectorAll('body *')].filter(
      (one) => one.getBoundingClientRect().right > innerWidth + 1,
    )
    return [
      `${document.documentElement.scrollWidth} px`,
      ...wide.map((one) => `${one.tagName} ${one.className} ${one.id}`),
    ]
  })

/** Returns texts that are cut off without an ellipsis, in particular of buttons and links. */
const cutOff = (page: Page): Promise<string[]> =>
  page.$$eval('button, nav a, h1, summary, th, dt', (nodes) =>
    nodes
      .filter((node) => node.clientWidth > 1 && node.scrollWidth > node.clientWidth + 1)
      .filter(
        (node) => getComputedStyle(node).textOverflow !== 'ellipsis' && getComputedStyle(node).display !== 'inline',
      )
      .map((node) => `${node.tagName} ${node.id} ${node.textContent}`),
  )

const landmarks = (page: Page): Promise<string> =>
  page.evaluate(() =>
    ['main', 'header', 'nav', 'h1'].map((name) => `${document.querySelectorAll(name).length} ${name}`).join(', '),
  )

for (const name of NAMES) {
  // A room with odd messages is a variant of a room.
  const add = name === 'odd room' ? test.full : test
  add(`axe finds nothing on the ${name} page, and nothing is too wide or cut off`, async () => {
    const page = await show(name)
    // The API documentation exists in English only.
    for (const [index, language] of LANGUAGES.slice(0, name === 'docs' ? 1 : 2).entries()) {
      if (index > 0) await page.click('#language')
      for (const [place, width] of WIDTHS.entries()) {
        const what = `${name} ${language} ${width}`
        await page.setViewportSize({ width, height: 900 })
        assert.equal(await tooWide(page), [], what)
        assert.equal(await cutOff(page), [], what)
        assert.is(await landmarks(page), '1 main, 1 header, 1 nav, 1 h1', what)
        // In the short form axe checks each language and theme once, at the narrowest and the widest window.
        for (const [turn, colorScheme] of THEMES.entries()) {
          if (!FULL && (turn !== index || place !== turn * 2)) continue
          await page.emulateMedia({ colorScheme })
          assert.equal(await violations(page), [], `${what} ${colorScheme}`)
        }
      }
      if (name !== 'docs') assert.is(await page.getAttribute('html', 'lang'), language)
    }
  })
}

test.full('axe finds no problem in what opens: filters, keys, connection, JSON, exports, an empty search', async () => {
  const page = await show('room', { viewport: { width: 360, height: 740 }, colorScheme: 'dark', locale: 'zh-CN' })
  await page.click('#filters')
  await page.waitForSelector('#rail', { state: 'visible' })
  assert.equal(await violations(page), [], 'the filters')
  assert.equal(await tooWide(page), [])
  await page.click('.rail-head button')
  await page.click('#state summary')
  await page.waitForSelector('.line-facts')
  assert.equal(await violations(page), [], 'the connection')
  const box = (await page.locator('.line-facts').boundingBox())!
  assert.ok(box.x >= 0 && box.x + box.width <= 360, 'the connection is on the screen')
  await page.click('#state summary')
  await page.focus('#box')
  for (const key of ['k', 'k', 'x']) await page.keyboard.press(key)
  await page.waitForSelector('.whole')
  assert.equal(await violations(page), [], 'a whole message')
  await page.keyboard.press('?')
  await page.waitForSelector('dialog[open]')
  assert.equal(await violations(page), [], 'the keys')
  await page.keyboard.press('Escape')
  await page.fill('#search', 'zzzz')
  await page.waitForSelector('#empty')
  await page.click('#export')
  await page.waitForSelector('dialog[open]')
  assert.equal(await violations(page), [], 'the formats of an export')
  assert.equal(await tooWide(page), [])
  assert.equal(await cutOff(page), [])
  await page.keyboard.press('Escape')
  assert.equal(await violations(page), [], 'nothing found')
  const list = await show('events')
  await list.fill('#search', `${'zzzz '.repeat(20)}`)
  await list.setViewportSize({ width: 360, height: 740 })
  await list.waitForSelector('#empty')
  assert.equal(await violations(list), [], 'no event found')
  assert.equal(await tooWide(list), [])
})

/** What has the focus, and how it can be seen that it has; null if nothing has. */
const focused = (page: Page): Promise<{ name: string; seen: boolean } | null> =>
  page.evaluate(() => {
    const one = document.activeElement as HTMLElement
    if (one === document.body) return null
    const { top, bottom } = one.getBoundingClientRect()
    const outlined = ['', '::after'].some((part) => {
      const { outlineStyle, outlineWidth } = getComputedStyle(one, part || null)
      return outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2
    })
    const row = one.querySelector('.line-up')
    const inRow = row !== null && getComputedStyle(row).outlineStyle !== 'none'
    return {
      name: `${one.tagName} ${one.id || one.className || one.textContent}`,
      seen: (outlined || inRow) && bottom > 0 && top < innerHeight,
    }
  })

test('keyboard users see the focus, and can skip to the content first', async () => {
  for (const name of ['events', 'room', 'health', 'sign-in', 'docs'] as const) {
    const [narrow, wide] = [360, 1440].map((width) => ({ width, height: 740 }))
    const page = await show(name, { viewport: narrow! })
    for (const viewport of [narrow!, wide!]) {
      if (viewport === wide) {
        await page.setViewportSize(viewport)
        // Where the keyboard starts is forgotten with the document.
        await page.reload()
        await isShown(page, name)
      }
      const stops: string[] = []
      for (let n = 0; n < 25; n++) {
        await page.keyboard.press('Tab')
        let stop = await focused(page)
        if (stop === null) break
        stops.push(stop.name)
        // The list scrolls again once the heights of its rows are known.
        const isSeen = async (): Promise<boolean> => (stop = await focused(page))?.seen === true
        const what = `${name}, ${viewport.width}: ${stop.name} shows that it has the focus`
        if (!stop.seen) await until(isSeen, { what, saw: () => stop })
      }
      assert.ok(stops.length >= (name === 'sign-in' ? 2 : 6), `${name}: ${stops}`)
      if (name !== 'docs' && name !== 'sign-in') {
        assert.match(stops[0]!, 'skip')
        await page.focus('.skip')
        assert.is((await page.locator('.skip').boundingBox())!.y > 0, true, 'it is seen')
        await page.keyboard.press('Enter')
        assert.is(await page.evaluate(() => document.activeElement?.id), 'main')
      }
    }
    await page.context().close()
  }
})

test.full('a busy war room is announced in few words to screen readers, and a busy list not at all', async () => {
  const listen = (page: Page) =>
    page.evaluate(() => {
      const said: string[] = []
      Object.assign(window, { said })
      for (const region of document.querySelectorAll('[role="status"], [role="alert"], [role="log"], [aria-live]')) {
        const look = () => region.textContent!.trim() !== '' && said.push(region.textContent!.trim())
        new MutationObserver(look).observe(region, { subtree: true, childList: true, characterData: true })
      }
    })
  const heard = (page: Page): Promise<string[]> => page.evaluate('said')
  const busy = newRoom('busy')
  await publish(gateway, busy, chats(5))
  const [room, list] = [await pages.open('/livez'), await show('events')]
  await room.clock.install()
  await room.goto(`${gateway.url}/events/${busy}`)
  await isState(room, 'live')
  assert.is(await room.getAttribute('#box', 'aria-live'), null, 'a feed is no live region')
  for (const page of [room, list]) await listen(page)
  await until(
    async () => {
      await publish(gateway, busy, chats(10))
      await room.clock.runFor(1_000)
      return /new messages, the latest from Captain/.test((await heard(room)).join())
    },
    { what: 'what is said of them' },
  )
  const told = await heard(room)
  assert.ok(told.length <= 4, told.join(' / '))
  assert.equal(await heard(list), [])
})

test.full('nothing moves if reduced motion is preferred', async () => {
  const page = await pages.open('/')
  await isState(page, 'live')
  const moving = () => page.evaluate(() => document.getAnimations().length)
  await page.evaluate(() => {
    document.getElementById('state')!.dataset.state = 'connecting'
  })
  assert.is(await moving(), 1, 'the mark of a connection that is being made')
  await page.emulateMedia({ reducedMotion: 'reduce' })
  assert.is(await moving(), 0)
  const smooth = await page.evaluate(() =>
    [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules].map(({ cssText }) => cssText)).join(' '),
  )
  assert.not.match(smooth, /[^r]scroll-behavior/)
})

test('a policy that allows nothing but our own files is on every page, and works', async () => {
  for (const path of ['/', '/health', `/events/${rooms[0]}`, '/docs']) {
    const { headers } = await getJson(`${gateway.url}${path}`)
    const policy = String(headers['content-security-policy'])
    assert.match(policy, "default-src 'none'")
    assert.match(policy, "frame-ancestors 'none'")
    assert.not.match(policy, /unsafe|\*|https?:/)
    assert.is(headers['x-content-type-options'], 'nosniff')
  }
  const page = await pages.open('/')
  await isState(page, 'live')
  await page.evaluate(async (elsewhere) => {
    const refused: string[] = []
    Object.assign(window, { refused })
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => refused.push(effectiveDirective))
    const attempts = [
      () => document.body.insertAdjacentHTML('beforeend', '<b>markup</b>'),
      () => document.body.append(Object.assign(document.createElement('script'), { text: 'window.ran = 1' })),
      () => document.body.append(Object.assign(document.createElement('style'), { textContent: 'body{color:red}' })),
      () => document.body.append(Object.assign(new Image(), { src: `${elsewhere}/x.png` })),
      () => fetch(`${elsewhere}/leak`).catch(() => {}),
    ]
    for (const attempt of attempts) {
      try {
        await attempt()
      } catch {
        // Rejected immediately.
      }
    }
  }, closed.url)
  let refused: string[] = []
  const look = async (): Promise<boolean> => (refused = await page.evaluate('[...new Set(refused)].sort()')).length >= 4
  await until(look, { what: 'all that was refused', saw: () => refused })
  assert.equal(refused, ['connect-src', 'img-src', 'require-trusted-types-for', 'style-src-elem'])
  assert.is(await page.evaluate(() => 'ran' in window), false)
  assert.is(await page.locator('body > b').count(), 0)
  // These were asked for; what a page does by itself is still to be nothing.
  assert.ok(pages.incidents.splice(0).length > 0)
})

const COLOURS = {
  安全指挥官: '#00a8ff',
  安全管理员: '#1ee280',
  安全工程师: '#ffcc00',
  执行器: '#9c27b0',
  安全专家: '#ff9800',
  系统: '#607d8b',
  AI助手: '#66bb6a',
}

test.full('roles have the names and colours of DeepSOC, in the list and in the plot, also in the dark', async () => {
  const page = await show('room', { locale: 'zh-CN', colorScheme: 'dark' })
  const hex = (colour: string) =>
    `#${[...colour.matchAll(/\d+/g)].map(([part]) => Number(part).toString(16).padStart(2, '0')).join('')}`
  const shown = await page.$$eval('#roles .choice', (rows) =>
    rows.map((row) => [
      row.querySelector('.choice-label')!.textContent!,
      getComputedStyle(row.querySelector('.swatch')!).backgroundColor,
    ]),
  )
  const coloured = Object.fromEntries(shown.map(([name, colour]) => [name!, hex(colour!)]))
  assert.equal(Object.fromEntries(Object.entries(coloured).filter(([name]) => name !== '用户')), COLOURS)
  const drawn = await page.$eval('.rate canvas', (canvas) => {
    const { width, height } = canvas as HTMLCanvasElement
    const { data } = (canvas as HTMLCanvasElement).getContext('2d')!.getImageData(0, 0, width, height)
    const solid = new Set<string>()
    for (let at = 0; at < data.length; at += 4)
      if (data[at + 3] === 255) solid.add([data[at], data[at + 1], data[at + 2]].join())
    return [...solid]
  })
  const has = (colour: string) =>
    drawn.includes([1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)).join())
  assert.equal(
    Object.values(COLOURS).filter((colour) => !has(colour)),
    [],
  )
  assert.is(has('#000000'), false, 'no black on black')
})

/** Asserts that a page has no text of another language, except names and the texts of agents. */
const ownWords = (page: Page): Promise<string> =>
  page.evaluate(() => {
    const own = document.body.cloneNode(true) as HTMLElement
    for (const data of own.querySelectorAll(
      'noscript, code, .mono, .body, .from, #title, .event a, .rejected, #language, .chip',
    ))
      data.remove()
    const names = [...own.querySelectorAll('[aria-label], [title], [placeholder]')].flatMap((one) =>
      ['aria-label', 'placeholder'].map((name) => one.getAttribute(name) ?? ''),
    )
    // The title begins with the name of the event.
    const title = document.title.replace(document.getElementById('title')?.textContent ?? '', '')
    return [own.textContent, title, ...names].join('\n')
  })

test('the Chinese page has no English except names, and the English page no Chinese', async () => {
  const KNOWN = /deepsoc-gateway|demo|RabbitMQ|JSON|English|API|WAL|[KMG]iB|Cookie|Bearer|AI/g
  for (const name of ['events', 'room', 'health', 'sign-in'] as const) {
    const page = await show(name)
    assert.equal((await ownWords(page)).match(/[\u4e00-\u9fff]+/g) ?? [], [], name)
    await page.click('#language')
    await page.reload()
    await isShown(page, name)
    if (name === 'sign-in') await page.locator('.sign-in .faint').evaluate((reason) => reason.remove())
    const text = rooms.reduce((rest, room) => rest.replaceAll(room, ''), await ownWords(page)).replaceAll(KNOWN, '')
    assert.equal(text.match(/[A-Za-z]{3,}/g) ?? [], [], name)
    await page.context().close()
  }
})

test('theme and language are the system’s until they are chosen, and then stay', async () => {
  const page = await pages.open('/', { locale: 'zh-TW', colorScheme: 'dark' })
  await isState(page, 'live')
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
  const dark = await paper()
  assert.is(await page.getAttribute('html', 'lang'), 'zh-CN')
  await page.click('#theme')
  const light = await paper()
  assert.is.not(light, dark)
  await page.click('#language')
  assert.is(await getElementText(page, 'h1'), 'Events')
  await page.reload()
  await isState(page, 'live')
  assert.is(await paper(), light)
  assert.is(await getElementText(page, 'h1'), 'Events')
  const ink = () => page.evaluate(() => getComputedStyle(document.body).color)
  const lightInk = await ink()
  await page.click('#theme')
  assert.is(await paper(), dark)
  await page.emulateMedia({ media: 'print' })
  assert.equal([await ink(), await page.isVisible('nav')], [lightInk, false], 'paper is light, and has no controls')
  await page.emulateMedia({ media: 'screen' })
  await page.click('#theme')
  assert.is(await page.getAttribute('#theme', 'aria-label'), 'Theme: system')
  await page.emulateMedia({ colorScheme: 'light' })
  assert.is(await paper(), light)
})

test.full('the page works in a browser without storage', async () => {
  const page = await pages.open('/')
  await page.addInitScript(() => {
    const refuse = {
      get: () => {
        throw new DOMException('denied', 'SecurityError')
      },
    }
    Object.defineProperty(window, 'localStorage', refuse)
    Object.defineProperty(window, 'sessionStorage', refuse)
  })
  const event = newRoom('private')
  await publish(gateway, event, chat(1))
  await page.reload()
  await isState(page, 'live')
  await page.click('#theme')
  await page.click(`#events a[href$="${event}"]`)
  await isState(page, 'live')
  assert.is(await getElementText(page, '#title'), event)
})

test.run()
