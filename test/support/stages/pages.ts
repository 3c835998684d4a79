import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { launchChromium } from '../clients/browser.ts'
import type { Suite } from '../harness/suite.ts'
import { type Gateway, startGateway } from '../servers/gateway.ts'

/** Pages of one gateway in one browser, monitored for anything that our pages must never do. */
export class Pages {
  /** Dialogs, script errors, requests to other sites and violations of the policy. */
  readonly incidents: string[] = []
  readonly #browser: Browser
  readonly #url: () => string

  constructor(browser: Browser, url: () => string) {
    this.#browser = browser
    this.#url = url
  }

  async open(path: string, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.#browser.newContext({ locale: 'en-US', ...options })
    const page = await context.newPage()
    const note = (what: string): void => void this.incidents.push(what)
    page.on('dialog', (dialog) => {
      note(`dialog ${dialog.message()}`)
      dialog.dismiss().catch(() => {})
    })
    page.on('pageerror', (error) => note(`error ${error.message}`))
    page.on('request', (request) => {
      if (!request.url().startsWith(`${this.#url()}/`)) note(`request ${request.url()}`)
    })
    page.on('console', (message) => {
      if (/Content Security Policy|script/i.test(message.text())) note(`console ${message.text()}`)
    })
    await page.goto(this.#url() + path)
    return page
  }

  /** The page of an event. */
  room(event_id: string, options?: BrowserContextOptions): Promise<Page> {
    return this.open(`/events/${encodeURIComponent(event_id)}`, options)
  }

  /** Closes all pages, and throws if one of them violated the rules. */
  async close(): Promise<void> {
    await closeContexts(this.#browser)
    assert.equal(this.incidents.splice(0), [])
  }
}

/** Closes all pages of a browser. A request that a test still changes would otherwise fail, and end the test process. */
export const closeContexts = async (browser: Browser): Promise<void> => {
  for (const context of browser.contexts()) {
    for (const page of context.pages()) await page.unrouteAll({ behavior: 'ignoreErrors' })
    await context.close()
  }
}

/** Shared fixtures of a suite, available from its first test on. */
export interface Site {
  gateway: Gateway
  browser: Browser
  pages: Pages
}

/** A gateway and a browser for a suite, each of whose tests closes its pages. */
export const setUpSite = (test: Suite): Site => {
  const site = {} as Site
  test.before(async () => {
    const [gateway, browser] = await Promise.all([startGateway(), launchChromium()])
    Object.assign(site, { gateway, browser, pages: new Pages(browser, () => gateway.url) })
  })
  test.after.each(() => site.pages.close())
  test.after(async () => {
    await site.browser?.close()
    await site.gateway?.dispose()
  })
  return site
}

export const getElementText = async (page: Page, selector: string): Promise<string> =>
  (await page.textContent(selector)) ?? ''

export const getElementTexts = (page: Page, selector: string): Promise<string[]> =>
  page.$$eval(selector, (nodes) => nodes.map((node) => node.textContent ?? ''))

/** Waits for a connection state of a page: loading, connecting, catching_up, live, waiting or closed. */
export const isState = (page: Page, state: string): Promise<unknown> =>
  page.waitForSelector(`#state[data-state="${state}"]`)
