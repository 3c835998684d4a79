import cluster from 'node:cluster'
import { noop } from '../core/noop.ts'
import { version } from '../platform/version.ts'
import type { CliCommand } from './command.ts'
import type { StandardStreams } from './io.ts'
import { versionText } from './version.ts'

const MIN_NODE_VERSION = [22, 18] as const

/** Exit codes: success, failure, invalid arguments or configuration. */
const EXIT = { ok: 0, failure: 1, usage: 2 } as const

/** Time for an interrupted command to clean up, in milliseconds. */
const INTERRUPT_GRACE_MS = 1_500

const printError = ({ stderr }: StandardStreams, text: string): void => {
  stderr.write(`${text}\n`)
}

/** Prints a text to stdout. @throws Error if it cannot be written */
const print = async (text: string, streams: StandardStreams): Promise<void> => {
  const { createIo } = await import('./io.ts')
  const stopping = new AbortController()
  const { out } = createIo(version(), stopping, streams, true)
  await out.write(text)
  await out.flush()
  if (stopping.signal.reason instanceof Error) throw stopping.signal.reason
}

/** Prints an error to stderr: code, message and hint. */
const reportError = async (error: unknown, streams: StandardStreams): Promise<void> => {
  const { RETRY_NOTE } = await import('../core/error-catalogue/definition.ts')
  const { escapeForTerminal } = await import('./terminal/escape.ts')
  const { code, message, hint } = error as { code?: string; message?: string; hint?: string }
  printError(streams, `deepsoc-gateway: ${escapeForTerminal(code ?? 'internal')}`)
  for (const line of (message ?? String(error)).split('\n')) printError(streams, `  ${escapeForTerminal(line)}`)
  if (hint === undefined) return
  // A command that exits does not retry.
  const advice = hint.endsWith(RETRY_NOTE) ? hint.slice(0, -RETRY_NOTE.length) : hint
  printError(streams, `  hint: ${escapeForTerminal(advice)}`)
}

const checkNode = (streams: StandardStreams): boolean => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > MIN_NODE_VERSION[0] || (major === MIN_NODE_VERSION[0] && minor >= MIN_NODE_VERSION[1])) return true
  printError(
    streams,
    `deepsoc-gateway: node_too_old\n  This is Node ${process.versions.node}; at least ${MIN_NODE_VERSION.join('.')} is needed.`,
  )
  printError(streams, '  hint: Run npm ci, which installs Node 24 on Linux, or install Node 22.18 or newer.')
  return false
}

/** Returns the command and its arguments, or an exit code if the call is already handled. @throws UsageError */
const findCommand = async (
  argv: readonly string[],
  streams: StandardStreams,
): Promise<{ command: CliCommand; rest: readonly string[] } | number> => {
  const { COMMAND_TABLE } = await import('./help/table.ts')
  const { findEntry } = await import('./help/lookup.ts')
  const { renderGroupHelp, renderOverview } = await import('./help/render.ts')
  const [first = ''] = argv
  if (first === '--help' || first === '-h') {
    await print(renderOverview(COMMAND_TABLE), streams)
    return EXIT.ok
  }
  if (first === '--version') {
    await print(await versionText(), streams)
    return EXIT.ok
  }
  const name = first === '' || first.startsWith('-') ? 'serve' : first
  const rest = name === first ? argv.slice(1) : argv
  const entry = await findEntry(name, COMMAND_TABLE)[1]()
  if (!('commands' in entry)) return { command: entry, rest }
  const [second = ''] = rest
  if (Object.hasOwn(entry.commands, second)) return { command: entry.commands[second]!, rest: rest.slice(1) }
  if (second === '--help' || second === '-h') {
    await print(renderGroupHelp(entry), streams)
    return EXIT.ok
  }
  const { suggestName } = await import('./command.ts')
  const suggestion = suggestName(second, Object.keys(entry.commands))
  const problem = second === '' ? 'a command is missing' : `unknown command ${JSON.stringify(second)}`
  printError(streams, `deepsoc-gateway: ${problem} after ${name}${suggestion}\n\n${renderGroupHelp(entry)}`)
  return EXIT.usage
}

/** Runs a command until it returns, a signal arrives or stdout is closed. @returns the exit code */
const run = async (command: CliCommand, rest: readonly string[], streams: StandardStreams): Promise<number> => {
  const { parseCall, UsageError } = await import('./command.ts')
  const { renderHelp, renderUsage } = await import('./help/render.ts')
  const { createIo, PIPE_CLOSED } = await import('./io.ts')
  const stopping = new AbortController()
  const io = createIo(version(), stopping, streams, command.finishesUnread !== true)
  let removeListeners = noop
  try {
    const args = parseCall(command, rest)
    if (args === null) {
      await print(renderHelp(command), streams)
      return EXIT.ok
    }
    // The gateway handles signals itself.
    if (command.name === 'serve') return await command.run(args, io)
    // Registered before the command starts, since its first synchronous part can take a while.
    const interrupt = listenForInterrupt(stopping)
    removeListeners = interrupt.dispose
    const running = command.run(args, io).then(async (code) => {
      await Promise.all([io.out.flush(), io.err.flush()])
      return code
    })
    const code = await Promise.race([running, interrupt.graceExpired]).catch((error: unknown) => {
      if (!stopping.signal.aborted) throw error
      return EXIT.failure
    })
    const { aborted, reason } = stopping.signal
    if (!aborted) return code
    if (reason instanceof Error) throw reason
    return reason === PIPE_CLOSED ? EXIT.ok : Number(reason)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    printError(streams, `deepsoc-gateway: ${error.message}\n\n${renderUsage(command)}`)
    return EXIT.usage
  } finally {
    removeListeners()
    io.progress.clear()
  }
}

const INTERRUPTS = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const

/** Aborts on the first signal. `graceExpired` resolves after a grace period, or on the second signal. */
const listenForInterrupt = (stopping: AbortController): { graceExpired: Promise<number>; dispose: () => void } => {
  const { promise, resolve } = Promise.withResolvers<number>()
  const listeners = INTERRUPTS.map(([signal, code]) => {
    const listener = (): void => {
      if (stopping.signal.aborted) resolve(code)
      stopping.abort(code)
    }
    process.on(signal, listener)
    return () => process.off(signal, listener)
  })
  stopping.signal.addEventListener('abort', () => setTimeout(resolve, INTERRUPT_GRACE_MS, EXIT.failure))
  return { graceExpired: promise, dispose: () => listeners.forEach((remove) => void remove()) }
}

/**
 * Runs a command line.
 *
 * @param streams those of the process, unless a test captures them
 * @returns the exit code
 */
export const runCommandLine = async (argv: readonly string[], streams: StandardStreams = process): Promise<number> => {
  if (!checkNode(streams)) return EXIT.failure
  const { UsageError } = await import('./command.ts')
  try {
    // A worker inherits the arguments of the primary and must ignore them.
    if (cluster.isWorker) return await (await import('../app/serve.ts')).serveUntilSignal(version())
    const entry = await findCommand(argv, streams)
    return typeof entry === 'number' ? entry : await run(entry.command, entry.rest, streams)
  } catch (error) {
    if (error instanceof UsageError) {
      const { COMMAND_TABLE } = await import('./help/table.ts')
      const { renderOverview } = await import('./help/render.ts')
      printError(streams, `deepsoc-gateway: ${error.message}\n\n${renderOverview(COMMAND_TABLE)}`)
      return EXIT.usage
    }
    await reportError(error, streams)
    return (error as { code?: string }).code === 'config_invalid' ? EXIT.usage : EXIT.failure
  }
}
