import { GatewayError } from '../core/errors.ts'
import { parseSince } from '../core/quarantine-filter.ts'
import { type CliCommand, EXIT, type ParsedArgs, UsageError } from './command.ts'
import { requestJson, resolveGatewayUrl, URL_FLAG } from './gateway-client.ts'
import type { CommandIo } from './io.ts'
import { BOLD, createStyler, DIM, roleStyle } from './terminal/colours.ts'
import { escapeForTerminal, visibleJson } from './terminal/escape.ts'
import { openTokenSource, TOKEN_FILE_FLAG } from './token/source.ts'

const DEFAULT_LIMIT = 50
const MAX_LIMIT = 100_000
/** Hits per request. */
const PAGE = 200

/** A hit as the gateway sends it. */
interface FoundMessage {
  readonly event_id: string
  readonly db_id: number
  readonly message_from: string | null
  readonly message_type: string | null
  readonly received_at: string
  readonly snippet: string
}

interface SearchAnswer {
  readonly data: readonly FoundMessage[]
  readonly next_before: number | null
  readonly indexed: number
}

/** `search`: finds messages by their text. */
export const search: CliCommand = {
  name: 'search',
  summary: 'find messages of all events by their text',
  usage: ['TEXT… [flags]'],
  about: `Prints the messages that contain every word, newest first: in any case, and inside other words too. A phrase is
put into double quotes, which the shell must pass on. A word has at least two characters.`,
  flags: {
    event: { value: 'EVENT_ID', description: 'only messages of this event' },
    type: { value: 'TYPE,…', multiple: true, description: 'only messages of these types' },
    from: { value: 'NAME,…', multiple: true, description: 'only messages of these senders' },
    since: {
      value: 'TIME',
      description: 'only messages from this time on: a date and time, or an age such as 30m, 2h or 7d',
    },
    until: { value: 'TIME', description: 'only messages before this time' },
    limit: { value: 'N', description: `print at most N messages (default: ${DEFAULT_LIMIT})` },
    json: { description: 'print each hit as JSON, one per line' },
    url: URL_FLAG,
    'token-file': TOKEN_FILE_FLAG,
  },
  examples: [
    ['deepsoc-gateway search 203.0.113.7', 'Find out where an address appeared'],
    ['deepsoc-gateway search \'"lateral movement"\' --since 7d', 'Find a phrase in the messages of the last week'],
    ['deepsoc-gateway search 横向移动 --event incident-17 --json', 'Find Chinese text in one event, as JSON'],
  ],
  run: async (args, io) => {
    const limit = args.integer('limit', 1, MAX_LIMIT) ?? DEFAULT_LIMIT
    const parameters = parseSearch(args)
    const url = `${resolveGatewayUrl(args)}/api/search?`
    const token = await openTokenSource(args)
    const format = createFormatter(args, io)
    let left = limit
    let printed = 0
    while (left > 0) {
      parameters.set('limit', String(Math.min(left, PAGE)))
      const answer = (await requestJson(url + parameters, token, io.signal)) as SearchAnswer | null
      if (answer === null) throw new GatewayError('unexpected_response', 'The response to the search is not JSON.')
      const { data, next_before, indexed } = answer
      if (indexed < 1 && !parameters.has('before')) {
        io.note(`The search index is being built: ${Math.floor(indexed * 100)} % of the messages can be found so far.`)
      }
      for (const hit of data) await io.out.write(`${format(hit)}\n`)
      printed += data.length
      left -= data.length
      if (next_before === null) break
      parameters.set('before', String(next_before))
    }
    if (printed === 0) io.note('No message contains all of this.')
    return EXIT.ok
  },
}

/** @throws UsageError */
const parseSearch = (args: ParsedArgs): URLSearchParams => {
  const text = args.positionals.join(' ').trim()
  if (text === '') throw new UsageError('a TEXT is missing')
  const parameters = new URLSearchParams({ q: text })
  const event = args.text('event')
  if (event !== undefined) parameters.set('event_id', event)
  for (const [flag, parameter] of [
    ['type', 'message_type'],
    ['from', 'message_from'],
  ] as const) {
    const values = args.list(flag)
    if (values.length > 0) parameters.set(parameter, values.join(','))
  }
  for (const flag of ['since', 'until'] as const) {
    const time = parseTime(args, flag)
    if (time !== null) parameters.set(flag, String(time))
  }
  return parameters
}

/** Returns milliseconds since 1970; null if the flag is not set. @throws UsageError */
const parseTime = (args: ParsedArgs, flag: string): number | null => {
  const text = args.text(flag)
  if (text === undefined) return null
  const time = parseSince(text, Date.now()) ?? Date.parse(text)
  if (time >= 0) return time
  throw new UsageError(`--${flag} must be a time such as 2026-11-22T10:00 or 2h, not ${JSON.stringify(text)}.`)
}

const createFormatter = (args: ParsedArgs, { out }: CommandIo): ((hit: FoundMessage) => string) => {
  if (args.switch('json')) {
    return out.isTerminal ? (hit) => visibleJson(JSON.stringify(hit)) : (hit) => JSON.stringify(hit)
  }
  const paint = createStyler(out.colours)
  return ({ event_id, db_id, message_from, received_at, snippet }) => {
    const { label, style } = roleStyle(message_from)
    const time = new Date(received_at).toLocaleString('sv-SE')
    return [
      paint(time, DIM),
      paint(escapeForTerminal(event_id), BOLD),
      paint(`#${db_id}`, DIM),
      paint(escapeForTerminal(label), style),
      escapeForTerminal(snippet),
    ].join('  ')
  }
}
