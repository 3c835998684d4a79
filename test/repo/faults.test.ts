// unit
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { ERRORS } from '../../src/core/errors.ts'
import { declaredMetrics } from '../support/clients/metrics.ts'
import { suite } from '../support/harness/suite.ts'
import { readText } from '../support/repo/documents.ts'
import { FAULT_TABLE } from '../support/resilience/fault-table.ts'
import { FAULT_DOCUMENTS, withFaultTable } from '../support/resilience/fault-table-text.ts'
import { ROOT } from '../support/servers/gateway.ts'

const test = suite('the table of faults')

/** Names of the tests of a file, with `…` for what the source inserts. */
const testNames = (file: string): string[] =>
  [...readText(`test/${file}`).matchAll(/\w\(\s*(['`])((?:(?!\1).)+)\1,\s*(?:\(|async|reason)/g)].map(([, , name]) =>
    name!.replace(/\$\{[^}]*\}/g, '…'),
  )

test('every fault names tests that exist', () => {
  for (const { fault, tests } of FAULT_TABLE) assert.ok(tests.length > 0, fault.en)
  const missing = FAULT_TABLE.flatMap(({ tests }) => tests).filter(
    ([file, name]) => !existsSync(join(ROOT, 'test', file)) || !testNames(file).includes(name),
  )
  assert.equal(missing, [])
})

test('every file of test/resilience is in the table', () => {
  const named = new Set(FAULT_TABLE.flatMap(({ tests }) => tests.map(([file]) => file)))
  // Random requests are no fault of a part.
  const others = ['fuzz-http.test.ts']
  for (const name of readdirSync(join(ROOT, 'test/resilience'))) {
    assert.ok(named.has(`resilience/${name}`) || others.includes(name), name)
  }
})

test('codes, metrics, alerts and log messages of the table exist', () => {
  const metrics = declaredMetrics()
  const source = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => readText(`src/${path}`))
    .join()
  const alerts = readText('deploy/alerts.yml')
  for (const { fault, named = [], answer, startup = [], metric, alert, log } of FAULT_TABLE) {
    for (const code of [...named.map(([, one]) => one), ...startup, answer ?? 'internal']) {
      assert.ok(Object.hasOwn(ERRORS, code), code)
    }
    if (metric !== undefined) assert.ok(metrics.has(metric), metric)
    if (alert !== undefined) assert.match(alerts, `alert: ${alert}\n`)
    if (log !== undefined)
      assert.ok(
        [`'${log}'`, `\`${log}: `].some((text) => source.includes(text)),
        log,
      )
    assert.match(fault.zh, /\p{Script=Han}/u)
  }
})

for (const language of ['en', 'zh'] as const) {
  test(`the table in ${FAULT_DOCUMENTS[language]} is the one that npm run fault-table writes`, () => {
    assert.is(readText(FAULT_DOCUMENTS[language]), withFaultTable(language))
  })
}

test.run()
