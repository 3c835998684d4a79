/**
 * Long tasks of a war room: what a user does in a large event, and the tasks of the browser's main thread that took more
 * than 50 ms meanwhile. `npm run bench:page -- MESSAGES RUNS`, by default 100,000 and 5. Each run is a new browser.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Page } from 'playwright-core'
import { messageText, writeScript } from '../src/cli/demo/script.ts'
import { ensureWebBundle } from '../src/http/web-assets.ts'
import { launchChromium } from '../test/support/clients/browser.ts'
import { provision } from '../test/support/harness/provision.ts'
import type { Json } from '../test/support/harness/wait.ts'
import { startGateway } from '../test/support/servers/gateway.ts'
import { publish } from '../test/support/stages/rooms.ts'

const EVENT = 'big'
/** After an action, until its tasks are surely over. */
const SETTLE_MS = 1_500

const [messages = 100_000, runs = 5] = process.argv.slice(2).map(Number)
const script = writeScript({ seed: 1, events: 40, run: 'bench' })
const start = Date.now() - messages * 1_000

const createMessage = (n: number): Json => {
  const stamp = { id: n, message_id: crypto.randomUUID(), now: start + n * 1_000 }
  return JSON.parse(messageText({ ...script[n % script.length]!, event_id: EVENT }, stamp))
}

const createMessages = (from: number, count: number): Json[] =>
  Array.from({ length: count }, (_, index) => createMessage(from + index))

const observe = (): void => {
  const long: number[] = []
  Object.assign(globalThis, { long })
  const keep = (list: PerformanceObserverEntryList): void =>
    void long.push(...list.getEntries().map(({ duration }) => Math.round(duration)))
  new PerformanceObserver(keep).observe({ type: 'longtask', buffered: true })
}

const isLoaded = (page: Page): Promise<unknown> => page.waitForSelector('.row[data-id]')

const exportAs = async (page: Page, format: string): Promise<void> => {
  await page.click('#export')
  const download = page.waitForEvent('download')
  await page.click(`#export-${format}`)
  await (await download).path()
}

/** Sets the scroll position to a fraction of the height. */
const scrollTo = (page: Page, fraction: number): Promise<void> =>
  page.evaluate((at) => {
    const box = document.getElementById('box')!
    box.scrollTop = at * box.scrollHeight
  }, fraction)

await provision('chromium')
await ensureWebBundle()
const gateway = await startGateway()
for (let from = 0; from < messages; from += 10_000) {
  await publish(gateway, EVENT, createMessages(from, Math.min(10_000, messages - from)))
}

/** What is done, in this order. */
const ACTIONS: Readonly<Record<string, (page: Page) => Promise<unknown>>> = {
  'open in a new browser': async (page) => {
    await page.goto(`${gateway.url}/events/${EVENT}`)
    await isLoaded(page)
  },
  'open again': async (page) => {
    await page.reload()
    await isLoaded(page)
  },
  'load all messages': async (page) => {
    await page.click('#load-all')
    await page.waitForSelector('#box[aria-busy="false"] .row[aria-posinset]', { timeout: 0 })
  },
  'scroll and jump': async (page) => {
    for (const at of [0, 0.5, 0.25, 1, 0.75]) {
      await scrollTo(page, at)
      await sleep(200)
    }
    await page.hover('#box')
    for (let n = 0; n < 50; n++) await page.mouse.wheel(0, 400)
  },
  search: async (page) => {
    await page.fill('#search', 'host')
    await page.waitForSelector('#found')
    await sleep(SETTLE_MS)
    await page.fill('#search', '')
  },
  'filter by role': async (page) => {
    const role = page.locator('#roles button, #roles input').first()
    await role.click()
    await sleep(SETTLE_MS)
    await role.click()
  },
  'change the language': async (page) => {
    await page.click('#language')
    await sleep(SETTLE_MS)
    await page.click('#language')
  },
  '100 messages arrive a second, for 5 s': async (page) => {
    await scrollTo(page, 1)
    for (let n = 0; n < 50; n++) {
      await publish(gateway, EVENT, createMessages(messages + n * 10, 10))
      await sleep(100)
    }
  },
  'export as JSON lines': (page) => exportAs(page, 'lines'),
  'export as Markdown': (page) => exportAs(page, 'markdown'),
  'export as HTML': (page) => exportAs(page, 'html'),
}

const found = new Map<string, number[][]>()
for (let run = 0; run < runs; run++) {
  const browser = await launchChromium()
  const page = await (await browser.newContext()).newPage()
  await page.addInitScript(observe)
  for (const [name, act] of Object.entries(ACTIONS)) {
    await page.evaluate('globalThis.long?.splice(0)')
    await act(page)
    await sleep(SETTLE_MS)
    found.set(name, [...(found.get(name) ?? []), await page.evaluate<number[]>('long')])
  }
  await browser.close()
}
await gateway.dispose()

process.stdout.write(`${messages.toLocaleString('en')} messages, ${runs} runs; tasks over 50 ms, in ms, per run\n`)
for (const [name, perRun] of found) {
  process.stdout.write(`${name.padEnd(40)} ${perRun.map((long) => long.join(' ') || '–').join('  |  ')}\n`)
}
process.exit(0)
