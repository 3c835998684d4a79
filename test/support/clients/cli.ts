import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process'
import { Readable, Writable } from 'node:stream'
import type { StandardStreams } from '../../../src/cli/io.ts'
import { runCommandLine } from '../../../src/cli/main.ts'
import { VARIABLE_NAMES } from '../../../src/config/variables.ts'
import { killAtExit } from '../harness/cleanup.ts'
import { within } from '../harness/limits.ts'
import { getCommandLine, isScript, PROGRAM } from '../harness/program.ts'
import { until } from '../harness/wait.ts'
import type { Env } from '../servers/gateway.ts'

/** The arguments that start the command line. */
const WORDS = getCommandLine(PROGRAM)

export type Ran = { code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }

/** A running command. */
export type Running = {
  readonly child: ChildProcessWithoutNullStreams
  readonly stdout: string
  readonly stderr: string
  /** Resolves when stdout or stderr matches; rejects with both at the time limit, or if the command exits before. */
  seen(pattern: RegExp): Promise<void>
  /** Resolves when the command has exited and its output is complete. */
  readonly done: Promise<Ran>
}

export type CallOptions = { env?: Env; input?: string | Buffer }

/** All variables as empty texts, so that a developer's .env has no effect. */
export const UNSET = Object.fromEntries(
  VARIABLE_NAMES.flatMap((name) => [
    [name, ''],
    [`${name}_FILE`, ''],
  ]),
)

const createEnv = (env: Env = {}): NodeJS.ProcessEnv => {
  const all = {
    PATH: process.env.PATH,
    NODE_V8_COVERAGE: process.env.NODE_V8_COVERAGE,
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
    TERM: 'xterm-256color',
    ...UNSET,
    ...env,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as NodeJS.ProcessEnv
}

const follow = (child: ChildProcessWithoutNullStreams, input: string | Buffer | undefined): Running => {
  if (child.pid !== undefined) child.once('exit', killAtExit(child.pid))
  let stdout = ''
  let stderr = ''
  let over = false
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  // A command may exit before it has read all its input.
  child.stdin.on('error', () => {})
  if (input !== undefined) child.stdin.end(input)
  const ended = new Promise<Ran>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      over = true
      resolve({ code, signal, stdout, stderr })
    })
  })
  const done = within(ended, `the end of ${child.spawnargs.slice(1).join(' ')}`)
  done.catch(() => {})
  return {
    child,
    get stdout() {
      return stdout
    },
    get stderr() {
      return stderr
    },
    async seen(pattern) {
      const found = () => pattern.test(stdout) || pattern.test(stderr)
      await until(() => found() || over, { what: String(pattern), everyMs: 10 }).catch((error) => {
        throw new Error(`${(error as Error).message}\n${stdout}\n${stderr}`)
      })
      if (!found()) throw new Error(`the command ended before ${pattern}\n${stdout}\n${stderr}`)
    },
    done,
  }
}

/** Starts a command. Its stdin stays open unless there is input. */
export const startCli = (args: readonly string[], { env, input }: CallOptions = {}): Running =>
  follow(spawn(WORDS[0]!, [...WORDS.slice(1), ...args], { env: createEnv(env), stdio: 'pipe' }), input)

/** Runs a command until it exits, without stdin unless there is input. */
export const runCli = (args: readonly string[], { env, input = '' }: CallOptions = {}): Promise<Ran> =>
  startCli(args, { ...(env && { env }), input }).done

/** Serializes calls in this process, since they share its environment. */
let called: Promise<unknown> = Promise.resolve()

const capture = (): { stream: NodeJS.WriteStream; text(): string } => {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => Buffer.concat(chunks).toString('utf8') }
}

const callOne = async (args: readonly string[], { env, input = '' }: CallOptions): Promise<Ran> => {
  const [out, err, stdin] = [capture(), capture(), Readable.from(input === '' ? [] : [Buffer.from(input)])]
  const own = process.env
  process.env = createEnv(env)
  try {
    const streams = { stdin: stdin as unknown as StandardStreams['stdin'], stdout: out.stream, stderr: err.stream }
    const code = await within(runCommandLine(args, streams as StandardStreams), `the end of ${args.join(' ')}`)
    return { code, signal: null, stdout: out.text(), stderr: err.text() }
  } finally {
    process.env = own
  }
}

/**
 * Runs a command in this process, which takes a twentieth of the time of a separate one. For output and effects of a
 * command; signals, pipes, terminals and the start of Node itself need a process.
 */
export const callCli = (args: readonly string[], options: CallOptions = {}): Promise<Ran> => {
  // An executable is tested as a process.
  if (!isScript(PROGRAM)) return runCli(args, options)
  const call = called.then(() => callOne(args, options))
  called = call.catch(() => {})
  return call
}

/** Runs a shell command without rc file (which it would read if stdin is a socket). `$CLI` is the command line. */
export const startShell = (line: string, { env, input }: CallOptions = {}): Running => {
  const full = createEnv({ ...env, CLI: WORDS.join(' ') })
  return follow(spawn('/bin/bash', ['--norc', '-c', line], { env: full, stdio: 'pipe' }), input)
}

/** True if util-linux's `script` is available, which runs a command on a terminal of its own. */
export const hasTerminal = spawnSync('script', ['--version']).status === 0

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/** Runs a command on a terminal of 120 columns. stdout and stderr are combined in `stdout`; stdin is the terminal. */
export const startOnTerminal = (args: readonly string[], { env, input }: CallOptions = {}): Running => {
  const line = `stty cols 120 -echo; exec ${[...WORDS, ...args].map(quoted).join(' ')}`
  return follow(
    spawn('script', ['-qec', line, '/dev/null'], { env: createEnv({ SHELL: '/bin/sh', ...env }), stdio: 'pipe' }),
    input,
  )
}

/** Parses JSON lines. */
export const jsonLines = <T>(text: string): T[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T)
