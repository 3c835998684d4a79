// full
// needs: rabbitmq, strace
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { hasTerminal } from '../../support/clients/cli.ts'
import { openSse } from '../../support/clients/sse.ts'
import { aloneInFolder, ensureBinary, makeJail, noJail } from '../../support/harness/binary.ts'
import { killAtExit } from '../../support/harness/cleanup.ts'
import { WAIT_MS } from '../../support/harness/limits.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, postJson, tempDir, until } from '../../support/harness/wait.ts'
import { readText } from '../../support/repo/documents.ts'
import { type Env, type Gateway, ROOT, startGateway } from '../../support/servers/gateway.ts'
import { startOtlp } from '../../support/servers/otlp.ts'
import { sharedBroker, uniqueNames } from '../../support/servers/rabbitmq.ts'
import { chat, newRoom, publish } from '../../support/stages/rooms.ts'
import { brokerEnv } from '../../support/stages/stage.ts'

const test = suite('the single executable')

const NOBODY = 65534

let alone: { dir: string; file: string }

test.before(async () => {
  const { file, ms } = await ensureBinary()
  process.stdout.write(ms === 0 ? 'the executable was there\n' : `the executable was made in ${ms} ms\n`)
  alone = aloneInFolder(file)
})

type Ran = { code: number | null; stdout: string; stderr: string }

/** Runs a command to its end with only this environment. */
const run = (command: string, args: readonly string[], env: Env = {}, input = '', cwd = alone.dir): Ran => {
  const done = spawnSync(command, args, { cwd, env: { PATH: '', ...env }, input, encoding: 'utf8', timeout: WAIT_MS })
  return { code: done.status, stdout: done.stdout, stderr: done.stderr }
}

/** Starts the executable alone in a folder, without PATH and HOME. */
const start = (env: Env = {}, args: string[] = []): Promise<Gateway> =>
  startGateway({ entry: alone.file, cwd: alone.dir, args, env: { PATH: '', HOME: undefined, ...env } })

/** Publishes a message and waits for it on a stream and over REST. */
const passMessage = async (gateway: Gateway): Promise<void> => {
  const room = newRoom()
  const stream = await openSse(`${gateway.url}/api/events/${room}/stream`)
  await stream.next('caught_up')
  await publish(gateway, room, chat(1))
  const { data } = await stream.next('new_message')
  stream.close()
  const { body } = await getJson(`${gateway.url}/api/events/${room}/messages`)
  assert.equal(body.data, [data])
}

test('runs alone in an empty folder, without a PATH, and serves page and client', async () => {
  const gateway = await start()
  try {
    await passMessage(gateway)
    for (const [path, file] of [
      ['/', 'index.html'],
      ['/events/e', 'index.html'],
      ['/page.js', 'page.js'],
      ['/page.css', 'page.css'],
      ['/client.js', 'client.js'],
      ['/deepsoc.js', 'deepsoc.js'],
    ]) {
      const { status, text } = await getJson(gateway.url + path)
      assert.equal([status, text], [200, readFileSync(join(ROOT, 'dist', 'web', file!), 'utf8')], path)
    }
    const { body } = await getJson(`${gateway.url}/readyz`)
    assert.is(body.data.version, run(alone.file, ['--version']).stdout.split('\n')[0])
  } finally {
    assert.is((await gateway.term()).code, 0, gateway.output())
    await gateway.dispose()
  }
  assert.equal(readdirSync(alone.dir), ['deepsoc-gateway'], 'nothing was left beside it')
})

test.full('keeps its database in the working directory by default', async () => {
  const { dir, file } = aloneInFolder(alone.file)
  const gateway = await startGateway({ entry: file, cwd: dir, args: [], env: { PATH: '', DATABASE_URL: '' } })
  await passMessage(gateway)
  await gateway.dispose()
  assert.ok(existsSync(join(dir, 'data', 'gateway.db')))
})

