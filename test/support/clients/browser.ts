import {
  type Browser,
  type BrowserContext,
  type ConnectOverCDPOptions,
  chromium,
  type LaunchOptions,
} from 'playwright-core'
import { WAIT_MS } from '../harness/limits.ts'
import { chromiumPath } from '../harness/provision.ts'
import { freePort } from '../harness/wait.ts'

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
]

const options = (...flags: string[]): LaunchOptions => {
  const executablePath = chromiumPath()
  if (!executablePath) throw new Error('Chromium is not installed')
  return { executablePath, args: [...FLAGS, ...flags], headless: true }
}

/**
 * Launches a headless Chromium: TEST_CHROMIUM or the system's. It ends with `close()`, at the latest with this process.
 * @throws Error if none is installed
 */
export const launchChromium = async (): Promise<Browser> => {
  const browser = await chromium.launch(options())
  browser.on('context', (context) => context.setDefaultTimeout(WAIT_MS))
  return browser
}

/**
 * Launches a Chromium that can freeze its tabs. Launched normally, every tab counts as visible and is never frozen.
 * @throws Error if none is installed
 */
export const launchDrowsyChromium = async (): Promise<{ context: BrowserContext; close(): Promise<void> }> => {
  const port = await freePort()
  const launched = await chromium.launch(options(`--remote-debugging-port=${port}`))
  const plain: ConnectOverCDPOptions & { noDefaults: boolean } = { noDefaults: true }
  const browser = await chromium.connectOverCDP(`http://127.0.0.1:${port}`, plain)
  const context = browser.contexts()[0]!
  context.setDefaultTimeout(WAIT_MS)
  return {
    context,
    close: async () => {
      await browser.close()
      await launched.close()
    },
  }
}
