import type { RejectedHead } from '../../log/quarantine.ts'
import { BOLD, DIM, type Paint, painter, YELLOW } from '../colours.ts'
import { type Command, EXIT } from '../command.ts'
import { fit, pad, visible } from '../visible.ts'
import { FILTER_FLAGS, filterOf, withQuarantine } from './selecting.ts'

const USUAL_LIMIT = 50
const PAGE = 500

const COLUMNS = { id: 8, time: 19, bytes: 9, reason: 20, key: 36 }

const timeOf = (ms: number): string => new Date(ms).toISOString().slice(0, 19).replace('T', ' ')

const lineOf = (row: RejectedHead, paint: Paint, columns: number): string => {
  const cell = (text: string, width: number) => pad(fit(visible(text), width), width)
  const head = [
    String(row.rejected_id).padStart(COLUMNS.id),
    timeOf(row.received_at),
    String(row.body_bytes).padStart(COLUMNS.bytes),
  ].join('  ')
  const key = cell(row.routing_key, COLUMNS.key)
  const used = head.length + COLUMNS.reason + COLUMNS.key + 6
  const detail = visible(row.detail)
  const shown = columns === Number.POSITIVE_INFINITY ? detail : fit(detail, Math.max(10, columns - used - 1))
  return `${head}  ${paint(cell(row.reason, COLUMNS.reason), YELLOW)}  ${key}  ${paint(shown, DIM)}`.trimEnd()
}

const headLine = (): string =>
  [
    'ID'.padStart(COLUMNS.id),
    pad('RECEIVED (UTC)', COLUMNS.time),
    'BYTES'.padStart(COLUMNS.bytes),
    pad('REASON', COLUMNS.reason),
    pad('ROUTING KEY', COLUMNS.key),
    'DETAIL',
  ].join('  ')

const jsonOf = ({ received_at, headers, properties, ...row }: RejectedHead): string =>
  JSON.stringify({
    ...row,
    received_at: new Date(received_at).toISOString(),
    headers: JSON.parse(headers),
    properties: JSON.parse(properties),
  })

/** `rejected list`. */
export const list: Command = {
  name: 'rejected list',
  summary: 'list what was set aside, newest first',
  usage: ['[ID…] [flags]'],
  flags: {
    ...FILTER_FLAGS,
    limit: { value: 'N', meaning: `at most so many rows; 0: all (default: ${USUAL_LIMIT})` },
    json: { meaning: 'print each row as a JSON object, one to a line' },
  },
  examples: [
    ['deepsoc-gateway rejected list', 'The newest rows'],
    ['deepsoc-gateway rejected list --reason message_conflict --since 7d', 'Conflicts of the last week'],
    ["deepsoc-gateway rejected list --routing-key '*._executor.*' --json --limit 0", 'All from executors, as JSON'],
  ],
  run: async (given, io) => {
    const filter = filterOf(given)
    const limit = given.whole('limit', 0) ?? USUAL_LIMIT
    const json = given.switch('json')
    return withQuarantine(async ({ quarantine }) => {
      const paint = painter(io.out.colours)
      const { rows } = quarantine.count(filter)
      const wanted = limit === 0 ? rows : Math.min(limit, rows)
      if (!json && wanted > 0) await io.out.write(`${paint(headLine(), BOLD)}\n`)
      let before = 0
      for (let left = wanted; left > 0 && !io.signal.aborted; ) {
        const page = quarantine.newest(filter, before, Math.min(left, PAGE))
        if (page.length === 0) break
        const lines = page.map((row) => (json ? jsonOf(row) : lineOf(row, paint, io.out.columns)))
        await io.out.write(`${lines.join('\n')}\n`)
        left -= page.length
        before = page.at(-1)!.rejected_id
      }
      if (rows === 0) io.note('Nothing is set aside that fits.')
      else if (rows > wanted) io.note(`${wanted} of ${rows} rows; --limit shows more.`)
      return EXIT.ok
    })
  },
}
