// needs: sqlalchemy
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { killAtExit } from '../../support/harness/cleanup.ts'
import { bridgePython } from '../../support/harness/provision.ts'
import { suite } from '../../support/harness/suite.ts'
import { ROOT } from '../../support/servers/gateway.ts'

const test = suite('bridge-python')

test('the bridge passes its tests in Python', async () => {
  const script = join(ROOT, 'test/integration/deepsoc/bridge_test.py')
  // Without DEEPSOC_DIR, the tests use a model of DeepSOC's tables.
  const child = spawn(bridgePython()!, ['-B', script], { stdio: ['ignore', 'ignore', 'pipe'] })
  if (child.pid !== undefined) child.once('exit', killAtExit(child.pid))
  let output = ''
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  assert.is(code, 0, output)
  assert.match(output, /^Ran [1-9]\d+ tests/m)
})

test.run()
