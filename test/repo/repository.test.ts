import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from '../support/harness/suite.ts'
import type { Json } from '../support/harness/wait.ts'
import { readText, readYaml } from '../support/repo/documents.ts'
import { ROOT } from '../support/servers/gateway.ts'

const test = suite('the files that repositories have')

const json = (file: string): Json => JSON.parse(readText(file))

const manifest = json('package.json')

test('LICENSE, package.json and its lock agree', () => {
  assert.is(manifest.license, 'MIT')
  assert.is(json('package-lock.json').packages[''].license, 'MIT')
  assert.match(readText('LICENSE'), /^MIT License\n/)
  assert.match(readText('LICENSE'), ` ${manifest.author}\n`)
})

test('.nvmrc names a Node that engines allows, and the one of CI and of the image', () => {
  const major = readText('.nvmrc').trim()
  assert.ok(Number(major) >= Number(/^>=(\d+)\./.exec(manifest.engines.node)![1]))
  for (const { container } of Object.values<Json>(readYaml('.github/workflows/ci.yml').jobs)) {
    assert.is(container.image, `node:${major}-bookworm`)
  }
  assert.match(readText('Dockerfile'), `FROM node:${major}-bookworm`)
})

test('.editorconfig matches Biome’s format', () => {
  const { indentStyle, indentWidth, lineWidth } = json('biome.json').formatter
  for (const line of [
    `indent_style = ${indentStyle}`,
    `indent_size = ${indentWidth}`,
    `max_line_length = ${lineWidth}`,
  ]) {
    assert.match(readText('.editorconfig').split('[*.py]')[0]!, line)
  }
})

test('CI runs the test command for pushes and pull requests, and the full tests by schedule', () => {
  const { on, jobs } = readYaml('.github/workflows/ci.yml')
  const commands = (job: string): string[] => jobs[job].steps.flatMap(({ run = [] }: Json) => run)
  assert.equal(Object.keys(on).sort(), ['pull_request', 'push', 'schedule', 'workflow_dispatch'])
  assert.ok(existsSync(join(ROOT, '.ci/run')))
  assert.equal([commands('test').includes('.ci/run'), /'push'.*'pull_request'/.test(jobs.test.if)], [true, true])
  assert.equal([commands('full').includes('npm run test:full'), /'schedule'/.test(jobs.full.if)], [true, true])
})

test('issue forms and the updates of dependencies are complete', () => {
  for (const form of ['bug', 'feature']) {
    const { name, description, body } = readYaml(`.github/ISSUE_TEMPLATE/${form}.yml`)
    assert.equal([typeof name, typeof description], ['string', 'string'])
    const ids = body.filter(({ type }: Json) => type !== 'markdown').map(({ id }: Json) => id)
    assert.ok(ids.length > 2 && new Set(ids).size === ids.length && ids.every(Boolean), `${form}: ${ids}`)
  }
  const ecosystems = readYaml('.github/dependabot.yml').updates.map((update: Json) => update['package-ecosystem'])
  assert.equal(ecosystems, ['npm', 'github-actions'])
})

const TYPES = ['feat', 'fix', 'refactor', 'perf', 'docs', 'test', 'build', 'chore']

test('CONTRIBUTING and the template of pull requests ask for the same form of commits', () => {
  for (const file of ['CONTRIBUTING.md', '.github/PULL_REQUEST_TEMPLATE.md']) {
    const text = readText(file).replace(/\s+/g, ' ')
    assert.match(text, '`type(scope): imperative subject`, at most 72 characters')
    assert.equal(
      TYPES.filter((type) => !new RegExp(`\\b${type}\\b`).test(text)),
      [],
      file,
    )
  }
})

/** The last commit before the form was checked. */
const UNCHECKED = '548645c'

test('every commit since the form is checked has it', () => {
  const { status, stdout } = spawnSync('git', ['log', '--no-merges', '--format=%s', `${UNCHECKED}..HEAD`], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  // An archive has no history, and a shallow clone not all of it.
  if (status !== 0) return
  const form = new RegExp(`^(${TYPES.join('|')})(\\([a-z0-9-]+\\))?: [^A-Z].*[^.]$`)
  assert.equal(
    stdout.split('\n').filter((subject) => subject !== '' && (subject.length > 72 || !form.test(subject))),
    [],
  )
})

test.run()
