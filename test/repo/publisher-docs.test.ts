// unit
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { PUBLISH_ERRORS } from '../../src/publisher/index.ts'
import { suite } from '../support/harness/suite.ts'
import { ROOT } from '../support/servers/gateway.ts'

const test = suite('publisher-docs')

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

test('every error code of the publisher has its row in PUBLISHING, with its hint, and no other code has one', () => {
  const section = read('docs/PUBLISHING.md').split('## Error codes')[1]!
  const rows = [...section.matchAll(/^\| `(\w+)` \| (.+?) \| (.+?) \|$/gm)]
  const table = new Map(rows.map(([, code, , action]) => [code!, action]))
  assert.equal([...table.keys()], Object.keys(PUBLISH_ERRORS))
  for (const [code, { hint }] of Object.entries(PUBLISH_ERRORS)) assert.is(table.get(code), hint, code)
})

test('every option of the publisher is described in PUBLISHING, and no other', () => {
  const body = read('src/publisher/publisher.ts').split('interface PublisherOptions {')[1]!.split('\n}')[0]!
  const options = [...body.matchAll(/^ {2}readonly (\w+)/gm)].map(([, name]) => name!)
  const table = read('docs/PUBLISHING.md').split('| option | default | meaning |')[1]!.split('\n\n')[0]!
  const described = [...table.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, names]) => [...names!.matchAll(/`(\w+)`/g)])
  assert.equal(described.map(([, name]) => name!).sort(), options.sort())
})

test('every error code is raised somewhere', () => {
  const sources = ['src/publisher', 'src/amqp']
    .flatMap((folder) => readdirSync(join(ROOT, folder)).map((file) => join(folder, file)))
    .filter((file) => file !== 'src/publisher/errors.ts')
    .map(read)
    .join('\n')
  for (const code of Object.keys(PUBLISH_ERRORS)) assert.ok(sources.includes(`'${code}'`), code)
})

test('the codes of the Python example are codes of the library', () => {
  const hints = /HINTS = \{([\s\S]*?)\n\}/.exec(read('examples/python/agent.py'))![1]!
  const codes = [...hints.matchAll(/^ {4}"(\w+)":/gm)].map(([, code]) => code!)
  assert.ok(codes.length > 10)
  for (const code of codes) assert.ok(code in PUBLISH_ERRORS, code)
})

test('the package offers the publisher by the name that the documents use', () => {
  const { name, exports } = JSON.parse(read('package.json')) as { name: string; exports: Record<string, unknown> }
  assert.ok('./publisher' in exports)
  assert.ok(read('docs/PUBLISHING.md').includes(`from '${name}/publisher'`))
})

test.run()
