import type { Browser, BrowserContext, CDPSession, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import type { ChannelStatus } from '../../../src/web/client/index.ts'
import { type Json, until } from '../harness/wait.ts'
import { closeContexts } from './pages.ts'

/** Options of openChannel that can be passed to a page. `token`: returned by the function `freshToken` of the page. */
export type TrialOptions = Record<string, Json> & { token?: boolean }

/** Data that a page's channel has delivered. */
export interface Trial {
  readonly ids: number[]
  readonly texts: string[]
  /** State and code of its reason. */
  readonly states: [string, string | null][]
  readonly resets: Json[]
}

/** An empty page of the gateway, under the policy of its pages, controlled by a test. */
export class Tab {
  readonly page: Page
  readonly cdp: CDPSession

  private constructor(page: Page, cdp: CDPSession) {
    this.page = page
    this.cdp = cdp
  }

  static async open(context: BrowserContext, url: string): Promise<Tab> {
    const page = await context.newPage()
    const tab = new Tab(page, await context.newCDPSession(page))
    page.on('pageerror', (error) => tab.faults.push(error.message))
    page.on('console', (message) => {
      if (/Content Security Policy/i.test(message.text())) tab.faults.push(message.text())
    })
    await page.goto(`${url}/client.js`)
    return tab
  }

  /** Script errors, and violations of the policy. */
  readonly faults: string[] = []

  /** Opens the channel of this tab. */
  follow(target: string | string[], options: TrialOptions = {}): Promise<void> {
    return this.page.evaluate(
      async ([target, { token, ...options }]) => {
        const client = '/client.js'
        const { openChannel } = await import(client)
        const trial: Json = { ids: [], texts: [], states: [], resets: [] }
        trial.channel = openChannel(target, {
          ...options,
          ...(token && { token: () => (globalThis as Json).freshToken() }),
          onMessage: (message: Json, text: string) => {
            trial.ids.push(message.db_id)
            trial.texts.push(text)
          },
          onState: (state: string, { reason }: Json) => {
            // Told again as well when only the lead has changed, which comes before or after the first answer.
            const [last, code] = trial.states.at(-1) ?? []
            if (last !== state || code !== (reason?.code ?? null)) trial.states.push([state, reason?.code ?? null])
          },
          onReset: (reset: Json) => {
            trial.resets.push(reset)
            trial.ids = []
          },
        })
        ;(globalThis as Json).trial = trial
      },
      [target, options] as const,
    )
  }

  get trial(): Promise<Trial> {
    return this.page.evaluate(() => {
      const { channel: _, ...told } = (globalThis as Json).trial
      return told
    })
  }

  get ids(): Promise<number[]> {
    return this.page.evaluate(() => (globalThis as Json).trial.ids)
  }

  get status(): Promise<ChannelStatus> {
    return this.page.evaluate(() => (globalThis as Json).trial.channel.status)
  }

  retry(): Promise<void> {
    return this.page.evaluate(() => (globalThis as Json).trial.channel.retry())
  }

  /** Waits for a state, and for the code of its reason if one is given. */
  async is(state: string, code?: string): Promise<ChannelStatus> {
    let last: ChannelStatus | undefined
    const reached = async (): Promise<boolean> => {
      last = await this.status
      return last.state === state && (code === undefined || last.reason?.code === code)
    }
    await until(reached, { what: `${state} ${code ?? ''}`, saw: () => last })
    return last!
  }

  /** Waits for this many messages, and asserts that they are these, in order. */
  async gets(ids: number[]): Promise<void> {
    let got: number[] = []
    await until(async () => (got = await this.ids).length >= ids.length, {
      what: `${ids.length} messages`,
      saw: () => got,
    })
    assert.equal(await this.ids, ids)
  }

  /** Stops its scripts without the browser noticing; `wake` resumes them. */
  async hang(): Promise<void> {
    const paused = new Promise((resolve) => this.cdp.once('Debugger.paused', resolve))
    await this.cdp.send('Debugger.enable')
    await this.cdp.send('Debugger.pause')
    await paused
  }

  async wake(): Promise<void> {
    await this.cdp.send('Debugger.resume')
    await this.cdp.send('Debugger.disable')
  }

  /** Freezes the tab, as the browser does with hidden ones; only in browsers of `launchDrowsyChromium`. */
  freeze(frozen: boolean): Promise<unknown> {
    return this.cdp.send('Page.setWebLifecycleState', { state: frozen ? 'frozen' : 'active' })
  }
}

/** Closes all pages of a browser. @throws if one of them had an error or violated the policy */
export const closeTabs = async (browser: Browser, tabs: Tab[]): Promise<void> => {
  await closeContexts(browser)
  assert.equal(
    tabs.splice(0).flatMap(({ faults }) => faults),
    [],
  )
}
