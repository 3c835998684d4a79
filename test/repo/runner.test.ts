import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { killAtExit } from '../support/harness/cleanup.ts'
import { ROOT } from '../support/harness/program.ts'
import { suite } from '../support/harness/suite.ts'
import { FULL } from '../support/harness/tier.ts'
import { tempDir, until } from '../support/harness/wait.ts'
import { runTests } from '../support/runner/main.ts'

type Files = Readonly<Record<string, string>>
type Run = { code: number | null; output: string; lines: string[]; last: string }
/** With an environment, even an empty one, the runner is a process of its own. */
type Call = { args?: readonly string[]; env?: NodeJS.ProcessEnv }

const UVU = `import { test, suite } from '${import.meta.resolve('uvu')}'`
const OURS = `import { suite } from '${import.meta.resolve('../support/harness/suite.ts')}'`
const WAIT = `import { tempDir, until } from '${import.meta.resolve('../support/harness/wait.ts')}'`

const PASSING = `${UVU}\ntest('one', () => {})\ntest.run()`

const endedWith = (code: number | null, output: string): Run => {
  const lines = output.trimEnd().split('\n')
  return { code, output, lines, last: lines.at(-1) ?? '' }
}

/** The environment without any of the tests' variables. */
const PLAIN: NodeJS.ProcessEnv = { ...process.env, TEST_FULL: '', TEST_TIMEOUT_FACTOR: '' }

const runNode = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Run> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { env: { ...PLAIN, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    if (child.pid !== undefined) child.once('exit', killAtExit(child.pid))
    let output = ''
    const keep = (chunk: Buffer): void => {
      output += chunk.toString()
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.once('error', reject)
    child.once('close', (code) => resolve(endedWith(code, output)))
  })

/** Runs the runner over a folder, in this process if neither its environment nor its own process is what is tested. */
const runIn = async (dir: string, { args = [], env }: Call = {}): Promise<Run> => {
  if (env) return runNode([join(ROOT, 'test', 'run.ts'), '--dir', dir, ...args], env)
  let output = ''
  const write = (text: string): void => {
    output += text
  }
  return endedWith(await runTests(['--dir', dir, ...args], { env: PLAIN, write }), output)
}

const folderOf = (files: Files): string => {
  const dir = tempDir('gateway-runner-')
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true })
    writeFileSync(join(dir, name), `${text}\n`)
  }
  return dir
}

/** Runs the test runner on a folder with only these files. */
const runFiles = (files: Files, call?: Call): Promise<Run> => runIn(folderOf(files), call)

/** Returns what the runner prints for a file: its result and, if it failed, its output. */
const reportOf = ({ output }: Run, name: string): string => {
  const reports = output.split(/^(?=(?:ok|FAIL) +\d+\/\d+ )/m)
  return reports.find((report) => report.split('\n')[0]!.includes(`/${name}`)) ?? `nothing of ${name}:\n${output}`
}

const runner = suite('the runner')

let places = 4
const waiting: (() => void)[] = []

/** Registers a test whose body starts at once: most bodies wait for another process, so four run at a time. */
const add = (name: string, body: () => Promise<void>): void => {
  const start = async (): Promise<void> => {
    if (places === 0) await new Promise<void>((resolve) => waiting.push(resolve))
    else places -= 1
    try {
      await body()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else places += 1
    }
  }
  const done = start()
  done.catch(() => {})
  runner(name, () => done)
}

const beside = Object.assign(add, { full: FULL ? add : () => {} })

beside('counts passing and skipped tests, gives a passing file one line, and lists the slowest files', async () => {
  const { code, lines, last, output } = await runFiles(
    {
      'a.test.ts': `${OURS}
const t = suite('a')
t('one', () => {})
t('two', async () => {})
t.skip('three', 'no moon tonight')
t.run()`,
      'b.test.ts': PASSING,
      'no-test.ts': 'throw new Error("not to be run")',
    },
    { env: {} },
  )
  assert.is(last, '3 passed, 0 failed, 1 skipped', output)
  assert.is(code, 0)
  assert.is(lines.filter((line) => line.startsWith('ok ')).length, 2)
  assert.match(output, /^ok +1\/2 /m)
  assert.match(output, /^ok +2\/2 /m)
  assert.match(output, 'SKIP a: three (no moon tonight)')
  assert.match(output, /^slowest:\n +[\d.]+ s {2}.*\.test\.ts\n +[\d.]+ s {2}.*\.test\.ts$/m)
})

