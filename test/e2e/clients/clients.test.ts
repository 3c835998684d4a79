// needs: chromium
// full
import { spawnSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Browser } from 'playwright-core'
import * as assert from 'uvu/assert'
import { launchChromium } from '../../support/clients/browser.ts'
import { type Runtime, SSE_CLIENTS, type SseClient } from '../../support/clients/sse-clients.ts'
import { bearer, guarded, sign } from '../../support/clients/tokens.ts'
import { provision } from '../../support/harness/provision.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, type Json, postJson, tempDir, until } from '../../support/harness/wait.ts'
import { readBlocks } from '../../support/repo/documents.ts'
import { type Gateway, ROOT, startGateway } from '../../support/servers/gateway.ts'
import { type Follower, missingRuntime, PageServer, startFollower } from '../../support/stages/follower.ts'
import { chats, eventUrl, newRoom } from '../../support/stages/rooms.ts'

const test = suite('a client of others')

const folder = tempDir('gateway-clients-')

/** Installs the clients into a temporary folder. @returns why it cannot be done; null if it is */
const install = (): string | null => {
  for (const file of ['package.json', 'package-lock.json']) {
    copyFileSync(join(ROOT, 'test/e2e/clients', file), join(folder, file))
  }
  const args = ['ci', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts']
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` }
  const { status, stderr } = spawnSync('npm', args, { cwd: folder, encoding: 'utf8', env })
  if (status === 0) return null
  // Anything else is a fault of the lock file.
  const isOffline = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH)\b/.test(stderr)
  if (!isOffline) throw new Error(`npm ci: ${stderr}`)
  return 'the npm registry cannot be reached'
}

const notInstalled = install()
// Without it, its rows are skipped.
await provision('firefox').catch(() => undefined)

let gateway: Gateway
let pages: PageServer
let browser: Browser | undefined
let token: string

test.before(async () => {
  token = await sign({ events: '*', scope: 'publish' })
  const port = await freePort()
  gateway = await startGateway({ env: guarded({ CORS_ORIGINS: `http://127.0.0.1:${port}` }) })
  pages = new PageServer(port, () => gateway.url)
})
test.after(async () => {
  pages?.close()
  await browser?.close()
  await gateway?.dispose()
})

const publish = async (room: string, count: number): Promise<number[]> => {
  const answer = await postJson(`${eventUrl(gateway, room)}/messages`, chats(count), { headers: bearer(token) })
  return answer.body.data.map(({ db_id }: Json) => db_id)
}

const start = (runtime: Runtime, code: string, url: string, flags?: readonly string[]): Promise<Follower> => {
  const options = { url, token, ...(flags && { flags }) }
  return startFollower(runtime, code, options, {
    folder,
    pages,
    browser: async () => (browser ??= await launchChromium()),
  })
}

const hasAll = async (follower: Follower, ids: readonly number[], when: string): Promise<void> => {
  await until(() => follower.ids.length >= ids.length || follower.gaveUp, {
    what: `all messages ${when}`,
    saw: () => [follower.ids, follower.output],
  })
  assert.equal(follower.ids, ids, `${when}: ${follower.output}`)
}

/** History, live messages, a restart and a crash: every message arrives once and in order. */
const follows = async ({ runtime, code, flags, needsRetry, behindProxy }: Omit<SseClient, 'client'>): Promise<void> => {
  const room = newRoom()
  if (needsRetry) await gateway.restart({ SHUTDOWN_RETRY_SECONDS: '20' })
  const ids = await publish(room, 5)
  const url = eventUrl(behindProxy ? pages : gateway, room)
  const follower = await start(runtime, code, `${url}/stream`, flags)
  try {
    await hasAll(follower, ids, 'of the history')
    ids.push(...(await publish(room, 1)))
    await hasAll(follower, ids, 'live')
    await gateway.restart()
    ids.push(...(await publish(room, 3)))
    await hasAll(follower, ids, 'after a restart')
    if (needsRetry) return
    await gateway.kill9()
    await gateway.restart()
    ids.push(...(await publish(room, 3)))
    await hasAll(follower, ids, 'after a crash')
  } finally {
    await follower.stop()
  }
}

const givesUp = async ({ runtime, flags }: SseClient, at: 'stop' | '502', code: string): Promise<void> => {
  const room = newRoom()
  await publish(room, 1)
  const url = at === '502' ? eventUrl(pages, room) : eventUrl(gateway, room)
  const { length } = gateway.logs()
  const follower = await start(runtime, code, `${url}/stream`, flags)
  try {
    const opened = async (): Promise<boolean> => (await openStreams()) > 0
    await until(opened, { what: 'its stream', saw: () => [follower.output, gateway.logs().slice(length)] })
    await gateway.term()
    await until(() => follower.gaveUp, { what: 'its end', saw: () => follower.output })
  } finally {
    await follower.stop()
    await gateway.restart()
  }
}

const openStreams = async (): Promise<number> => {
  const headers = bearer(await sign({ scope: 'admin' }))
  const text = await (await fetch(`${gateway.url}/metrics`, { headers })).text()
  return [...text.matchAll(/^gateway_subscribers\S* (\d+)/gm)].reduce((sum, [, count]) => sum + Number(count), 0)
}

for (const client of SSE_CLIENTS) {
  const { runtime, works, option, fails } = client
  const name = `${client.client} in ${runtime}`.replaceAll('`', '')
  const skipped = notInstalled ?? missingRuntime(runtime, folder)
  const check = (what: string, body: () => Promise<void>): void =>
    skipped === null ? test(what, body) : test.skip(what, skipped)
  const condition = option === undefined ? '' : ' with its option'
  check(`${name} gets every message once and in order${condition}`, () => follows(client))
  const { givesUp: end } = client
  assert.ok((works === undefined) !== (option === undefined), name)
  assert.is(end === undefined, fails === undefined, name)
  if (end !== undefined) check(`${name} ${fails!.replaceAll('`', '')}`, () => givesUp(client, end.at, end.code))
}

const [script] = readBlocks('docs/CLIENT.md').filter(({ language }) => language === 'python')

test('the Python function of docs/CLIENT.md gets every message once and in order', () =>
  follows({
    runtime: 'Python',
    code: `${script!.text}
import os
follow(os.environ['URL'], lambda message: print(message['db_id'], flush=True), token=os.environ['TOKEN'])
`,
  }))

test.run()
