import type { CliCommand } from '../../../src/cli/command.ts'
import { flattenGroups, loadEntries } from '../../../src/cli/help/lookup.ts'
import { COMMAND_TABLE } from '../../../src/cli/help/table.ts'

/** Every command; one of a group with both its words. */
export const COMMANDS: readonly CliCommand[] = flattenGroups(await loadEntries(COMMAND_TABLE))