beside('shows the whole output of a failing file only', async () => {
  const { code, output, last } = await runFiles({
    'a.test.ts': `${OURS}\nconst t = suite('a')\nt('one', () => console.log('quiet words'))\nt.run()`,
    'b.test.ts': `${OURS}
const t = suite('b')
t('good', () => console.log('loud words'))
t('bad', () => { throw new Error('broken here') })
t.run()`,
  })
  assert.is(last, '2 passed, 1 failed')
  assert.is(code, 1)
  assert.match(output, 'loud words')
  assert.match(output, 'broken here')
  assert.not.match(output, 'quiet words')
})

beside('filters files by name, and fails if none matches', async () => {
  const dir = folderOf({ 'apple.test.ts': PASSING, 'pear.test.ts': PASSING })
  assert.is((await runIn(dir, { args: ['pear'] })).last, '1 passed, 0 failed')
  const none = await runIn(dir, { args: ['plum'] })
  assert.is(none.last, '0 passed, 1 failed')
  assert.is(none.code, 1)
})

const THROWER = `() => { throw new Error('hook broke') }`
const two = (kit: string, hook: string): string =>
  `${kit}\nconst t = suite('hooks')\n${hook}\nt('one', () => {})\nt('two', () => {})\nt.run()`
const throwing = (kit: string, thrown: string): string =>
  `${kit}\nconst t = suite('s')\nt('one', () => { throw ${thrown} })\nt('two', () => {})\nt.run()`
const later = (body: string): string =>
  `${OURS}\nconst t = suite('s')\nt('one', () => new Promise(() => { ${body}; setInterval(() => {}, 1000) }))\nt.run()`
const ending = (kit: string): string =>
  `${kit}\nconst t = suite('s')\nt('one', () => process.exit(0))\nt('two', () => {})\nt.run()`

/** Failing files with the expected report. */
const FAILING: Readonly<Record<string, readonly [text: string, ...says: RegExp[]]>> = {
  empty: ['', /no totals/],
  'no-tests': [`${UVU}\ntest.run()`, /no tests/],
  crash: [`${UVU}\nthrow new Error('at import')`, /no totals/, /at import/],
  'no-run': [`${UVU}\ntest('one', () => {})`, /no totals/],
  'no-run-ours': [`${OURS}\nconst t = suite('ours')\nt('one', () => {})`, /ours: its \.run\(\) is missing/],
  'before-uvu': [two(UVU, `t.before(${THROWER})`), /2 of 2 tests did not pass/],
  'before-ours': [two(OURS, `t.before(${THROWER})`), /2 of 2 tests did not pass/, /hooks: before: hook broke/],
  'before-each-uvu': [two(UVU, `t.before.each(${THROWER})`), /2 of 2 tests did not pass/, /hook broke/],
  'before-each-ours': [two(OURS, `t.before.each(${THROWER})`), /2 of 2 tests did not pass/, /hook broke/],
  'after-each-uvu': [two(UVU, `t.after.each(${THROWER})`), /2 of 2 tests did not pass/],
  'after-each-ours': [
    two(OURS, `t.after.each(${THROWER})`),
    /2 of 2 tests did not pass/,
    /one: after\.each: hook broke/,
  ],
  'after-uvu': [two(UVU, `t.after(${THROWER})`), /no totals/, /hook broke/],
  'after-ours': [two(OURS, `t.after(${THROWER})`), /exit 1 although all tests passed/, /after: hook broke/],
  'no-error-uvu': [throwing(UVU, `'text'`), /2 of 2 tests did not pass/],
  'text-ours': [throwing(OURS, `'text'`), /1 of 2 tests did not pass/, /though no Error: 'text'/],
  'undefined-ours': [throwing(OURS, 'undefined'), /1 of 2 tests did not pass/, /though no Error: undefined/],
  'null-ours': [throwing(OURS, 'null'), /1 of 2 tests did not pass/, /though no Error: null/],
  'object-ours': [throwing(OURS, '{ a: 1 }'), /1 of 2 tests did not pass/, /though no Error: \{ a: 1 \}/],
  rejection: [later(`Promise.reject(new Error('lost'))`), /no totals/, /lost/],
  exception: [later(`setTimeout(() => { throw new Error('late') })`), /no totals/, /late/],
  'exit-uvu': [ending(UVU), /no totals/],
  'exit-ours': [ending(OURS), /no totals/],
  'exit-code': [`${PASSING}\nprocess.on('exit', () => { process.exitCode = 7 })`, /exit 7 although all tests passed/],
  'other-suite': [
    `${OURS}
const broken = suite('broken')
broken.before(() => { throw 'a text' })
broken('never runs', () => console.log('ran after all'))
broken.run()
const sound = suite('sound')
let cleaned = 0
sound.after.each(() => { cleaned += 1 })
sound('bad', () => { throw new Error('bad') })
sound('good', () => { if (cleaned !== 1) throw new Error('after.each did not run') })
sound.run()`,
    /2 of 3 tests did not pass/,
    /broken: before: .*thrown, though no Error: 'a text'/,
  ],
}

