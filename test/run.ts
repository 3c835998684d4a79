import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, stripVTControlCharacters } from 'node:util'
import { ensureWebBundle } from '../src/http/web-assets.ts'
import { bundleProgram } from './support/harness/bundle.ts'
import { killAtExit, removeAtExit } from './support/harness/cleanup.ts'
import { isNeed, type Need, provision } from './support/harness/provision.ts'
import { type Broker, startBroker } from './support/servers/rabbitmq.ts'

const USAGE = `node test/run.ts [NAME-FILTER…] [--jobs N] [--long] [--dir DIR]

Runs every *.test.ts below test/ (or DIR) whose path contains one of the filters, each in a process of its own.
Comment lines at the top of a file:
  // needs: rabbitmq, chromium, pika, postgres, openssl, strace, nginx    installed if missing; rabbitmq: one shared
                                                  broker for all
  // alone                                        runs by itself, after the others
  // limit: 600s                                  its time limit, 300s if not said
  // workers: 1, 3                                runs once for each: its gateways have so many worker processes
  // transports: http1, https1, http2             runs once for each: plain HTTP/1.1, or over TLS; with workers, each
                                                  further one runs with the first number of them
Gateways and commands run from a bundle of the sources. TEST_BINARY=dist/deepsoc-gateway lets the executable run instead,
TEST_BINARY=src/cli.ts the sources as they are.

--jobs N   files at a time (4); half as many again once only files without a limit of their own are left
--long     sets TEST_FULL=1: tests run their long form
`

const DEFAULT_LIMIT_MS = 300_000
/** How long a file may live on once its totals are printed: what it left open is a fault of its own. */
const LINGER_MS = 30_000

type TestFile = {
  path: string
  name: string
  needs: string[]
  alone: boolean
  limitMs: number
  /** What the file asks to be run with, each in turn; of a run, the one that it has. */
  workers: string[]
  transports: string[]
}
type Totals = { total: number; passed: number; skipped: number }
type Outcome = { passed: number; failed: number; skipped: number }
type Ended = {
  code: number | null
  signal: NodeJS.Signals | null
  output: string
  killed: string | undefined
  ms: number
}

const readHeader = (path: string, name: string): TestFile => {
  const file: TestFile = { path, name, needs: [], alone: false, limitMs: DEFAULT_LIMIT_MS, workers: [], transports: [] }
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line.trim() !== '' && !line.startsWith('//') && !line.startsWith('#!')) break
    const [, key, value = ''] = /^\/\/\s*(needs|alone|limit|workers|transports)\b:?\s*(.*)$/.exec(line.trimEnd()) ?? []
    if (key === 'needs') file.needs = value.split(/[\s,]+/).filter(Boolean)
    if (key === 'workers') file.workers = value.split(/[\s,]+/).filter(Boolean)
    if (key === 'transports') file.transports = value.split(/[\s,]+/).filter(Boolean)
    if (key === 'alone') file.alone = true
    if (key === 'limit') file.limitMs = Number.parseFloat(value) * 1000 || DEFAULT_LIMIT_MS
  }
  return file
}

/** A file once for each number of workers over its first transport, and once for each further transport. */
const variantsOf = (file: TestFile): TestFile[] => {
  const { name, needs, workers, transports } = file
  const variant = (count: string | undefined, transport: string | undefined): TestFile => ({
    ...file,
    workers: count === undefined ? [] : [count],
    transports: transport === undefined ? [] : [transport],
    name: [
      name,
      ...(count === undefined ? [] : [`WORKERS=${count}`]),
      ...(transport === undefined ? [] : [transport]),
    ].join(', '),
    // Certificates are made by it.
    needs: transport === undefined || transport === 'http1' ? needs : [...needs, 'openssl'],
  })
  const [first, ...further] = transports
  const counts = workers.length === 0 ? [undefined] : workers
  return [...counts.map((count) => variant(count, first)), ...further.map((transport) => variant(counts[0], transport))]
}

const findFiles = (dir: string, filters: string[]): TestFile[] =>
  readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts') && !path.split(sep).includes('node_modules'))
    .filter((path) => filters.length === 0 || filters.some((filter) => path.includes(filter)))
    .sort()
    .map((path) => readHeader(join(dir, path), relative(process.cwd(), join(dir, path))))
    .flatMap(variantsOf)

