import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type Command, helpOf, readCall, UsageError } from '../src/commands/command.ts'
import { config } from '../src/commands/config.ts'
import { demo } from '../src/commands/demo.ts'
import { publish } from '../src/commands/publish.ts'
import { rejected } from '../src/commands/rejected.ts'
import { serve } from '../src/commands/serve.ts'
import { tail } from '../src/commands/tail.ts'
import { runCli } from './support/cli.ts'
import { ROOT } from './support/gateway.ts'
import { suite } from './support/suite.ts'

const COMMANDS: Command[] = [serve, publish, tail, demo, ...Object.values(rejected.commands), config]

const DOCUMENT = readFileSync(join(ROOT, 'docs', 'CLI.md'), 'utf8')

/** The part of the document below a heading. */
const sectionOf = (name: string): string => DOCUMENT.split(/^## /m).find((part) => part.startsWith(`${name}\n`)) ?? ''

const help = suite('help', { timeoutMs: 120_000 })

help('--help and docs/CLI.md name the same flags, forms and examples', () => {
  for (const command of COMMANDS) {
    const section = sectionOf(command.name)
    assert.ok(section !== '', `docs/CLI.md has no section ${command.name}`)
    const rows = [...section.matchAll(/^\| `--([\w-]+)(?: ([^`]+))?` \| (.+) \|$/gm)]
    const documented = rows.map(([, name, value, meaning]) => [name, value, meaning])
    const known = Object.entries(command.flags).map(([name, { value, meaning }]) => [name, value, meaning])
    assert.equal(documented, known, command.name)
    const shown = [...helpOf(command).matchAll(/^ {2}--([\w-]+)/gm)].map(([, name]) => name)
    assert.equal(shown, [...Object.keys(command.flags), 'help'])
    for (const form of command.usage)
      assert.ok(section.includes(`deepsoc-gateway ${command.name} ${form}`.trim()), form)
    for (const [call] of command.examples) assert.ok(section.includes(call), call)
  }
})

help('the examples of a command use flags that it has', () => {
  for (const command of COMMANDS) {
    for (const [call] of command.examples) {
      for (const [, words] of call.matchAll(/deepsoc-gateway ([^|<>]+)/g)) {
        const called = COMMANDS.find(({ name }) => words!.startsWith(name))
        assert.ok(called, call)
        const flags = [...words!.matchAll(/--([\w-]+)/g)].map(([, flag]) => flag!)
        for (const flag of flags) assert.ok(Object.hasOwn(called.flags, flag), `${call}: --${flag}`)
      }
    }
  }
})

help('a flag that is unknown, lacks its value, has one too many or comes twice is named', () => {
  for (const [command, argv, says] of [
    [tail, ['e', '--bogus'], /--bogus/],
    [tail, ['e', '--after'], /--after/],
    [tail, ['e', '--json=1'], /--json/],
    [tail, ['e', '--after', '1', '--after', '2'], /--after is given 2 times/],
  ] as const) {
    assert.throws(
      () => readCall(command, argv),
      (error: unknown) => error instanceof UsageError && says.test(error.message),
    )
  }
})

help('every command answers --help on stdout without a valid configuration', async () => {
  const env = { PORT: 'x', DATABASE_URL: 'x' }
  const calls = [...COMMANDS.map(({ name }) => name.split(' ')), ['rejected']]
  for (const words of calls) {
    const { code, stdout, stderr } = await runCli([...words, '--help'], { env })
    assert.equal([code, stderr], [0, ''], words.join(' '))
    assert.match(stdout, `Usage: deepsoc-gateway ${words.join(' ')}`)
  }
})

help('a wrong call exits with 2, leaves stdout alone and says what to do', async () => {
  const calls: [string[], RegExp][] = [
    [['tail'], /EVENT_ID is missing/],
    [['tail', '*', 'e'], /'\*' stands alone/],
    [['tail', 'e', '--after', 'x'], /--after must be a whole number/],
    [['tail', 'e', '--url', 'ftp://h'], /--url must be an http/],
    [['tail', 'e', '--silence', '0'], /--silence must be a number above 0/],
    [['publish', 'word'], /unexpected argument "word"/],
    [['publish', '--content', 'x'], /--event is missing/],
    [['publish', '--event', 'e', '--round', '1.5'], /--round must be a whole number/],
    [['demo', '--events', '0'], /--events must be a whole number from 1 to 100/],
    [['serve', '--speed', '2'], /--speed goes with --demo/],
    [['rejected'], /a command is missing behind rejected/],
    [['rejected', 'eat'], /unknown command "eat" behind rejected/],
    [['rejected', 'show'], /an ID is missing/],
    [['rejected', 'show', 'x'], /an id must be a whole number/],
    [['rejected', 'replay'], /say which rows/],
    [['rejected', 'replay', '--all', '--reason', 'invalid_json'], /--all stands alone/],
    [['rejected', 'list', '--reason', 'nonsense'], /no error code/],
    [['rejected', 'list', '--since', 'yesterday'], /--since must be an age/],
    [['rejected', 'drop', '1'], /--yes/],
  ]
  for (const [words, says] of calls) {
    const { code, stdout, stderr } = await runCli(words, { env: { PORT: '18999' } })
    assert.equal([code, stdout], [2, ''], `${words.join(' ')}: ${stderr}`)
    assert.match(stderr, says)
    assert.match(stderr, 'Usage: deepsoc-gateway')
  }
})

help.run()
