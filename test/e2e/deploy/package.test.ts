// needs: rabbitmq
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { publint } from 'publint'
import * as assert from 'uvu/assert'
import { buildPackage } from '../../../build/package.ts'
import * as client from '../../../src/web/client/index.ts'
import { openSse } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, tempDir } from '../../support/harness/wait.ts'
import { type Gateway, ROOT, startGateway } from '../../support/servers/gateway.ts'
import { type SharedBroker, sharedBroker, uniqueNames } from '../../support/servers/rabbitmq.ts'
import { chat, newRoom, publish } from '../../support/stages/rooms.ts'
import { brokerEnv } from '../../support/stages/stage.ts'

const test = suite('the npm package')

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
/** npm links the man pages of a list; it ignores a single name. */
const [MAN_PAGE] = manifest.man as [string]

/** PATH with the Node of the tests first, for `npx` and npm scripts. */
const PATH = `${dirname(process.execPath)}:${process.env.PATH}`

let project: string
let packed: string[]
let broker: SharedBroker

test.before(async () => {
  broker = await sharedBroker()
  await buildPackage()
  project = tempDir('gateway-project-')
  const pack = spawnSync('npm', ['pack', '--json', '--pack-destination', project], { cwd: ROOT, encoding: 'utf8' })
  assert.is(pack.status, 0, pack.stderr)
  const [{ filename, files }] = JSON.parse(pack.stdout)
  packed = files.map(({ path }: { path: string }) => path)
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'mine', private: true, type: 'module' }))
  const from = performance.now()
  // Node is already installed, and is by far the largest download.
  const args = ['install', '--prefer-offline', '--no-audit', '--no-fund', '--omit=optional', join(project, filename)]
  const install = spawnSync('npm', args, { cwd: project, encoding: 'utf8', env: { ...process.env, PATH } })
  assert.is(install.status, 0, install.stderr)
  process.stdout.write(`installed in ${Math.round(performance.now() - from)} ms\n`)
})
test.after(async () => {
  await broker?.dispose()
})

/** Runs a module in the project. @returns its parsed output */
const runModule = (code: string, env: NodeJS.ProcessEnv = {}): unknown => {
  writeFileSync(join(project, 'run.js'), code)
  const out = execFileSync(process.execPath, ['run.js'], { cwd: project, encoding: 'utf8', env: { PATH, ...env } })
  return JSON.parse(out)
}

const startInstalled = (env: Record<string, string> = {}): Promise<Gateway> =>
  startGateway({ entry: join(project, 'node_modules', '.bin', 'deepsoc-gateway'), cwd: project, env: { PATH, ...env } })

test('publint finds no problem', async () => {
  const { messages } = await publint({ pkgDir: ROOT, level: 'suggestion', pack: 'npm' })
  assert.equal(messages, [])
})

test('holds what it needs, and no sources, tests or executable', () => {
  for (const file of [
    'package.json',
    'LICENSE',
    'README.md',
    'SECURITY.md',
    'CHANGELOG.md',
    'schema.sql',
    'dist/cli.js',
    MAN_PAGE,
    'dist/web/index.html',
  ]) {
    assert.ok(packed.includes(file), file)
  }
  assert.equal(
    packed.filter((file) =>
      /^(src|test|build|bench|node_modules)\/|^dist\/deepsoc-gateway$|\.test\.|(^|\/)\.env$/.test(file),
    ),
    [],
  )
  assert.equal(
    packed.filter((file) => /(?<!\.d)\.ts$/.test(file)),
    [],
    'nothing in it needs its types stripped',
  )
  const bytes = packed.reduce((sum, file) => sum + readFileSync(join(ROOT, file)).length, 0)
  assert.ok(bytes < 5_000_000, `${bytes} bytes`)
})

test('serves from node_modules/.bin, with workers, page and client', async () => {
  const gateway = await startInstalled({ WORKERS: '2' })
  try {
    const room = newRoom()
    const stream = await openSse(`${gateway.url}/api/events/${room}/stream`)
    await stream.next('caught_up')
    await publish(gateway, room, chat(1))
    await stream.next('new_message')
    stream.close()
    for (const path of ['/', '/page.js', '/page.css', '/client.js', '/deepsoc.js']) {
      assert.is((await getJson(gateway.url + path)).status, 200, path)
    }
    assert.is((await gateway.term()).code, 0, gateway.output())
  } finally {
    await gateway.dispose()
  }
})

test.full('prints its version, and reads .env of the working directory', () => {
  const bin = join(project, 'node_modules', '.bin', 'deepsoc-gateway')
  const { version } = manifest
  const options = { cwd: project, encoding: 'utf8', env: { PATH } } as const
  assert.is(execFileSync(bin, ['--version'], options), `${version}\n`)
  assert.is(execFileSync(bin, ['help', '--man'], options), readFileSync(join(ROOT, MAN_PAGE), 'utf8'))
  writeFileSync(join(project, '.env'), 'PORT=4321\n')
  assert.match(execFileSync(bin, ['config'], options), /^PORT=4321\b/m)
  writeFileSync(join(project, '.env'), '')
})

