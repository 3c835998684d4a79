import { type ParsedArgs, parseInteger, UsageError } from './command.ts'

/** @throws UsageError when a command that takes only flags was given more */
export const requireNoPositionals = (given: ParsedArgs): void => {
  const [word] = given.positionals
  if (word !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(word)}`)
}

/** The ids that a command was given, each once. @throws UsageError when one is none */
export const parseIds = (given: ParsedArgs): number[] => [
  ...new Set(given.positionals.map((word) => parseInteger(word, 'an id', 1, Number.MAX_SAFE_INTEGER))),
]