beside('fails what crashes, ends early, leaves a hook broken or throws anything at all', async () => {
  // Each is a process: the short form runs those of our own suites.
  const entries = Object.entries(FAILING).filter(([name]) => FULL || !/-uvu$|^(text|null|object)-/.test(name))
  const files = Object.fromEntries(entries.map(([name, [text]]) => [`${name}.test.ts`, text]))
  const result = await runFiles(files, { args: ['--jobs', '4'] })
  assert.is(result.code, 1)
  assert.match(result.last, /^\d+ passed, \d+ failed$/)
  for (const [name, [, ...says]] of entries) {
    const report = reportOf(result, `${name}.test.ts`)
    assert.match(report, /^FAIL/)
    for (const pattern of says) assert.match(report, pattern)
  }
  assert.not.match(result.output, 'ran after all')
})

beside.full('ends a test after the time limit and goes on', async () => {
  const dir = folderOf({
    'x.test.ts': `${OURS}
const t = suite('slow')
t('endless', () => new Promise(() => {}))
t('quick', () => {})
t.run()`,
  })
  const { output } = await runNode([join(dir, 'x.test.ts')], { TEST_TIMEOUT_FACTOR: '0.001', NO_COLOR: '1' })
  assert.match(output, 'the test: not within 600 ms')
  assert.match(output, /Total: +2\n +Passed: +1\n/)
})

beside('ends a file after the time limit, with everything it started', async () => {
  const mark = join(tempDir('gateway-runner-'), 'mark')
  const files = {
    'x.test.ts': `${OURS}
${WAIT}
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
const t = suite('s')
t('endless', () => {
  const child = spawn('sleep', ['600'])
  writeFileSync('${mark}', child.pid + ' ' + tempDir())
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})
t.run()`,
  }
  // A busy machine needs seconds to load the file, so the limit grows until the test has started.
  for (let factor = 0.002; !existsSync(mark); factor *= 4) {
    const { last, output } = await runFiles(files, { env: { TEST_TIMEOUT_FACTOR: String(factor) } })
    assert.is(last, '0 passed, 1 failed', output)
    assert.match(output, `time limit of ${1_800 * factor} s`)
  }
  const [pid, folder] = readFileSync(mark, 'utf8').split(' ')
  await until(() => !existsSync(`/proc/${pid}`), { what: 'the end of the child' })
  await until(() => !existsSync(folder as string), { what: 'the removal of the folder' })
})

beside.full('fails a file that stays open after its tests', async () => {
  const text = `${OURS}\nconst t = suite('s')\nt('one', () => {})\nt.run()\nsetInterval(() => {}, 1000)`
  const { last, output } = await runFiles({ 'x.test.ts': text }, { env: { TEST_TIMEOUT_FACTOR: '0.05' } })
  assert.is(last, '1 passed, 1 failed', output)
  assert.match(output, 'did not end within 1.5 s of its last test')
})

