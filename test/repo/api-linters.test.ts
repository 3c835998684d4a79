// full
import { spawnSync } from 'node:child_process'
import { cpSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { createAsyncApi } from '../../src/http/api/asyncapi.ts'
import { createOpenApi } from '../../src/http/api/openapi.ts'
import { ROUTES } from '../../src/http/app.ts'
import { suite } from '../support/harness/suite.ts'
import { type Json, tempDir } from '../support/harness/wait.ts'
import { ROOT } from '../support/servers/gateway.ts'

const linters = suite('the linters of the API documents')

const dir = tempDir('gateway-linters-')
const FILES = ['openapi.json', 'asyncapi.json']

const run = (command: string, args: readonly string[]) =>
  spawnSync(command, args, {
    cwd: dir,
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      REDOCLY_TELEMETRY: 'off',
      REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true',
    },
  })

/** They are too large for the packages of the project. @returns why they cannot be installed, or null */
const install = (): string | null => {
  cpSync(join(ROOT, 'test/fixtures/api-linters'), dir, { recursive: true })
  const { status, stderr } = run('npm', ['ci', '--prefer-offline', '--no-audit', '--no-fund'])
  const offline = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT)\b/.exec(stderr ?? '')
  if (offline !== null) return `npm has no network (${offline[0]})`
  assert.is(status, 0, stderr)
  return null
}

const why = install()

const withLinters = (name: string, body: () => void): void =>
  why === null ? linters(name, body) : linters.skip(name, why)

linters.before(() => {
  writeFileSync(join(dir, FILES[0]!), JSON.stringify(createOpenApi('1.0.0', ROUTES, '/gateway')))
  writeFileSync(join(dir, FILES[1]!), JSON.stringify(createAsyncApi('1.0.0', '/gateway')))
  writeFileSync(join(dir, 'ruleset.json'), JSON.stringify({ extends: ['spectral:oas', 'spectral:asyncapi'] }))
})

for (const file of FILES) {
  withLinters(`Redocly finds no error and no warning in ${file} by its recommended rules`, () => {
    const cli = join('node_modules', '@redocly', 'cli', 'bin', 'cli.js')
    const { stdout, stderr } = run(process.execPath, [cli, 'lint', file, '--extends=recommended', '--format=json'])
    const { totals, problems } = JSON.parse(stdout) as Json
    const found = problems.map(({ ruleId, message, location }: Json) => `${ruleId} ${location[0].pointer}: ${message}`)
    assert.equal(found, [], stderr)
    assert.equal(totals, { errors: 0, warnings: 0, ignored: 0 })
  })
}

withLinters('Spectral finds no error and no warning by its recommended rules', () => {
  const cli = join('node_modules', '@stoplight', 'spectral-cli', 'dist', 'index.js')
  const args = [cli, 'lint', ...FILES, '--ruleset=ruleset.json', '--format=json', '--quiet']
  const { stdout, stderr } = run(process.execPath, args)
  const problems = JSON.parse(stdout) as Json[]
  // 0 an error, 1 a warning.
  const found = problems.filter(({ severity }) => severity < 2)
  assert.equal(
    found.map(({ code, path, message }) => `${code} ${path.join('/')}: ${message}`),
    [],
    stderr,
  )
})

linters.run()
