#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

const LEAST_NODE = [22, 18] as const

/** Ends a command that was given wrongly, or could not do its work. */
const EXIT = { ok: 0, failure: 1, usage: 2 } as const

const HELP = `deepsoc-gateway: from RabbitMQ to the browser by one rule

Usage: deepsoc-gateway [COMMAND]

Commands:
  serve            run the gateway (default)
  config           show the effective configuration, secrets masked
  config --check   say only whether the configuration is valid
  token            mint a token for trials: --sub, --events, --scope, --expires, --key-file

Options:
  --version        show the version
  --help           show this text

Settings come from environment variables and from .env; .env.sample lists them all.
`

const LATER = ['publish', 'tail', 'demo', 'rejected', 'backup']

const version = (): string => {
  const file = new URL('../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

const complain = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

/** Says what is wrong in the same three lines everywhere: what, why, what to do. */
const complainOf = (error: unknown): void => {
  const { code, message, hint } = error as { code?: string; message?: string; hint?: string }
  complain(`deepsoc-gateway: ${code ?? 'internal'}`)
  for (const line of (message ?? String(error)).split('\n')) complain(`  ${line}`)
  if (hint !== undefined) complain(`  hint: ${hint}`)
}

const checkNode = (): boolean => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > LEAST_NODE[0] || (major === LEAST_NODE[0] && minor >= LEAST_NODE[1])) return true
  complain(
    `deepsoc-gateway: node_too_old\n  This is Node ${process.versions.node}; at least ${LEAST_NODE.join('.')} is needed.`,
  )
  complain('  hint: Run npm ci, which brings Node 24 along on Linux, or install Node 22.18 or newer.')
  return false
}

interface Arguments {
  readonly command: string
  readonly check: boolean
}

/** @returns what to do, or the exit code where that is settled already */
const readArguments = (): Arguments | number => {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { help: { type: 'boolean' }, version: { type: 'boolean' }, check: { type: 'boolean' } },
    })
    if (values.help) {
      process.stdout.write(HELP)
      return EXIT.ok
    }
    if (values.version) {
      process.stdout.write(`${version()}\n`)
      return EXIT.ok
    }
    const [command = 'serve', ...rest] = positionals
    if (rest.length > 0) throw new Error(`unexpected argument ${JSON.stringify(rest[0])}`)
    if (LATER.includes(command)) throw new Error(`the command ${command} is not part of this version yet`)
    if (command !== 'serve' && command !== 'config') throw new Error(`unknown command ${JSON.stringify(command)}`)
    return { command, check: values.check === true }
  } catch (error) {
    complain(`deepsoc-gateway: ${(error as Error).message}\n\n${HELP}`)
    return EXIT.usage
  }
}

const showConfig = async (check: boolean): Promise<number> => {
  const { loadConfig, readEnvironment } = await import('./config.ts')
  const { effective } = loadConfig(readEnvironment())
  if (check) complain('The configuration is valid.')
  else for (const [name, value] of Object.entries(effective)) process.stdout.write(`${name}=${value}\n`)
  return EXIT.ok
}

const mintToken = async (args: readonly string[]): Promise<number> => {
  const { token, WrongCall } = await import('./commands/token.ts')
  try {
    const options = Object.fromEntries(Object.keys(token.flags).map((flag) => [flag, { type: 'string' as const }]))
    const { values } = parseArgs({ args: [...args], options })
    const text = (flag: string) => values[flag] as string | undefined
    return await token.run({ text }, { out: process.stdout, note: complain })
  } catch (error) {
    const { code = '' } = error as { code?: string }
    if (!(error instanceof WrongCall) && !code.startsWith('ERR_PARSE_ARGS')) throw error
    complain(`deepsoc-gateway: ${(error as Error).message}\n\n${HELP}`)
    return EXIT.usage
  }
}

const main = async (): Promise<number> => {
  if (!checkNode()) return EXIT.failure
  const [first, ...rest] = process.argv.slice(2)
  const wanted = first === 'token' && !rest.includes('--help') ? null : readArguments()
  if (typeof wanted === 'number') return wanted
  try {
    if (wanted === null) return await mintToken(rest)
    if (wanted.command === 'config') return await showConfig(wanted.check)
    // Loaded only now, so that an old Node gets a clear word instead of a crash inside the database driver.
    const { serve } = await import('./serve.ts')
    return await serve(version())
  } catch (error) {
    complainOf(error)
    return (error as { code?: string }).code === 'config_invalid' ? EXIT.usage : EXIT.failure
  }
}

process.exit(await main())
