import * as assert from 'uvu/assert'
import { GatewayError } from '../../../src/core/errors.ts'
import { retryStart } from '../../../src/store/retry-start.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the start of a store')

/** Fails with these errors, one after the other, each a day after the previous one. @returns the warnings */
const startWith = async (errors: GatewayError[]): Promise<string[]> => {
  const warnings: string[] = []
  const { now } = performance
  let day = 0
  performance.now = () => day++ * 86_400_000
  try {
    await retryStart(
      () => {
        const error = errors.shift()
        if (error !== undefined) throw error
      },
      { onWarning: (text) => warnings.push(text) },
    )
  } finally {
    performance.now = now
  }
  return warnings
}

test('waits without a limit while the error can pass, and names each cause once', async () => {
  const away = new GatewayError('database_unreachable', 'connect ECONNREFUSED')
  const busy = new GatewayError('storage_busy', 'lock timeout')
  assert.equal(await startWith([away, away, busy, busy]), [
    'waiting for the database: connect ECONNREFUSED, retrying',
    'waiting for the database: lock timeout, retrying',
  ])
})

test('ends at once with an error that cannot pass', async () => {
  const foreign = new GatewayError('database_not_ours', 'tables of another application')
  const error = await startWith([foreign]).catch((thrown) => thrown)
  assert.is(error, foreign)
})

test.run()
