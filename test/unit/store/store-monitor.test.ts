import * as assert from 'uvu/assert'
import { StoreMonitor } from '../../../src/app/store-monitor.ts'
import { GatewayError } from '../../../src/core/errors.ts'
import { HealthRegistry } from '../../../src/monitoring/health.ts'
import { DamageLatch } from '../../../src/store/damage-latch.ts'
import type { MessageStore } from '../../../src/store/store.ts'
import { Clock } from '../../support/harness/clock.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the monitor of the store')

const clock = new Clock()
test.before(() => void clock.install())
test.after(() => clock.uninstall())

const fault = () => new GatewayError('database_unreachable', 'fault of the test')

/** Lets the outcomes of a check be reported. */
const settled = async (): Promise<void> => {
  for (let n = 0; n < 20; n++) await null
}

const startMonitor = () => {
  const state = { readable: true, others: true, ended: 0, checks: [] as boolean[] }
  let answer: Promise<void> = Promise.resolve()
  const store = {
    check: (write: boolean) => {
      state.checks.push(write)
      return answer
    },
    head: async () => {
      if (!state.readable) throw fault()
      return 1
    },
    read: async () => undefined,
  } as unknown as MessageStore
  const health = new HealthRegistry(() => undefined)
  const monitor = new StoreMonitor({
    store,
    damage: new DamageLatch(),
    health,
    peers: undefined,
    onChecked: async () => undefined,
    othersServe: () => state.others,
    onCutOff: () => state.ended++,
  })
  monitor.start()
  return {
    state,
    health,
    monitor,
    /** Makes further checks wait. @returns a function that lets them pass */
    holdChecks: (): (() => void) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      answer = promise
      return resolve
    },
    advance: async (ms: number): Promise<void> => {
      for (let passed = 0; passed < ms; passed += 1_000) {
        clock.advance(1_000)
        await settled()
      }
    },
  }
}

test('ends the streams once the store cannot be read for 20 seconds although another host consumes', async () => {
  const { state, health, monitor, advance } = startMonitor()
  await advance(60_000)
  assert.is(state.ended, 0)
  state.readable = false
  await advance(15_000)
  assert.ok(health.isFailed('store_read'))
  assert.is(state.ended, 0, 'hosts that fail together need time to notice')
  // Another host stops consuming as well: all have lost the store, and no stream would be better off elsewhere.
  state.others = false
  await advance(60_000)
  state.others = true
  await advance(15_000)
  assert.is(state.ended, 0)
  await advance(10_000)
  assert.ok(state.ended > 0)
  state.readable = true
  await advance(4_000)
  const { ended } = state
  await advance(60_000)
  assert.is(state.ended, ended)
  monitor.stop()
})

test('a check that passes does not hide a write that has failed since it began', async () => {
  const { state, health, monitor, holdChecks, advance } = startMonitor()
  const pass = holdChecks()
  await advance(10_000)
  assert.equal(state.checks, [false], 'one at a time')
  monitor.report('store_write', fault())
  pass()
  await settled()
  assert.ok(health.isFailed('store_write'))
  await advance(2_000)
  assert.equal(state.checks, [false, true])
  assert.not(health.isFailed('store_write'))
  monitor.stop()
})

test.run()
