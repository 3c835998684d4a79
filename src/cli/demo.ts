import { randomInt } from 'node:crypto'
import { loadConfig } from '../config/config.ts'
import { type CliCommand, EXIT, type Flags, type ParsedArgs } from './command.ts'
import { createTimestamper, newRun, play } from './demo/play.ts'
import { messageText, type ScriptOptions, writeScript } from './demo/script.ts'
import { request, resolveGatewayUrl, resolvePublishTarget, URL_FLAG } from './gateway-client.ts'
import type { CommandIo } from './io.ts'
import { requireNoPositionals } from './positionals.ts'
import { TOKEN_FILE_FLAG } from './token/source.ts'

const DEFAULT_EVENTS = 3
const MAX_EVENTS = 100
/** Retry period of a message while broker or gateway is unreachable, in milliseconds. */
const TIMEOUT_MS = 15_000

/** Flags shared by `demo` and `serve --demo`. */
export const PLAY_FLAGS: Flags = {
  events: { value: 'N', description: `number of incidents (default: ${DEFAULT_EVENTS})` },
  speed: { value: 'X', description: 'speed-up over human speed (default: 1)' },
  seed: { value: 'N', description: 'the same seed generates the same incidents (default: random)' },
}

/** @throws UsageError */
export const parsePlayOptions = (args: ParsedArgs): Omit<ScriptOptions, 'run'> & { readonly speed: number } => ({
  events: args.integer('events', 1, MAX_EVENTS) ?? DEFAULT_EVENTS,
  speed: args.positive('speed') ?? 1,
  seed: args.integer('seed', 0) ?? randomInt(1_000_000),
})

/** `demo`: publishes simulated incidents of a team of agents. */
export const demo: CliCommand = {
  name: 'demo',
  summary: 'simulate a team of agents that works on security incidents',
  usage: ['[flags]'],
  about: `Captain, manager, operator, executor, expert, an engineer and an AI work on incidents in rounds and send every
type of message that DeepSOC's agents send. Each run has its own events. Publishes through RabbitMQ if RABBITMQ_URL or
RABBITMQ_HOST is set, else over HTTP to the gateway; with --url always over HTTP.`,
  flags: {
    ...PLAY_FLAGS,
    loop: { description: 'start again when all incidents are closed, until interrupted' },
    print: { description: 'print the messages as JSON lines instead of publishing them' },
    url: URL_FLAG,
    'token-file': TOKEN_FILE_FLAG,
  },
  examples: [
    ['deepsoc-gateway demo', 'Three incidents at human speed'],
    ['deepsoc-gateway demo --events 1 --speed 20 --seed 7', 'One incident in a few seconds, the same in each run'],
    ['deepsoc-gateway serve --demo', 'Run a gateway and the demo together'],
  ],
  run: async (args, io) => {
    requireNoPositionals(args)
    const options = parsePlayOptions(args)
    if (args.switch('print')) return print(options, io)
    const { url, token } = await resolvePublishTarget(args)
    // Fail before the first message if the gateway is unreachable.
    if (url !== null) await request(`${url}/livez`, { signal: io.signal })
    const baseUrl = url ?? pageUrl(args)
    const authEnabled = url === null ? loadConfig().tokens !== null : (await token()) !== null
    let total = 0
    const { published, error } = await play({
      ...options,
      url,
      token,
      loop: args.switch('loop'),
      timeoutMs: TIMEOUT_MS,
      signal: io.signal,
      onStart: (events, messages) => {
        total = messages
        io.note(introText(events, messages, options.seed))
        for (const event of events) io.note(baseUrl === null ? `  ${event}` : `  ${baseUrl}/events/${event}`)
        if (authEnabled) io.note(VIEW_HINT)
      },
      onProgress: (done) => io.progress.show({ label: 'playing', done, total, failed: 0 }),
    })
    if (error !== null) throw Object.assign(new Error(error.text), { code: error.code, hint: error.hint })
    io.note(`${published} messages published${io.signal.aborted ? '; interrupted' : ''}.`)
    return EXIT.ok
  },
}

export const introText = (events: readonly string[], messages: number, seed: number): string =>
  `The team works on ${events.length} incident${events.length === 1 ? '' : 's'}, ${messages} messages (seed ${seed}):`

/** Printed below the addresses of pages that need a token. */
export const VIEW_HINT = `The page asks for a token of a person, and tail needs it too:
  deepsoc-gateway token --sub ann --events '*' --scope chat
  deepsoc-gateway tail '*' --token-file FILE`

/** Returns the probable address of the page if the demo publishes through the broker; null if it is unknown. */
const pageUrl = (args: ParsedArgs): string | null => {
  try {
    return resolveGatewayUrl(args)
  } catch {
    // With PORT=0 the address is unknown, so only the event ids are shown.
    return null
  }
}

/** Prints all messages at once, with the timestamps that they would have when published. */
const print = async (options: ReturnType<typeof parsePlayOptions>, io: CommandIo): Promise<number> => {
  const startedAt = Date.now()
  let now = startedAt
  const stamp = createTimestamper(() => now)
  for (const message of writeScript({ ...options, run: newRun() })) {
    if (io.signal.aborted) break
    now = startedAt + Math.round(message.at / options.speed)
    await io.out.write(`${messageText(message, stamp())}\n`)
  }
  return EXIT.ok
}
