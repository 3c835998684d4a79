import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { GatewayError } from '../../../src/core/errors.ts'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import { DamageLatch } from '../../../src/store/damage-latch.ts'
import { SqliteStore } from '../../../src/store/sqlite/store.ts'
import { suite } from '../../support/harness/suite.ts'
import { until } from '../../support/harness/wait.ts'
import { checkpoint, pageWith, zeroPages } from '../../support/servers/damage.ts'
import { fastDir } from '../../support/servers/fast-dir.ts'
import { fresh, newEntry } from '../../support/stages/entries.ts'

const PAGE = { messages: 500, bytes: Number.POSITIVE_INFINITY }
const COUNT = 10

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: GatewayError) => error.code,
  )

const damage = suite('a damaged database')

/** A text that is in the body once: in its middle, or at its end. */
const mark = (event_id: string, n: number, where: 'middle' | 'end'): string => `<${event_id} ${n} ${where}>`

const bodyOf = (event_id: string, n: number): string => {
  const pad = 'x'.repeat(9_000)
  return JSON.stringify({ event_id, content: [pad, mark(event_id, n, 'middle'), pad, mark(event_id, n, 'end')] })
}

interface DamagedStore {
  readonly log: SqliteStore
  readonly latch: DamageLatch
  readonly file: string
  /** Lets time pass for the latch. */
  advance(ms: number): void
  reported(): number
}

/** A store with ten messages of 18 kB in each of two events, all of them in its file and none in a cache. */
const makeStore = async (inline: boolean): Promise<DamagedStore> => {
  const file = join(fastDir(), 'gateway.db')
  let now = 0
  let reports = 0
  const latch = new DamageLatch(() => now)
  latch.onDamage(() => reports++)
  const log = new SqliteStore({
    file,
    newLogId: fresh('log'),
    now: 1,
    damage: latch,
    ...(inline && { inlineWriter: {} }),
  })
  await log.start()
  for (const event_id of ['first', 'second']) {
    const numbers = Array.from({ length: COUNT }, (_, n) => n)
    await log.append(
      numbers.map((n) => newEntry({ event_id, message_id: `${event_id}${n}`, body: bodyOf(event_id, n) })),
    )
  }
  checkpoint(file)
  return {
    log,
    latch,
    file,
    advance: (ms) => {
      now += ms
    },
    reported: () => reports,
  }
}

/** Waits until a check has passed; time passes as quickly as the test polls. */
const recovers = ({ log, advance }: DamagedStore): Promise<unknown> =>
  until(
    async () => {
      advance(1_000)
      return (await codeOf(log.check(true))) === 'none'
    },
    { what: 'a check that passes', everyMs: 5 },
  )

