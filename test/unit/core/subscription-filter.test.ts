import * as assert from 'uvu/assert'
import { createFilter, filterKey, matchesFilter } from '../../../src/core/subscription-filter.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the filter of a subscription')

test('equal filters have the same key, others have not', () => {
  const key = filterKey(createFilter(['b', 'a'], ['u', 't', 'u'], ['y', 'x']))
  assert.is(filterKey(createFilter(['a', 'b', 'b'], ['t', 'u'], ['x', 'y'])), key)
  const others = [
    createFilter(['a', 'b'], ['t'], ['x', 'y']),
    createFilter(['a', 'b'], ['x', 'y'], ['t', 'u']),
    createFilter(['a', 'b'], null, ['x', 'y']),
    createFilter(['a', 'b'], [], ['x', 'y']),
    createFilter(['a', 'b'], ['t', 'u'], ['x', 'y'], true),
    createFilter(['a,b'], ['t', 'u'], ['x', 'y']),
  ]
  assert.is(new Set([key, ...others.map(filterKey)]).size, 1 + others.length)
})

test('a message is looked up in the types and senders, however many they are', () => {
  const filter = createFilter('*', ['t', 'u'], ['x'])
  assert.ok(filter.types instanceof Set && filter.senders instanceof Set, 'a list would be compared with each message')
  const matches = (message_type: string | null, message_from: string | null) =>
    matchesFilter(filter, { message_type, message_from })
  assert.equal([matches('u', 'x'), matches('v', 'x'), matches('u', 'y')], [true, false, false])
  assert.equal([matches(null, 'x'), matches('t', null)], [false, false])
})

test.run()
