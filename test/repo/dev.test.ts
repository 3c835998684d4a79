import { spawn } from 'node:child_process'
import { appendFileSync, cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { killAtExit } from '../support/harness/cleanup.ts'
import { suite } from '../support/harness/suite.ts'
import { freePort, getJson, tempDir, until } from '../support/harness/wait.ts'
import { ROOT } from '../support/servers/gateway.ts'

const test = suite('npm run dev and npm start')

/** A copy of the sources, which the tests change. */
const clone = tempDir('gateway-dev-')
const PORT = await freePort()

const start = () => {
  for (const name of ['src', 'build', 'package.json', 'schema.sql']) {
    cpSync(join(ROOT, name), join(clone, name), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'))
  const { PATH, HOME } = process.env
  const env = { PATH, HOME, PORT: String(PORT), DATABASE_URL: `sqlite:${join(clone, 'gateway.db')}` }
  const child = spawn(process.execPath, [join(clone, 'build/dev.ts')], { env, detached: true, stdio: 'pipe' })
  const spare = killAtExit(-child.pid!)
  const dev = { output: '', exit: undefined as unknown, term: () => child.kill('SIGTERM') }
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (dev.output += chunk))
  child.once('exit', (...exit) => {
    dev.exit = exit
  })
  // The server has its output too, and ends with it.
  child.once('close', spare)
  return dev
}

let dev: ReturnType<typeof start>

const read = async (path: string): Promise<string> => (await getJson(`http://127.0.0.1:${PORT}${path}`)).text
const change = (file: string, line: string): void => appendFileSync(join(clone, file), `${line}\n`)
const starts = (): number => dev.output.split('"msg":"listening"').length - 1

const untilTrue = (what: string, condition: () => boolean | Promise<boolean>, everyMs = 50): Promise<boolean> =>
  until(condition, { what, everyMs }).catch((error: Error) => {
    throw new Error(`${error.message}\n${dev.output}`)
  })

/** Changes a file until the server restarts: Node starts to watch a file only shortly after its import. */
const stopBy = async (file: string, line: string): Promise<void> => {
  const stops = (): number => dev.output.split('"msg":"signal received"').length
  const before = stops()
  const stopped = (): boolean => {
    if (stops() === before) change(file, line)
    return stops() > before
  }
  await untilTrue(`the stop after a change of ${file}`, stopped, 1_000)
}

const restartBy = async (file: string, line: string): Promise<void> => {
  const before = starts()
  await stopBy(file, line)
  await untilTrue(`the start after a change of ${file}`, () => starts() > before)
}

test.before(async () => {
  dev = start()
  await untilTrue('the first start', () => starts() === 1)
})

// The server runs in a process group of its own.
test.after(() => dev.term())

test('serves a changed page at the next reload, without a restart', async () => {
  change('src/web/page/main.ts', "console.log('a changed script')")
  change('src/web/page/css/index.css', '.a-changed-style { color: red }')
  change('src/web/page/index.html', '<!-- a changed document -->')
  await untilTrue('the changed script', async () => (await read('/page.js')).includes('a changed script'))
  await untilTrue('the changed style', async () => (await read('/page.css')).includes('.a-changed-style'))
  await untilTrue('the changed document', async () => (await read('/')).includes('a changed document'))
  assert.is(starts(), 1)
})

test('restarts the server after a change of its sources, those of a thread among them', async () => {
  await restartBy('src/core/message.ts', "process.stderr.write('a changed module\\n')")
  await untilTrue('the changed module', () => dev.output.includes('a changed module'))
  await restartBy('src/store/sqlite/writer-thread.ts', "process.stderr.write('a changed thread\\n')")
  await untilTrue('the changed thread', () => dev.output.includes('a changed thread'))
  assert.match(await read('/page.js'), 'a changed script')
})

test.full('serves the last working page while bundling fails, and recovers a server that exited for it', async () => {
  const page = join(clone, 'src/web/page/app.ts')
  const good = readFileSync(page)
  change('src/web/page/app.ts', 'const ( = 1')
  await untilTrue('the error with its place', () => /ERROR.*\n.*\n +src\/web\/page\/app\.ts:\d+/.test(dev.output))
  assert.match(await read('/page.js'), 'a changed script')
  const before = starts()
  await stopBy('src/core/message.ts', '')
  await untilTrue('the failed start', () => dev.output.includes('Failed running'))
  assert.is(starts(), before)
  writeFileSync(page, good)
  await untilTrue('the start with a good page', () => starts() > before)
})

test('exits with its server', async () => {
  dev.term()
  await untilTrue('the end', () => dev.exit !== undefined)
  assert.equal(dev.exit, [0, null], dev.output)
  await untilTrue('the end of the server', async () =>
    read('/').then(
      () => false,
      () => true,
    ),
  )
})

test.full('npm start passes SIGTERM on to the gateway, which stops in order', async () => {
  const { PATH, HOME } = process.env
  const env = { PATH, HOME, PORT: '0', DATABASE_URL: `sqlite:${join(clone, 'start.db')}`, AUTH: 'none' }
  const npm = spawn('npm', ['start'], { cwd: ROOT, env, detached: true, stdio: 'pipe' })
  const spare = killAtExit(-npm.pid!)
  let output = ''
  for (const stream of [npm.stdout, npm.stderr]) stream.on('data', (chunk) => (output += chunk))
  await until(() => output.includes('"msg":"listening"'), { what: 'the start', saw: () => output })
  npm.kill('SIGTERM')
  await until(() => output.includes('"msg":"stopped"'), { what: 'the stop of the gateway', saw: () => output })
  spare()
})

test.run()
