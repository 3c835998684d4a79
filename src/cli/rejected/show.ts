import type { QuarantineRow } from '../../core/quarantine.ts'
import { MATCH_ALL } from '../../core/quarantine-filter.ts'
import { serializeQuarantineRow } from '../../core/quarantine-json.ts'
import { type CliCommand, EXIT, UsageError } from '../command.ts'
import { parseIds } from '../positionals.ts'
import { BOLD, createStyler, DIM, type Styler } from '../terminal/colours.ts'
import { escapeForTerminal, visibleBytes, visibleJson } from '../terminal/escape.ts'
import { withQuarantine } from './options.ts'

const renderRow = (row: QuarantineRow, paint: Styler): string => {
  const storedNote = row.body.length < row.body_bytes ? `, of which ${row.body.length} are stored` : ''
  const fields: readonly (readonly [string, string])[] = [
    ['rejected_id', String(row.rejected_id)],
    ['received_at', new Date(row.received_at).toISOString()],
    ['reason', row.reason],
    ['detail', row.detail],
    ['exchange', row.exchange],
    ['routing_key', row.routing_key],
    ['headers', row.headers],
    ['properties', row.properties],
    ['sha256', row.sha256],
    ['body', `${row.body_bytes} bytes${storedNote}`],
  ]
  const lines = fields.map(([name, value]) => `${paint(name.padEnd(12), BOLD)}${escapeForTerminal(value)}`)
  return `${lines.join('\n')}\n${paint('-'.repeat(72), DIM)}\n${visibleBytes(row.body)}\n`
}

/** `rejected show`. */
export const showCommand: CliCommand = {
  name: 'rejected show',
  summary: 'show all fields of rows, including the body',
  usage: ['ID… [--json]', 'ID --raw'],
  about: `Bytes that are not text, and characters that would control a terminal, are escaped as \\xNN and the like;
--raw prints the body byte by byte.`,
  flags: {
    json: { description: 'print each row as a JSON object; a body that is not text is body_base64' },
    raw: { description: 'print only the bytes of the body' },
  },
  examples: [
    ['deepsoc-gateway rejected show 17', 'Show a row'],
    [
      "deepsoc-gateway rejected show 17 --raw | sed 's/NaN/null/' | deepsoc-gateway publish",
      'Fix the body and publish it again',
    ],
  ],
  run: async (args, io) => {
    const ids = parseIds(args)
    const raw = args.switch('raw')
    if (ids.length === 0) throw new UsageError('an ID is missing; rejected list shows them')
    if (raw && ids.length > 1) throw new UsageError('--raw takes one ID')
    if (raw && args.switch('json')) throw new UsageError('--raw and --json cannot be combined')
    return withQuarantine(async ({ quarantine }) => {
      const paint = createStyler(io.out.colours)
      let missing = 0
      for (const id of ids) {
        const [row] = await quarantine.after({ ...MATCH_ALL, ids: [id] }, id - 1, id)
        if (row === undefined) {
          missing++
          io.note(`${id} is not in the quarantine.`)
        } else if (raw) await io.out.write(row.body)
        else if (args.switch('json'))
          await io.out.write(
            `${io.out.isTerminal ? visibleJson(serializeQuarantineRow(row)) : serializeQuarantineRow(row)}\n`,
          )
        else await io.out.write(renderRow(row, paint))
      }
      return missing === 0 ? EXIT.ok : EXIT.failure
    })
  },
}
