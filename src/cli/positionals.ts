import { type ParsedArgs, parseInteger, UsageError } from './command.ts'

/** @throws UsageError if there are positionals */
export const requireNoPositionals = (given: ParsedArgs): void => {
  const [word] = given.positionals
  if (word !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(word)}`)
}

/** Returns the positionals as unique ids. @throws UsageError if one is not an id */
export const parseIds = (given: ParsedArgs): number[] => [
  ...new Set(given.positionals.map((word) => parseInteger(word, 'an id', 1, Number.MAX_SAFE_INTEGER))),
]
