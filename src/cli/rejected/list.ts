import type { QuarantineEnvelope } from '../../core/quarantine.ts'
import { serializeQuarantineRow } from '../../core/quarantine-json.ts'
import { type CliCommand, EXIT } from '../command.ts'
import { BOLD, createStyler, YELLOW } from '../terminal/colours.ts'
import { escapeForTerminal, getDisplayWidth, pad, truncate, visibleJson } from '../terminal/escape.ts'
import { FILTER_FLAGS, parseQuarantineFilter, withQuarantine } from './options.ts'

const DEFAULT_LIMIT = 50
const PAGE = 500

const COLUMNS = { id: 8, time: 19, bytes: 9, reason: 20, key: 36 }
/** Minimum terminal width at which routing keys are shown. */
const WITH_KEYS = 120

const formatTime = (ms: number): string => new Date(ms).toISOString().slice(0, 19).replace('T', ' ')

type Row = Readonly<Record<'id' | 'time' | 'bytes' | 'reason' | 'key' | 'detail', string>>

const HEADINGS: Row = {
  id: 'ID',
  time: 'RECEIVED (UTC)',
  bytes: 'BYTES',
  reason: 'REASON',
  key: 'ROUTING KEY',
  detail: 'DETAIL',
}

const toRow = ({ rejected_id, received_at, body_bytes, reason, routing_key, detail }: QuarantineEnvelope): Row => ({
  id: String(rejected_id),
  time: formatTime(received_at),
  bytes: String(body_bytes),
  reason,
  key: escapeForTerminal(routing_key),
  detail: escapeForTerminal(detail),
})

/** Formats a line of the table; truncated only on a terminal. */
const formatRow = (row: Row, columns: number, colour: (text: string, column: keyof Row) => string): string => {
  const unlimited = columns === Number.POSITIVE_INFINITY
  const cell = (text: string, width: number) => pad(unlimited ? text : truncate(text, width), width)
  const cells: [keyof Row, string][] = [
    ['id', row.id.padStart(COLUMNS.id)],
    ['time', pad(row.time, COLUMNS.time)],
    ['bytes', row.bytes.padStart(COLUMNS.bytes)],
    ['reason', cell(row.reason, COLUMNS.reason)],
  ]
  if (columns >= WITH_KEYS) cells.push(['key', cell(row.key, COLUMNS.key)])
  const usedWidth = cells.reduce((sum, [, text]) => sum + getDisplayWidth(text) + 2, 0)
  cells.push(['detail', unlimited ? row.detail : truncate(row.detail, Math.max(10, columns - usedWidth - 1))])
  return cells
    .map(([column, text]) => colour(text, column))
    .join('  ')
    .trimEnd()
}

/** `rejected list`. */
export const listCommand: CliCommand = {
  name: 'rejected list',
  summary: 'list quarantined messages, newest first',
  usage: ['[ID…] [flags]'],
  flags: {
    ...FILTER_FLAGS,
    limit: { value: 'N', description: `maximum number of rows; 0 for no limit (default: ${DEFAULT_LIMIT})` },
    json: { description: 'print each row as a JSON object, one per line' },
  },
  examples: [
    ['deepsoc-gateway rejected list', 'List the newest rows'],
    ['deepsoc-gateway rejected list --reason message_conflict --since 7d', 'List the conflicts of the last week'],
    [
      "deepsoc-gateway rejected list --routing-key '*._executor.*' --json --limit 0",
      'List all rows of executors as JSON',
    ],
  ],
  run: async (args, io) => {
    const filter = parseQuarantineFilter(args)
    const limit = args.integer('limit', 0) ?? DEFAULT_LIMIT
    const json = args.switch('json')
    return withQuarantine(async ({ quarantine }) => {
      const paint = createStyler(io.out.colours)
      const printable = io.out.isTerminal ? visibleJson : (text: string) => text
      const { rows } = await quarantine.count(filter)
      const count = limit === 0 ? rows : Math.min(limit, rows)
      const colour = (text: string, column: keyof Row) => (column === 'reason' ? paint(text, YELLOW) : text)
      if (!json && count > 0) {
        await io.out.write(`${formatRow(HEADINGS, io.out.columns, (text) => paint(text, BOLD))}\n`)
      }
      let before = 0
      for (let left = count; left > 0 && !io.signal.aborted; ) {
        const page = await quarantine.newest(filter, before, Math.min(left, PAGE))
        if (page.length === 0) break
        const lines = page.map((row) =>
          json ? printable(serializeQuarantineRow(row)) : formatRow(toRow(row), io.out.columns, colour),
        )
        await io.out.write(`${lines.join('\n')}\n`)
        left -= page.length
        before = page.at(-1)!.rejected_id
      }
      if (rows === 0) io.note('No quarantined message matches.')
      else if (rows > count) io.note(`${count} of ${rows} rows; use --limit to show more.`)
      return EXIT.ok
    })
  },
}
