import * as assert from 'uvu/assert'
import { errorChainText } from '../../../src/core/error-text.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('error text')

test('an error is followed by its causes', () => {
  const error = new Error('outer', { cause: new Error('middle', { cause: 'inner' }) })
  assert.is(errorChainText(error), 'outer: middle: inner')
})

test('an error without a message is described by its code, or else its class', () => {
  assert.is(errorChainText(Object.assign(new Error(''), { code: 'ECONNREFUSED' })), 'ECONNREFUSED')
  assert.is(errorChainText(new TypeError('')), 'TypeError')
})

test('a host with several addresses is described by the failure of the first', () => {
  const failures = [new Error('connect ECONNREFUSED ::1:5672'), new Error('connect ECONNREFUSED 127.0.0.1:5672')]
  const error = Object.assign(new AggregateError(failures), { code: 'ECONNREFUSED' })
  assert.is(errorChainText(error), 'connect ECONNREFUSED ::1:5672')
  assert.is(errorChainText(new AggregateError(failures, 'both failed')), 'both failed')
})

test('what is not an error is shown as text', () => {
  assert.is(errorChainText('gone'), 'gone')
  assert.is(errorChainText(null), 'null')
})

test.run()
