import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { killAtExit } from '../support/harness/cleanup.ts'
import { suite } from '../support/harness/suite.ts'
import { tempDir, until } from '../support/harness/wait.ts'
import { ROOT } from '../support/servers/gateway.ts'

type Run = { code: number | null; output: string; lines: string[]; last: string }

const UVU = `import { test, suite } from '${import.meta.resolve('uvu')}'`
const OURS = `import { suite } from '${import.meta.resolve('../support/harness/suite.ts')}'`

const run = (args: string[]): Promise<Run> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(ROOT, 'test', 'run.ts'), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    if (child.pid !== undefined) child.once('exit', killAtExit(child.pid))
    let output = ''
    const keep = (chunk: Buffer): void => {
      output += chunk.toString()
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.once('error', reject)
    child.once('close', (code) => {
      const lines = output.trimEnd().split('\n')
      resolve({ code, output, lines, last: lines.at(-1) ?? '' })
    })
  })

/** Runs the runner over a folder that holds just these files. */
const runFiles = (files: Record<string, string>, ...args: string[]): Promise<Run> => {
  const dir = tempDir('gateway-runner-')
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), `${text}\n`)
  return run(['--dir', dir, ...args])
}

const expectFailure = async (text: string, last: string, says: RegExp): Promise<void> => {
  const result = await runFiles({ 'x.test.ts': text })
  assert.is(result.last, last, result.output)
  assert.is(result.code, 1)
  assert.match(result.output, says)
}

const runner = suite('the runner')

runner('counts passing and skipped tests and gives a passing file one line', async () => {
  const { code, lines, last, output } = await runFiles({
    'a.test.ts': `${OURS}
const t = suite('a')
t('one', () => {})
t('two', async () => {})
t.skip('three', 'no moon tonight')
t.run()`,
    'b.test.ts': `${UVU}\ntest('one', () => {})\ntest.run()`,
    'no-test.ts': 'throw new Error("not to be run")',
  })
  assert.is(last, '3 passed, 0 failed, 1 skipped', output)
  assert.is(code, 0)
  assert.is(lines.filter((line) => line.startsWith('ok ')).length, 2)
  assert.match(output, 'SKIP a: three (no moon tonight)')
})

