// needs: firefox
// full
import * as assert from 'uvu/assert'
import { messageText, writeScript } from '../../../src/cli/demo/script.ts'
import { Firefox } from '../../support/clients/firefox.ts'
import { bearer, guarded, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { postJson } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, chats, eventUrl, newRoom } from '../../support/stages/rooms.ts'

const WIDTHS = [360, 1280, 1920]
const THEMES = ['system', 'light', 'dark']

const test = suite('the pages in Firefox')

let gateway: Gateway
let firefox: Firefox
let token: string

test.before(async () => {
  gateway = await startGateway({ env: guarded() })
  firefox = await Firefox.launch()
  token = await sign({ sub: 'ann', events: '*', scope: 'publish' })
})
test.after.each(() => assert.equal(firefox.errors.splice(0), []))
test.after(async () => {
  await firefox?.close()
  await gateway?.dispose()
})

const publish = async (event_id: string, messages: unknown): Promise<void> => {
  const { status, text } = await postJson(`${eventUrl(gateway, event_id)}/messages`, messages, {
    headers: bearer(token),
  })
  assert.is(status, 201, text)
}

const open = (path: string): Promise<void> => firefox.goto(gateway.url + path)
const isLive = (): Promise<unknown> => firefox.holds(`document.querySelector('#state[data-state="live"]')`)
const isShown = (text: string): Promise<unknown> =>
  firefox.holds(`document.querySelector('.rows')?.innerText.includes(${JSON.stringify(text)})`)

const signIn = async (): Promise<void> => {
  await firefox.fill('#token', token)
  await firefox.click('.sign-in .primary')
  await isLive()
}

test('sign in, show what arrives, search it, write, and sign out', async () => {
  const room = newRoom()
  await firefox.resize(1280, 800)
  await publish(room, chats(20))
  await open(`/events/${room}`)
  await signIn()
  await firefox.holds(`document.querySelectorAll('.row').length === 20`)
  await publish(room, chat(77, { message_content: { data: { text: 'seen at 203.0.113.77 and nowhere else' } } }))
  await isShown('203.0.113.77')
  await firefox.fill('#search', '203.0.113.77')
  assert.is(await firefox.text('#found'), '1 of 21 loaded messages')
  await firefox.holds(`[...CSS.highlights.get('found') ?? []].length === 1`)
  await firefox.click('#clear')
  await firefox.fill('#text', 'written in Firefox')
  await firefox.click('#send')
  await isShown('written in Firefox')
  await open('/')
  await isLive()
  await firefox.fill('#search', '203.0.113.77')
  assert.is(await firefox.text('.hit mark'), '203.0.113.77')
  await firefox.click('.hit a')
  await firefox.holds(`document.querySelector('.row[data-selected="true"]')`)
  await firefox.click('#sign-out')
  await firefox.text('#token')
  await open(`/events/${room}`)
  await firefox.text('#token')
})

test('print all messages of a room', async () => {
  const room = newRoom()
  await publish(room, chats(300))
  await open(`/events/${room}`)
  await signIn()
  await firefox.holds(`document.querySelector('#history') === null`)
  await firefox.evaluate(`void addEventListener('beforeprint', () => {
    globalThis.printed = document.querySelectorAll('.print-copy article').length
  })`)
  assert.match((await firefox.print()).toString('latin1'), /^%PDF-/)
  assert.is(await firefox.evaluate('globalThis.printed'), 300)
  assert.is(await firefox.evaluate(`document.querySelectorAll('.print-copy').length`), 0)
})

test('axe finds nothing, and nothing is too wide: languages, themes, widths', async () => {
  const cues = writeScript({ seed: 12, events: 1, run: 'firefox' })
  const room = cues[0]!.event_id
  const texts = cues.map((cue, id) =>
    JSON.parse(messageText(cue, { id, message_id: `${room}-${id}`, now: Date.now() })),
  )
  await publish(room, texts)
  for (const path of ['/', `/events/${room}`]) {
    await open(path)
    await isLive()
    for (const language of ['en', 'zh-CN']) {
      for (const theme of THEMES) {
        for (const width of WIDTHS) {
          await firefox.resize(width, 900)
          const what = `${path} ${language} ${theme} ${width}`
          assert.is(await firefox.evaluate('document.documentElement.lang'), language, what)
          const wide = await firefox.evaluate<number>('document.documentElement.scrollWidth - innerWidth')
          assert.ok(wide <= 0, `${what}: ${wide} px too wide`)
          if (theme !== 'system') assert.equal(await firefox.violations(), [], what)
        }
        await firefox.click('#theme')
      }
      await firefox.click('#language')
    }
  }
})

test.run()
