// needs: chromium
// alone
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { launchChromium } from '../../support/clients/browser.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { type Json, until } from '../../support/harness/wait.ts'
import { addMessages, type NewMessageRow } from '../../support/servers/database.ts'
import { type Gateway, ROOT, startGateway } from '../../support/servers/gateway.ts'
import { getElementText, isState, Pages } from '../../support/stages/pages.ts'
import { exportAs, isWhole, row, sees } from '../../support/stages/room-page.ts'
import { chat, chats, publish, restIds } from '../../support/stages/rooms.ts'

const MANY = runs(20_000, 100_000)
const COUNT = MANY.toLocaleString('en-US')
/** Rows of the timeline in the document at a time: those on the screen, and some above and below. */
const MAX_ROWS = 200

let gateway: Gateway
let browser: Browser
let pages: Pages
let page: Page
let ids: number[]

const test = suite(`a war room of ${COUNT} messages`)

/** Texts of the agents, repeated. */
function* bodies(): Generator<NewMessageRow> {
  const lines = readFileSync(join(ROOT, 'test/fixtures/messages.jsonl'), 'utf8').trim().split('\n')
  const parsed = lines.map((line) => JSON.parse(line) as Record<string, Json>)
  const markdown = `## Report\n\n${'- **203.0.113.9** was blocked\n'.repeat(12)}\n\`\`\`\nrule 4711\n\`\`\``
  parsed.push({ message_from: 'ai_assistant', message_type: 'chat', message_content: { content: markdown } })
  parsed.push({
    message_from: '_executor',
    message_type: 'command_result',
    message_content: {
      data: { command_name: 'list', status: 'done', result: Array.from({ length: 60 }, (_, n) => ({ n })) },
    },
  })
  const now = Date.now()
  for (let n = 0; n < MANY; n++) {
    const { event_id: _event, message_id: _message, ...body } = parsed[n % parsed.length]!
    yield { body: { ...body, round_id: 1 + Math.floor(n / 2_500), n }, at: now - (MANY - n) * 400 }
  }
}

/** Records the rows that one task adds, those that are in the document at a time, and when the first one is painted. */
const watch = (): void => {
  const told = { added: 0, rows: 0, painted: 0 }
  Object.assign(globalThis, { told })
  const rowsIn = (node: Node): number =>
    node instanceof Element ? Number(node.matches('.row')) + node.querySelectorAll('.row').length : 0
  new MutationObserver((records) => {
    const added = records.flatMap(({ addedNodes }) => [...addedNodes]).reduce((sum, node) => sum + rowsIn(node), 0)
    told.added = Math.max(told.added, added)
    told.rows = Math.max(told.rows, document.querySelectorAll('.row').length)
  }).observe(document, { subtree: true, childList: true })
  const look = (): void => {
    if (document.querySelector('.row') === null) return void requestAnimationFrame(look)
    // After the frame that paints it.
    requestAnimationFrame(() => setTimeout(() => void (told.painted = performance.now())))
  }
  look()
}

/** Runs an action; no task of it adds many rows, and the document never has many. */
const rendersFew = async (act: () => Promise<unknown>): Promise<void> => {
  await page.evaluate(() => Object.assign((globalThis as Json).told, { added: 0, rows: 0 }))
  await act()
  const { added, rows } = await page.evaluate(() => (globalThis as Json).told)
  assert.ok(added <= MAX_ROWS, `${added} rows were added by one task`)
  assert.ok(rows <= MAX_ROWS, `${rows} rows were in the document`)
}

test.before(async () => {
  gateway = await startGateway()
  await gateway.term()
  addMessages(gateway.dbFile, 'many', bodies())
  await gateway.restart()
  ids = await restIds(gateway, 'many', 'limit=5000')
  browser = await launchChromium()
  pages = new Pages(browser, () => gateway.url)
  page = await pages.open('/livez', { viewport: { width: 1280, height: 900 } })
  await page.addInitScript(watch)
})
test.after(async () => {
  await pages?.close()
  await browser?.close()
  await gateway?.dispose()
})

