/**
 * Takes the pictures of docs/images: the demo, as if it had been played since yesterday, in front of the pages.
 * `npm run pictures`, or `npm run pictures -- DIR` to put them elsewhere. Wants the fonts Inter and Noto Sans CJK
 * (`apt-get install fonts-inter fonts-noto-cjk`), so that pictures taken on two machines are alike.
 */
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { ensureWebBundle } from '../src/http/web-assets.ts'
import { launchChromium } from './support/clients/browser.ts'
import { provision } from './support/harness/provision.ts'
import { tempDir } from './support/harness/wait.ts'
import { ROOT } from './support/servers/gateway.ts'
import { startBroker } from './support/servers/rabbitmq.ts'
import { withHour } from './support/stages/made-up-hour.ts'
import { isState } from './support/stages/pages.ts'
import { openScene, type Scene } from './support/stages/scene.ts'

const FONTS = `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><include>/etc/fonts/fonts.conf</include>${['system-ui', 'sans-serif']
  .map(
    (name) =>
      `<match target="pattern"><test name="family"><string>${name}</string></test><edit name="family" mode="prepend" binding="strong"><string>Inter</string><string>Noto Sans CJK SC</string></edit></match>`,
  )
  .join('')}</fontconfig>`

const LIGHT = { locale: 'en-US', colorScheme: 'light' } as const
const DARK = { locale: 'zh-CN', colorScheme: 'dark' } as const
const WIDE = { viewport: { width: 1280, height: 800 } }
const TALL = { viewport: { width: 1280, height: 1_560 } }
const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 }

/** What of GitHub's readers' time a picture may cost. */
const MOST_BYTES = 250_000

interface Picture {
  readonly name: string
  readonly options: BrowserContextOptions
  /** Brings the page to what is worth a picture. */
  readonly open: (page: Page, scene: Scene) => Promise<unknown>
}

/** @param top how far from its beginning the room is shown; absent: its end */
const openRoom =
  (place: number, top?: number) =>
  async (page: Page, { gateway, events }: Scene): Promise<void> => {
    await page.goto(`${gateway.url}/events/${events[place]}`)
    await isState(page, 'live')
    await page.waitForSelector('.rate canvas')
    if (top !== undefined) await page.$eval('#box', (box, y) => box.scrollTo(0, y), top)
  }

const openHealth = async (page: Page, { gateway }: Scene): Promise<void> => {
  await page.route(/\/api\/health/, async (route) => {
    const answer = await route.fetch()
    if (!answer.ok()) return route.fulfill({ response: answer })
    const { data, ...rest } = await answer.json()
    await route.fulfill({ response: answer, json: { ...rest, data: withHour(data, Date.now()) } })
  })
  await page.goto(`${gateway.url}/health`)
  await page.waitForSelector('[data-plot] canvas')
  await page.waitForSelector('.rejected')
}

const PICTURES: readonly Picture[] = [
  {
    name: 'events',
    options: { ...LIGHT, viewport: { width: 1280, height: 580 } },
    open: async (page, scene) => {
      await page.goto(scene.gateway.url)
      await isState(page, 'live')
      await page.click('#mark-all')
      await page.mouse.move(0, 0)
      await scene.goOn(9)
      await page.waitForFunction(() => document.querySelectorAll('.event[data-busy="true"] .unread').length === 3)
    },
  },
  { name: 'war-room', options: { ...LIGHT, ...WIDE }, open: openRoom(0, 560) },
  { name: 'war-room-zh', options: { ...DARK, ...WIDE }, open: openRoom(2) },
  { name: 'war-room-phone', options: { ...DARK, ...PHONE }, open: openRoom(2) },
  { name: 'health', options: { ...LIGHT, ...TALL }, open: openHealth },
  { name: 'health-phone', options: { ...DARK, ...PHONE }, open: openHealth },
]

const take = async (
  browser: Browser,
  scene: Scene,
  { name, options, open }: Picture,
  folder: string,
): Promise<void> => {
  const context = await browser.newContext({ timezoneId: 'Europe/Berlin', ...options })
  const page = await context.newPage()
  await open(page, scene)
  await page.evaluate(() => document.fonts.ready)
  // The last redraw that a message or a size has asked for.
  await page.waitForTimeout(1_000)
  const path = join(folder, `${name}.png`)
  await page.screenshot({ path })
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await context.close()
  const { size } = statSync(path)
  process.stdout.write(`${path} ${Math.round(size / 1_000)} kB\n`)
  if (size > MOST_BYTES) throw new Error(`${path} is larger than ${MOST_BYTES} bytes`)
}

for (const need of ['rabbitmq', 'pika', 'chromium'] as const) await provision(need)
await ensureWebBundle()
const folder = process.argv[2] ?? join(ROOT, 'docs/images')
mkdirSync(folder, { recursive: true })
const fonts = join(tempDir('gateway-fonts-'), 'fonts.conf')
writeFileSync(fonts, FONTS)
process.env.FONTCONFIG_FILE = fonts
const broker = await startBroker()
const scene = await openScene(broker.url)
const browser = await launchChromium()
try {
  for (const picture of PICTURES) await take(browser, scene, picture, folder)
} finally {
  await browser.close()
  await scene.agent.kill9()
  await scene.gateway.dispose()
  await broker.dispose()
}