runner('shows the whole output of a failing file only', async () => {
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

runner('filters files by name', async () => {
  const file = `${UVU}\ntest('one', () => {})\ntest.run()`
  const files = { 'apple.test.ts': file, 'pear.test.ts': file }
  assert.is((await runFiles(files, 'pear')).last, '1 passed, 0 failed')
  const none = await runFiles(files, 'plum')
  assert.is(none.last, '0 passed, 1 failed')
  assert.is(none.code, 1)
})

runner('fails a file with no tests, with a crash, or without .run()', async () => {
  await expectFailure('', '0 passed, 1 failed', /no totals/)
  await expectFailure(`${UVU}\ntest.run()`, '0 passed, 1 failed', /no tests/)
  await expectFailure(`${UVU}\nthrow new Error('at import')`, '0 passed, 1 failed', /at import/)
  await expectFailure(`${UVU}\ntest('one', () => {})`, '0 passed, 1 failed', /no totals/)
  await expectFailure(
    `${OURS}\nconst t = suite('ours')\nt('one', () => {})`,
    '0 passed, 1 failed',
    /ours: its \.run\(\) is missing/,
  )
})

runner('fails what uvu lets pass: throwing hooks', async () => {
  const thrower = `() => { throw new Error('hook broke') }`
  const two = `t('one', () => {})\nt('two', () => {})\nt.run()`
  for (const kit of [UVU, OURS]) {
    const head = `${kit}\nconst t = suite('hooks')`
    await expectFailure(`${head}\nt.before(${thrower})\n${two}`, '0 passed, 2 failed', /FAIL/)
    await expectFailure(`${head}\nt.before.each(${thrower})\n${two}`, '0 passed, 2 failed', /hook broke/)
    await expectFailure(`${head}\nt.after.each(${thrower})\n${two}`, '0 passed, 2 failed', /FAIL/)
  }
  await expectFailure(`${UVU}\nconst t = suite('u')\nt.after(${thrower})\n${two}`, '0 passed, 1 failed', /hook broke/)
  await expectFailure(`${OURS}\nconst t = suite('o')\nt.after(${thrower})\n${two}`, '2 passed, 1 failed', /hook broke/)
})

runner('names the hook that broke and still runs the other tests of the file', async () => {
  const { output, last } = await runFiles({
    'x.test.ts': `${OURS}
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
  })
  assert.is(last, '1 passed, 2 failed', output)
  assert.match(output, /broken: before: .*thrown, though no Error: 'a text'/)
  assert.not.match(output, 'ran after all')
})

runner('fails a test that throws something that is no Error', async () => {
  for (const thrown of [`'text'`, 'undefined', 'null', '{ a: 1 }']) {
    const tests = `t('one', () => { throw ${thrown} })\nt('two', () => {})\nt.run()`
    await expectFailure(`${OURS}\nconst t = suite('s')\n${tests}`, '1 passed, 1 failed', /though no Error/)
    await expectFailure(`${UVU}\nconst t = suite('s')\n${tests}`, '0 passed, 2 failed', /FAIL/)
  }
})

runner('fails rejections and exceptions that nobody awaits', async () => {
  const later = (throwing: string): string =>
    `${OURS}\nconst t = suite('s')\nt('one', () => new Promise((r) => { ${throwing}; setTimeout(r, 200) }))\nt.run()`
  await expectFailure(later(`Promise.reject(new Error('lost'))`), '0 passed, 1 failed', /lost/)
  await expectFailure(later(`setTimeout(() => { throw new Error('late') })`), '0 passed, 1 failed', /late/)
})

runner('fails a file that ends in mid-test', async () => {
  for (const kit of [UVU, OURS]) {
    const tests = `t('one', () => process.exit(0))\nt('two', () => {})\nt.run()`
    await expectFailure(`${kit}\nconst t = suite('s')\n${tests}`, '0 passed, 1 failed', /no totals/)
  }
})

runner('fails a passing file that exits with another code than 0', async () => {
  const text = `${UVU}\ntest('one', () => {})\ntest.run()\nprocess.on('exit', () => { process.exitCode = 7 })`
  await expectFailure(text, '1 passed, 1 failed', /exit 7 although all tests passed/)
})

runner('ends a test after its own time limit, or its suite’s, and goes on', async () => {
  const { last, output } = await runFiles({
    'x.test.ts': `${OURS}
const t = suite('slow', { timeoutMs: 100 })
t('endless', () => new Promise(() => {}))
t('patient', () => new Promise((r) => setTimeout(r, 300)), { timeoutMs: 5000 })
t('quick', () => {})
t.run()`,
  })
  assert.is(last, '2 passed, 1 failed', output)
  assert.match(output, 'still running after 100 ms')
})

runner('ends a file after its time limit, with everything it started', async () => {
  const dir = tempDir('gateway-runner-')
  const mark = join(dir, 'mark')
  const from = performance.now()
  const { last, output } = await runFiles({
    'x.test.ts': `// limit: 2s
${OURS}
import { spawn } from 'node:child_process'
import { tempDir } from '${import.meta.resolve('../support/harness/wait.ts')}'
import { writeFileSync } from 'node:fs'
const t = suite('s')
t('endless', () => {
  const child = spawn('sleep', ['600'])
  writeFileSync('${mark}', child.pid + ' ' + tempDir())
  while (true) {}
})
t.run()`,
  })
  assert.is(last, '0 passed, 1 failed', output)
  assert.match(output, 'time limit of 2 s')
  assert.ok(performance.now() - from < 20_000)
  const [pid, folder] = readFileSync(mark, 'utf8').split(' ')
  await until(() => !existsSync(`/proc/${pid}`), { what: 'the end of the child' })
  await until(() => !existsSync(folder as string), { what: 'the removal of the folder' })
})

runner('fails a file that stays open after its tests', async () => {
  const text = `${OURS}\nconst t = suite('s')\nt('one', () => {})\nt.run()\nsetInterval(() => {}, 1000)`
  await expectFailure(text, '1 passed, 1 failed', /did not end within/)
})

runner('runs a file once for each number of workers it names, and says which of them failed', async () => {
  const file = `// workers: 1, 3
${OURS}
const t = suite('s')
t('one', () => {
  if (process.env.TEST_WORKERS !== '1') throw new Error('not here')
})
t.run()`
  const { last, output } = await runFiles({ 'x.test.ts': file })
  assert.is(last, '1 passed, 1 failed', output)
  assert.match(output, /^ok .*x\.test\.ts, WORKERS=1: 1 passed/m)
  assert.match(output, /^FAIL .*x\.test\.ts, WORKERS=3: /m)
})

runner('runs a file once for each transport it names, and says which of them failed', async () => {
  const file = `// transports: http1, http2
${OURS}
const t = suite('s')
t('one', () => {
  if (process.env.TEST_TRANSPORT !== 'http2') throw new Error('not here')
})
t.run()`
  const { last, output } = await runFiles({ 'x.test.ts': file })
  assert.is(last, '1 passed, 1 failed', output)
  assert.match(output, /^FAIL .*x\.test\.ts, http1: /m)
  assert.match(output, /^ok .*x\.test\.ts, http2: 1 passed/m)
})

runner('runs each number of workers over the first transport, and the further ones with the first number', async () => {
  const file = `// workers: 1, 3\n// transports: http1, http2\n${OURS}\nconst t = suite('s')\nt('one', () => {})\nt.run()`
  const { last, output } = await runFiles({ 'x.test.ts': file })
  assert.is(last, '3 passed, 0 failed', output)
  for (const variant of ['WORKERS=1, http1', 'WORKERS=3, http1', 'WORKERS=1, http2']) {
    assert.match(output, `x.test.ts, ${variant}: 1 passed`)
  }
})

runner('fails files whose needs mean nothing', async () => {
  await expectFailure('// needs: unicorn', '0 passed, 1 failed', /needs: unicorn/)
})

runner('runs files side by side, those marked alone by themselves, and passes --long on', async () => {
  const dir = tempDir('gateway-runner-')
  const logs = join(dir, 'log')
  const file = (name: string): string => `${OURS}
import { appendFileSync } from 'node:fs'
const t = suite('s')
t('one', async () => {
  appendFileSync('${logs}', 'begin ${name} ' + process.env.TEST_FULL + '\\n')
  await new Promise((r) => setTimeout(r, 1500))
  appendFileSync('${logs}', 'end ${name}\\n')
})
t.run()`
  const { last, output } = await runFiles(
    { 'a.test.ts': `// alone\n${file('a')}`, 'b.test.ts': file('b'), 'c.test.ts': file('c') },
    '--long',
    '--jobs',
    '2',
  )
  assert.is(last, '3 passed, 0 failed', output)
  const lines = readFileSync(logs, 'utf8').trim().split('\n')
  assert.equal(lines.slice(0, 2).sort(), ['begin b 1', 'begin c 1'])
  assert.equal(lines.slice(4), ['begin a 1', 'end a'])
})

runner.run()
