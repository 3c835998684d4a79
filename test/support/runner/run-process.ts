import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { killAtExit, killNow } from '../harness/cleanup.ts'
import { EXIT_MS, FILE_MS } from '../harness/limits.ts'
import type { TestRun } from './test-files.ts'

/** Counts of tests. `problem`: why the run failed, undefined if it passed; otherwise `failed` is at least 1. */
export type Result = {
  passed: number
  failed: number
  skipped: number
  problem: string | undefined
  output: string
  ms: number
}

type Totals = { total: number; passed: number; skipped: number }
type Ended = { code: number | null; signal: NodeJS.Signals | null; output: string; killed: string | undefined }

const TOGETHER = fileURLToPath(new URL('run-together.ts', import.meta.url))

const running = new Set<ChildProcess>()

/** Kills every running process with all that it has started. */
export const killAll = (): void => {
  for (const { pid } of running) if (pid !== undefined) killNow(-pid)
}

/** Parses the totals that uvu prints last; undefined if they are missing. */
const parseTotals = (output: string): Totals | undefined => {
  const pattern = /^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)\n {2}Duration: /gm
  const last = [...stripVTControlCharacters(output).matchAll(pattern)].at(-1)
  if (!last) return undefined
  return { total: Number(last[1]), passed: Number(last[2]), skipped: Number(last[3]) }
}

const spawnRun = ({ files, env }: TestRun, general: NodeJS.ProcessEnv): Promise<Ended> =>
  new Promise((resolve) => {
    const args = files.length === 1 ? files : [TOGETHER, ...files]
    const options = { env: { ...general, ...env }, detached: true }
    const child = spawn(process.execPath, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    const spare = child.pid === undefined ? () => {} : killAtExit(-child.pid)
    running.add(child)
    let output = ''
    let killed: string | undefined
    let linger: NodeJS.Timeout | undefined
    const killGroup = (): void => void (child.pid !== undefined && killNow(-child.pid))
    const kill = (why: string): void => {
      killed = why
      killGroup()
    }
    const late = setTimeout(() => kill(`time limit of ${FILE_MS / 1000} s`), FILE_MS)
    const keep = (chunk: string): void => {
      output += chunk
      if (!linger && chunk.includes('Duration: ') && parseTotals(output)) {
        linger = setTimeout(() => kill(`did not end within ${EXIT_MS / 1000} s of its last test`), EXIT_MS)
      }
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    child.once('error', (error) => keep(`${error}\n`))
    // A leftover process could keep the pipes open for ever, so it is killed once the test file itself has exited.
    child.once('exit', killGroup)
    child.once('close', (code, signal) => {
      clearTimeout(late)
      clearTimeout(linger)
      running.delete(child)
      spare()
      resolve({ code, signal, output, killed })
    })
  })

const findProblem = ({ killed, code, signal }: Ended, totals: Totals | undefined): string | undefined => {
  if (killed) return killed
  if (!totals) return `no totals: it crashed, ended early or its .run() is missing (exit ${signal ?? code})`
  if (totals.total + totals.skipped === 0) return 'no tests'
  if (totals.passed !== totals.total) return `${totals.total - totals.passed} of ${totals.total} tests did not pass`
  if (code !== 0) return `exit ${signal ?? code} although all tests passed`
  return undefined
}

/** Runs a file until it exits, with a time limit. */
export const runToEnd = async (run: TestRun, env: NodeJS.ProcessEnv): Promise<Result> => {
  const from = performance.now()
  const ended = await spawnRun(run, env)
  const totals = parseTotals(ended.output)
  const problem = findProblem(ended, totals)
  const { total, passed, skipped } = totals ?? { total: 0, passed: 0, skipped: 0 }
  const failed = problem ? Math.max(1, total - passed) : 0
  return { passed, failed, skipped, problem, output: ended.output, ms: performance.now() - from }
}