beside('runs a file once for each variant that it names, and says which of them failed', async () => {
  const only = (name: string, value: string): string =>
    `${OURS}\nconst t = suite('s')\nt('one', () => {
  if (process.env.${name} !== '${value}') throw new Error('not here')\n})\nt.run()`
  const result = await runFiles({
    'workers.test.ts': `// workers: 1, 3\n${only('TEST_WORKERS', '1')}`,
    'transports.test.ts': `// transports: http1, http2\n${only('TEST_TRANSPORT', 'http2')}`,
    'both.test.ts': `// workers: 1, 3\n// transports: http1, http2\n${PASSING}`,
  })
  assert.is(result.last, '5 passed, 2 failed', result.output)
  assert.match(reportOf(result, 'workers.test.ts, WORKERS=1: '), /^ok .*: 1 passed/)
  assert.match(reportOf(result, 'workers.test.ts, WORKERS=3: '), /^FAIL/)
  assert.match(reportOf(result, 'transports.test.ts, http1: '), /^FAIL/)
  assert.match(reportOf(result, 'transports.test.ts, http2: '), /^ok .*: 1 passed/)
  for (const variant of ['WORKERS=1, http1', 'WORKERS=3, http1', 'WORKERS=1, http2']) {
    assert.match(reportOf(result, `both.test.ts, ${variant}: `), /^ok .*: 1 passed/)
  }
})

beside('leaves variants, files and long forms of the full tier to it', async () => {
  const files = {
    'some.test.ts': `// workers: 1; full: 1, 3\n${PASSING}`,
    'whole.test.ts': `// full\n${PASSING}`,
    'sized.test.ts': `${OURS}
import { runs } from '${import.meta.resolve('../support/harness/tier.ts')}'
const t = suite('s')
for (let n = 0; n < runs(2, 5); n++) t('case ' + n, () => {})
t.full('long form', () => {})
t.run()`,
  }
  const short = await runFiles(files, { env: {} })
  assert.is(short.last, '3 passed, 0 failed', short.output)
  assert.not.match(short.output, 'whole')
  const full = await runFiles(files, { env: { TEST_FULL: '1' } })
  assert.is(full.last, '9 passed, 0 failed', full.output)
})

beside('runs unit tests in one process, by themselves with --unit, and lets none of them need anything', async () => {
  const sharing = (expected: number): string =>
    `${OURS}\nglobalThis.files = (globalThis.files ?? 0) + 1\nconst t = suite('unit ${expected}')
t('shares its process', () => { if (globalThis.files !== 2) throw new Error('alone') })\nt.run()`
  const files = { 'unit/a.test.ts': sharing(1), 'rule.test.ts': `// unit\n${sharing(2)}`, 'other.test.ts': PASSING }
  const unit = await runFiles(files, { args: ['--unit'] })
  assert.is(unit.last, '2 passed, 0 failed', unit.output)
  assert.match(unit.output, /^ok +1\/1 unit tests: 2 passed/m)
  const empty = await runFiles({ 'unit/a.test.ts': PASSING, 'unit/b.test.ts': UVU })
  assert.is(empty.last, '1 passed, 1 failed', empty.output)
  assert.match(empty.output, /b\.test\.ts has no suite/)
  const needy = await runFiles({ 'unit/a.test.ts': `// needs: rabbitmq\n${PASSING}` })
  assert.is(needy.code, 1)
  assert.match(needy.output, 'a unit test cannot have needs')
})

beside.full('rejects unknown needs', async () => {
  const { code, output, last } = await runFiles({ 'x.test.ts': `// needs: unicorn\n${PASSING}` })
  assert.is(last, '0 passed, 1 failed')
  assert.is(code, 1)
  assert.match(output, 'needs: unicorn')
})

beside('runs what it can if a program is missing, prints how to install it, and passes only if allowed', async () => {
  const dir = folderOf({ 'traced.test.ts': `// needs: strace\n${PASSING}`, 'plain.test.ts': PASSING })
  const env = { TEST_INSTALL: '0', PATH: '' }
  const { code, last, output } = await runIn(dir, { env })
  assert.is(last, '1 passed, 0 failed, 1 skipped', output)
  assert.is(code, 1)
  for (const command of ['apt-get install strace', 'dnf install strace', 'set PATH to']) assert.match(output, command)
  assert.match(output, /not run without it: .*traced\.test\.ts/)
  assert.match(output, '1 files were not run')
  assert.is((await runIn(dir, { env, args: ['--allow-missing'] })).code, 0)
})

