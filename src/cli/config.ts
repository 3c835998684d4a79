import { type ConfigEntry, explainConfig } from '../config/explain.ts'
import { findConfigWarnings } from '../config/warnings.ts'
import { readEnvLayers } from '../platform/env.ts'
import { type CliCommand, EXIT } from './command.ts'
import { requireNoPositionals } from './positionals.ts'
import { escapeForTerminal } from './terminal/escape.ts'

/** `config`: the effective configuration, and whether it is valid. */
export const config: CliCommand = {
  name: 'config',
  summary: 'show the effective configuration, secrets masked',
  usage: ['[--check]'],
  about: `Each line is NAME=value and the source of the value: default, environment, .env, or file (the one
that NAME_FILE names). A secret that is set is shown as ***, and AUTH as it results from the keys
that are set.

A variable whose name is one edit away from a known one, such as JWT_SECRETT, is reported as a
warning on stderr. It may belong to other software, so the exit code stays 0. Names of fewer than
ten characters, such as PORT, are searched for only in .env. A key that is public,
such as the one of DeepSOC's sample.env, is reported as well.`,
  flags: { check: { description: 'only report whether the configuration is valid, and warnings' } },
  examples: [
    ['deepsoc-gateway config', 'Every variable with its value and source'],
    ['deepsoc-gateway config --check', 'Exit code 2 and one line for each problem, if there is one'],
  ],
  run: async (args, io) => {
    requireNoPositionals(args)
    const layers = readEnvLayers()
    const entries = explainConfig(layers)
    for (const { text } of findConfigWarnings(layers)) io.note(`warning: ${text}`)
    if (args.switch('check')) io.note('The configuration is valid.')
    else await io.out.write(renderEntries(entries))
    return EXIT.ok
  },
}

/** Longer lines do not widen the column; their source follows without alignment. */
const MAX_COLUMN = 50

const renderEntries = (entries: readonly ConfigEntry[]): string => {
  const rows = entries.map(({ name, value, source }) => {
    const displayValue = value === null ? '(not set)' : escapeForTerminal(value)
    return [`${name}=${displayValue}`, source] as const
  })
  const width = Math.max(...rows.map(([text]) => text.length).filter((length) => length <= MAX_COLUMN))
  return rows.map(([text, source]) => `${text.padEnd(width)}  # ${source}\n`).join('')
}