test('shows its newest message as soon as the first page of its history is there', async () => {
  await page.goto(`${gateway.url}/events/many`)
  await until(() => page.evaluate(() => (globalThis as Json).told.painted), { what: 'the first paint' })
  const pagesBefore = await page.evaluate(() => {
    const answers = performance.getEntriesByType('resource') as PerformanceResourceTiming[]
    const { painted } = (globalThis as Json).told
    return answers.filter(({ name, responseEnd }) => name.includes('/messages?') && responseEnd < painted).length
  })
  assert.is(pagesBefore, 1)
  await isState(page, 'live')
  await sees(page, ids.at(-1))
  await page.waitForSelector('#windowed')
})

test('loads its history backwards, shows its progress, and keeps the scroll position', async () => {
  await page.waitForSelector('#history[data-is="resting"]')
  const seen: number[] = []
  await page.exposeFunction('tellProgress', (value: number, max: number) => seen.push(value / max))
  await page.evaluate(() => {
    new MutationObserver(() => {
      const mark = document.querySelector<HTMLProgressElement>('#history progress')
      if (mark !== null) (globalThis as Json).tellProgress(mark.value, mark.max)
    }).observe(document.querySelector('.middle')!, {
      subtree: true,
      childList: true,
      attributes: true,
      characterData: true,
    })
  })
  await rendersFew(async () => {
    await page.click('#load-all')
    await isWhole(page)
  })
  assert.ok(seen.length >= 3, seen.join())
  assert.ok(
    seen.every((value, index) => index === 0 || value >= seen[index - 1]!),
    seen.join(),
  )
  await sees(page, ids.at(-1))
})

test('renders only what is on the screen while it scrolls, by wheel and by jumps', async () => {
  await page.hover('#box')
  await rendersFew(async () => {
    for (let n = 0; n < 60; n++) {
      await page.mouse.wheel(0, n < 30 ? -700 : 700)
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)))
    }
  })
  await rendersFew(async () => {
    for (let n = 0; n < 30; n++) {
      const part = ((n * 7) % 31) / 31
      await page.$eval('#box', (box, part) => box.scrollTo(0, box.scrollHeight * part), part)
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))))
    }
  })
})

test('renders only what is on the screen while messages arrive', async () => {
  await page.keyboard.press('G')
  await rendersFew(async () => {
    for (let n = 0; n < 20; n++) ids.push(...(await publish(gateway, 'many', chats(5))))
    await sees(page, ids.at(-1))
  })
})

test('renders only what is on the screen while it searches and filters, and reaches its first message and any other', async () => {
  await rendersFew(async () => {
    await page.fill('#search', '"n":4000,')
    await page.waitForSelector(`#found:text-is("1 of ${ids.length.toLocaleString('en-US')} loaded messages")`)
  })
  await page.fill('#search', '')
  await page.waitForSelector('#found', { state: 'detached' })
  await rendersFew(async () => {
    await page.click('#roles .choice >> nth=0')
    await page.click('#roles .choice >> nth=0')
    await page.waitForSelector('#found', { state: 'detached' })
  })
  await page.focus('#box')
  await page.keyboard.press('g')
  await sees(page, ids[0])
  await page.evaluate((id) => void (location.hash = `#${id}`), ids[12_345])
  await sees(page, ids[12_345])
  assert.is(await page.getAttribute(row(ids[12_345]), 'data-selected'), 'true')
})

test('holds all of them, once and in order', async () => {
  const { lines } = await exportAs(page, 'lines')
  // A diff of this many lines is not helpful.
  assert.is(lines.length, ids.length)
  assert.is(
    lines.findIndex((line, n) => JSON.parse(line).db_id !== ids[n]),
    -1,
  )
  assert.is(await getElementText(page, '#count'), `${ids.length.toLocaleString('en-US')} messages`)
  await publish(gateway, 'many', chat(1))
})

test.run()