for (const inline of [true, false]) {
  const how = inline ? 'inline' : 'threaded'
  for (const where of ['middle', 'end'] as const) {
    const title = where === 'middle' ? 'inside of a body' : 'at the end of a body, which leaves the b-tree intact,'
    damage(`a zeroed page ${title} costs the rows that need it, until a check passes (${how})`, async () => {
      const stage = await makeStore(inline)
      const { log, latch, file, advance } = stage
      const repair = zeroPages(file, [pageWith(file, mark('first', 4, where))])
      const front = await log.read(createFilter(['first']), 0, PAGE)
      assert.equal(
        front.messages.map(({ message_id }) => message_id),
        ['first0', 'first1', 'first2', 'first3'],
      )
      assert.equal([front.readThrough, front.hasMore], [4, true])
      assert.is(await codeOf(log.read(createFilter(['first']), 4, PAGE)), 'database_corrupt')
      assert.is(await codeOf(log.read(createFilter('*'), 4, PAGE)), 'database_corrupt')
      assert.is((await log.readBefore(createFilter(['first']), 99, PAGE)).messages.length, 5, 'the rows after it')
      assert.is((await log.read(createFilter(['second']), 0, PAGE)).messages.length, COUNT)
      assert.is(latch.error?.code, 'database_corrupt')
      for (let n = 0; n < 20; n++) {
        advance(1_000)
        for (const write of [false, true]) assert.is(await codeOf(log.check(write)), 'database_corrupt')
      }
      assert.is(await codeOf(log.append([newEntry({ event_id: 'second' })])), 'database_corrupt')
      assert.is(await codeOf(log.prune({ receivedBefore: 9_999, messagesPerEvent: null }, 10)), 'database_corrupt')
      assert.is(await codeOf(log.quarantine.drop([1])), 'database_corrupt')
      repair()
      await recovers(stage)
      assert.is(latch.error, null)
      assert.is((await log.read(createFilter('*'), 0, PAGE)).messages.length, 2 * COUNT)
      assert.equal([(await log.append([newEntry({})]))[0]!.kind], ['stored'])
      await log.stop()
    })
  }

  damage(`a redelivery of a damaged message is no conflict, and is not acknowledged (${how})`, async () => {
    const { log, file } = await makeStore(inline)
    zeroPages(file, [pageWith(file, mark('first', 4, 'end'))])
    const again = newEntry({ event_id: 'first', message_id: 'first4', body: bodyOf('first', 4) })
    assert.is(await codeOf(log.append([again])), 'database_corrupt')
    await log.stop()
  })

  damage(`a zeroed page of the free list is found by retention, and stops no thread (${how})`, async () => {
    const stage = await makeStore(inline)
    const { log, file } = stage
    // The second page lists where each other one belongs.
    const repair = zeroPages(file, [1])
    assert.is(await codeOf(log.prune({ receivedBefore: 9_999, messagesPerEvent: null }, 5)), 'database_corrupt')
    assert.is(await codeOf(log.check(false)), 'database_corrupt')
    repair()
    await recovers(stage)
    assert.is(await log.prune({ receivedBefore: 9_999, messagesPerEvent: null }, 5), 5, 'not out of a stale cache')
    await log.stop()
  })
}

damage('damage is reported at once, and again for as long as checks find it, for the other workers', async () => {
  const { log, file, reported, advance } = await makeStore(true)
  zeroPages(file, [pageWith(file, mark('first', 0, 'middle'))])
  assert.is(await codeOf(log.read(createFilter(['first']), 0, PAGE)), 'database_corrupt')
  assert.is(reported(), 1)
  for (let n = 2; n < 10; n++) {
    advance(1_000)
    assert.is(await codeOf(log.check(false)), 'database_corrupt')
    assert.is(reported(), n)
  }
  await log.stop()
})

damage(
  'damage that only another worker finds lasts until it stops reporting it, and is not reported back',
  async () => {
    const { log, latch, reported, advance } = await makeStore(true)
    for (let n = 0; n < 10; n++) {
      latch.notePeer('found by another worker')
      advance(6_000)
      assert.is(await codeOf(log.check(false)), 'database_corrupt')
      assert.is(await codeOf(log.append([newEntry({})])), 'database_corrupt')
    }
    advance(10_000)
    await until(
      async () => {
        advance(6_000)
        return (await codeOf(log.check(false))) === 'none'
      },
      { what: 'a check that passes', everyMs: 5 },
    )
    assert.is(reported(), 0)
    await log.stop()
  },
)

damage('a check repeats the reads that have failed, and passes only if they succeed', async () => {
  let now = 0
  let fails = true
  let checks = 0
  const latch = new DamageLatch(() => now)
  const read = async (): Promise<void> => {
    if (fails) throw new GatewayError('database_corrupt', 'invalid page')
  }
  assert.is(await codeOf(latch.reading(read, read)), 'database_corrupt')
  const check = (): void => {
    now += 6_000
    latch.recheck(async () => void checks++)
  }
  for (let n = 1; n < 5; n++) {
    assert.throws(check, /invalid page/)
    await new Promise(setImmediate)
    assert.is(checks, n)
  }
  fails = false
  assert.throws(check, /invalid page/)
  await new Promise(setImmediate)
  check()
  assert.is(latch.error, null)
})

damage.run()