test('prints its components with --version, and the version alone on the first line', () => {
  const { code, stdout, stderr } = run(alone.file, ['--version'])
  assert.equal([code, stderr], [0, ''])
  const [first, ...rest] = stdout.trimEnd().split('\n')
  const { version, dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  assert.is(first, version)
  const inside = Object.fromEntries(rest.map((line) => line.split(/ {2,}/)))
  assert.match(inside.commit, /^([0-9a-f]{7,}(-dirty)?|unknown)$/)
  assert.is(inside.platform, `linux-${process.arch}`)
  for (const name of ['node', 'v8', 'sqlite', 'openssl', 'uv', 'zlib']) assert.match(inside[name], /^\d+\.\d+/, name)
  for (const name of ['koa', 'rabbitmq-client', 'better-sqlite3', 'zod']) assert.is(inside[name], dependencies[name])
})

test.full('several workers share port and store, and drain', async () => {
  const gateway = await start({ WORKERS: '3' })
  try {
    const children = () => readFileSync(`/proc/${gateway.pid}/task/${gateway.pid}/children`, 'utf8').trim().split(' ')
    await until(() => children().length === 3, { what: 'all workers' })
    const room = newRoom()
    const streams = await Promise.all(
      Array.from({ length: 12 }, () => openSse(`${gateway.url}/api/events/${room}/stream`)),
    )
    for (const stream of streams) await stream.next('caught_up')
    await publish(gateway, room, chat(1))
    for (const stream of streams) await stream.next('new_message')
    process.kill(Number(children()[0]), 'SIGKILL')
    await until(() => /worker exited, restarting/.test(gateway.output()) && children().length === 3, {
      what: 'a new worker',
    })
    assert.is((await gateway.term()).code, 0, gateway.output())
    assert.not.match(gateway.output(), 'shutdown deadline exceeded')
  } finally {
    await gateway.dispose()
  }
})

test.full('has one copy of SQLite in a process, as two would drop each other’s locks', async () => {
  const gateway = await start()
  try {
    await passMessage(gateway)
    const mapped = [...readFileSync(`/proc/${gateway.pid}/maps`, 'utf8').matchAll(/ (\d+) +(\S*better_sqlite3\S*)$/gm)]
    assert.is(new Set(mapped.map(([, inode]) => inode)).size, 1, String(mapped))
  } finally {
    await gateway.dispose()
  }
})

test.full('sends spans: OpenTelemetry is included, and loaded on demand', async () => {
  const otlp = await startOtlp()
  const gateway = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: otlp.endpoint })
  try {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    await postJson(`${gateway.url}/api/events/e/messages`, chat(1), { headers: { traceparent } })
    await otlp.span(({ parentSpanId }) => parentSpanId === '00f067aa0ba902b7', 'of the call')
  } finally {
    await gateway.dispose()
    await otlp.dispose()
  }
})

test('reads .env of the working directory', () => {
  const dir = tempDir()
  spawnSync('/bin/sh', ['-c', 'echo PORT=4321 > .env'], { cwd: dir })
  assert.match(run(alone.file, ['config'], {}, '', dir).stdout, /^PORT=4321\b/m)
})

