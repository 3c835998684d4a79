import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { amqpMessageId, routingKeyFor } from '../../../src/amqp/message-properties.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('message properties')

test('a routing key has event and type if the binding allows them', () => {
  const cases: [string, string][] = [
    ['notifications.frontend.#', 'notifications.frontend.a_b.chat'],
    ['notifications.frontend.*.chat', 'notifications.frontend.a_b.chat'],
    ['#', 'notifications.frontend.a_b.chat'],
    ['fixed', 'fixed'],
  ]
  for (const [binding, key] of cases) assert.is(routingKeyFor(binding, 'a.b', 'chat'), key, binding)
  assert.is(routingKeyFor('#', '', null), 'notifications.frontend._.message')
})

test('the property message_id never has more than the 255 bytes that AMQP carries', () => {
  assert.is(amqpMessageId('x'.repeat(255)), 'x'.repeat(255))
  assert.is(amqpMessageId('消'.repeat(85)), '消'.repeat(85))
  assert.is(amqpMessageId('消'.repeat(86)), `long:${'消'.repeat(60)}`)
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (id) => {
      const property = amqpMessageId(id)
      return Buffer.byteLength(property) <= 255 && property.isWellFormed()
    }),
  )
})

test.run()
