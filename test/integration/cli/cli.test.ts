import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { VARIABLE_NAMES } from '../../../src/config/variables.ts'
import { callCli, hasTerminal, type Ran, runCli, startShell } from '../../support/clients/cli.ts'
import { suite } from '../../support/harness/suite.ts'
import { tempDir } from '../../support/harness/wait.ts'
import { type Env, ROOT, startGateway } from '../../support/servers/gateway.ts'

const SECRET = 'hunter2-do-not-show'

const cli = (args: readonly string[], env: Env = {}): Promise<Ran> => callCli(args, { env })

const command = suite('the command line')

command('--help and --version answer on stdout', async () => {
  const help = await cli(['--help'])
  assert.equal([help.code, help.stderr], [0, ''])
  for (const word of ['serve', 'config', '--check', '--version', '.env.sample']) assert.match(help.stdout, word)
  const version = await runCli(['--version'])
  const { version: own } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  assert.equal(version, { code: 0, signal: null, stdout: `${own}\n`, stderr: '' })
})

command('help and version need no valid configuration', async () => {
  for (const flag of ['--help', '--version']) assert.is((await cli([flag], { PORT: 'x' })).code, 0)
})

command('a usage error exits with 2, with a message and the usage on stderr', async () => {
  for (const [args, says] of [
    [['bogus'], /unknown command "bogus"/],
    [['--bogus'], /bogus/],
    [['config', 'more'], /unexpected argument "more"/],
    [['serve', '--check=1'], /check/],
  ] as const) {
    const { code, stdout, stderr } = await cli(args)
    assert.equal([code, stdout], [2, ''], args.join(' '))
    assert.match(stderr, says)
    assert.match(stderr, 'Usage: deepsoc-gateway')
  }
})

