import * as assert from 'uvu/assert'
import type { LogTest } from './sqlite-store.ts'

/** Revocations: durable, one per subject, later times apply. */
export const checkAccess = (test: LogTest): void => {
  test('keeps revocations for the next process that opens the store', async (log, store) => {
    const bob = { subject: 'bob', issued_before: 1_000, until: null }
    const amy = { subject: 'amy\u0000', issued_before: 2_000, until: 9_000 }
    assert.equal([await log.revoke(bob, 0), await log.revoke(amy, 0)], [bob, amy])
    assert.equal(await (await store.open()).revocations(), [amy, bob])
  })

  test('of two revocations of a subject the later times apply', async (log) => {
    const revoke = (issued_before: number, until: number | null) =>
      log.revoke({ subject: 's', issued_before, until }, 0)
    await revoke(1_000, 5_000)
    assert.equal(await revoke(500, 6_000), { subject: 's', issued_before: 1_000, until: 6_000 })
    assert.equal(await revoke(2_000, 100), { subject: 's', issued_before: 2_000, until: 6_000 })
    assert.equal(await revoke(0, null), { subject: 's', issued_before: 2_000, until: null })
    assert.equal(await revoke(0, 7_000), { subject: 's', issued_before: 2_000, until: null })
  })

  test('deletes expired and cancelled revocations', async (log) => {
    await log.revoke({ subject: 'a', issued_before: 1, until: 5_000 }, 0)
    await log.revoke({ subject: 'b', issued_before: 1, until: null }, 5_001)
    assert.equal(
      (await log.revocations()).map(({ subject }) => subject),
      ['b'],
    )
    assert.equal(
      [await log.removeRevocation('b'), await log.removeRevocation('b'), await log.removeRevocation('nobody')],
      [true, false, false],
    )
    assert.equal(await log.revocations(), [])
  })
}
