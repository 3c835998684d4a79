import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { Coordinator } from '../../../src/cluster/coordinator.ts'
import { suite } from '../../support/harness/suite.ts'

const coordinator = suite('the coordinator')

const enter = (one: Coordinator, holder: number, ...keys: [string, number][]) =>
  one.handle({ do: 'acquire', keys }, holder, 0)
const leave = (one: Coordinator, holder: number, ...keys: string[]) => one.handle({ do: 'release', keys }, holder, 0)

coordinator('returns a stored value once, and not after it expires', () => {
  const one = new Coordinator()
  one.handle({ do: 'put', id: 'a', value: 'x', ms: 30_000 }, 1, 0)
  one.handle({ do: 'put', id: 'b', value: 'y', ms: 30_000 }, 1, 0)
  assert.equal(one.handle({ do: 'take', id: 'a' }, 2, 29_999), { ok: true, value: 'x' })
  assert.equal(one.handle({ do: 'take', id: 'a' }, 2, 29_999), { ok: false })
  assert.equal(one.handle({ do: 'take', id: 'b' }, 2, 30_000), { ok: false })
  assert.is(one.size, 0)
})

coordinator('stores no more than its limit, and removes expired values', () => {
  const one = new Coordinator()
  const keep = (id: string, now: number) => one.handle({ do: 'put', id, value: '', ms: 30_000 }, 1, now).ok
  let kept = 0
  while (keep(`t${kept}`, 0)) kept++
  assert.is(kept, 100_000)
  assert.is(keep('late', 30_001), true)
  assert.is(one.size, 1)
})

coordinator('counts under every key or under none, and returns the one at its limit', () => {
  const one = new Coordinator()
  assert.is(enter(one, 1, ['all', 3], ['a', 1]).ok, true)
  assert.equal(enter(one, 1, ['all', 3], ['a', 1]), { ok: false, key: 'a' })
  assert.is(enter(one, 2, ['all', 3], ['b', 9]).ok, true)
  assert.is(enter(one, 2, ['all', 3], ['b', 9]).ok, true)
  assert.equal(enter(one, 2, ['all', 3], ['b', 9]), { ok: false, key: 'all' })
  leave(one, 1, 'all', 'a')
  assert.is(enter(one, 1, ['all', 3], ['a', 1]).ok, true)
})

coordinator('releases the counts of an owner that exits, and only once', () => {
  const one = new Coordinator()
  for (const holder of [1, 1, 2]) enter(one, holder, ['all', 3])
  one.releaseOwner(1)
  leave(one, 1, 'all')
  assert.is(enter(one, 3, ['all', 3]).ok, true)
  assert.is(enter(one, 3, ['all', 3]).ok, true)
  assert.is(enter(one, 3, ['all', 3]).ok, false)
})

coordinator('is empty when all have left, in whatever order', () => {
  const steps = fc.array(fc.record({ holder: fc.nat(2), key: fc.constantFrom('a', 'b', 'c'), act: fc.nat(9) }))
  fc.assert(
    fc.property(steps, (list) => {
      const one = new Coordinator()
      const held: [number, string][] = []
      for (const { holder, key, act } of list) {
        if (act < 6) {
          const count = held.filter(([, other]) => other === key).length
          assert.is(enter(one, holder, [key, 3]).ok, count < 3)
          if (count < 3) held.push([holder, key])
        } else if (act < 9) {
          const at = held.findIndex(([who, what]) => who === holder && what === key)
          if (at >= 0) held.splice(at, 1)
          leave(one, holder, key)
        } else {
          one.releaseOwner(holder)
          for (let at = held.length - 1; at >= 0; at--) if (held[at]![0] === holder) held.splice(at, 1)
        }
      }
      for (const [holder, key] of held) leave(one, holder, key)
      assert.is(one.size, 0)
    }),
  )
})

coordinator('allows the rate and the burst, and returns the time to wait', () => {
  const one = new Coordinator()
  const spend = (amount: number, now: number) =>
    one.handle({ do: 'consume', key: 'k', amount, rate: 10, burst: 100 }, 1, now)
  assert.is(spend(100, 0).ok, true)
  assert.equal(spend(1, 0), { ok: false, key: 'k', waitMs: 100 })
  assert.is(spend(1, 100).ok, true)
  assert.is(spend(1_000, 100).ok, false)
  // A full bucket accepts more than it holds and owes the difference.
  assert.is(spend(1_000, 20_000).ok, true)
  assert.is(spend(1, 100_000).ok, false)
  assert.is(spend(1, 120_000).ok, true)
})

coordinator('removes buckets that are full again', () => {
  const one = new Coordinator()
  const spend = (n: number, now: number) =>
    one.handle({ do: 'consume', key: `k${n}`, amount: 1, rate: 1, burst: 10 }, 1, now)
  for (let n = 0; n < 20_000; n++) spend(n, n * 10)
  assert.ok(one.size < 2_500, `${one.size} buckets`)
})

coordinator.run()
