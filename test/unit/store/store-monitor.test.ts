import * as assert from 'uvu/assert'
import { StoreMonitor } from '../../../src/app/store-monitor.ts'
import type { ClusterPeers } from '../../../src/cluster/worker.ts'
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

const startMonitor = (peers?: ClusterPeers) => {
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
    peers,
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
    /** Makes further checks fail. @returns a function that lets them pass */
    failChecks: (error: GatewayError): (() => void) => {
      answer = Promise.reject(error)
      answer.catch(() => undefined)
      return () => {
        answer = Promise.resolve()
      }
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

test('a failed append keeps all workers from being ready until the one that has failed can write', async () => {
  const listeners: ((error: GatewayError) => void)[] = []
  /** What one of two workers broadcasts reaches the other. */
  const peersOf = (own: number) =>
    ({
      onStoreFault: (listener: (error: GatewayError) => void) => void (listeners[own] = listener),
      broadcastStoreFault: (error: GatewayError) => listeners[1 - own]!(error),
    }) as unknown as ClusterPeers
  const [one, other] = [startMonitor(peersOf(0)), startMonitor(peersOf(1))]
  const full = new GatewayError('storage_unavailable', 'database or disk is full')
  one.monitor.report('store_write', full)
  const writable = one.failChecks(full)
  for (let n = 0; n < 30; n++) {
    await one.advance(1_000)
    assert.equal([one.health.faults[0]?.message, other.health.faults[0]?.message], [full.message, full.message])
    other.monitor.report('store_write', null)
  }
  writable()
  await one.advance(9_000)
  assert.equal([one.health.ready, other.health.ready], [true, true])
  // A worker that is killed repeats nothing any more.
  one.monitor.report('store_write', full)
  one.monitor.stop()
  await one.advance(9_000)
  assert.ok(other.health.ready)
  other.monitor.stop()
})

test.run()
