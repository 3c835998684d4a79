// alone
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { Reader } from '../support/clients/sse.ts'
import { bearer, guarded, sign } from '../support/clients/tokens.ts'
import { killAtExit } from '../support/harness/cleanup.ts'
import { residentMb } from '../support/harness/memory.ts'
import { suite } from '../support/harness/suite.ts'
import { runs } from '../support/harness/tier.ts'
import { getJson, postJson, until } from '../support/harness/wait.ts'
import { type Gateway, startGateway, tellsOfFault } from '../support/servers/gateway.ts'
import { chat, eventUrl, getSampleValue, parseMetrics } from '../support/stages/rooms.ts'

const READERS = 100
/** Minimum number of messages published during each attack. */
const MIN_MESSAGES = runs(10, 100)
/** Factor for the length of each attack. */
const SCALE = runs(1, 10)
const HEADERS_TIMEOUT_SECONDS = 2

type Did = { opened: number; closed: number; sent: number; answers: Record<string, number> }

class Attacker {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(port: number, kind: string, count: number) {
    const script = fileURLToPath(new URL('../support/clients/attacker.ts', import.meta.url))
    this.#child = spawn(process.execPath, [script, String(port), kind, String(count)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    killAtExit(this.#child.pid!)
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  async did(): Promise<Did> {
    this.#child.stdin!.write('\n')
    return JSON.parse((await this.#lines.next()).value)
  }

  async end(): Promise<Did> {
    const did = await this.did()
    const gone = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await gone
    return did
  }
}

const attack = suite('under attack')

let gateway: Gateway
let readers: Reader[]
let headers: Record<string, string>
let sent = 0

const publish = async (): Promise<void> => {
  const answer = await postJson(`${eventUrl(gateway, 'room')}/messages`, chat(sent), { headers })
  assert.is(answer.status, 201, answer.text)
  sent += 1
}

attack.before(async () => {
  gateway = await startGateway({
    env: guarded({
      HEADERS_TIMEOUT_SECONDS: String(HEADERS_TIMEOUT_SECONDS),
      REQUEST_TIMEOUT_SECONDS: '4',
      HEARTBEAT_SECONDS: '2',
    }),
  })
  headers = bearer(await sign({ events: ['room'], scope: 'publish' }))
  readers = Array.from({ length: READERS }, () =>
    new Reader(`${eventUrl(gateway, 'room')}/stream`, { headers }).start(),
  )
  await publish()
  await Promise.all(readers.map((reader) => reader.waitForCount(1)))
})
attack.after(async () => {
  await Promise.all(readers.map((reader) => reader.stop()))
  await gateway.dispose()
})

/**
 * Publishes and lets newcomers in until the attack has done enough; then every reader has everything, on its first
 * connection.
 */
const endure = async (kind: string, count: number, enough: (did: Did) => boolean): Promise<Did> => {
  const before = residentMb(gateway.pid)
  const attacker = new Attacker(Number(new URL(gateway.url).port), kind, count)
  await until(async () => (await attacker.did()).opened >= Math.min(count, 50), { what: 'the attack' })
  let did = await attacker.did()
  let messages = 0
  const serveHonestReaders = async (): Promise<boolean> => {
    await publish()
    messages += 1
    const newcomer = new Reader(`${eventUrl(gateway, 'room')}/stream`, { headers }).start()
    await newcomer.waitForCount(sent)
    await newcomer.stop()
    assert.is((await getJson(`${gateway.url}/livez`)).status, 200)
    did = await attacker.did()
    return messages >= MIN_MESSAGES && enough(did)
  }
  await until(serveHonestReaders, { what: `enough of ${kind}`, saw: () => did })
  await Promise.all(readers.map((reader) => reader.waitForCount(sent)))
  await attacker.end()
  for (const reader of readers) {
    assert.is(reader.ids.length, sent, 'nothing is missed and nothing doubled')
    assert.ok(
      reader.ids.every((id, n) => n === 0 || id > reader.ids[n - 1]!),
      'in order',
    )
    assert.is(reader.connections, 1, 'nobody was thrown out for it')
  }
  const after = residentMb(gateway.pid)
  assert.ok(after < before + 250, `${Math.round(before)} MB before, ${Math.round(after)} MB after ${kind}`)
  return did
}

const LORIS = runs(300, 2_000)

attack(`${LORIS} connections whose head never ends are ended, and honest readers miss nothing`, async () => {
  const { answers } = await endure('slowloris', LORIS, ({ closed }) => closed >= LORIS * SCALE)
  assert.ok((answers['408'] ?? 0) > 0, JSON.stringify(answers))
})

attack('bodies that never end are stopped by a timeout', async () => {
  const { answers } = await endure('slowbody', 200, ({ closed }) => closed >= 200 * SCALE)
  // They send no token: the response comes before their body.
  assert.equal(Object.keys(answers), ['401'])
})

attack('header bombs are refused', () => endure('bomb', 20, ({ closed }) => closed >= 100 * SCALE))

attack('connections that come and go', () => endure('churn', 50, ({ closed }) => closed >= 1_000 * SCALE))

attack('endless bodies are rejected without being read', () =>
  endure('oversize', 20, ({ closed }) => closed >= 40 * SCALE),
)

attack('leaves no subscriber but ours and no fault in the log', async () => {
  const admin = bearer(await sign({ scope: 'admin' }))
  const { text } = await getJson(`${gateway.url}/metrics`, { headers: admin })
  assert.is(getSampleValue(parseMetrics(text), 'gateway_subscribers'), READERS)
  assert.equal(
    gateway.logs().filter(({ level }) => tellsOfFault(level)),
    [],
  )
})

attack.run()
