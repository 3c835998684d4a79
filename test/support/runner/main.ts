import { mkdtempSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { removeAtExit } from '../harness/cleanup.ts'
import { isNeed, provisionAll } from '../harness/provision.ts'
import { selectChanged } from './changed.ts'
import { getRecordedSeconds, recordDurations } from './durations.ts'
import { Progress } from './progress.ts'
import { runToEnd } from './run-process.ts'
import type { SharedServers } from './shared-servers.ts'
import { findTestFiles, listRuns, type TestRun } from './test-files.ts'

/** The environment of the test processes, and where the report goes. */
export type RunnerOptions = { env: NodeJS.ProcessEnv; write: (text: string) => void }

const USAGE = `node test/run.ts [FILTER…] [options]

Runs the test files below test/ whose path contains one of the filters. docs/TESTING.md describes tiers and headers.

--unit           only the unit tests: nothing has to be installed, and no server is started
--changed        only what imports a file that differs from HEAD, or tests its part of src/
--base REV       the same against another revision
--repeat N       each file N times
--jobs N         processes at a time; the number of cores plus one if absent
--allow-missing  exit 0 although files were not run because a program is not installed
--record         write the durations of this run to test/durations.json
--dir DIR        tests below DIR instead of test/

TEST_FULL=1 runs the full tier: every variant and the long forms. TEST_TIMEOUT_FACTOR=N multiplies all time limits.
`

const selectRuns = (dir: string, filters: string[], base: string | undefined, unitOnly: boolean): TestRun[] => {
  const found = findTestFiles(dir).filter((path) => filters.length === 0 || filters.some((text) => path.includes(text)))
  return listRuns(dir, base === undefined ? found : selectChanged(dir, found, base), unitOnly)
}

const compileCache = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'gateway-test-compiled-'))
  removeAtExit(dir)
  return dir
}

/** The environment of all test processes. */
const prepare = async (runs: readonly TestRun[], given: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> => {
  const cache = given.NODE_COMPILE_CACHE || compileCache()
  const env: NodeJS.ProcessEnv = { ...given, NO_COLOR: '1', FORCE_COLOR: '0', NODE_COMPILE_CACHE: cache }
  // Unit tests start no gateway.
  if (runs.every(({ unit }) => unit)) return env
  // Once for all, since gateways that start side by side would each do it.
  const { ensureWebBundle } = await import('../../../src/http/web-assets.ts')
  await ensureWebBundle()
  if (env.TEST_BINARY) return env
  const { bundleProgram } = await import('../harness/bundle.ts')
  return { ...env, TEST_BINARY: await bundleProgram() }
}

const NO_SERVERS: SharedServers = { envFor: async () => ({}), dispose: async () => undefined }

/** Starts the servers that files share; their clients are loaded only then, since they take half a second. */
const startServers = async (runs: readonly TestRun[]): Promise<SharedServers> => {
  const needs = new Set(runs.flatMap((run) => run.needs))
  if (!needs.has('rabbitmq') && !needs.has('postgres')) return NO_SERVERS
  return (await import('./shared-servers.ts')).startSharedServers(needs)
}

/** Runs the files in parallel, the longest first, so that no long one runs alone at the end. */
const runAll = async (
  runs: readonly TestRun[],
  jobs: number,
  progress: Progress,
  given: NodeJS.ProcessEnv,
): Promise<void> => {
  const env = await prepare(runs, given)
  const servers = await startServers(runs)
  const work = async (queue: TestRun[]): Promise<void> => {
    for (let run = queue.shift(); run; run = queue.shift()) {
      try {
        progress.ended(run, await runToEnd(run, { ...env, ...(await servers.envFor(run.needs)) }))
      } catch (error) {
        progress.failedToStart(run, error as Error)
      }
    }
  }
  const queue = runs
    .filter(({ alone }) => !alone)
    .sort((a, b) => getRecordedSeconds(b.name) - getRecordedSeconds(a.name))
  try {
    await Promise.all(Array.from({ length: jobs }, () => work(queue)))
    await work(runs.filter(({ alone }) => alone))
  } finally {
    await servers.dispose()
  }
}

/** Says what is missing and what is not run without it. @returns the runs for which everything is there */
const leaveOutMissing = async (runs: readonly TestRun[], write: RunnerOptions['write']): Promise<TestRun[]> => {
  const needs = new Set(runs.flatMap((run) => run.needs))
  const unknown = [...needs].find((need) => !isNeed(need))
  if (unknown !== undefined) throw new Error(`no test can have "needs: ${unknown}"`)
  const missing = await provisionAll([...needs].filter(isNeed))
  const complete = runs.filter((run) => !run.needs.some((need) => missing.has(need)))
  for (const [need, message] of missing) {
    const names = runs.filter((run) => run.needs.includes(need)).map(({ name }) => name)
    write(`${message}\n  not run without it: ${names.join('; ')}\n\n`)
  }
  return complete
}

const run = async (args: readonly string[], { env, write }: RunnerOptions): Promise<number> => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      unit: { type: 'boolean', default: false },
      changed: { type: 'boolean', default: false },
      base: { type: 'string' },
      repeat: { type: 'string', default: '1' },
      jobs: { type: 'string', default: String(availableParallelism() + 1) },
      'allow-missing': { type: 'boolean', default: false },
      record: { type: 'boolean', default: false },
      dir: { type: 'string', default: fileURLToPath(new URL('../../', import.meta.url)) },
      help: { type: 'boolean', default: false },
    },
  })
  const [jobs, repeat] = [Number(values.jobs), Number(values.repeat)]
  if (values.help || ![jobs, repeat].every((number) => Number.isInteger(number) && number > 0)) {
    write(USAGE)
    return values.help ? 0 : 2
  }
  const base = values.base ?? (values.changed ? 'HEAD' : undefined)
  const selected = selectRuns(resolve(values.dir), positionals, base, values.unit)
  if (selected.length === 0 && base === undefined) throw new Error('no test file matches')
  const complete = await leaveOutMissing(selected, write)
  const missing = selected.length - complete.length
  const runs = Array.from({ length: repeat }, () => complete).flat()
  const progress = new Progress(runs, write)
  if (runs.length > 0) await runAll(runs, jobs, progress, env)
  if (runs.length > 1) progress.printSlowest()
  if (values.record) recordDurations(progress.durations)
  const { passed, failed } = progress
  const skipped = progress.skipped + missing
  if (missing > 0) write(`\n${missing} files were not run: see above for what is not installed\n`)
  write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`)
  return failed > 0 || (missing > 0 && !values['allow-missing']) ? 1 : 0
}

/**
 * Runs the test files that the arguments of test/run.ts select.
 * @returns the exit code: 0 if all passed, 1 for a failure, 2 for wrong arguments
 */
export const runTests = (args: readonly string[], options: RunnerOptions): Promise<number> =>
  run(args, options).catch((error: Error) => {
    options.write(`FAIL ${error.message}\n0 passed, 1 failed\n`)
    return 1
  })
