// needs: chromium
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { violations } from '../../support/clients/axe.ts'
import { suite } from '../../support/harness/suite.ts'
import { FULL } from '../../support/harness/tier.ts'
import { tempDir } from '../../support/harness/wait.ts'
import { EVIL, HOSTILE_MARKDOWN, HOSTILE_TEXTS, hostileMessages } from '../../support/stages/hostile-texts.ts'
import { getElementText, getElementTexts, isState, setUpSite } from '../../support/stages/pages.ts'
import { exportAs, holds, isWhole, row } from '../../support/stages/room-page.ts'
import { newRoom, publish } from '../../support/stages/rooms.ts'

/** Combined into as few texts as possible in the short form, which opens a room for each text. */
const TOGETHER = ['image script attribute', 'frame style form', 'toggle mutation entity', 'template sql', 'address']
TOGETHER.push('prototype', 'constructor', 'ansi separators bidi unseen surrogate')

const TEXTS: readonly (readonly [name: string, text: string])[] = FULL
  ? Object.entries(HOSTILE_TEXTS)
  : TOGETHER.map((names) => [
      names,
      names
        .split(' ')
        .map((name) => HOSTILE_TEXTS[name]!)
        .join(' '),
    ])

const isUnseen = (char: string): boolean => /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(char) && char !== '\n' && char !== '\t'

/** Returns the expected visible text: nothing is hidden. */
const visible = (text: string): string =>
  [...text.toWellFormed()]
    .map((char) => (isUnseen(char) ? `⟨U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}⟩` : char))
    .join('')

const test = suite('hostile text in a war room')
// Closing a page fails its test if a dialog opened, a request was sent, a script failed or the policy was violated.
const site = setUpSite(test)

/** Expands and reads everything. @returns the text of each row, and forbidden content */
const readAll = (page: Page): Promise<{ texts: string[]; odd: string[] }> =>
  page.evaluate(async () => {
    // Markdown renders some of it in bold, so the whole text is read as well.
    const unfolded = '.row:is(:nth-child(5n + 1), :nth-child(12), :nth-child(13), :nth-child(15))'
    const drawn = (): Promise<void> =>
      new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve())))
    for (;;) {
      const closed = [...document.querySelectorAll<HTMLElement>('.row details:not([open]) > summary')]
      const json = [...document.querySelectorAll<HTMLElement>(`${unfolded}:not(:has(.whole)) .tool:first-child`)]
      if (closed.length + json.length === 0) break
      for (const one of [...closed, ...json]) one.click()
      await drawn()
    }
    const usual = new Set(
      ...[
        'ARTICLE DIV SPAN P BDI TIME A BUTTON OL UL LI DETAILS SUMMARY BR STRONG EM DEL CODE PRE BLOCKQUOTE H3 HR TABLE THEAD TBODY TR TH TD SVG PATH CIRCLE RECT'.split(
          ' ',
        ),
      ],
    )
    const odd: string[] = []
    for (const node of document.querySelectorAll('.row, .row *')) {
      const name = node.tagName.toUpperCase()
      if (!usual.has(name) || (name === 'SVG' && !node.classList.contains('icon')))
        odd.push(node.outerHTML.slice(0, 200))
      if (name === 'A' && !/^#\d+$/.test(node.getAttribute('href') ?? '')) odd.push(node.outerHTML)
      for (const { name: attribute } of node.attributes) {
        if (/^on|^(src|srcdoc|style|action|formaction|xlink:href)$/.test(attribute)) odd.push(`${name} ${attribute}`)
      }
    }
    const proto = Object.keys(Object.prototype)
    if (proto.length > 0) odd.push(`Object.prototype has ${proto}`)
    const texts = [...document.querySelectorAll('.row')].map((one) => (one as HTMLElement).textContent ?? '')
    return { texts, odd }
  })

/**
 * So high that all of an event is drawn, in pixels so coarse that drawing it costs little. Much higher, and the browser
 * takes seconds to make a window of it.
 */
const TALL = { viewport: { width: 1280, height: 12_000 }, deviceScaleFactor: 0.1 }