test('works with RabbitMQ: publishes, consumes, tails, quarantines', async () => {
  const broker = await sharedBroker()
  const env = brokerEnv(broker.url, uniqueNames('binary'))
  const gateway = await start(env)
  try {
    await gateway.ready()
    const room = newRoom()
    const lines = [1, 2, 3].map((n) =>
      JSON.stringify({ event_id: room, ...chat(n), big: 0 }).replace('"big":0', '"big":12302548181076029'),
    )
    const published = run(alone.file, ['publish'], env, `${lines.join('\n')}\n`)
    assert.is(published.code, 0, published.stderr)
    const stored = async () => (await getJson(`${gateway.url}/api/events/${room}/messages`)).body.data.length
    await until(async () => (await stored()) === 3, { what: 'three messages' })
    const tail = run(alone.file, ['tail', room, '--json', '--once', '--url', gateway.url], env)
    assert.equal([tail.code, tail.stdout.match(/"big":12302548181076029/g)?.length], [0, 3], tail.stderr)
    await gateway.kill9()
    await gateway.restart(env)
    await gateway.ready()
    assert.is(await stored(), 3)
    const listed = run(alone.file, ['rejected', 'list', '--json'], { DATABASE_URL: `sqlite:${gateway.dbFile}` })
    assert.equal([listed.code, listed.stdout], [0, ''], listed.stderr)
  } finally {
    await gateway.dispose()
    await broker.dispose()
  }
})

if (!hasTerminal) test.skip('writes readable lines on a terminal', 'util-linux has no script')
else {
  test.full('writes readable lines on a terminal', async () => {
    const env = {
      PORT: '0',
      DATABASE_URL: `sqlite:${join(tempDir(), 'x.db')}`,
      SHELL: '/bin/sh',
      PATH: process.env.PATH,
    }
    const child = spawn('script', ['-qec', alone.file, '/dev/null'], { env, stdio: ['pipe', 'pipe', 'ignore'] })
    child.once('exit', killAtExit(child.pid!))
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    await until(() => /INFO.*listening/.test(text), { what: 'a readable line' })
    child.kill()
  })
}

/** Runs the executable with two workers under strace, passes a message and stops it. @returns the trace, and its data folder */
const traceCalls = async (flags: readonly string[], tmp: string): Promise<{ text: string; dataDir: string }> => {
  const trace = join(tempDir(), 'trace')
  const gateway = await startGateway({
    entry: spawnSync('which', ['strace'], { encoding: 'utf8' }).stdout.trim(),
    args: ['-f', '-qq', ...flags, '-o', trace, alone.file],
    cwd: alone.dir,
    env: { TMPDIR: tmp, PATH: '', WORKERS: '2' },
  })
  try {
    await passMessage(gateway)
    // The signal goes to the gateway, not to strace.
    const [pid] = readFileSync(`/proc/${gateway.pid}/task/${gateway.pid}/children`, 'utf8').trim().split(' ')
    process.kill(Number(pid), 'SIGTERM')
    await until(() => !gateway.running, { what: 'the end' })
  } finally {
    await gateway.dispose()
  }
  return { text: readFileSync(trace, 'utf8'), dataDir: gateway.dataDir }
}

