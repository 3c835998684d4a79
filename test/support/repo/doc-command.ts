/**
 * Replaces `deepsoc-gateway`, `npm`, `node` and `curl` while test/repo/docs-commands.test.ts runs a block of the
 * documentation: runs the real program against the test's own gateway, and ends calls that never end once they work.
 */
import { spawn } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { getCommandLine, isScript, PROGRAM } from '../harness/program.ts'

const [name = '', ...given] = process.argv.slice(2)
const { DOC_URL = '', DOC_BACKGROUND, DOC_PORT = '0', DOC_PATH = '' } = process.env

/** The arguments for the gateway's own command line, or null if it is not called. */
const gatewayCall = (): string[] | null => {
  if (name === 'deepsoc-gateway') return given
  if (name === 'node' && given[0] === 'src/cli.ts') return given.slice(1)
  if (name !== 'npm' || given[0] !== 'start') return null
  const rest = given.slice(1).filter((word) => word !== '--silent')
  return rest[0] === '--' ? rest.slice(1) : rest
}

/** Output that shows that a call without end works; null if the call ends. */
const workingSign = ([command = 'serve', ...flags]: readonly string[]): RegExp | null => {
  if (flags.includes('--help')) return null
  if (command === 'serve' || command.startsWith('--demo')) return /deepsoc-gateway serves http/
  if (command === 'tail') return flags.includes('--once') ? null : /\S/
  return command === 'demo' ? /\S/ : null
}

interface Run {
  readonly sign: RegExp | null
  /** Continues running after it works, until the block ends. */
  readonly stays: boolean
  readonly env?: NodeJS.ProcessEnv
}

const run = (file: string, args: readonly string[], { sign, stays, env = {} }: Run): void => {
  const child = spawn(file, args, {
    stdio: ['inherit', 'pipe', 'pipe'],
    env: { ...process.env, PATH: DOC_PATH, ...env },
  })
  let output = ''
  let works = false
  const look = (chunk: Buffer, to: NodeJS.WriteStream): void => {
    to.write(chunk)
    output += chunk
    if (works || sign === null || !sign.test(output)) return
    works = true
    if (!stays) child.kill('SIGINT')
  }
  child.stdout.on('data', (chunk: Buffer) => look(chunk, process.stdout))
  child.stderr.on('data', (chunk: Buffer) => look(chunk, process.stderr))
  process.once('SIGTERM', () => child.kill('SIGTERM'))
  child.once('close', (code) => {
    process.exitCode = sign === null ? (code ?? 1) : works ? 0 : (code ?? 1) || 1
  })
}

/** Runs the gateway's command line in this process, which saves the start of another one. */
const runHere = async (file: string, args: readonly string[], { sign, stays, env = {} }: Run): Promise<void> => {
  let output = ''
  let works = false
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write.bind(stream) as (...args: unknown[]) => boolean
    stream.write = (...args: unknown[]): boolean => {
      output += String(args[0])
      if (!works && sign?.test(output)) {
        works = true
        if (!stays) process.kill(process.pid, 'SIGINT')
      }
      return write(...args)
    }
  }
  process.once('exit', (code) => {
    if (sign !== null) process.exitCode = works ? 0 : code || 1
  })
  process.argv = [process.execPath, file, ...args]
  Object.assign(process.env, { PATH: DOC_PATH }, env)
  await import(pathToFileURL(file).href)
}

const call = gatewayCall()
if (call !== null) {
  const serves = [undefined, 'serve', '--demo'].includes(call[0])
  // `drop` asks for confirmation on a terminal, and the answer is yes.
  const answer = call[0] === 'rejected' && call[1] === 'drop' && !call.includes('--yes') ? ['--yes'] : []
  const [command, ...words] = getCommandLine(PROGRAM)
  const how = {
    sign: workingSign(call),
    stays: serves && DOC_BACKGROUND !== undefined,
    env: serves ? { PORT: DOC_PORT } : {},
  }
  if (isScript(PROGRAM)) await runHere(words[0]!, [...call, ...answer], how)
  else run(command!, [...words, ...call, ...answer], how)
} else if (name === 'curl') {
  const args = given.map((word) => word.replace('http://127.0.0.1:8080', DOC_URL))
  const follows = args.includes('-N')
  run('curl', ['--fail-with-body', ...args], { sign: follows ? /event: hello/ : null, stays: false })
} else {
  process.stderr.write(`${name} ${given.join(' ')}: say in test/repo/docs-commands.test.ts which test proves it\n`)
  process.exitCode = 97
}