/** Returns what an entry of dist/ loads: files, packages and Node modules. */
const loadedBy = (entry: string): { files: Set<string>; modules: Set<string> } => {
  const files = new Set<string>()
  const modules = new Set<string>()
  const walk = (file: string): void => {
    if (files.has(file)) return
    files.add(file)
    const text = readFileSync(file, 'utf8')
    for (const [, target] of text.matchAll(/(?:^(?:import|export)\b[^"';]*|\bimport\(\s*)["']([^"']+)["']/gm)) {
      if (target!.startsWith('.')) walk(join(dirname(file), target!))
      else modules.add(target!)
    }
  }
  walk(join(ROOT, 'dist', entry))
  return { files, modules }
}

test('the publisher is small, and includes no server code and no package but its two', () => {
  const { files, modules } = loadedBy('publisher.js')
  const packages = [...modules].filter((name) => !name.startsWith('node:'))
  const own = /^(rabbitmq-client|better-sqlite3)(\/|$)/
  assert.equal(
    packages.filter((name) => !own.test(name)),
    [],
  )
  assert.ok(packages.includes('rabbitmq-client') && packages.includes('better-sqlite3'), packages.join(' '))
  const texts = [...files].map((file) => readFileSync(file, 'utf8'))
  for (const text of texts) assert.not.match(text, /class GatewayError|JWT_SECRET/)
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  assert.ok(bytes < 80_000, `${bytes} bytes`)
  // Proves that the walk finds imports.
  assert.ok(loadedBy('index.js').modules.has('koa'))
})

test('offers the publisher, whose messages arrive', async () => {
  const env = brokerEnv(broker.url, uniqueNames('package')) as Record<string, string>
  const gateway = await startInstalled(env)
  try {
    await gateway.ready()
    const room = newRoom()
    const sent = runModule(
      `import { deepsoc, Publisher, PublishError } from 'deepsoc-gateway/publisher'
const publisher = new Publisher({ outbox: 'agent.db' })
const sent = await publisher.send({ event_id: '${room}', message_from: '_captain', message_content: 'hello' })
await publisher.close()
const plain = new Publisher()
await plain.send({ event_id: '${room}', message_from: '_captain', message_content: 'hello again' })
await plain.close()
console.log(JSON.stringify({ ...sent, deepsoc: typeof deepsoc, error: typeof PublishError }))`,
      env,
    ) as { message_id: string; deepsoc: string; error: string }
    assert.equal([sent.deepsoc, sent.error], ['object', 'function'])
    const stream = await openSse(`${gateway.url}/api/events/${room}/stream`)
    const { data } = await stream.next('new_message')
    assert.is(data.message_id, sent.message_id)
    await stream.next('new_message')
    stream.close()
  } finally {
    await gateway.dispose()
  }
})

test('offers the browser client, with all that its source exports', () => {
  const names = runModule(`import * as client from 'deepsoc-gateway/client'
console.log(JSON.stringify(Object.keys(client)))`) as string[]
  assert.equal(names.sort(), Object.keys(client).sort())
})

test.full('runs a gateway inside another program', () => {
  const told = runModule(`import { startGateway } from 'deepsoc-gateway'
const gateway = await startGateway({ PORT: '0', DATABASE_URL: 'sqlite:inside.db', LOG_LEVEL: 'silent' })
const url = gateway.url + '/api/events/e/messages'
const made = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"a":1}' })
const read = await (await fetch(url)).json()
await gateway.stop()
const refused = await startGateway({ PORT: 'x' }).catch(({ code }) => code)
console.log(JSON.stringify([made.status, read.data.length, refused]))`)
  assert.equal(told, [201, 1, 'config_invalid'])
  assert.ok(readdirSync(project).includes('inside.db'))
})

test.full('has declarations that tsc accepts and holds to', () => {
  const dir = join(project, 'typed')
  mkdirSync(dir, { recursive: true })
  const good = `import { startGateway, type RunningGateway } from 'deepsoc-gateway'
import { deepsoc, Publisher, PublishError, type Sent } from 'deepsoc-gateway/publisher'
import * as client from 'deepsoc-gateway/client'
export const run = async (): Promise<Sent> => {
  const gateway: RunningGateway = await startGateway({ PORT: '0' })
  await gateway.stop()
  const publisher = new Publisher({ outbox: 'a.db', maxQueued: 10, onState: ({ status }) => void status })
  return publisher.send({ event_id: 'e', message_from: 'me', message_type: 'chat', message_content: { a: 1 } })
}
export const all = [client, deepsoc, PublishError]
`
  writeFileSync(join(dir, 'good.ts'), good)
  writeFileSync(join(dir, 'bad.ts'), good.replace('maxQueued: 10', "maxQueued: 'ten'"))
  const flags = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false', '--types', '']
  flags.push('--module', 'nodenext', '--target', 'esnext', '--lib', 'esnext,dom')
  const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  const files = ['good.ts', 'bad.ts'].map((file) => join(dir, file))
  const { status, stdout } = spawnSync(process.execPath, [compiler, ...flags, ...files], {
    cwd: project,
    encoding: 'utf8',
  })
  assert.is.not(status, 0)
  const errors = stdout.split('\n').filter((line) => /error TS/.test(line))
  assert.is(errors.length, 1, stdout)
  assert.match(errors[0]!, /bad\.ts.*TS2322/)
})

test.run()
