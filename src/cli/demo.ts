import { randomInt } from 'node:crypto'
import { loadConfig } from '../config/config.ts'
import { type CliCommand, EXIT, type Flags, type ParsedArgs } from './command.ts'
import { createTimestamper, newRun, play } from './demo/play.ts'
import { messageText, type ScriptOptions, writeScript } from './demo/script.ts'
import { request, resolveGatewayUrl, resolvePublishTarget, URL_FLAG } from './gateway-client.ts'
import type { CommandIo } from './io.ts'
import { requireNoPositionals } from './positionals.ts'
import { TOKEN_FILE_FLAG } from './token/source.ts'

const USUAL_EVENTS = 3
const MAX_EVENTS = 100
/** How long a message is tried while the way is shut, in milliseconds. */
const TIMEOUT_MS = 15_000

/** The flags that shape a play, here and of `serve --demo`. */
export const PLAY_FLAGS: Flags = {
  events: { value: 'N', meaning: `how many incidents (default: ${USUAL_EVENTS})` },
  speed: { value: 'X', meaning: 'how many times faster than people work (default: 1)' },
  seed: { value: 'N', meaning: 'the same seed plays the same incidents (default: by chance)' },
}

/** @throws UsageError */
export const playOf = (given: ParsedArgs): Omit<ScriptOptions, 'run'> & { readonly speed: number } => ({
  events: given.whole('events', 1, MAX_EVENTS) ?? USUAL_EVENTS,
  speed: given.positive('speed') ?? 1,
  seed: given.whole('seed', 0) ?? randomInt(1_000_000),
})

/** `demo`: a team of agents at work on incidents that never happened. */
export const demo: CliCommand = {
  name: 'demo',
  summary: 'play a team of agents at work on security incidents',
  usage: ['[flags]'],
  about: `Captain, manager, operator, executor, expert, an engineer and an AI work on incidents in rounds, with every type of
message that DeepSOC's agents send. Each run has events of its own. Goes through RabbitMQ if RABBITMQ_URL or
RABBITMQ_HOST is set, else over HTTP to the gateway; --url means HTTP in any case.`,
  flags: {
    ...PLAY_FLAGS,
    loop: { meaning: 'start again when all incidents are closed, until interrupted' },
    print: { meaning: 'publish nothing: print the messages as JSON lines' },
    url: URL_FLAG,
    'token-file': TOKEN_FILE_FLAG,
  },
  examples: [
    ['deepsoc-gateway demo', 'Three incidents at human speed'],
    ['deepsoc-gateway demo --events 1 --speed 20 --seed 7', 'One incident in a few seconds, always the same'],
    ['deepsoc-gateway serve --demo', 'A gateway and the play in one go'],
  ],
  run: async (given, io) => {
    requireNoPositionals(given)
    const wanted = playOf(given)
    if (given.switch('print')) return print(wanted, io)
    const { url, token } = await resolvePublishTarget(given)
    // Fail before the first message if the demo could not be seen.
    if (url !== null) await request(`${url}/livez`, { signal: io.signal })
    const page = url ?? pageUrl(given)
    const guarded = url === null ? loadConfig().tokens !== null : (await token()) !== null
    let total = 0
    const { published, fault } = await play({
      ...wanted,
      url,
      token,
      loop: given.switch('loop'),
      patienceMs: TIMEOUT_MS,
      signal: io.signal,
      onBegin: (events, messages) => {
        total = messages
        io.note(introText(events, messages, wanted.seed))
        for (const event of events) io.note(page === null ? `  ${event}` : `  ${page}/events/${event}`)
        if (guarded) io.note(VIEW_HINT)
      },
      onProgress: (done) => io.progress.show({ what: 'playing', done, total, failed: 0 }),
    })
    if (fault !== null) throw Object.assign(new Error(fault.text), { code: fault.code, hint: fault.hint })
    io.note(`${published} messages published${io.signal.aborted ? '; interrupted' : ''}.`)
    return EXIT.ok
  },
}

export const introText = (events: readonly string[], messages: number, seed: number): string =>
  `The team works on ${events.length} incident${events.length === 1 ? '' : 's'}, ${messages} messages (seed ${seed}):`

/** Said below the addresses of pages that show nothing to who has no token. */
export const VIEW_HINT = `The page needs a token that reads these events, as a cookie. In a terminal, with one from its file:
  deepsoc-gateway tail '*' --token-file FILE`

/** Where the page probably is, of a gateway that is fed through the broker; null where nothing says. */
const pageUrl = (given: ParsedArgs): string | null => {
  try {
    return resolveGatewayUrl(given)
  } catch {
    // PORT=0 names no address; the events are then shown by their ids alone.
    return null
  }
}

/** The whole play at once, with the times that it would have. */
const print = async (wanted: ReturnType<typeof playOf>, io: CommandIo): Promise<number> => {
  const startedAt = Date.now()
  let now = startedAt
  const stamp = createTimestamper(() => now)
  for (const cue of writeScript({ ...wanted, run: newRun() })) {
    if (io.signal.aborted) break
    now = startedAt + Math.round(cue.at / wanted.speed)
    await io.out.write(`${messageText(cue, stamp())}\n`)
  }
  return EXIT.ok
}
