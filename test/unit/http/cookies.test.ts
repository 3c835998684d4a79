import * as assert from 'uvu/assert'
import { readSessionCookie } from '../../../src/http/auth/cookies.ts'
import { measureGrowth } from '../../support/harness/processor-time.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the cookie of a session')

test('is read from all of its parts, in linear time', () => {
  const header = (parts: number): string =>
    Array.from({ length: parts }, (_, n) => `gateway_session${n === 0 ? '' : `.${n}`}=a`).join('; ')
  assert.is(readSessionCookie(`other=1; ${header(3)}`, ''), 'aaa')
  const growth = measureGrowth((size) => {
    assert.is(readSessionCookie(header(size), '')?.length, size)
  }, 5_000)
  assert.ok(growth < 40, `ten times the parts take ${growth} times the processor`)
})

test.run()
