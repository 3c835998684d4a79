import { type CliCommand, type CommandGroup, type CommandTable, suggestName, UsageError } from '../command.ts'

/** @throws UsageError with the name that was probably meant */
export const findEntry = <Entry>(name: string, entries: Readonly<Record<string, Entry>>): Entry => {
  const entry = Object.hasOwn(entries, name) ? entries[name] : undefined
  if (entry !== undefined) return entry
  throw new UsageError(`unknown command ${JSON.stringify(name)}${suggestName(name, Object.keys(entries))}`)
}

/** Loads every command and group. */
export const loadEntries = (table: CommandTable): Promise<(CliCommand | CommandGroup)[]> =>
  Promise.all(Object.values(table).map(([, load]) => load()))

/** Returns the commands of these entries, one of a group with both its words. */
export const flattenGroups = (entries: readonly (CliCommand | CommandGroup)[]): CliCommand[] =>
  entries.flatMap((entry) => ('commands' in entry ? Object.values(entry.commands) : [entry]))
