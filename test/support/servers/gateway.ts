import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { killAtExit, killNow } from '../harness/cleanup.ts'
import { reportOnFailure } from '../harness/failure-report.ts'
import { limit, within } from '../harness/limits.ts'
import { listChildren } from '../harness/processes.ts'
import { getCommandLine, isScript, PROGRAM, ROOT } from '../harness/program.ts'
import { transportEnv } from '../harness/transport.ts'
import { getJson, type Json, tempDir, until } from '../harness/wait.ts'

export { ROOT }

export type LogLine = Record<string, Json> & { msg?: string; level?: string }

/** True if a log line reports an error of the gateway itself. */
export const tellsOfFault = (level: string | undefined): boolean => level === 'error' || level === 'fatal'

export type Env = Record<string, string | undefined>

/** `ms`: from the signal to the exit of the process. */
export type Ended = { code: number | null; signal: NodeJS.Signals | null; ms: number }

/** A gateway in its own process. */
export type Gateway = {
  /** `http://127.0.0.1:PORT`, or `https://` depending on the transport; the same after a restart. */
  readonly url: string
  readonly pid: number
  readonly dataDir: string
  readonly dbFile: string
  /** True if the process is running. */
  readonly running: boolean
  /** Every JSON line of stdout since the first start, restarts included. */
  logs(): LogLine[]
  /** stdout and stderr since the first start. */
  output(): string
  /** Returns the first log line that matches the predicate, including past ones. @throws Error at the time limit */
  waitForLog(predicate: (line: LogLine) => boolean): Promise<LogLine>
  /** Resolves when GET /readyz responds 200 on any worker. @throws Error with the last response */
  ready(): Promise<void>
  /** Sends SIGKILL to the spawned process (with workers: the primary) and waits until it has exited. */
  kill9(): Promise<void>
  /** Sends the signal and waits for the exit. @throws Error at the time limit, after killing the process */
  term(signal?: NodeJS.Signals): Promise<Ended>
  /** Freezes the process and its workers with SIGSTOP; `thaw` resumes them. */
  freeze(): void
  thaw(): void
  /** Restarts on the same data and port, after SIGTERM if it runs; `env` overrides the first one, `next` is another program. */
  restart(env?: Env, next?: string): Promise<void>
  /** Kills it and all its workers, and deletes the temporary folder. */
  dispose(): Promise<void>
}

export type GatewayOptions = {
  /** Overrides the defaults HOST, PORT=0, DATABASE_URL, LOG_LEVEL, SHUTDOWN_RETRY_SECONDS; undefined removes one. */
  env?: Env
  /** Folder of gateway.db. Default: a new temporary folder. A folder given here is not deleted. */
  dataDir?: string
  /** A script for Node, or an executable; relative to the repository. Default: the program of this run. */
  entry?: string
  args?: string[]
  /** Default: the repository. */
  cwd?: string
}

/** Every variable of the gateway; its sources would load zod into each test. */
const VARIABLE_NAMES = [...readFileSync(join(ROOT, '.env.sample'), 'utf8').matchAll(/^#([A-Z][A-Z\d_]*)=/gm)].map(
  ([, name]) => name!,
)

/** Length of a gateway's log that is printed if a test fails. */
const REPORTED_LINES = 50

/** Number of worker processes of this run's gateways (`// workers:` in test/run.ts). */
export const RUN_WORKERS = Number(process.env.TEST_WORKERS ?? 1)

/**
 * True if a check holds for every worker. The kernel distributes connections randomly, so it is repeated: the
 * probability that all checks miss one of three workers is one in ten thousand.
 */
export const everyWorker = async (look: () => Promise<boolean>): Promise<boolean> => {
  const looks = RUN_WORKERS === 1 ? 1 : RUN_WORKERS * 8
  for (let n = 0; n < looks; n++) if (!(await look())) return false
  return true
}

/** True for a process that node:cluster started; esbuild, which builds the pages, is a child of the primary too. */
const isWorker = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').includes('\0NODE_UNIQUE_ID=')
  } catch {
    return false
  }
}

/** Returns the processes of a gateway's workers. */
export const listWorkerPids = (gateway: Pick<Gateway, 'pid'>): number[] => listChildren(gateway.pid).filter(isWorker)

/**
 * Starts a gateway with only PATH, HOME and the given variables, and waits until it listens.
 * @throws Error with the process's output if it exits before, or does not listen in time
 */