for (const [name, text] of TEXTS) {
  test(`${name}: in every field it is text, all of it to be seen, and does nothing`, async () => {
    const event_id = newRoom()
    const messages = hostileMessages(text)
    const ids = await publish(site.gateway, event_id, messages)
    const page = await site.pages.room(event_id, TALL)
    await isState(page, 'live')
    await holds(page, ids)
    const { texts, odd } = await readAll(page)
    assert.equal(odd, [])
    assert.is(texts.length, messages.length, 'all are drawn')
    const readable = visible(text)
    for (const [n, shown] of texts.entries()) {
      const flat = shown.toWellFormed().replaceAll('⏎', '\n')
      assert.ok(flat.includes(readable), `message ${n} does not say ${readable}: ${shown.slice(0, 2_000)}`)
      const hidden = [...shown].find(isUnseen)
      assert.is(hidden, undefined, `U+${hidden?.codePointAt(0)?.toString(16)} in message ${n}`)
    }
    for (const selector of ['#types .choice-label', '.row .from']) {
      assert.ok(
        (await getElementTexts(page, selector)).some(
          (shown) => shown.toWellFormed().replaceAll('⏎', '\n') === readable,
        ),
      )
    }
  })
}

test('markdown: text is readable, link targets are shown, and links are inactive', async () => {
  const event_id = newRoom()
  const all = Object.values(HOSTILE_MARKDOWN)
  const ids = await publish(
    site.gateway,
    event_id,
    all.map(([content]) => ({ message_from: 'ai_assistant', message_type: 'chat', message_content: { content } })),
  )
  const page = await site.pages.room(event_id, TALL)
  await isState(page, 'live')
  await holds(page, ids)
  for (const [n, [text, reads]] of all.entries()) {
    assert.match(await getElementText(page, `${row(ids[n])} .markdown`), reads, text)
  }
  const { texts, odd } = await readAll(page)
  assert.equal(odd, [])
  assert.is(texts.length, all.length, 'all are drawn')
  assert.is(await page.locator('.markdown :is(a, img, svg, input):not(button.copy > svg)').count(), 0)
})

test('an HTML report is text as well: nothing in the file runs, loads or links, and axe finds no problem', async () => {
  const event_id = newRoom(`report-${HOSTILE_TEXTS.script}`)
  const texts = TEXTS.map(([, text]) => text)
  const written = Object.values(HOSTILE_MARKDOWN).map(([content]) => ({
    message_from: 'ai_assistant',
    message_type: 'chat',
    message_content: { content },
  }))
  const ids = await publish(site.gateway, event_id, [...texts.flatMap(hostileMessages), ...written])
  const room = await site.pages.room(event_id)
  await isState(room, 'live')
  await isWhole(room)
  const { lines } = await exportAs(room, 'html')
  const file = join(tempDir('gateway-report-'), 'report.html')
  writeFileSync(file, lines.join('\n'))
  const context = await site.browser.newContext({ colorScheme: 'dark' })
  const report = await context.newPage()
  const incidents: string[] = []
  report.on('dialog', (dialog) => {
    incidents.push(`dialog ${dialog.message()}`)
    dialog.dismiss().catch(() => {})
  })
  report.on('request', (request) => void incidents.push(`request ${request.url()}`))
  report.on('console', (message) => void incidents.push(`console ${message.text()}`))
  report.on('pageerror', (error) => void incidents.push(`error ${error.message}`))
  await report.goto(pathToFileURL(file).href)
  assert.equal(incidents.splice(0), [`request ${pathToFileURL(file).href}`])
  const { names, attributes, text, articles, back } = await report.evaluate(() => {
    const all = [...document.querySelectorAll('body, body *')]
    return {
      names: [...new Set(all.map(({ tagName }) => tagName.toLowerCase()))],
      attributes: [...new Set(all.flatMap((one) => [...one.attributes].map(({ name }) => name)))],
      text: document.body.textContent ?? '',
      articles: document.querySelectorAll('article').length,
      back: getComputedStyle(document.body).backgroundColor,
    }
  })
  const of = (all: string[], usual: string): string[] => all.filter((one) => !usual.split(' ').includes(one))
  const elements =
    'body main header h1 h2 h3 dl dt dd div article span time p br strong em del code pre ul ol li blockquote hr'
  assert.equal(of(names, `${elements} table thead tbody tr th td`), [])
  assert.equal(of(attributes, 'id class dir datetime data-tone data-depth start'), [])
  assert.is(articles, ids.length)
  assert.is(back, 'rgb(13, 17, 22)', 'its own style applies, in the theme of the browser')
  for (const one of texts) assert.ok(text.toWellFormed().replaceAll('⏎', '\n').includes(visible(one)), one)
  for (const colorScheme of FULL ? (['dark', 'light'] as const) : (['dark'] as const)) {
    await report.emulateMedia({ colorScheme })
    assert.equal(await violations(report), [], colorScheme)
  }
  // Even if a message could insert elements, the policy of the file would stop them.
  await report.evaluate((evil) => {
    const refused: string[] = []
    Object.assign(window, { refused })
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => refused.push(effectiveDirective))
    document.body.append(Object.assign(document.createElement('script'), { text: 'window.ran = 1' }))
    document.body.append(Object.assign(document.createElement('style'), { textContent: 'body{display:none}' }))
    document.body.append(Object.assign(new Image(), { src: `${evil}/x.png`, alt: 'x' }))
  }, EVIL)
  await report.waitForFunction('refused.length === 3')
  assert.equal(await report.evaluate('refused.sort()'), ['img-src', 'script-src-elem', 'style-src-elem'])
  assert.is(await report.evaluate(() => 'ran' in window), false)
})

