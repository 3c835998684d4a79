import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type CliCommand, parseCall, UsageError } from '../../../src/cli/command.ts'
import { demo } from '../../../src/cli/demo.ts'
import { renderManPage } from '../../../src/cli/help/man-page.ts'
import { renderHelp } from '../../../src/cli/help/render.ts'
import { COMMAND_TABLE } from '../../../src/cli/help/table.ts'
import type { CommandIo } from '../../../src/cli/io.ts'
import { publish } from '../../../src/cli/publish.ts'
import { rejected } from '../../../src/cli/rejected.ts'
import { serve } from '../../../src/cli/serve.ts'
import { tail } from '../../../src/cli/tail.ts'
import { callCli } from '../../support/clients/cli.ts'
import { suite } from '../../support/harness/suite.ts'
import { COMMANDS } from '../../support/repo/commands.ts'
import { ROOT } from '../../support/servers/gateway.ts'

const DOCUMENT = readFileSync(join(ROOT, 'docs', 'CLI.md'), 'utf8')

/** Returns the section below a heading. */
const sectionOf = (name: string): string => DOCUMENT.split(/^## /m).find((part) => part.startsWith(`${name}\n`)) ?? ''

const help = suite('help')

help('--help and docs/CLI.md name the same flags, forms and examples', () => {
  for (const command of COMMANDS) {
    const section = sectionOf(command.name)
    assert.ok(section !== '', `docs/CLI.md has no section ${command.name}`)
    const rows = [...section.matchAll(/^\| `--([\w-]+)(?: ([^`]+))?` \| (.+) \|$/gm)]
    const documented = rows.map(([, name, value, meaning]) => [name, value, meaning])
    const known = Object.entries(command.flags).map(([name, { value, description }]) => [name, value, description])
    assert.equal(documented, known, command.name)
    const shown = [...renderHelp(command).matchAll(/^ {2}--([\w-]+)/gm)].map(([, name]) => name)
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
      () => parseCall(command, argv),
      (error: unknown) => error instanceof UsageError && says.test(error.message),
    )
  }
})

help('--help answers on stdout without a valid configuration, of a group of commands too', async () => {
  const env = { PORT: 'x', DATABASE_URL: 'x' }
  for (const words of [['tail'], ['rejected'], ['rejected', 'drop']]) {
    const { code, stdout, stderr } = await callCli([...words, '--help'], { env })
    assert.equal([code, stderr], [0, ''], words.join(' '))
    assert.match(stdout, `Usage: deepsoc-gateway ${words.join(' ')}`)
  }
})

help('help COMMAND prints what --help prints', async () => {
  for (const words of [[], ['tail'], ['rejected'], ['rejected', 'drop'], ['help']]) {
    const { code, stdout, stderr } = await callCli(['help', ...words])
    assert.equal([code, stderr], [0, ''], words.join(' '))
    assert.is(stdout, (await callCli([...words, '--help'])).stdout)
  }
})

help('a misspelled command or flag is answered with the one that was probably meant', async () => {
  for (const [words, suggestion] of [
    [['tial', 'e'], 'tail'],
    [['Backup'], 'backup'],
    [['conf'], 'config'],
    [['rejected', 'lst'], 'list'],
    [['help', 'rejected', 'reply'], 'replay'],
    [['tail', 'e', '--sinse', '2h'], '--since'],
    [['token', '--event', 'e'], '--events'],
    [['completion', 'bsh'], 'bash'],
    [['bogus'], null],
    [['tail', '--bogus'], null],
    [['re'], null],
  ] as const) {
    const { code, stdout, stderr } = await callCli(words)
    assert.equal([code, stdout], [2, ''], words.join(' '))
    const [, suggested] = /; did you mean (.+)\?$/m.exec(stderr) ?? []
    assert.is(suggested ?? null, suggestion, stderr)
  }
})

const page = await renderManPage(COMMAND_TABLE, '1.2.3')

help('the man page has every command with its flags and examples', () => {
  const plain = page
    .replaceAll('\\-', '-')
    .replaceAll('\\e', '\\')
    .replace(/\\\[u([0-9A-F]+)\]/g, (_, code) => String.fromCodePoint(Number.parseInt(code, 16)))
  const sections = new Map(plain.split(/^\.SS /m).map((section) => [section.split('\n', 1)[0], section]))
  for (const { name, flags, examples } of COMMANDS) {
    const section = sections.get(name) ?? ''
    const shown = [...section.matchAll(/^\.B --([\w-]+)/gm)].map(([, flag]) => flag)
    assert.equal(shown, [...Object.keys(flags), 'help'], name)
    for (const [call] of examples) assert.ok(section.includes(`\n${call}\n`), call)
  }
  assert.match(plain, '"deepsoc-gateway 1.2.3"')
})

help('no line of a text is a request of roff', async () => {
  const about = ".env is read\n'quoted' \\fB"
  const text = await renderManPage({ tail: ['', async () => ({ ...tail, about })] }, '')
  assert.match(text, "\n\\&.env is read\n\\&'quoted' \\efB\n")
})

const { error, stdout, stderr } = spawnSync('groff', ['-man', '-Tutf8', '-ww'], { input: page, encoding: 'utf8' })
if (error === undefined) {
  help('groff formats the man page without a warning', () => {
    assert.is(stderr, '')
    assert.match(stdout, 'with --demo: number of incidents')
  })
} else {
  help.skip('groff formats the man page without a warning', 'there is no groff')
}

/** Modules that must not be loaded before the arguments are parsed. */
const NOWHERE = { in: { isTTY: false }, err: { isTerminal: false } } as unknown as CommandIo

help('a usage error is reported before anything is done, with a hint', async () => {
  const { list, show, replay, drop } = rejected.commands
  const calls: [CliCommand, string[], RegExp][] = [
    [tail, [], /EVENT_ID is missing/],
    [tail, ['*', 'e'], /'\*' cannot be combined/],
    [tail, ['a\nb', '--url', 'http://h'], /not an event id/],
    [tail, ['e', '--after', 'x', '--url', 'http://h'], /--after must be a whole number/],
    [tail, ['e', '--after', '1', '--last', '1', '--url', 'http://h'], /cannot be combined/],
    [tail, ['e', '--since', '1h', '--last', '1', '--url', 'http://h'], /cannot be combined/],
    [tail, ['e', '--since', 'noon', '--url', 'http://h'], /--since must be an age/],
    [tail, ['e', '--url', 'ftp://h'], /--url must be an http/],
    [tail, ['e', '--silence', '0', '--url', 'http://h'], /--silence must be a number above 0/],
    [publish, ['word'], /unexpected argument "word"/],
    [publish, ['--content', 'x'], /--event is missing/],
    [publish, ['--content', '-'], /--event is missing/],
    [publish, ['--event', 'e', '--round', '1.5'], /--round must be a whole number/],
    [publish, ['--event', ''], /--event needs a value/],
    [demo, ['--events', '0'], /--events must be a whole number from 1 to 100/],
    [demo, ['--speed', 'fast'], /--speed must be a number above 0/],
    [serve, ['--speed', '2'], /--speed requires --demo/],
    [show!, [], /an ID is missing/],
    [show!, ['x'], /an id must be a whole number/],
    [show!, ['1', '2', '--raw'], /--raw takes one ID/],
    [replay!, [], /no rows selected/],
    [replay!, ['--all', '--reason', 'invalid_json'], /--all cannot be combined/],
    [list!, ['--reason', 'nonsense'], /not an error code/],
    [list!, ['--since', 'yesterday'], /--since must be an age/],
    [drop!, ['1'], /--yes/],
  ]
  for (const [command, argv, says] of calls) {
    const error = await (async () => command.run(parseCall(command, argv)!, NOWHERE))().then(
      () => null,
      (thrown: unknown) => thrown,
    )
    assert.ok(error instanceof UsageError, `${command.name} ${argv.join(' ')}: ${error}`)
    assert.match(error.message, says)
  }
})

help('a usage error exits with 2, leaves stdout empty and shows the usage', async () => {
  for (const [words, says] of [
    [['tail'], /EVENT_ID is missing/],
    [['publish', '--bogus'], /--bogus/],
    [['rejected'], /a command is missing after rejected/],
    [['rejected', 'eat'], /unknown command "eat" after rejected/],
    [['completion'], /a shell is missing/],
    [['restore'], /FILE is missing/],
    [['help', 'tail', 'more'], /unexpected argument "more"/],
    [['help', '--man', 'tail'], /--man cannot be combined/],
  ] as const) {
    const { code, stdout, stderr } = await callCli([...words])
    assert.equal([code, stdout], [2, ''], `${words.join(' ')}: ${stderr}`)
    assert.match(stderr, says)
    assert.match(stderr, `Usage: deepsoc-gateway ${words[0]}`)
  }
})

help.run()
