// unit
import * as assert from 'uvu/assert'
import { SSE_CLIENTS, sseClientTable } from '../support/clients/sse-clients.ts'
import { suite } from '../support/harness/suite.ts'
import { readText } from '../support/repo/documents.ts'

const test = suite('the table of other clients')

test('is that of the tests which run them', () => {
  assert.ok(readText('docs/CLIENT.md').includes(`\n\n${sseClientTable()}\n\n`), sseClientTable())
})

test('has packages of the lock file only, and all of them', () => {
  const { dependencies, optionalDependencies } = JSON.parse(readText('test/e2e/clients/package.json'))
  const imported = SSE_CLIENTS.flatMap(({ code }) => [...code.matchAll(/from '([^']+)'/g)].map(([, name]) => name!))
  assert.equal([...new Set(imported)].sort(), Object.keys(dependencies).sort())
  for (const version of Object.values<string>({ ...dependencies, ...optionalDependencies })) {
    assert.match(version, /^\d+\.\d+\.\d+$/)
  }
})

test.run()
