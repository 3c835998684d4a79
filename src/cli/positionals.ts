import { redactUrl } from '../config/redact.ts'
import { type ParsedArgs, parseInteger, UsageError } from './command.ts'

/** @throws UsageError if there are positionals */
export const requireNoPositionals = (args: ParsedArgs): void => {
  const [value] = args.positionals
  if (value !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(redactUrl(value))}`)
}

/** Returns the positionals as unique ids. @throws UsageError if one is not an id */
export const parseIds = (args: ParsedArgs): number[] => [
  ...new Set(args.positionals.map((value) => parseInteger(value, 'an id', 1, Number.MAX_SAFE_INTEGER))),
]