beside.full('runs files side by side, and those marked alone by themselves', async () => {
  const log = join(tempDir('gateway-runner-'), 'log')
  const file = (name: string, other?: string): string => `${OURS}
${WAIT}
import { appendFileSync, readFileSync } from 'node:fs'
const t = suite('s')
t('one', async () => {
  appendFileSync('${log}', 'begin ${name}\\n')
  ${other ? `await until(() => readFileSync('${log}', 'utf8').includes('begin ${other}'))` : ''}
  appendFileSync('${log}', 'end ${name}\\n')
})
t.run()`
  const files = { 'a.test.ts': `// alone\n${file('a')}`, 'b.test.ts': file('b', 'c'), 'c.test.ts': file('c', 'b') }
  const { last, output } = await runFiles(files, { args: ['--jobs', '2'] })
  assert.is(last, '3 passed, 0 failed', output)
  const lines = readFileSync(log, 'utf8').trim().split('\n')
  assert.equal(lines.slice(0, 2).sort(), ['begin b', 'begin c'])
  assert.equal(lines.slice(4), ['begin a', 'end a'])
})

beside.full('repeats each file', async () => {
  const { last, output } = await runFiles({ 'a.test.ts': PASSING, 'b.test.ts': PASSING }, { args: ['--repeat', '3'] })
  assert.is(last, '6 passed, 0 failed', output)
})

beside('runs the tests that a change can break', async () => {
  const dir = folderOf({
    'src/http/route.ts': 'export const route = 1',
    'test/lib.ts': `export { one } from './deep.ts'`,
    'test/deep.ts': 'export const one = 1',
    'test/a.test.ts': `import './lib.ts'\n${PASSING}`,
    'test/integration/http/b.test.ts': PASSING,
    'test/repo/rule.test.ts': `// unit\n${OURS}\nconst t = suite('rule')\nt('holds', () => {})\nt.run()`,
    'test/c.test.ts': PASSING,
  })
  const git = (...args: string[]): void => {
    const author = ['-c', 'user.name=test', '-c', 'user.email=test@localhost']
    execFileSync('git', [...author, ...args], { cwd: dir, stdio: 'ignore' })
  }
  git('init')
  git('add', '.')
  git('commit', '-m', 'first')
  const changed = (...args: string[]): Promise<Run> => runIn(join(dir, 'test'), { args: ['--changed', ...args] })
  assert.is((await changed()).last, '0 passed, 0 failed')
  writeFileSync(join(dir, 'test/deep.ts'), 'export const one = 2')
  const imported = await changed()
  assert.is(imported.last, '2 passed, 0 failed', imported.output)
  assert.match(imported.output, /a\.test\.ts: 1 passed/)
  git('commit', '-a', '-m', 'second')
  writeFileSync(join(dir, 'src/http/new.ts'), '')
  const beside = await changed()
  assert.is(beside.last, '2 passed, 0 failed', beside.output)
  assert.match(beside.output, /integration\/http\/b\.test\.ts: 1 passed/)
  const since = await changed('--base', 'HEAD~1')
  assert.is(since.last, '3 passed, 0 failed', since.output)
})

beside(
  'prints with a failure what the test waited for, what it saw last, its gateways’ logs and the load',
  async () => {
    const { output } = await runFiles({
      'x.test.ts': `${OURS}
${WAIT}
import { startGateway } from '${import.meta.resolve('../support/servers/gateway.ts')}'
const t = suite('s')
t('earlier', async () => (await startGateway()).dispose())
t('waits', async () => {
  const gateway = await startGateway()
  try {
    let looks = 0
    await until(() => ++looks < 0, { timeoutMs: 200, saw: () => looks + ' looks' })
  } finally {
    await gateway.dispose()
  }
})
t.run()`,
    })
    assert.match(output, /FAIL s: waits: \(\) => \+\+looks < 0: not within 200 ms; last: \d+ looks/)
    assert.match(output, /load average [\d.]+ [\d.]+ [\d.]+/)
    assert.is(output.match(/--- gateway /g)?.length, 1, output)
    assert.match(
      output,
      /--- gateway http:\/\/127\.0\.0\.1:\d+ \(pid \d+, [^)]*\), the last lines of its log:\n(.*\n)*.*"listening"/,
    )
  },
)

runner.run()
