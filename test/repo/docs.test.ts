// unit
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { CONFIG_VARIABLES, DEEPSOC_SECRET } from '../../src/config/variables.ts'
import { ERRORS } from '../../src/core/errors.ts'
import { declaredMetrics } from '../support/clients/metrics.ts'
import { suite } from '../support/harness/suite.ts'
import { DOCUMENTS, readAnchors, readText } from '../support/repo/documents.ts'
import { ROOT } from '../support/servers/gateway.ts'

const test = suite('docs')

const read = readText

test('every error code has its row in OPERATIONS, with the hint of the catalogue, and no other code has one', () => {
  const rows = [
    ...read('docs/OPERATIONS.md')
      .split('## Error codes')[1]!
      .matchAll(/^\| `(\w+)` \| (.+?) \| (.+?) \|$/gm),
  ]
  const table = new Map(rows.map(([, code, cause, action]) => [code!, { cause, action }]))
  assert.equal([...table.keys()].sort(), Object.keys(ERRORS).sort())
  for (const [code, { hint }] of Object.entries(ERRORS)) assert.is(table.get(code)?.action, hint, code)
})

test('every metric is described in OPERATIONS, and every described metric exists', () => {
  const names = [...declaredMetrics().keys()].sort()
  const described = new Set(
    [...read('docs/OPERATIONS.md').matchAll(/`((?:gateway|process|nodejs)_\w+)/g)]
      .map(([, name]) => name!)
      .filter((name) => !Object.hasOwn(ERRORS, name)),
  )
  assert.equal([...described].sort(), names)
})

test('the invariants name tests that exist', () => {
  const named = [...read('docs/ARCHITECTURE.md').matchAll(/`([\w/-]+\.test\.ts)`/g)].map(([, file]) => file!)
  assert.ok(named.length > 10)
  for (const file of named) assert.ok(existsSync(join(ROOT, 'test', file)), file)
})

test('every threat in SECURITY names the test that stops it, and it exists', () => {
  const table = read('docs/SECURITY.md').split('## Threats')[1]!.split('\n## ')[0]!
  const rows = table.split('\n').filter((line) => line.startsWith('| ') && !/^\| (threat|---) /.test(line))
  assert.ok(rows.length > 20, `${rows.length} threats`)
  for (const row of rows) {
    const named = [...row.matchAll(/`([\w/-]+\.test\.ts)`/g)].map(([, file]) => file!)
    assert.ok(named.length > 0, row)
    for (const file of named) assert.ok(existsSync(join(ROOT, 'test', file)), file)
  }
})

test('every option and figure of the browser client is described in CLIENT', () => {
  const types = read('src/web/client/types.ts')
  const text = read('docs/CLIENT.md')
  for (const part of ['ChannelOptions', 'ChannelStatus', 'Hello', 'Progress', 'Reset', 'StateReason']) {
    const body = types.split(`interface ${part} {`)[1]!.split('\n}')[0]!
    const names = [...body.matchAll(/^ {2}readonly (\w+)/gm)].map(([, name]) => name!)
    assert.ok(names.length > 2, part)
    for (const name of names) assert.match(text, new RegExp(`\`[\\w.]*\\b${name}\\b`), `${part}.${name}`)
  }
})

test('links between the documents lead to a file, and to a heading of it', () => {
  let seen = 0
  for (const document of DOCUMENTS) {
    for (const [, target] of read(document).matchAll(/\]\(([^)]+)\)/g)) {
      seen++
      if (target!.includes('://')) {
        assert.ok(URL.canParse(target!) && target!.startsWith('https://'), `${document} → ${target}`)
        continue
      }
      const [path = '', anchor] = target!.split('#')
      const file = path === '' ? document : join(dirname(document), path)
      assert.ok(existsSync(join(ROOT, file)), `${document} → ${target}`)
      if (anchor !== undefined) assert.ok(readAnchors(file).has(anchor), `${document} → ${target}`)
    }
  }
  assert.ok(seen > 80, `${seen} links`)
})

test('each page in docs/zh links to its English counterpart and back', () => {
  const pages = DOCUMENTS.filter((name) => name.startsWith('docs/zh/'))
  assert.ok(pages.length > 0)
  for (const page of pages) {
    const name = page.slice('docs/zh/'.length)
    assert.match(read(page), `\n[English](../${name})\n`)
    assert.match(read(`docs/${name}`), `\n[中文](zh/${name})\n`)
  }
})

test('the variables that the documents name are in the catalogue', () => {
  // The bridge for DeepSOC is a program of its own.
  const known = new Set([...Object.keys(CONFIG_VARIABLES), DEEPSOC_SECRET, 'BRIDGE_OUTBOX'])
  // These name variables of the tests, constants of the code, and variables by their previous names.
  const others = ['docs/TESTING.md', 'docs/UPSTREAM.md', 'CHANGELOG.md']
  for (const document of DOCUMENTS.filter((name) => !others.includes(name))) {
    for (const [, name] of read(document).matchAll(/`([A-Z][A-Z0-9]*_[A-Z0-9_]+)`/g)) {
      assert.ok(known.has(name!), `${document}: ${name}`)
    }
  }
})

test.run()
