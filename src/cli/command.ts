import { parseArgs } from 'node:util'
import { parseSince } from '../core/quarantine-filter.ts'
import { findSimilarName } from '../core/similar-name.ts'
import type { CommandIo } from './io.ts'

/** Exit codes: success, failure, invalid arguments or configuration. */
export const EXIT = { ok: 0, failure: 1, usage: 2 } as const

/** Invalid arguments: the process exits with 2 and prints the usage of the command. */
export class UsageError extends Error {}

/** One flag of a command. */
export interface Flag {
  /** Placeholder of the value in the help; absent for a switch. */
  readonly value?: string
  /** The flag can be repeated. */
  readonly multiple?: true
  readonly description: string
}

export type Flags = Readonly<Record<string, Flag>>

/** A command: its help and its implementation. */
export interface CliCommand {
  /** Its name on the command line, such as `rejected list`. */
  readonly name: string
  readonly summary: string
  /** Arguments after the name, one line for each form: `EVENT_ID… [flags]`. */
  readonly usage: readonly string[]
  /** Description, wrapped for a terminal. */
  readonly about?: string
  readonly flags: Flags
  /** It changes something, so it finishes even if nobody reads its output any more. */
  readonly finishesUnread?: true
  /** Completions of an argument in a shell; none if absent. */
  readonly completes?: 'files' | readonly string[]
  /** Valid calls with a description. */
  readonly examples: readonly (readonly [call: string, does: string])[]
  /** @returns the exit code. @throws UsageError, GatewayError */
  run(given: ParsedArgs, io: CommandIo): Promise<number>
}

/** A command with subcommands, by name. */
export interface CommandGroup {
  readonly name: string
  readonly summary: string
  readonly commands: Readonly<Record<string, CliCommand>>
}

/** Commands and groups by name, with the summary of the help. They are loaded on demand. */
export type CommandTable = Readonly<
  Record<string, readonly [summary: string, load: () => Promise<CliCommand | CommandGroup>]>
>

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

/** The parsed arguments of a command. */
export class ParsedArgs {
  readonly #values: Values
  readonly positionals: readonly string[]

  constructor(values: Values, positionals: readonly string[]) {
    this.#values = values
    this.positionals = positionals
  }

  switch(flag: string): boolean {
    return this.#values[flag] === true
  }

  /** @throws UsageError if the value is empty */
  text(flag: string): string | undefined {
    const value = this.#values[flag]
    if (value === '') throw new UsageError(`--${flag} needs a value.`)
    return typeof value === 'string' ? value : undefined
  }

  /** Returns the values of a repeatable flag; each can be a comma-separated list. @throws UsageError if one is empty */
  list(flag: string): string[] {
    const values = this.#values[flag]
    const texts = Array.isArray(values) ? values.filter((value) => typeof value === 'string') : []
    const items = texts.flatMap((text) => text.split(',')).map((item) => item.trim())
    if (items.includes('')) throw new UsageError(`--${flag} has an empty value.`)
    return items
  }

  /** @throws UsageError if it is not a whole number within the bounds */
  integer(flag: string, min: number, max = Number.MAX_SAFE_INTEGER): number | undefined {
    const text = this.text(flag)
    if (text === undefined) return undefined
    return parseInteger(text, `--${flag}`, min, max)
  }

  /** @throws UsageError if it is not a number above 0 */
  positive(flag: string): number | undefined {
    const text = this.text(flag)
    if (text === undefined) return undefined
    const value = Number(text)
    if (!/^[\d.]+$/.test(text) || !(value > 0)) {
      throw new UsageError(`--${flag} must be a number above 0, not ${JSON.stringify(text)}.`)
    }
    return value
  }
}

/** @throws UsageError if the text is not a whole number within the bounds */
export const parseInteger = (text: string, name: string, min: number, max: number): number => {
  const value = Number(text)
  if (/^-?\d{1,16}$/.test(text) && Number.isSafeInteger(value) && value >= min && value <= max) return value
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min} up` : `from ${min} to ${max}`
  throw new UsageError(`${name} must be a whole number ${range}, not ${JSON.stringify(text)}.`)
}

/** Parses an age such as `12h`, or a date. @returns milliseconds since 1970. @throws UsageError */
export const parseSinceFlag = (text: string, now: number): number => {
  const time = parseSince(text, now)
  if (time !== null) return time
  throw new UsageError(
    `--since must be an age such as 30m, 12h or 7d, or a date such as 2026-11-22T10:00:00Z, not ${JSON.stringify(text)}.`,
  )
}

/** Returns `; did you mean …?` if one of the names resembles the text, else an empty text. */
export const suggestName = (text: string, names: readonly string[]): string => {
  const similar = findSimilarName(text, names)
  return similar === undefined ? '' : `; did you mean ${similar}?`
}

/**
 * Parses positionals and flags.
 *
 * @returns null if `--help` or `-h` is set
 * @throws UsageError naming a flag that is unknown, has no value or is repeated
 */
export const parseCall = (command: CliCommand, argv: readonly string[]): ParsedArgs | null => {
  const options = Object.fromEntries(
    Object.entries(command.flags).map(([name, { value }]) => [
      name,
      // All flags are parsed as repeatable, so that a flag repeated by mistake is reported instead of dropped.
      { type: value === undefined ? ('boolean' as const) : ('string' as const), multiple: true },
    ]),
  )
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: { ...options, help: { type: 'boolean', short: 'h' } },
    })
    if (values.help === true) return null
    return new ParsedArgs(collectValues(command, values), positionals)
  } catch (error) {
    if (error instanceof UsageError) throw error
    const { message } = error as Error
    const [, unknown] = /^Unknown option '(-[^']+)'/.exec(message) ?? []
    const known = [...Object.keys(command.flags), 'help'].map((name) => `--${name}`)
    const suggestion = unknown === undefined ? '' : suggestName(unknown, known)
    throw new UsageError(suggestion === '' ? message : `Unknown option '${unknown}'${suggestion}`)
  }
}

const collectValues = (command: CliCommand, values: Record<string, unknown>) => {
  const result: Record<string, string | boolean | (string | boolean)[]> = {}
  for (const [name, given] of Object.entries(values)) {
    if (!Array.isArray(given)) continue
    const { multiple, value } = command.flags[name]!
    if (multiple === true) result[name] = given
    else if (given.length > 1 && value !== undefined) {
      throw new UsageError(`--${name} is given ${given.length} times; keep one.`)
    } else result[name] = given[0]
  }
  return result
}
