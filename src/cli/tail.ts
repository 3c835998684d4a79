import { parseDbId } from '../core/cursor.ts'
import { EventId } from '../core/message.ts'
import { type CliCommand, EXIT, type ParsedArgs, parseSinceFlag, UsageError } from './command.ts'
import { resolveGatewayUrl, URL_FLAG } from './gateway-client.ts'
import type { CommandIo } from './io.ts'
import { follow } from './tail/follow.ts'
import { formatMessage, type LineStyle } from './tail/message-line.ts'
import { findCursor, receivedAt } from './tail/since.ts'
import { createStyler, DIM } from './terminal/colours.ts'
import { escapeForTerminal, visibleJson } from './terminal/escape.ts'
import { openTokenSource, TOKEN_FILE_FLAG } from './token/source.ts'

/** Three times the gateway's default heartbeat interval. */
const SILENCE_SECONDS = 45
const MAX_LAST = 5_000

/** `tail`: prints the messages of events from the gateway's stream. */
export const tail: CliCommand = {
  name: 'tail',
  summary: 'print the messages of events as they arrive',
  usage: ['EVENT_ID… [flags]', "'*' [flags]"],
  about: `Prints the stored messages after the cursor, then new ones, each message once and in order, until it is stopped.
After a lost connection it resumes after the last message. '*' follows all events; quote it. On a terminal a message is
wrapped, and a summary ends after 10 lines.`,
  flags: {
    after: { value: 'N', description: 'start after this db_id; latest: only new messages (default: 0, all messages)' },
    last: { value: 'N', description: `start with the newest N messages, at most ${MAX_LAST}` },
    since: {
      value: 'TIME',
      description: 'only messages received since this age or date: 30m, 12h, 7d, 2026-11-22T10:00:00Z',
    },
    type: { value: 'TYPE,…', multiple: true, description: 'only messages of these types' },
    from: { value: 'NAME,…', multiple: true, description: 'only messages of these senders' },
    full: { description: 'print all of message_content with its line breaks, not a summary' },
    utc: { description: 'print date and time in UTC (default: the local time of day)' },
    json: { description: 'print each message as JSON, one per line, exactly as the stream sends it' },
    once: { description: 'exit after printing the stored messages' },
    silence: {
      value: 'SECONDS',
      description: `reconnect if nothing arrives for this long, not even a heartbeat (default: ${SILENCE_SECONDS})`,
    },
    url: URL_FLAG,
    'token-file': TOKEN_FILE_FLAG,
  },
  examples: [
    ['deepsoc-gateway tail incident-17', 'Follow an event from its beginning'],
    ["deepsoc-gateway tail '*' --after latest --from _captain,_expert", 'Follow new messages of captains and experts'],
    ['deepsoc-gateway tail incident-17 --since 2h --full --utc', 'Read the last two hours, with every line'],
    ['deepsoc-gateway tail incident-17 --json --once > incident-17.jsonl', 'Export the stored messages of an event'],
  ],
  run: async (args, io) => {
    const { url, start } = parseTarget(args, resolveGatewayUrl(args))
    const since = parseSince(args)
    const once = args.switch('once')
    const silenceMs = (args.positive('silence') ?? SILENCE_SECONDS) * 1_000
    const source = { token: await openTokenSource(args), silenceMs, signal: io.signal }
    const format = createFormatter(args, io)
    const cursor = since === null ? null : await findCursor({ ...source, url: withoutFilters(url) }, since)
    const options = { ...source, url, start: cursor === null ? start : (['last_message_db_id', `${cursor}`] as const) }
    for await (const item of follow(options)) {
      if (item.kind === 'message') {
        if (since === null || receivedAt(item.data) >= since) await io.out.write(`${format(item.data)}\n`)
      } else if (item.kind === 'note') io.note(createStyler(io.err.colours)(escapeForTerminal(item.text), DIM))
      else if (once) return EXIT.ok
    }
    return EXIT.ok
  },
}

/** Returns the time of `--since` in milliseconds since 1970; null if it is not set. @throws UsageError */
const parseSince = (args: ParsedArgs): number | null => {
  const text = args.text('since')
  if (text === undefined) return null
  const other = ['after', 'last'].find((flag) => args.text(flag) !== undefined)
  if (other !== undefined) throw new UsageError(`--since and --${other} cannot be combined`)
  return parseSinceFlag(text, Date.now())
}

/** The position of a time is found faster among all messages of the events. */
const withoutFilters = (url: string): string => {
  const stream = new URL(url)
  for (const filter of ['message_type', 'message_from']) stream.searchParams.delete(filter)
  return stream.href
}

/** Returns the address of the stream and the first cursor. @throws UsageError */
const parseTarget = (args: ParsedArgs, base: string): { url: string; start: readonly [string, string] } => {
  const events = [...new Set(args.positionals)]
  if (events.length === 0) throw new UsageError("an EVENT_ID is missing; '*' follows all events")
  if (events.includes('*') && events.length > 1) throw new UsageError("'*' cannot be combined with other events")
  for (const event of events) {
    const { success } = EventId.safeParse(event)
    if (!success) {
      throw new UsageError(
        `${JSON.stringify(event)} is not an event id: 1 to 255 characters, no control characters, not . or ..`,
      )
    }
  }
  const query = new URLSearchParams(events.map((event) => ['event_id', event]))
  for (const [flag, parameter] of [
    ['type', 'message_type'],
    ['from', 'message_from'],
  ] as const) {
    const values = args.list(flag)
    if (values.length > 0) query.set(parameter, values.join(','))
  }
  return { url: `${base}/api/stream?${query}`, start: parseStart(args) }
}

const parseStart = (args: ParsedArgs): readonly [string, string] => {
  const after = args.text('after')
  const last = args.integer('last', 1, MAX_LAST)
  if (last !== undefined) {
    if (after !== undefined) throw new UsageError('--after and --last cannot be combined')
    return ['tail', String(last)]
  }
  if (after !== undefined && after !== 'latest' && parseDbId(after) === null) {
    throw new UsageError(`--after must be a whole number from 0 up, or latest, not ${JSON.stringify(after)}.`)
  }
  return ['last_message_db_id', after ?? '0']
}

const createFormatter = (args: ParsedArgs, { out }: CommandIo): ((data: string) => string) => {
  // JSON allows a few characters that control a terminal, so they are escaped there; a file gets the text unchanged.
  if (args.switch('json')) return out.isTerminal ? visibleJson : (data) => data
  const style: Omit<LineStyle, 'columns'> = {
    applyStyle: createStyler(out.colours),
    withEvent: args.positionals.length > 1 || args.positionals.includes('*'),
    full: args.switch('full'),
    utc: args.switch('utc'),
  }
  // The width is read for each message, since a terminal can be resized.
  return (data) => formatMessage(data, { ...style, columns: out.columns })
}
