import { serveUntilSignal as serveGateway } from '../app/serve.ts'
import { loadConfig } from '../config/config.ts'
import { errorChainText } from '../core/error-text.ts'
import type { GatewayError } from '../core/errors.ts'
import { noop } from '../core/noop.ts'
import { type CliCommand, type Flags, type ParsedArgs, UsageError } from './command.ts'
import type { PlayResult } from './demo/play.ts'
import { demoToken } from './demo/token.ts'
import { introText, PLAY_FLAGS, parsePlayOptions, VIEW_HINT } from './demo.ts'
import { gatewayUrl, request } from './gateway-client.ts'
import { type CommandIo, sleep } from './io.ts'
import { requireNoPositionals } from './positionals.ts'

/** Long enough to wait for a broker that starts late, in milliseconds: the demo must not end before the gateway. */
const TIMEOUT_MS = 24 * 3_600_000
/** Interval of the readiness checks, in milliseconds. */
const POLL_INTERVAL_MS = 500

const DEMO_FLAGS: Flags = {
  ...PLAY_FLAGS,
  'token-file': { value: 'FILE', description: 'file with the token for publishing (default: signed with JWT_SECRET)' },
}

/** `serve`: runs the gateway, optionally with the demo. */
export const serve: CliCommand = {
  name: 'serve',
  summary: 'run the gateway until SIGTERM or SIGINT',
  usage: ['[--demo [--events N] [--speed X] [--seed N] [--token-file FILE]]'],
  flags: {
    demo: { description: 'also run the demo, in a loop' },
    ...Object.fromEntries(
      Object.entries(DEMO_FLAGS).map(([name, flag]) => [
        name,
        { ...flag, description: `with --demo: ${flag.description}` },
      ]),
    ),
  },
  examples: [
    ['deepsoc-gateway serve', 'Run a gateway with the settings of the environment'],
    ['deepsoc-gateway serve --demo', 'Run a gateway with simulated incidents'],
  ],
  run: async (args, io) => {
    requireNoPositionals(args)
    if (args.switch('demo')) return serveDemo(args, io)
    const flag = Object.keys(DEMO_FLAGS).find((name) => args.text(name) !== undefined)
    if (flag !== undefined) throw new UsageError(`--${flag} requires --demo`)
    return serveGateway(io.version)
  },
}

const serveDemo = async (args: ParsedArgs, io: CommandIo): Promise<number> => {
  const options = parsePlayOptions(args)
  const config = loadConfig()
  const token = await demoToken(args, config)
  const { play } = await import('./demo/play.ts')
  const stopping = new AbortController()
  // In addition to the gateway's own handlers: the demo must stop before the gateway drains.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())
  let demoDone: Promise<unknown> = Promise.resolve()
  const code = await serveGateway(io.version, (port) => {
    const baseUrl = gatewayUrl(config, port)
    const startPlay = () =>
      play({
        ...options,
        loop: true,
        url: config.broker === null ? baseUrl : null,
        token,
        timeoutMs: TIMEOUT_MS,
        signal: stopping.signal,
        onStart: (events, messages) => {
          io.note(introText(events, messages, options.seed))
          for (const event of events) io.note(`  ${baseUrl}/events/${event}`)
          if (config.tokens !== null) io.note(VIEW_HINT)
        },
        onProgress: noop,
      })
    demoDone = runDemo(startPlay, baseUrl, stopping.signal, io)
  })
  stopping.abort()
  await demoDone
  return code
}

/** Errors of the demo's token, for which a retry is useless. */
const AUTH_ERROR_CODES = /^(token_|scope_missing$|event_forbidden$)/

/** Runs the demo whenever the gateway is ready, until the signal aborts. An error never stops the gateway. */
const runDemo = async (
  startPlay: () => Promise<PlayResult>,
  baseUrl: string,
  signal: AbortSignal,
  io: CommandIo,
): Promise<void> => {
  let lastReason = ''
  const onNotReady = (reason: string) => {
    if (reason !== lastReason && !signal.aborted) io.note(`The demo is waiting: ${reason}`)
    lastReason = reason
  }
  while (!signal.aborted) {
    if (await isReady(baseUrl, signal, onNotReady)) {
      const failure = await startPlay().then(
        (result) => result.error,
        (error: unknown) => ({ code: 'internal', text: errorChainText(error), hint: '' }),
      )
      if (signal.aborted) return
      if (failure !== null && AUTH_ERROR_CODES.test(failure.code)) {
        return io.note(`The demo has stopped, the gateway keeps running: ${failure.text} ${failure.hint}`)
      }
      if (failure !== null) io.note(`The demo failed and restarts: ${failure.text}`)
    }
    await sleep(POLL_INTERVAL_MS, signal)
  }
}

/**
 * Returns whether the gateway is ready. With a broker, the exchange exists only from then on.
 *
 * @param onNotReady called with the reason if the gateway is unreachable, for example a certificate for another address
 */
const isReady = async (
  baseUrl: string,
  signal: AbortSignal,
  onNotReady: (reason: string) => void,
): Promise<boolean> => {
  try {
    return (await request(`${baseUrl}/readyz`, { signal })).ok
  } catch (error) {
    // Stopped, or too busy to accept connections: the next check decides.
    const { message, hint = '' } = error as Partial<GatewayError>
    onNotReady(`${message} ${hint}`)
    return false
  }
}
