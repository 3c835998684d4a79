import { type CliCommand, type CommandTable, EXIT, suggestName, UsageError } from '../command.ts'
import { loadEntries } from './lookup.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const

/** Creates `completion`, which prints a completion script made from this table. */
export const createCompletionCommand = (table: CommandTable): CliCommand => ({
  name: 'completion',
  summary: 'print a completion script for a shell',
  usage: [SHELLS.join('|')],
  about: `The script completes commands, flags and the names of files. It contains all of them, so print it again after an
upgrade.`,
  flags: {},
  completes: SHELLS,
  examples: [
    ['source <(deepsoc-gateway completion bash)', 'In ~/.bashrc'],
    [
      'mkdir -p ~/.zfunc && deepsoc-gateway completion zsh > ~/.zfunc/_deepsoc-gateway',
      'With fpath+=~/.zfunc before compinit in ~/.zshrc',
    ],
    [
      'mkdir -p ~/.config/fish/completions && deepsoc-gateway completion fish > ~/.config/fish/completions/deepsoc-gateway.fish',
      'For fish',
    ],
  ],
  run: async (args, io) => {
    const [shell, ...more] = args.positionals
    if (shell === undefined) throw new UsageError(`a shell is missing: ${SHELLS.join(', ')}`)
    if (more.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(more[0])}`)
    if (!SHELLS.some((name) => name === shell)) {
      throw new UsageError(`unknown shell ${JSON.stringify(shell)}: ${SHELLS.join(', ')}${suggestName(shell, SHELLS)}`)
    }
    const { COMPLETION_SCRIPTS } = await import('./scripts.ts')
    await io.out.write(COMPLETION_SCRIPTS[shell]!(await loadEntries(table)))
    return EXIT.ok
  },
})
