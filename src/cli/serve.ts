import { serveUntilSignal as serveGateway } from '../app/serve.ts'
import { loadConfig } from '../config/config.ts'
import { errorChainText } from '../core/error-text.ts'
import type { GatewayError } from '../core/errors.ts'
import { noop } from '../core/noop.ts'
import { type CliCommand, type Flags, type ParsedArgs, UsageError } from './command.ts'
import type { PlayResult } from './demo/play.ts'
import { demoToken } from './demo/token.ts'
import { introText, PLAY_FLAGS, playOf, VIEW_HINT } from './demo.ts'
import { gatewayUrl, request } from './gateway-client.ts'
import { type CommandIo, sleep } from './io.ts'
import { requireNoPositionals } from './positionals.ts'

/** Long enough to wait for a broker that starts late, in milliseconds: the demo must not end before the gateway. */
const TIMEOUT_MS = 24 * 3_600_000
/** Interval of the readiness checks, in milliseconds. */
const POLL_INTERVAL_MS = 500

const DEMO_FLAGS: Flags = {
  ...PLAY_FLAGS,
  'token-file': { value: 'FILE', meaning: 'file with the token for publishing (default: signed with JWT_SECRET)' },
}

/** `serve`: runs the gateway, optionally with the demo. */
export const serve: CliCommand = {
  name: 'serve',
  summary: 'run the gateway until SIGTERM or SIGINT',
  usage: ['[--demo [--events N] [--speed X] [--seed N] [--token-file FILE]]'],
  flags: {
    demo: { meaning: 'also run the demo, in a loop' },
    ...Object.fromEntries(
      Object.entries(DEMO_FLAGS).map(([name, flag]) => [name, { ...flag, meaning: `with --demo: ${flag.meaning}` }]),
    ),
  },
  examples: [
    ['deepsoc-gateway serve', 'Run a gateway with the settings of the environment'],
    ['deepsoc-gateway serve --demo', 'Run a gateway with simulated incidents'],
  ],
  run: async (given, io) => {
    requireNoPositionals(given)
    if (given.switch('demo')) return serveDemo(given, io)
    const flag = Object.keys(DEMO_FLAGS).find((name) => given.text(name) !== undefined)
    if (flag !== undefined) throw new UsageError(`--${flag} requires --demo`)
    return serveGateway(io.version)
  },
}

const serveDemo = async (given: ParsedArgs, io: CommandIo): Promise<number> => {
  const wanted = playOf(given)
  const config = loadConfig()
  const token = await demoToken(given, config)
  const { play } = await import('./demo/play.ts')
  const stopping = new AbortController()
  // In addition to the gateway's own handlers: the demo must stop before the gateway drains.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())
  let playing: Promise<unknown> = Promise.resolve()
  const code = await serveGateway(io.version, (port) => {
    const page = gatewayUrl(config, port)
    const begin = () =>
      play({
        ...wanted,
        loop: true,
        url: config.broker === null ? page : null,
        token,
        timeoutMs: TIMEOUT_MS,
        signal: stopping.signal,
        onBegin: (events, messages) => {
          io.note(introText(events, messages, wanted.seed))
          for (const event of events) io.note(`  ${page}/events/${event}`)
          if (config.tokens !== null) io.note(VIEW_HINT)
        },
        onProgress: noop,
      })
    playing = keepPlaying(begin, page, stopping.signal, io)
  })
  stopping.abort()
  await playing
  return code
}

/** Errors of the demo's token, for which a retry is useless. */
const REFUSED = /^(token_|scope_missing$|event_forbidden$)/

/** Runs the demo whenever the gateway is ready, until the signal aborts. An error never stops the gateway. */
const keepPlaying = async (
  begin: () => Promise<PlayResult>,
  page: string,
  signal: AbortSignal,
  io: CommandIo,
): Promise<void> => {
  let told = ''
  const onAway = (why: string) => {
    if (why !== told && !signal.aborted) io.note(`The demo is waiting: ${why}`)
    told = why
  }
  while (!signal.aborted) {
    if (await isReady(page, signal, onAway)) {
      const fault = await begin().then(
        (played) => played.fault,
        (error: unknown) => ({ code: 'internal', text: errorChainText(error), hint: '' }),
      )
      if (signal.aborted) return
      if (fault !== null && REFUSED.test(fault.code)) {
        return io.note(`The demo has stopped, the gateway keeps running: ${fault.text} ${fault.hint}`)
      }
      if (fault !== null) io.note(`The demo failed and restarts: ${fault.text}`)
    }
    await sleep(POLL_INTERVAL_MS, signal)
  }
}

/**
 * Returns whether the gateway is ready. With a broker, the exchange exists only from then on.
 *
 * @param onAway called with the reason if the gateway is unreachable, for example a certificate for another address
 */
const isReady = async (page: string, signal: AbortSignal, onAway: (why: string) => void): Promise<boolean> => {
  try {
    return (await request(`${page}/readyz`, { signal })).ok
  } catch (error) {
    // Stopped, or too busy to accept connections: the next check decides.
    const { message, hint = '' } = error as Partial<GatewayError>
    onAway(`${message} ${hint}`)
    return false
  }
}
