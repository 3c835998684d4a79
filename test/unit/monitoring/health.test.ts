import * as assert from 'uvu/assert'
import { GatewayError } from '../../../src/core/errors.ts'
import { type Fault, HealthRegistry } from '../../../src/monitoring/health.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the health of components')

test('a fault that only moves to another host is reported once, and shown with its latest cause', () => {
  const changes: (Fault | null)[] = []
  const health = new HealthRegistry((_component, fault) => changes.push(fault))
  for (const host of ['mq1', 'mq2', 'mq1', 'mq2']) {
    health.markFailed('consumer', new GatewayError('broker_unreachable', `${host} does not respond.`))
  }
  assert.equal(
    changes.map((fault) => fault?.message),
    ['mq1 does not respond.'],
  )
  assert.equal([health.faults[0]!.message, health.faults[0]!.since], ['mq2 does not respond.', changes[0]!.since])
  health.markFailed('consumer', new GatewayError('broker_auth_failed', 'mq2 refuses the login.'))
  health.markHealthy('consumer')
  assert.equal(
    changes.map((fault) => fault?.code),
    ['broker_unreachable', 'broker_auth_failed', undefined],
  )
})

test('the first failure of a component that had not reported yet is reported, whatever it was shown as', () => {
  const changes: string[] = []
  const health = new HealthRegistry((_component, fault) => changes.push(fault?.message ?? 'recovered'))
  health.markPending('consumer', 'broker_unreachable', 'not connected yet')
  health.markFailed('consumer', new GatewayError('broker_unreachable', 'mq1 does not respond.'))
  assert.equal(changes, ['mq1 does not respond.'])
})

test.run()
