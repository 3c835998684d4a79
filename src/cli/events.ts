import { GatewayError } from '../core/errors.ts'
import { type CliCommand, EXIT, type ParsedArgs, parseSinceFlag } from './command.ts'
import { requestJson, resolveGatewayUrl, URL_FLAG } from './gateway-client.ts'
import type { CommandIo } from './io.ts'
import { requireNoPositionals } from './positionals.ts'
import { BOLD, createStyler } from './terminal/colours.ts'
import { escapeForTerminal, visibleJson } from './terminal/escape.ts'
import { openTokenSource, TOKEN_FILE_FLAG } from './token/source.ts'

const DEFAULT_LIMIT = 50
/** Maximum number of events of a page of the gateway. */
const MAX_PAGE = 1_000

/** An event of `GET /api/events`. Times are ISO 8601 in UTC. */
interface ListedEvent {
  readonly event_id: string
  readonly messages: number
  readonly last_db_id: number
  readonly last_at: string
}

const formatRow = (messages: string, time: string, dbId: string, event_id: string): string =>
  `${messages.padStart(9)}  ${time.padEnd(19)}  ${dbId.padStart(12)}  ${event_id}`

const formatEvent = ({ event_id, messages, last_db_id, last_at }: ListedEvent): string =>
  formatRow(
    String(messages),
    escapeForTerminal(last_at.slice(0, 19).replace('T', ' ')),
    String(last_db_id),
    escapeForTerminal(event_id),
  )

/** `events`: lists the events that the token opens. */
export const events: CliCommand = {
  name: 'events',
  summary: 'list the events, latest activity first',
  usage: ['[flags]'],
  flags: {
    since: {
      value: 'TIME',
      description: 'only events with a message since this age or date: 30m, 12h, 7d, 2026-11-22T10:00:00Z',
    },
    limit: { value: 'N', description: `maximum number of events; 0 for no limit (default: ${DEFAULT_LIMIT})` },
    json: { description: 'print each event as a JSON object, one per line' },
    url: URL_FLAG,
    'token-file': TOKEN_FILE_FLAG,
  },
  examples: [
    ['deepsoc-gateway events', 'List the latest events'],
    ['deepsoc-gateway events --since 24h --limit 0 --json', 'List all events of the last day as JSON'],
  ],
  run: async (args, io) => {
    requireNoPositionals(args)
    const limit = args.integer('limit', 0) ?? DEFAULT_LIMIT
    const since = args.text('since')
    const from = since === undefined ? Number.NEGATIVE_INFINITY : parseSinceFlag(since, Date.now())
    const json = args.switch('json')
    const readPage = await openPages(args, io)
    let count = 0
    let page: EventPage | null = null
    do {
      const left = limit === 0 ? MAX_PAGE : Math.min(limit - count, MAX_PAGE)
      page = await readPage(left, page)
      const events = page.data.filter(({ last_at }) => Date.parse(last_at) >= from)
      if (count === 0 && events.length > 0 && !json) await io.out.write(`${heading(io)}\n`)
      const lines = events.map((event) => (json ? toJson(event, io) : formatEvent(event)))
      if (lines.length > 0) await io.out.write(`${lines.join('\n')}\n`)
      count += events.length
      if (events.length < page.data.length) page = { ...page, has_more: false }
    } while (page.has_more && count !== limit && !io.signal.aborted)
    if (count === 0) io.note('No event matches.')
    else if (page.has_more) io.note(`The latest ${count} events; use --limit to show more.`)
    return EXIT.ok
  },
}

const heading = ({ out }: CommandIo): string =>
  createStyler(out.colours)(formatRow('MESSAGES', 'LAST MESSAGE (UTC)', 'LAST DB_ID', 'EVENT_ID'), BOLD)

const toJson = (event: ListedEvent, { out }: CommandIo): string => {
  const text = JSON.stringify(event)
  return out.isTerminal ? visibleJson(text) : text
}

interface EventPage {
  readonly data: readonly ListedEvent[]
  readonly has_more: boolean
}

/** Returns a function that requests the page after another one. @throws UsageError, GatewayError */
const openPages = async (args: ParsedArgs, { signal }: CommandIo) => {
  const address = `${resolveGatewayUrl(args)}/api/events`
  const token = await openTokenSource(args)
  return async (limit: number, after: EventPage | null): Promise<EventPage> => {
    const last = after?.data.at(-1)
    const query = new URLSearchParams({ limit: String(limit), ...(last && { before: String(last.last_db_id) }) })
    const page = (await requestJson(`${address}?${query}`, token, signal)) as EventPage | null
    if (Array.isArray(page?.data)) return page
    throw new GatewayError('unexpected_response', `${address} did not respond with a list of events.`)
  }
}