/** The totals that uvu prints at its very end; undefined when it never came to that. */
const parseTotals = (output: string): Totals | undefined => {
  const pattern = /^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)\n {2}Duration: /gm
  const last = [...stripVTControlCharacters(output).matchAll(pattern)].at(-1)
  if (!last) return undefined
  return { total: Number(last[1]), passed: Number(last[2]), skipped: Number(last[3]) }
}

const running = new Set<ChildProcess>()

const killGroup = (child: ChildProcess, signal: NodeJS.Signals): void => {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal)
  } catch {
    // Nobody is left in the group.
  }
}

const runProcess = (file: TestFile, general: NodeJS.ProcessEnv): Promise<Ended> =>
  new Promise((resolve) => {
    const from = performance.now()
    const [workers] = file.workers
    const [transport] = file.transports
    const env = {
      ...general,
      ...(workers !== undefined && { TEST_WORKERS: workers }),
      ...(transport !== undefined && { TEST_TRANSPORT: transport }),
    }
    const child = spawn(process.execPath, [file.path], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    const spare = child.pid === undefined ? () => {} : killAtExit(-child.pid)
    running.add(child)
    let output = ''
    let killed: string | undefined
    let linger: NodeJS.Timeout | undefined
    const kill = (why: string): void => {
      killed = why
      killGroup(child, 'SIGKILL')
    }
    const limit = setTimeout(() => kill(`time limit of ${file.limitMs / 1000} s`), file.limitMs)
    const keep = (chunk: string): void => {
      output += chunk
      if (!linger && chunk.includes('Duration: ') && parseTotals(output)) {
        linger = setTimeout(() => kill(`did not end within ${LINGER_MS / 1000} s of its last test`), LINGER_MS)
      }
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    child.once('error', (error) => keep(`${error}\n`))
    // Something left behind could hold the pipes open for ever, so it is ended once the file itself has.
    child.once('exit', () => killGroup(child, 'SIGKILL'))
    child.once('close', (code, signal) => {
      clearTimeout(limit)
      clearTimeout(linger)
      running.delete(child)
      spare()
      resolve({ code, signal, output, killed, ms: performance.now() - from })
    })
  })

const fault = (ended: Ended, totals: Totals | undefined): string | undefined => {
  if (ended.killed) return ended.killed
  if (!totals) return `no totals: it crashed, ended early or its .run() is missing (exit ${ended.signal ?? ended.code})`
  if (totals.total + totals.skipped === 0) return 'no tests'
  if (totals.passed !== totals.total) return `${totals.total - totals.passed} of ${totals.total} tests did not pass`
  if (ended.code !== 0) return `exit ${ended.signal ?? ended.code} although all tests passed`
  return undefined
}

const runFile = async (file: TestFile, env: NodeJS.ProcessEnv): Promise<Outcome> => {
  const ended = await runProcess(file, env)
  const totals = parseTotals(ended.output)
  const problem = fault(ended, totals)
  const { total, passed, skipped } = totals ?? { total: 0, passed: 0, skipped: 0 }
  const outcome = { passed, skipped, failed: problem ? Math.max(1, total - passed) : 0 }
  const seconds = `${(ended.ms / 1000).toFixed(1)} s`
  if (problem) {
    process.stdout.write(`FAIL ${file.name}: ${problem}, ${seconds}\n${ended.output.trimEnd()}\n\n`)
  } else {
    const skips = skipped > 0 ? `, ${skipped} skipped` : ''
    const reasons = ended.output.split('\n').filter((line) => line.startsWith('SKIP '))
    process.stdout.write(`ok   ${file.name}: ${passed} passed${skips}, ${seconds}\n`)
    for (const reason of reasons) process.stdout.write(`     ${reason}\n`)
  }
  return outcome
}

const failWhole = (file: TestFile, problem: string): Outcome => {
  process.stdout.write(`FAIL ${file.name}: ${problem}\n\n`)
  return { passed: 0, failed: 1, skipped: 0 }
}

/** Says for each need why it cannot be met, or nothing. */
const provisionAll = async (files: TestFile[]): Promise<Map<string, string>> => {
  const problems = new Map<string, string>()
  for (const need of new Set(files.flatMap((file) => file.needs))) {
    try {
      if (!isNeed(need)) throw new Error(`"needs: ${need}" means nothing`)
      await provision([need as Need])
    } catch (error) {
      problems.set(need, (error as Error).message)
    }
  }
  return problems
}

const runAll = async (files: TestFile[], jobs: number, longForm: boolean): Promise<Outcome> => {
  const problems = await provisionAll(files)
  // Compiled code is kept for all the processes that start.
  const compiled = mkdtempSync(join(tmpdir(), 'gateway-test-compiled-'))
  removeAtExit(compiled)
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0', NODE_COMPILE_CACHE: compiled }
  if (longForm) env.TEST_FULL = '1'
  if (!env.TEST_BINARY) env.TEST_BINARY = await bundleProgram()
  const wantsBroker = files.some((file) => file.needs.includes('rabbitmq')) && !problems.has('rabbitmq')
  const broker: Promise<Broker | undefined> =
    wantsBroker && !process.env.TEST_RABBITMQ_URL ? startBroker() : Promise.resolve(undefined)
  broker.catch(() => {})

  const runOne = async (file: TestFile): Promise<Outcome> => {
    const problem = file.needs.map((need) => problems.get(need)).find(Boolean)
    if (problem) return failWhole(file, problem)
    if (!file.needs.includes('rabbitmq')) return runFile(file, env)
    try {
      const shared = await broker
      return await runFile(file, shared ? { ...env, TEST_RABBITMQ_URL: shared.url } : env)
    } catch (error) {
      return failWhole(file, (error as Error).message)
    }
  }

  const sum: Outcome = { passed: 0, failed: 0, skipped: 0 }
  const drain = async (queue: TestFile[]): Promise<void> => {
    for (let file = queue.shift(); file; file = queue.shift()) {
      const { passed, failed, skipped } = await runOne(file)
      sum.passed += passed
      sum.failed += failed
      sum.skipped += skipped
    }
  }
  // Those that may take long first, so that none of them is the last one to run while the other places are empty.
  const queue = files.filter((file) => !file.alone).sort((a, b) => b.limitMs - a.limitMs)
  const long = queue.filter((file) => file.limitMs > DEFAULT_LIMIT_MS)
  const short = queue.filter((file) => file.limitMs <= DEFAULT_LIMIT_MS)
  // The short ones wait more than they work, so every second place then takes two of them at a time.
  const place = async (index: number): Promise<void> => {
    await drain(long)
    await Promise.all(Array.from({ length: 1 + (index % 2) }, () => drain(short)))
  }
  try {
    await Promise.all(Array.from({ length: jobs }, (_, index) => place(index)))
    await drain(files.filter((file) => file.alone))
  } finally {
    await broker.then((started) => started?.dispose()).catch(() => {})
  }
  return sum
}

const main = async (): Promise<number> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      jobs: { type: 'string', default: '4' },
      long: { type: 'boolean', default: false },
      dir: { type: 'string', default: dirname(fileURLToPath(import.meta.url)) },
      help: { type: 'boolean', default: false },
    },
  })
  const jobs = values.jobs === 'auto' ? availableParallelism() : Number(values.jobs)
  if (values.help || !Number.isInteger(jobs) || jobs < 1) {
    process.stdout.write(USAGE)
    return values.help ? 0 : 2
  }
  const interrupted = (): void => {
    for (const child of running) killGroup(child, 'SIGKILL')
    process.exit(130)
  }
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted).once('SIGHUP', interrupted)
  const files = findFiles(resolve(values.dir), positionals)
  if (files.length === 0) process.stdout.write('FAIL no test file matches\n')
  // Once for all, so that gateways that start side by side find it done.
  await ensureWebBundle()
  const { passed, failed, skipped } = await runAll(files, jobs, values.long)
  const failures = files.length === 0 ? 1 : failed
  process.stdout.write(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`)
  return failures > 0 ? 1 : 0
}

process.exit(await main())