command('config shows every variable on stdout, the secrets masked', async () => {
  const env = { PORT: '1234', RABBITMQ_URL: `amqp://bob:${SECRET}@mq.example/v`, RABBITMQ_PASSWORD: SECRET }
  const { code, stdout, stderr } = await cli(['config'], env)
  assert.equal([code, stderr], [0, ''])
  const lines = stdout.trimEnd().split('\n')
  assert.equal(
    lines.map((line) => line.split('=')[0]),
    [...VARIABLE_NAMES],
  )
  for (const [value, source] of [
    ['PORT=1234', 'environment'],
    ['HOST=127.0.0.1', 'default'],
    ['RABBITMQ_URL=amqp://***@mq.example/v', 'environment'],
    ['RABBITMQ_PASSWORD=***', 'environment'],
    ['DATABASE_URL=sqlite:data/gateway.db', 'default'],
    ['JWT_SECRET=(not set)', 'default'],
    ['RETENTION_DAYS=(not set)', 'default'],
    ['AUTH=none', 'default'],
  ]) {
    assert.ok(
      lines.some((line) => line.replace(/ +# /, ' # ') === `${value} # ${source}`),
      `${value} in\n${stdout}`,
    )
  }
  assert.not.match(stdout, SECRET)
})

command('an output that cannot be written is an error with its cause, and exit code 1', async () => {
  for (const call of ['config', '--version', 'config --help']) {
    const { stdout, stderr } = await startShell(`$CLI ${call} > /dev/full; echo $?`, { input: '' }).done
    assert.is(stdout, '1\n', `${call}: ${stderr}`)
    assert.match(stderr, /^deepsoc-gateway: ENOSPC\n {2}The output cannot be written: .*\n {2}hint: .*\n$/)
  }
})

command('config --check keeps stdout empty', async () => {
  const { code, stdout, stderr } = await cli(['config', '--check'])
  assert.equal([code, stdout], [0, ''])
  assert.match(stderr, 'valid')
})

command('config shows the AUTH that results from a key in a file, and the source of the key', async () => {
  const file = join(tempDir(), 'key')
  writeFileSync(file, `${SECRET}, and long enough`)
  const { code, stdout } = await cli(['config'], { JWT_SECRET_FILE: file })
  assert.is(code, 0)
  assert.match(stdout, /^AUTH=jwt +# default$/m)
  assert.match(stdout, /^JWT_SECRET=\*\*\* +# file$/m)
})

command('a misspelled variable is a warning on stderr, and does not fail the check', async () => {
  const env = { JWT_SECRETT: SECRET, PORTS: '1', CCACHE_DIR: '/tmp' }
  const warning = 'warning: JWT_SECRETT is not a variable of the gateway; did you mean JWT_SECRET?\n'
  const check = await cli(['config', '--check'], env)
  assert.equal(check, { code: 0, signal: null, stdout: '', stderr: `${warning}The configuration is valid.\n` })
  const shown = await cli(['config'], env)
  assert.equal([shown.code, shown.stderr], [0, warning])
  assert.not.match(shown.stdout, SECRET)
  const open = await cli(['config', '--check'], { ...env, HOST: '0.0.0.0' })
  assert.is(open.code, 2)
  assert.match(open.stderr, /HOST is not a loopback address/)
  assert.match(open.stderr, /^ {2}JWT_SECRETT is not a variable of the gateway/m)
  assert.not.match(open.stderr, SECRET)
})

command('a gateway starts in spite of a misspelled variable, and logs one warning', async () => {
  const gateway = await startGateway({ env: { RABITMQ_URL: 'amqp://h', HOSTS: 'x' } })
  try {
    const warnings = gateway.logs().filter(({ variable }) => variable !== undefined)
    assert.equal(
      warnings.map(({ level, variable, suggestion }) => [level, variable, suggestion]),
      [['warn', 'RABITMQ_URL', 'RABBITMQ_URL']],
    )
  } finally {
    await gateway.dispose()
  }
})

command('an invalid configuration exits with 2 and prints each problem, never a secret', async () => {
  const dir = tempDir()
  const env = {
    PORT: 'eighty',
    WORKERS: 'many',
    JWT_SECRET: SECRET,
    RABBITMQ_URL: `http://u:${SECRET}@h`,
    HOST: 'a b',
    LOG_LEVEL: 'loud',
    DATABASE_URL: `sqlite:${join(dir, 'sub', 'x.db')}`,
  }
  for (const args of [['config'], ['config', '--check'], ['serve'], []]) {
    const { code, stdout, stderr } = await (args[0] === 'config' ? cli(args, env) : runCli(args, { env }))
    assert.equal([code, stdout], [2, ''], args.join(' '))
    assert.match(stderr, 'config_invalid')
    for (const name of ['PORT', 'WORKERS', 'JWT_SECRET', 'RABBITMQ_URL', 'HOST', 'LOG_LEVEL']) {
      assert.match(stderr, new RegExp(`^ {2}${name} `, 'm'))
    }
    assert.match(stderr, 'hint:')
    assert.not.match(stderr, SECRET)
  }
  assert.not.ok(existsSync(join(dir, 'sub')), 'nothing was made before the configuration was right')
})

command('a broker URL with an invalid escape is a configuration error', async () => {
  const { code, stderr } = await cli(['config', '--check'], { RABBITMQ_URL: `amqp://u:${SECRET}%zz@h` })
  assert.is(code, 2, stderr)
  assert.match(stderr, 'RABBITMQ_URL')
  assert.not.match(stderr, SECRET)
})

command('an unusable database exits with 1 and a hint', async () => {
  const file = join(tempDir(), 'notes.txt')
  writeFileSync(file, 'just some notes, longer than a header would be\n'.repeat(10))
  const { code, stdout, stderr } = await runCli(['serve'], { env: { DATABASE_URL: `sqlite:${file}`, PORT: '0' } })
  assert.equal([code, stdout], [1, ''])
  assert.match(stderr, 'database_not_ours')
  assert.match(stderr, 'hint:')
})

const completion = suite('completion')

const scriptOf = async (shell: string): Promise<string> => {
  const file = join(tempDir(), `completion.${shell}`)
  const { code, stdout, stderr } = await cli(['completion', shell])
  assert.equal([code, stderr], [0, ''])
  writeFileSync(file, stdout)
  return file
}

/** Calls, with the completions of their last word. */
const COMPLETED: readonly (readonly [call: string, words: readonly string[]])[] = [
  ['ta', ['tail']],
  ['--v', ['--version']],
  ['rejected re', ['replay']],
  ['rejected drop --rea', ['--reason']],
  ['tail incident-17 --sin', ['--since']],
  ['publish --event backup --con', ['--content']],
  ['completion f', ['fish']],
  ['help rej', ['rejected']],
  ['backup copy-of', ['copy-of-all.db']],
  ['tail e --token-file copy-of', ['copy-of-all.db']],
  ['tail copy-of', []],
  ['tail e --after copy-of', []],
]

/** Makes a folder with one file. */
const folderWithFile = (): string => {
  const cwd = tempDir()
  writeFileSync(join(cwd, 'copy-of-all.db'), '')
  return cwd
}

const isThere = (shell: string): boolean => spawnSync(shell, ['--version']).error === undefined

/** Checks the output of a shell: the words that complete each call, one per line, and a line `==` after each call. */
const assertCompleted = (output: string): void => {
  const found = output.split(/^==\n/m).map((part) => part.split('\n').filter((line) => line !== ''))
  assert.equal(
    COMPLETED.map(([call], index) => [call, found[index]]),
    COMPLETED,
    output,
  )
}

const CALLS = COMPLETED.map(([call]) => call)

/** compopt works only while bash completes, and asks it to complete files. */
const BASH = `source "$0"
compopt() { offered=yes; }
for call in "$@"; do
  offered= COMP_WORDS=(deepsoc-gateway $call); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
  _deepsoc_gateway
  printf '%s\\n' "\${COMPREPLY[@]}"
  if [[ $offered ]]; then compgen -f -- "\${COMP_WORDS[-1]}"; fi
  echo ==
done`

completion('bash completes commands, flags and files', async () => {
  const file = await scriptOf('bash')
  const options = { cwd: folderWithFile(), encoding: 'utf8' } as const
  const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', BASH, file, ...CALLS], options)
  assert.is(stderr, '')
  assertCompleted(stdout)
})

if (isThere('fish')) {
  completion('fish completes commands, flags and files', async () => {
    const script = `source ${await scriptOf('fish')}
      for call in $argv; complete -C "deepsoc-gateway $call" | string split -f 1 \\t; echo ==; end`
    const options = {
      cwd: folderWithFile(),
      encoding: 'utf8',
      env: { PATH: process.env.PATH, HOME: tempDir() },
    } as const
    const { stdout, stderr } = spawnSync('fish', ['--no-config', '-c', script, ...CALLS], options)
    assert.is(stderr, '')
    assertCompleted(stdout)
  })
} else {
  completion.skip('fish completes commands, flags and files', 'there is no fish')
}

/** Records what an interactive zsh adds to its list of matches. Ctrl-T, which a terminal passes on, removes a call. */
const ZSHRC = `autoload -U compinit; compinit -u -D; source $SCRIPT
compadd() {
  if ((\${@[(I)-[OAD]*]})); then builtin compadd "$@"; return; fi
  local -a matches
  builtin compadd -O matches "$@"
  print -rl -- $matches >> $ZDOTDIR/matches
  builtin compadd "$@"
}
finish() { print '==' >> $ZDOTDIR/matches; comppostfuncs=(finish) }
comppostfuncs=(finish)
bindkey '^T' kill-whole-line
`

if (isThere('zsh') && hasTerminal) {
  completion('zsh completes commands, flags and files', async () => {
    const ZDOTDIR = tempDir()
    writeFileSync(join(ZDOTDIR, '.zshrc'), ZSHRC)
    const env = { PATH: process.env.PATH, TERM: 'xterm', HOME: ZDOTDIR, ZDOTDIR, SCRIPT: await scriptOf('zsh') }
    const input = `${CALLS.map((call) => `deepsoc-gateway ${call}\t\x14`).join('')}exit\n`
    spawnSync('script', ['-qec', 'zsh -i', '/dev/null'], { cwd: folderWithFile(), env, input })
    assertCompleted(readFileSync(join(ZDOTDIR, 'matches'), 'utf8'))
  })
} else {
  completion.skip('zsh completes commands, flags and files', 'there is no zsh, or no script of util-linux')
}

command.run()
completion.run()
