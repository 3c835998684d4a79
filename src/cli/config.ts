import { loadConfig, readEnvironment } from '../config/config.ts'
import { type CliCommand, EXIT } from './command.ts'
import { requireNoPositionals } from './positionals.ts'

/** `config`: what holds, and whether it is valid. */
export const config: CliCommand = {
  name: 'config',
  summary: 'show the effective configuration, secrets masked',
  usage: ['[--check]'],
  flags: { check: { meaning: 'say only whether the configuration is valid' } },
  examples: [
    ['deepsoc-gateway config', 'Every variable as it holds'],
    ['deepsoc-gateway config --check', 'Exit code 2 names each fault'],
  ],
  run: async (given, io) => {
    requireNoPositionals(given)
    const { redactedValues } = loadConfig(readEnvironment())
    if (given.switch('check')) io.note('The configuration is valid.')
    else for (const [name, value] of Object.entries(redactedValues)) await io.out.write(`${name}=${value}\n`)
    return EXIT.ok
  },
}