test.full('the name of an event is text in the head, the title and the address', async () => {
  const names = [`<img src=x onerror=alert(1)>`, `"><script>alert(2)</script>`, '{{7*7}}', '__proto__', "'); --"]
  names.push('a/../..\\b?c#d%00', 'x\u202egnp', 'y\u2028z', 'javascript:alert(3)')
  const page = await site.pages.open('/livez')
  for (const event_id of names) {
    const [id] = await publish(site.gateway, event_id, { message_content: 'here' })
    await page.goto(`${site.gateway.url}/events/${encodeURIComponent(event_id)}`)
    await isState(page, 'live')
    await isWhole(page)
    assert.is(await getElementText(page, '#title'), visible(event_id))
    assert.is(await page.title(), `${visible(event_id)} – deepsoc-gateway`)
    assert.match(await getElementText(page, `${row(id)} .body`), 'here')
  }
})

test('user input and URL contents are text as well', async () => {
  const event_id = newRoom()
  const page = await site.pages.open(`/events/${event_id}?x=<script>alert(1)</script>#<img src=x onerror=alert(1)>`)
  await isState(page, 'live')
  for (const text of Object.values(HOSTILE_TEXTS)) await page.fill('#search', text.replaceAll(/[\r\n]/g, ' '))
  await page.fill('#search', '')
  await page.fill('#name', HOSTILE_TEXTS.image!)
  await page.fill('#text', HOSTILE_TEXTS.script!)
  await page.press('#text', 'Enter')
  await page.waitForSelector('.row')
  assert.is(await getElementText(page, '.row .from'), HOSTILE_TEXTS.image)
  assert.is(await getElementText(page, '.row .text'), HOSTILE_TEXTS.script)
  assert.is(await page.locator('.row :is(img, script)').count(), 0)
})

test.full('extreme numbers break nothing', async () => {
  const event_id = newRoom()
  const rounds = ['-1', '0', '9007199254740991', '-9007199254740991', '1e3', 'null']
  const ids: number[] = []
  for (const one of rounds)
    ids.push(...(await publish(site.gateway, event_id, `{"round_id":${one},"message_content":"r"}`)))
  const page = await site.pages.room(event_id)
  await isState(page, 'live')
  await holds(page, ids)
  assert.match(await getElementText(page, '.rounds'), 'Round 9,007,199,254,740,991')
})

test.run()
