import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { ERRORS } from '../../../src/core/errors.ts'
import { suite } from '../../support/harness/suite.ts'
import { ROOT } from '../../support/servers/gateway.ts'

/** Errors of startup or of a command, which no page shows. */
const NOT_ON_PAGES = new Set([
  'backup_exists',
  'backup_write_failed',
  'backup_unsupported',
  'gateway_unreachable',
  'unexpected_response',
  'config_invalid',
  'certificate_invalid',
  'listen_failed',
  'native_module_load_failed',
  'amqp_client_incompatible',
  'node_too_old',
])

const test = suite('the error texts of the pages')

test('every error code that a page can show has a Chinese title and hint', () => {
  // The module needs a document, so its table is read as text.
  const source = readFileSync(join(ROOT, 'src/web/page/shared/error-messages-zh.ts'), 'utf8')
  const table = source.split('const CHINESE')[1]!.split('\n}\n')[0]!
  const entries = [...table.matchAll(/^ {2}(\w+): \[\s*'([^']+)',\s*'([^']+)',?\s*\],$/gm)]
  const wanted = Object.keys(ERRORS).filter((code) => !NOT_ON_PAGES.has(code))
  assert.equal(entries.map(([, code]) => code).sort(), wanted.sort())
  for (const [, code, ...texts] of entries) {
    for (const text of texts) assert.match(text, /\p{Script=Han}/u, code)
  }
})

test.run()