export const startGateway = async (options: GatewayOptions = {}): Promise<Gateway> => {
  const { entry = PROGRAM, args = ['serve'], cwd = ROOT } = options
  const dataDir = options.dataDir ?? tempDir('gateway-data-')
  const dbFile = join(dataDir, 'gateway.db')
  let program = entry
  const baseEnv: Env = {
    // Empty counts as not set, and overrides a developer's own .env.
    ...Object.fromEntries(VARIABLE_NAMES.map((name) => [name, ''])),
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    // Required to measure the coverage of the gateway.
    NODE_V8_COVERAGE: process.env.NODE_V8_COVERAGE,
    // From the runner, to save time; the executable writes only to the given folders.
    NODE_COMPILE_CACHE: isScript(entry) ? process.env.NODE_COMPILE_CACHE : undefined,
    HOST: '127.0.0.1',
    PORT: '0',
    DATABASE_URL: `sqlite:${dbFile}`,
    LOG_LEVEL: 'info',
    // Clients of tests that restart a gateway come back soon.
    SHUTDOWN_RETRY_SECONDS: '1',
    // The same applies to its transport (`// transports:`).
    ...transportEnv(),
    // The runner runs some files with several workers (`// workers:` in test/run.ts).
    WORKERS: process.env.TEST_WORKERS ?? '',
    ...options.env,
  }
  const lines: LogLine[] = []
  let text = ''
  let url = ''
  let child: ChildProcess
  let exit: Promise<Ended>
  let spareGroup = (): void => {}

  const running = (): boolean => child.exitCode === null && child.signalCode === null

  const launch = async (env: Env): Promise<void> => {
    const from = lines.length
    const defined = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined))
    // A separate process group, so that its workers can be ended with it.
    const command = [...getCommandLine(program), ...args]
    const started = spawn(command[0] as string, command.slice(1), {
      cwd,
      env: defined as NodeJS.ProcessEnv,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child = started
    if (started.pid !== undefined) spareGroup = killAtExit(-started.pid)
    let rest = ''
    started.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      const complete = (rest + chunk).split('\n')
      rest = complete.pop() ?? ''
      for (const line of complete) {
        const parsed = parseLog(line)
        if (parsed) lines.push(parsed)
      }
    })
    started.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
    exit = new Promise((resolve) => {
      started.once('error', (error) => {
        text += `${error}\n`
        resolve({ code: null, signal: null, ms: 0 })
      })
      started.once('exit', (code, signal) => resolve({ code, signal, ms: 0 }))
    })
    let over = false
    started.once('close', () => {
      over = true
    })
    const announced = (): LogLine | undefined => lines.slice(from).find((line) => line.msg === 'listening' && line.url)
    let first: LogLine | undefined
    try {
      await until(() => announced() ?? over, { what: 'the log line "listening"' })
      first = announced()
      if (!first) throw new Error(`the gateway ended (${child.signalCode ?? child.exitCode}) before it listened`)
    } catch (error) {
      killGroup()
      throw new Error(`${(error as Error).message}\n${text}`)
    }
    url = String(first.url).replace(/\/$/, '')
  }

  const killGroup = (): void => {
    if (child.pid !== undefined) killNow(-child.pid)
    spareGroup()
  }

  const term = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> => {
    const from = performance.now()
    child.kill(signal)
    try {
      const { code, signal: by } = await within(exit, `the end after ${signal}`)
      return { code, signal: by, ms: Math.round(performance.now() - from) }
    } catch (error) {
      killGroup()
      throw error
    }
  }

  await launch(baseEnv)
  const endReport = reportOnFailure(() => {
    const state = running() ? 'running' : `ended with ${child.signalCode ?? child.exitCode}`
    const last = text.trimEnd().split('\n').slice(-REPORTED_LINES)
    return `gateway ${url} (pid ${child.pid}, ${state}), the last lines of its log:\n${last.join('\n')}`
  })

  return {
    get url() {
      return url
    },
    get pid() {
      return child.pid as number
    },
    get running() {
      return running()
    },
    dataDir,
    dbFile,
    logs: () => lines,
    output: () => text,
    waitForLog: (predicate) => until(() => lines.find(predicate), { what: `a log line with ${predicate}` }),
    async ready() {
      let last = ''
      const ready = async (): Promise<boolean> => {
        const answer = await getJson(`${url}/readyz`, { timeoutMs: limit(5_000) })
        last = `${answer.status} ${answer.text}`
        return answer.status === 200
      }
      const what = 'GET /readyz with 200'
      await until(() => everyWorker(ready), { what, saw: () => last, everyMs: 50 })
    },
    async kill9() {
      if (running()) child.kill('SIGKILL')
      await exit
    },
    term,
    freeze: () => void process.kill(-child.pid!, 'SIGSTOP'),
    thaw: () => void process.kill(-child.pid!, 'SIGCONT'),
    async restart(env = {}, next = program) {
      if (running()) await term()
      killGroup()
      program = next
      await launch({ ...baseEnv, PORT: new URL(url).port, ...env })
    },
    async dispose() {
      endReport()
      killGroup()
      await exit
      if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

const parseLog = (line: string): LogLine | undefined => {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line) as LogLine
  } catch {
    return undefined
  }
}
