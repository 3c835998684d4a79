import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mock } from 'node:test'
import * as assert from 'uvu/assert'
import type { GatewayError } from '../../../src/core/errors.ts'
import { CertificateWatcher } from '../../../src/http/server/certificate-watcher.ts'
import { suite } from '../../support/harness/suite.ts'
import { tempDir } from '../../support/harness/wait.ts'

const watcher = suite('the watcher of a certificate')

watcher('reports unusable files once per state, however often it polls', async () => {
  const dir = tempDir()
  const files = { certFile: join(dir, 'tls.crt'), keyFile: join(dir, 'tls.key') }
  const [cert, key] = [Buffer.from('certificate'), Buffer.from('key')]
  const usable = (): void => {
    writeFileSync(files.certFile, cert)
    writeFileSync(files.keyFile, key)
  }
  usable()
  const faults: string[] = []
  const watch = new CertificateWatcher({
    files,
    current: { cert, key, fingerprint: '', names: '', expiresAt: 0 },
    onChange: () => faults.push('it was taken'),
    onError: ({ code, message }: GatewayError) => faults.push(`${code}: ${message}`),
  })
  mock.timers.enable({ apis: ['setTimeout'] })
  // Each poll ends by setting the timer of the next one.
  const start = mock.method(watch, 'start')
  const look = async (times: number): Promise<void> => {
    for (let n = 0; n < times; n++) {
      const looks = start.mock.callCount()
      mock.timers.tick(1_000)
      while (start.mock.callCount() === looks) await new Promise(setImmediate)
    }
  }
  try {
    watch.start()
    await look(3)
    assert.equal(faults, [])
    writeFileSync(files.certFile, 'half of')
    await look(1)
    assert.equal(faults, [], 'what is just being written')
    await look(4)
    assert.is(faults.length, 1)
    assert.match(faults[0]!, /^certificate_invalid: .*cannot be used/)
    rmSync(files.keyFile)
    await look(5)
    assert.is(faults.length, 2)
    assert.match(faults[1]!, /^certificate_invalid: .*cannot be read: ENOENT/)
    usable()
    await look(3)
    writeFileSync(files.certFile, 'half of')
    await look(5)
    assert.equal(faults, [faults[0], faults[1], faults[0]], 'after it was well in between')
  } finally {
    watch.stop()
    mock.timers.reset()
  }
})

watcher.run()