test.full('writes nothing outside its data and the temporary folder', async () => {
  const tmp = tempDir()
  const calls =
    'open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,truncate,mknodat'
  const { text, dataDir } = await traceCalls(['-y', '-s', '4096', '-e', `trace=${calls}`], tmp)
  const changing = text
    .split('\n')
    .filter((line) => !/\bopen(at)?\(/.test(line) || /O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND/.test(line))
    .filter((line) => /"/.test(line) && !/= -1 E/.test(line))
  assert.ok(
    changing.some((line) => line.includes(dataDir)) && changing.some((line) => line.includes(tmp)),
    'it was seen',
  )
  const allowed = (path: string): boolean =>
    [dataDir, tmp, '/dev/null', '/dev/tty', '/dev/pts/'].some((start) => path.startsWith(start))
  const outside = changing.filter((line) => ![...line.matchAll(/"([^"]*)"/g)].every(([, path]) => allowed(path!)))
  assert.equal(outside, [])
})

const analyze = (...args: string[]) => spawnSync('systemd-analyze', args, { encoding: 'utf8' })

/** Returns the system calls that the unit allows: those of its filter's lines, where `~` removes. */
const allowedCalls = (): Set<string> => {
  const expand = (name: string): string[] =>
    name.startsWith('@')
      ? [...analyze('syscall-filter', name).stdout.matchAll(/^ {4}([@\w-]+)$/gm)].flatMap(([, member]) =>
          expand(member!),
        )
      : [name]
  const allowed = new Set<string>()
  for (const [, not, names] of readText('deploy/deepsoc-gateway.service').matchAll(/^SystemCallFilter=(~?)(.*)$/gm)) {
    for (const call of names!.split(' ').flatMap(expand)) not === '~' ? allowed.delete(call) : allowed.add(call)
  }
  return allowed
}

const filtered = (name: string, body: () => Promise<void>): void =>
  analyze('--version').status === 0 ? test(name, body) : test.skip(name, 'systemd-analyze is not installed')

filtered('makes only the system calls that the unit of systemd allows', async () => {
  const allowed = allowedCalls()
  assert.ok(allowed.has('openat') && !allowed.has('ptrace') && !allowed.has('mount'), 'the filter is read')
  const { text } = await traceCalls(['-s', '0'], tempDir())
  const made = new Set([...text.matchAll(/^\d+ +(\w+)\(/gm)].map(([, call]) => call!))
  assert.ok(made.has('epoll_wait') || made.has('epoll_pwait'), 'it was traced')
  // SQLite calls it as root only, which the unit is not.
  if (process.getuid?.() === 0) made.delete('fchown')
  assert.equal([...made].filter((call) => !allowed.has(call)).sort(), [])
})

test('a module folder that other users can write to is not used', () => {
  const tmp = tempDir()
  const folder = join(tmp, `deepsoc-gateway-${process.getuid!()}`)
  mkdirSync(folder)
  spawnSync('chmod', ['777', folder])
  const { code, stderr } = run(alone.file, ['serve'], { TMPDIR: tmp, PORT: '0' })
  assert.is(code, 1)
  assert.match(stderr, /native_module_load_failed\n.*other users can write/)
  assert.match(stderr, /hint: .*NATIVE_MODULE_DIR/)
})

const asRoot = (name: string, body: () => void): void =>
  process.getuid?.() === 0 ? test(name, body) : test.skip(name, 'a file of another user needs root')

asRoot(
  'the module of another user is not used, in a shared folder or in one of the own, with the right content too',
  () => {
    const folder = tempDir()
    assert.is(run(alone.file, ['--version'], { NATIVE_MODULE_DIR: folder }).code, 0)
    const file = join(folder, readdirSync(folder)[0]!)
    chownSync(file, NOBODY, NOBODY)
    const load = () => run(alone.file, ['--version'], { NATIVE_MODULE_DIR: folder }).stdout
    assert.match(load(), /^sqlite +\d/m)
    assert.is(statSync(file).uid, 0, 'it was replaced')
    chmodSync(file, 0o777)
    assert.match(load(), /^sqlite +\d/m)
    assert.is(statSync(file).mode & 0o022, 0, 'it was replaced')
    for (const [uid, mode] of [
      [0, 0o1777],
      [0, 0o770],
      [NOBODY, 0o700],
    ] as const) {
      chownSync(folder, uid, 0)
      chmodSync(folder, mode)
      assert.match(load(), /^sqlite +cannot be loaded: .*other users can write/m, `${uid} ${mode.toString(8)}`)
    }
  },
)

test.full('the module is loaded through the descriptor that was checked, not by its name', () => {
  const folder = tempDir()
  const trace = join(tempDir(), 'trace')
  const strace = spawnSync('which', ['strace'], { encoding: 'utf8' }).stdout.trim()
  const args = ['-f', '-qq', '-y', '-e', 'trace=open,openat,mmap', '-o', trace, alone.file, '--version']
  assert.match(run(strace, args, { NATIVE_MODULE_DIR: folder }).stdout, /^sqlite +\d/m)
  const opened = readFileSync(trace, 'utf8')
    .split('\n')
    .filter((line) => /\bopen(at)?\(/.test(line) && /better_sqlite3-\w+\.node>/.test(line))
  assert.match(opened.at(-1)!, /"\/proc\/self\/fd\/\d+"/, opened.join('\n'))
  const mapped = readFileSync(trace, 'utf8').match(/mmap\(.*better_sqlite3-\w+\.node>/g)
  assert.ok(mapped !== null, 'the module was mapped')
})

test.full('a module that was tampered with is restored before it is loaded', async () => {
  const tmp = tempDir()
  assert.is(run(alone.file, ['--version'], { NATIVE_MODULE_DIR: tmp }).code, 0)
  const [name] = readdirSync(tmp)
  const good = readFileSync(join(tmp, name!))
  spawnSync('/bin/sh', ['-c', `echo bad > ${join(tmp, name!)}`])
  assert.match(run(alone.file, ['--version'], { NATIVE_MODULE_DIR: tmp }).stdout, /^sqlite +\d/m)
  assert.ok(readFileSync(join(tmp, name!)).equals(good))
  assert.equal(readdirSync(tmp), [name], 'nothing else is left there')
})

const why = noJail()

const inRoot = (name: string, body: () => Promise<void>): void =>
  why === null ? test(name, body) : test.skip(name, why)

inRoot('runs under a read-only root with nothing but system libraries, as any user, with workers', async () => {
  const jail = makeJail(alone.file)
  const [entry, args] = jail.command([], { uid: NOBODY })
  const env = { DATABASE_URL: 'sqlite:/data/gateway.db', PATH: process.env.PATH, WORKERS: '2', HOME: undefined }
  const gateway = await startGateway({ entry, args, cwd: '/', env })
  try {
    await passMessage(gateway)
    assert.match(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'), new RegExp(`^Uid:\\s+${NOBODY}`, 'm'))
    assert.is((await gateway.term()).code, 0, gateway.output())
  } finally {
    await gateway.dispose()
  }
  // The search index is made a moment after the start.
  assert.equal(
    readdirSync(jail.data).filter((name) => name !== 'gateway.db.search'),
    ['gateway.db'],
  )
})

inRoot('says of a temporary folder with noexec what to do, and works with NATIVE_MODULE_DIR', async () => {
  const jail = makeJail(alone.file)
  const [entry, args] = jail.command(['serve'], { tmp: 'noexec' })
  const env = { DATABASE_URL: 'sqlite:/data/gateway.db', PATH: process.env.PATH, PORT: '0' }
  const refused = run(entry, args, env)
  assert.is(refused.code, 1, refused.stdout)
  assert.match(refused.stderr, /native_module_load_failed\n.*\/tmp\/.*failed to map segment/)
  assert.match(refused.stderr, /hint: .*NATIVE_MODULE_DIR.*noexec/)
  const [, version] = jail.command(['--version'], { tmp: 'noexec' })
  assert.match(run(entry, version, env).stdout, /^sqlite +cannot be loaded: .*failed to map segment/m)
  const gateway = await startGateway({ entry, args, cwd: '/', env: { ...env, NATIVE_MODULE_DIR: '/data/cache' } })
  try {
    await passMessage(gateway)
  } finally {
    await gateway.dispose()
  }
})

inRoot('needs no temporary folder where NATIVE_MODULE_DIR has the module already', async () => {
  const jail = makeJail(alone.file)
  const env = { DATABASE_URL: 'sqlite:/data/gateway.db', PATH: process.env.PATH, NATIVE_MODULE_DIR: '/data/cache' }
  const [entry, first] = jail.command(['--version'], { tmp: 'none' })
  assert.match(run(entry, first, env).stdout, /^sqlite +\d/m)
  spawnSync('chmod', ['-R', 'a-w', join(jail.data, 'cache')])
  const [, args] = jail.command([], { tmp: 'none' })
  const gateway = await startGateway({ entry, args, cwd: '/', env })
  await passMessage(gateway)
  await gateway.dispose()
})

test.run()
