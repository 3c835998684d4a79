import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { until } from './wait.ts'

/** Pages of one gateway in one browser, watched for what a page of ours never does. */
export class Pages {
  /** Dialogs, script errors, requests to elsewhere and violations of the policy. */
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

  /** Closes all pages, and throws if one of them did what it should not. */
  async close(): Promise<void> {
    for (const context of this.#browser.contexts()) await context.close()
    assert.equal(this.incidents.splice(0), [])
  }
}

/** Waits for a state of the connection: connecting, catching_up, live, waiting or closed. */
export const isState = (page: Page, state: string): Promise<unknown> =>
  page.waitForSelector(`#state[data-state="${state}"]`, { timeout: 40_000 })

export const shownIds = (page: Page): Promise<number[]> =>
  page.$$eval('#messages > li', (rows) => rows.map((row) => Number((row as HTMLElement).dataset.dbId)))

/** Waits until the page shows as many messages, and asserts that they are these, in order. */
export const shows = async (page: Page, ids: number[]): Promise<void> => {
  await until(async () => (await shownIds(page)).length >= ids.length, {
    timeoutMs: 60_000,
    what: `${ids.length} rows`,
  })
  assert.equal(await shownIds(page), ids)
}

export const textOf = async (page: Page, selector: string): Promise<string> => (await page.textContent(selector)) ?? ''

export const textsOf = (page: Page, selector: string): Promise<string[]> =>
  page.$$eval(selector, (nodes) => nodes.map((node) => node.textContent ?? ''))
