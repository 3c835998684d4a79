// full
// needs: chromium, openssl
import type { Browser, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { launchChromium } from '../../support/clients/browser.ts'
import { suite } from '../../support/harness/suite.ts'
import { testAuthority } from '../../support/harness/transport.ts'
import { type Json, until } from '../../support/harness/wait.ts'
import { type Env, type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, publish } from '../../support/stages/rooms.ts'

const STREAMS = 20

let browser: Browser
const gateways: Gateway[] = []
const pages: Page[] = []

/** Opens a page with this many EventSources, each for a different event. */
const openStreams = async (env: Env): Promise<{ gateway: Gateway; page: Page }> => {
  const gateway = await startGateway({ env: { HEARTBEAT_SECONDS: '1', ...env } })
  gateways.push(gateway)
  const page = await browser.newPage({ ignoreHTTPSErrors: true })
  pages.push(page)
  await page.goto(`${gateway.url}/`)
  await page.evaluate((count) => {
    const seen: string[][] = Array.from({ length: count }, () => [])
    for (const [n, texts] of seen.entries()) {
      const source = new EventSource(`/api/events/room-${n}/stream`)
      source.addEventListener('caught_up', () => texts.push('caught_up'))
      source.addEventListener('new_message', ({ data }) => texts.push(JSON.parse(data).message_content.data.text))
    }
    Object.assign(globalThis, { seen })
  }, STREAMS)
  return { gateway, page }
}

/** Returns how many streams of the page received `text` last. */
const having = async (page: Page, text: string): Promise<number> =>
  (await page.evaluate(() => (globalThis as Json).seen as string[][])).filter((texts) => texts.at(-1) === text).length

const secure = (): Env => {
  const { certFile, keyFile } = testAuthority().issue()
  return { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile }
}

const many = suite('a browser with many streams of one origin')

many.before(async () => {
  browser = await launchChromium()
})
many.after.each(async () => {
  for (const page of pages.splice(0)) await page.close()
  for (const gateway of gateways.splice(0)) await gateway.dispose()
})
many.after(() => browser?.close())

many('has all of them over HTTP/2, and calls REST at the same time', async () => {
  const { gateway, page } = await openStreams(secure())
  await until(async () => (await having(page, 'caught_up')) === STREAMS, { what: `${STREAMS} open streams` })
  const protocol = await page.evaluate(() =>
    performance.getEntriesByType('navigation').map((entry: Json) => entry.nextHopProtocol),
  )
  assert.equal(protocol, ['h2'])
  const origin = { 'content-type': 'application/json' }
  for (let n = 0; n < STREAMS; n++) {
    const status = await page.evaluate(
      async ({ url, headers, body }) => (await fetch(url, { method: 'POST', headers, body })).status,
      { url: `/api/events/room-${n}/messages`, headers: origin, body: JSON.stringify(chat(n)) },
    )
    assert.is(status, 201)
  }
  const last = async (): Promise<string[]> =>
    page.evaluate(() => (globalThis as Json).seen.map((texts: string[]) => texts.at(-1)))
  const expected = Array.from({ length: STREAMS }, (_, n) => `message ${n}`)
  await until(async () => String(await last()) === String(expected), { what: 'each message on its own stream' })
  assert.is(gateway.running, true)
})

many.full('has no more than six over HTTP/1.1, which is why there is HTTP/2', async () => {
  const { gateway, page } = await openStreams({})
  // The page itself also opens connections.
  await until(async () => (await having(page, 'caught_up')) >= 4, { what: 'as many open streams as there can be' })
  for (let n = 0; n < STREAMS; n++) await publish(gateway, `room-${n}`, chat(1))
  await until(async () => (await having(page, 'message 1')) >= 4, { what: 'messages on them' })
  assert.ok((await having(page, 'message 1')) <= 6)
})

many.full('receives missed messages after the gateway was killed and restarted with another certificate', async () => {
  const { gateway, page } = await openStreams(secure())
  await until(async () => (await having(page, 'caught_up')) === STREAMS, { what: `${STREAMS} open streams` })
  await gateway.kill9()
  await gateway.restart(secure())
  for (let n = 0; n < STREAMS; n++) await publish(gateway, `room-${n}`, chat(7))
  const all = async (): Promise<boolean> => {
    const seen = await page.evaluate(() => (globalThis as Json).seen as string[][])
    return seen.every((texts) => texts.filter((text) => text === 'message 7').length === 1)
  }
  await until(all, { what: 'the message on each stream, once' })
})

many.run()
