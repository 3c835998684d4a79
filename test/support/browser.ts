import { type Browser, chromium } from 'playwright-core'
import { chromiumPath } from './provision.ts'

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

/**
 * A headless Chromium: TEST_CHROMIUM or the system's. It ends with `close()`, at the latest with this process.
 * @throws Error when none is installed
 */
export const launchChromium = (): Promise<Browser> => {
  const executablePath = chromiumPath()
  if (!executablePath) throw new Error('Chromium is not installed (apt-get install chromium)')
  return chromium.launch({ executablePath, args: FLAGS, headless: true })
}
