import type { CliCommand, CommandGroup, CommandTable, Flag, Flags } from '../command.ts'

export const PROGRAM = 'deepsoc-gateway'

export const HELP_FLAG: Flag = { description: 'show this help' }

/** Returns a flag as it is written in a call: `--after N`. */
export const flagSyntax = (name: string, { value }: Flag): string =>
  `--${name}${value === undefined ? '' : ` ${value}`}`

/** Returns the calls of a command, one for each form. */
export const usageForms = (command: CliCommand): string[] =>
  command.usage.map((syntax) => `${PROGRAM} ${command.name} ${syntax}`.trimEnd())

/** Aligns rows of two columns, with an indent of two. */
const alignRows = (rows: readonly (readonly [left: string, right: string])[]): string[] => {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}

const flagLines = (flags: Flags): string[] =>
  alignRows(
    Object.entries({ ...flags, help: HELP_FLAG }).map(([name, flag]) => [flagSyntax(name, flag), flag.description]),
  )

const usageLines = (command: CliCommand): string[] =>
  usageForms(command).map((form, index) => `${index === 0 ? 'Usage:' : '      '} ${form}`)

/** Returns the `--help` text of a command. */
export const renderHelp = (command: CliCommand): string => {
  const lines = [`${PROGRAM} ${command.name}: ${command.summary}`, '', ...usageLines(command), '']
  if (command.about !== undefined) lines.push(command.about.trim(), '')
  lines.push('Flags:', ...flagLines(command.flags), '', 'Examples:')
  for (const [call, effect] of command.examples) lines.push(`  # ${effect}`, `  ${call}`)
  return `${lines.join('\n')}\n`
}

/** Returns the `--help` text of a group: its commands, one per line. */
export const renderGroupHelp = (group: CommandGroup): string => {
  const names = Object.keys(group.commands)
  return [
    `${PROGRAM} ${group.name}: ${group.summary}`,
    '',
    `Usage: ${PROGRAM} ${group.name} ${names.join('|')} …`,
    '',
    ...alignRows(names.map((name) => [name, group.commands[name]!.summary])),
    '',
    `Each has its own help: ${PROGRAM} ${group.name} ${names[0]} --help`,
    '',
  ].join('\n')
}

/** Returns the usage lines to print after a usage error. */
export const renderUsage = (command: CliCommand): string =>
  `${usageLines(command).join('\n')}\nMore: ${PROGRAM} ${command.name} --help`

/** The flags that stand alone, without a command. */
export const GLOBAL_FLAGS: Flags = {
  version: { description: 'show the version; the single executable also lists its components' },
  help: { description: 'show this help; after a command: its flags and examples' },
}

export const SETTINGS_NOTE = 'Settings come from environment variables and from .env; .env.sample lists them all.'

/** Exit codes, with their meaning. */
export const EXIT_CODES: readonly (readonly [code: string, meaning: string])[] = [
  ['0', 'success'],
  ['1', 'failure'],
  ['2', 'invalid arguments or configuration'],
  ['130', 'interrupted'],
]

/** Returns the `--help` text of the program. */
export const renderOverview = (table: CommandTable): string =>
  [
    `${PROGRAM} streams messages from RabbitMQ to browsers`,
    '',
    `Usage: ${PROGRAM} [COMMAND] [flags]`,
    '',
    'Commands:',
    ...alignRows(Object.entries(table).map(([name, [summary]]) => [name, summary])),
    '',
    'Options:',
    ...alignRows(Object.entries(GLOBAL_FLAGS).map(([name, { description }]) => [`--${name}`, description])),
    '',
    SETTINGS_NOTE,
    `Exit codes: ${EXIT_CODES.map((pair) => pair.join(' ')).join(', ')}.`,
    '',
  ].join('\n')
