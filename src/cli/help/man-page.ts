import type { CliCommand, CommandTable, Flags } from '../command.ts'
import { flattenGroups, loadEntries } from './lookup.ts'
import { EXIT_CODES, flagSyntax, GLOBAL_FLAGS, HELP_FLAG, PROGRAM, SETTINGS_NOTE, usageForms } from './render.ts'

/** Escapes text for a line of roff. Hyphens become minus signs, so that flags can be copied and searched for. */
const escapeRoff = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: everything outside of ASCII
    .replace(/[^\x00-\x7f]/gu, (char) => `\\[u${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`)
    .replace(/^(?=[.'])/gm, '\\&')

const flagItems = (flags: Flags): string[] =>
  Object.entries(flags).flatMap(([name, flag]) => [
    '.TP',
    `.B ${escapeRoff(flagSyntax(name, flag))}`,
    escapeRoff(flag.description),
  ])

const examples = (command: CliCommand): string[] =>
  command.examples.flatMap(([call, effect]) => [
    '.PP',
    `${escapeRoff(effect)}:`,
    '.PP',
    '.RS 4',
    '.EX',
    escapeRoff(call),
    '.EE',
    '.RE',
  ])

const sentence = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}.`

const commandSection = (command: CliCommand): string[] => [
  `.SS ${escapeRoff(command.name)}`,
  escapeRoff(sentence(command.summary)),
  ...usageForms(command).flatMap((form) => ['.PP', `.B ${escapeRoff(form)}`]),
  ...(command.about?.trim().split(/\n{2,}/) ?? []).flatMap((paragraph) => ['.PP', escapeRoff(paragraph)]),
  ...flagItems({ ...command.flags, help: HELP_FLAG }),
  ...examples(command),
]

/** Returns the man page, in roff. */
export const renderManPage = async (table: CommandTable, version: string): Promise<string> => {
  const commands = flattenGroups(await loadEntries(table))
  return `${[
    `.TH ${PROGRAM.toUpperCase()} 1 "" "${PROGRAM} ${version}" "User Commands"`,
    '.SH NAME',
    `${escapeRoff(PROGRAM)} \\- streams messages from RabbitMQ to browsers`,
    '.SH SYNOPSIS',
    `.B ${escapeRoff(PROGRAM)}`,
    '[COMMAND] [flags]',
    '.SH DESCRIPTION',
    'Commits messages from RabbitMQ to SQLite or PostgreSQL, acknowledges them, and sends them to browsers as',
    'Server\\-Sent Events. Without a COMMAND it runs',
    '.BR serve .',
    '.SH OPTIONS',
    ...flagItems(GLOBAL_FLAGS),
    '.SH COMMANDS',
    ...commands.flatMap(commandSection),
    '.SH ENVIRONMENT',
    escapeRoff(SETTINGS_NOTE),
    '.B deepsoc\\-gateway config',
    'shows each with its value and source.',
    '.SH EXIT STATUS',
    ...EXIT_CODES.flatMap(([code, meaning]) => ['.TP', `.B ${code}`, escapeRoff(meaning)]),
  ].join('\n')}\n`
}
