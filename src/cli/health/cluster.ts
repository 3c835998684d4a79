import type { ClusterCheck, ClusterGateway, ClusterReport } from '../../monitoring/cluster-report.ts'
import { EXIT } from '../command.ts'
import type { CommandIo } from '../io.ts'
import { BOLD, createStyler } from '../terminal/colours.ts'
import { escapeForTerminal } from '../terminal/escape.ts'

const formatCheck = ({ check, level, text, hint }: ClusterCheck): string => {
  const lines = hint === '' ? [text] : [text, `What to do: ${hint}`]
  return `${level.padEnd(9)}${check.padEnd(11)}${lines.map(escapeForTerminal).join(`\n${' '.repeat(20)}`)}\n`
}

const HEADING = ['GATEWAY', 'STATE', 'VERSION', 'CONSUMER', 'CLOCK', 'RETENTION', 'READERS', 'LAST SEEN']

const formatRetention = ({ retention_days: days, retention_messages_per_event: messages }: ClusterGateway): string =>
  `${days === null ? '–' : `${days} d`} / ${messages ?? '–'}`

const toCells = (one: ClusterGateway): string[] => [
  one.gateway,
  one.live ? (one.ready ? 'ready' : 'not ready') : 'gone',
  `${one.version} (${one.schema_version})`,
  one.consumer ?? '–',
  `${one.clock_offset_seconds >= 0 ? '+' : ''}${one.clock_offset_seconds.toFixed(1)} s`,
  formatRetention(one),
  String(one.readers),
  `${Math.round(one.last_seen_seconds)} s ago`,
]

/** Prints the checks and all gateways. @returns the exit code: 0 if no check has failed */
export const printCluster = async ({ checks, gateways, safe }: ClusterReport, { out }: CommandIo): Promise<number> => {
  const rows = [HEADING, ...gateways.map((one) => toCells(one).map(escapeForTerminal))]
  const widths = HEADING.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const [heading, ...lines] = rows.map((row) =>
    row
      .map((cell, n) => cell.padEnd(widths[n]!))
      .join('  ')
      .trimEnd(),
  )
  const failed = checks.filter(({ level }) => level === 'failed').map(({ check }) => check)
  await out.write(
    [
      checks.map(formatCheck).join(''),
      '\n',
      `${createStyler(out.colours)(heading!, BOLD)}\n${lines.join('\n')}\n\n`,
      safe ? 'safe\n' : `not safe: ${failed.join(', ')}\n`,
    ].join(''),
  )
  return safe ? EXIT.ok : EXIT.failure
}
