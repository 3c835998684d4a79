import { type CliCommand, type CommandTable, EXIT, UsageError } from '../command.ts'
import { findEntry } from './lookup.ts'
import { renderGroupHelp, renderHelp, renderOverview } from './render.ts'

/** Returns the `--help` text of the command with these words. @throws UsageError */
const renderCommandHelp = async (table: CommandTable, [name, second, ...more]: readonly string[]): Promise<string> => {
  if (name === undefined) return renderOverview(table)
  const entry = await findEntry(name, table)[1]()
  const isGroup = 'commands' in entry
  const surplus = isGroup ? more[0] : second
  if (surplus !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(surplus)}`)
  if (!isGroup) return renderHelp(entry)
  return second === undefined ? renderGroupHelp(entry) : renderHelp(findEntry(second, entry.commands))
}

/** Creates `help`, which shows the help of a command of this table, or the man page of all. */
export const createHelpCommand = (table: CommandTable): CliCommand => ({
  name: 'help',
  summary: 'show the help of a command, or the man page of all commands',
  usage: ['[COMMAND]', '--man'],
  about: 'npm installs the man page with the package. For the single executable save it as the last example does.',
  flags: { man: { description: 'print the man page, in the format of man' } },
  completes: Object.keys(table),
  examples: [
    ['deepsoc-gateway help tail', 'Flags and examples of a command'],
    ['deepsoc-gateway help rejected replay', 'The same for a command with two words'],
    [
      'mkdir -p ~/.local/share/man/man1 && deepsoc-gateway help --man > ~/.local/share/man/man1/deepsoc-gateway.1',
      'Install the man page for yourself',
    ],
  ],
  run: async (args, io) => {
    if (!args.switch('man')) {
      await io.out.write(await renderCommandHelp(table, args.positionals))
      return EXIT.ok
    }
    if (args.positionals.length > 0) throw new UsageError('--man cannot be combined with a COMMAND')
    await io.out.write(await (await import('./man-page.ts')).renderManPage(table, io.version))
    return EXIT.ok
  },
})
