import { parseDbId } from '../core/cursor.ts'
import { EventId } from '../core/message.ts'
import { createStyler, DIM } from './colours.ts'
import { type CliCommand, EXIT, type ParsedArgs, UsageError } from './command.ts'
import { follow } from './follow.ts'
import { resolveGatewayUrl, URL_FLAG } from './gateway-client.ts'
import type { CommandIo } from './io.ts'
import { formatMessageLine, type LineStyle } from './message-line.ts'
import { escapeForTerminal, visibleJson } from './terminal-escape.ts'
import { openTokenSource, TOKEN_FILE_FLAG } from './token/source.ts'

/** Three of the gateway's usual heartbeats. */
const SILENCE_SECONDS = 45
const MAX_LAST = 5_000

/** `tail`: follows events over the gateway's own stream. */
export const tail: CliCommand = {
  name: 'tail',
  summary: 'follow events as they happen',
  usage: ['EVENT_ID… [flags]', "'*' [flags]"],
  about: `Shows what is stored from the cursor on, then what comes, each message once and in order, for as long as it
is let. A lost line is taken up again where it broke. '*' follows all events; quote it.`,
  flags: {
    after: { value: 'N', meaning: 'begin behind this db_id; latest: only what comes from now on (default: 0, all)' },
    last: { value: 'N', meaning: `begin with the newest N messages, at most ${MAX_LAST}` },
    type: { value: 'TYPE,…', many: true, meaning: 'only messages of these types' },
    from: { value: 'NAME,…', many: true, meaning: 'only messages of these senders' },
    json: { meaning: 'print each message as the JSON text that the stream carries, one to a line' },
    once: { meaning: 'end when everything that is stored has been printed' },
    silence: {
      value: 'SECONDS',
      meaning: `a line without a sign of life is dead after this (default: ${SILENCE_SECONDS})`,
    },
    url: URL_FLAG,
    'token-file': TOKEN_FILE_FLAG,
  },
  examples: [
    ['deepsoc-gateway tail incident-17', 'Follow an event from its beginning'],
    ["deepsoc-gateway tail '*' --after latest --from _captain,_expert", 'What captains and experts say from now on'],
    ['deepsoc-gateway tail incident-17 --json --once > incident-17.jsonl', 'Save what is stored of an event'],
  ],
  run: async (given, io) => {
    const { url, start } = streamOf(given, resolveGatewayUrl(given))
    const once = given.switch('once')
    const silenceMs = (given.positive('silence') ?? SILENCE_SECONDS) * 1_000
    const token = await openTokenSource(given)
    const show = shower(given, io)
    for await (const heard of follow({ url, start, token, silenceMs, signal: io.signal })) {
      if (heard.kind === 'message') await io.out.write(`${show(heard.data)}\n`)
      else if (heard.kind === 'note') io.note(createStyler(io.err.colours)(escapeForTerminal(heard.text), DIM))
      else if (once) return EXIT.ok
    }
    return EXIT.ok
  },
}

/** The address of the stream and its first cursor. @throws UsageError */
const streamOf = (given: ParsedArgs, base: string): { url: string; start: readonly [string, string] } => {
  const events = [...new Set(given.positionals)]
  if (events.length === 0) throw new UsageError("an EVENT_ID is missing; '*' follows all events")
  if (events.includes('*') && events.length > 1) throw new UsageError("'*' stands alone")
  for (const event of events) {
    const { success } = EventId.safeParse(event)
    if (!success) throw new UsageError(`${JSON.stringify(event)} is no event id: 1 to 255 characters, no controls`)
  }
  const query = new URLSearchParams(events.map((event) => ['event_id', event]))
  for (const [flag, parameter] of [
    ['type', 'message_type'],
    ['from', 'message_from'],
  ] as const) {
    const values = given.list(flag)
    if (values.length > 0) query.set(parameter, values.join(','))
  }
  return { url: `${base}/api/stream?${query}`, start: startOf(given) }
}

const startOf = (given: ParsedArgs): readonly [string, string] => {
  const after = given.text('after')
  const last = given.whole('last', 1, MAX_LAST)
  if (last !== undefined) {
    if (after !== undefined) throw new UsageError('--after and --last exclude each other')
    return ['tail', String(last)]
  }
  if (after !== undefined && after !== 'latest' && parseDbId(after) === null) {
    throw new UsageError(`--after must be a whole number from 0 up, or latest, not ${JSON.stringify(after)}.`)
  }
  return ['last_message_db_id', after ?? '0']
}

const shower = (given: ParsedArgs, { out }: CommandIo): ((data: string) => string) => {
  // A terminal would obey the few control characters that JSON lets through; a file gets the text as it is.
  if (given.switch('json')) return out.isTerminal ? visibleJson : (data) => data
  const withEvent = given.positionals.length > 1 || given.positionals.includes('*')
  const paint = createStyler(out.colours)
  // The width is asked for each line: a terminal changes its size.
  return (data) => formatMessageLine(data, { paint, columns: out.columns, withEvent } satisfies LineStyle)
}
