import * as assert from 'uvu/assert'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import type { MessageStore, RetentionLimits } from '../../../src/store/store.ts'
import { newRejection, store } from '../stages/entries.ts'
import type { LogTest } from './sqlite-store.ts'

const ALL = { messages: 10_000, bytes: Number.POSITIVE_INFINITY }

const before = (receivedBefore: number): RetentionLimits => ({ receivedBefore, messagesPerEvent: null })
const keep = (messagesPerEvent: number): RetentionLimits => ({ receivedBefore: null, messagesPerEvent })

const readDbIds = async (log: MessageStore, events: string[] | '*' = '*'): Promise<number[]> =>
  (await log.read(createFilter(events), 0, ALL)).messages.map(({ db_id }) => db_id)

/** Prunes until nothing is left to delete. @returns the deletions of each call */
const pruneAll = async (log: MessageStore, retention: RetentionLimits, limit = 1_000): Promise<number[]> => {
  const removed: number[] = []
  while (removed.at(-1) !== 0) {
    removed.push(await log.prune(retention, limit))
    assert.ok(removed.length < 1_000, 'it comes to an end')
  }
  return removed
}

/** Effects of retention. */
export const checkRetention = (test: LogTest): void => {
  const at = (event_id: string, received_at: number) => ({ event_id, received_at })

  test('removes nothing without a rule', async (log) => {
    await store(log, at('a', 1))
    await log.append([newRejection('x')])
    assert.is(await log.prune({ receivedBefore: null, messagesPerEvent: null }, 100), 0)
    assert.is(await log.prune(before(1), 100), 0, 'received at the very time is kept')
    assert.is(await log.prune(keep(1), 100), 0)
    assert.is((await readDbIds(log)).length, 1)
  })

  test('removes by age, and returns what was pruned of each event', async (log) => {
    const ids = await store(log, at('a', 1), at('b', 2), at('a', 3), at('b', 10), at('a', 11))
    await pruneAll(log, before(10))
    assert.equal(await readDbIds(log), ids.slice(3))
    const head_db_id = ids[4]
    const a = { first_db_id: ids[4], last_db_id: ids[4], pruned_db_id: ids[2], head_db_id }
    const b = { first_db_id: ids[3], last_db_id: ids[3], pruned_db_id: ids[1], head_db_id }
    assert.equal(await log.bounds(createFilter(['a'])), a)
    assert.equal(await log.bounds(createFilter(['b'])), b)
    assert.equal(await log.bounds(createFilter('*')), { ...a, first_db_id: ids[3] })
    assert.equal(await log.events(10, 0), [
      { event_id: 'a', messages: 1, first_db_id: ids[4], last_db_id: ids[4], first_at: 11, last_at: 11 },
      { event_id: 'b', messages: 1, first_db_id: ids[3], last_db_id: ids[3], first_at: 10, last_at: 10 },
    ])
  })

  test('returns to edges what they lack, and what was pruned of each event', async (log) => {
    const ids = await store(log, at('a', 1), at('b', 2), at('a', 3), at('b', 10), at('ä\0', 11))
    const { following } = log
    const fresh = await following.state('*', 0)
    assert.equal([fresh.total, fresh.pending], [5, 5])
    assert.equal(
      [(await following.state('*', ids[2]!)).pending, (await following.state(['b'], ids[1]!)).pending],
      [2, 1],
    )
    assert.equal(await following.pruned('*', '', 10), [])
    await pruneAll(log, before(10))
    const pruned = await following.state('*', 0)
    assert.is(pruned.total, 2)
    assert.is.not(pruned.pruned, fresh.pruned)
    const a = { event_id: 'a', pruned_db_id: ids[2] }
    const b = { event_id: 'b', pruned_db_id: ids[1] }
    assert.equal(await following.pruned('*', '', 1), [a])
    assert.equal(await following.pruned('*', 'a', 10), [b])
    assert.equal(await following.pruned(['b', 'c'], '', 10), [b])
    assert.equal((await following.state(['ä\0'], 0)).total, 1)
  })

  test('removes all but the newest of each event', async (log) => {
    const ids = await store(log, at('a', 1), at('a', 2), at('b', 3), at('a', 4), at('b', 5), at('b', 6), at('c', 7))
    await pruneAll(log, keep(2))
    assert.equal(await readDbIds(log), [ids[1], ids[3], ids[4], ids[5], ids[6]])
    assert.equal(
      (await log.events(10, 0)).map(({ messages }) => messages),
      [1, 2, 2],
    )
    assert.is((await log.bounds(createFilter(['a']))).pruned_db_id, ids[0])
    assert.is((await log.bounds(createFilter(['c']))).pruned_db_id, 0)
  })

  test('applies both rules', async (log) => {
    const ids = await store(log, at('a', 1), at('a', 20), at('a', 21), at('a', 22), at('b', 23))
    await pruneAll(log, { receivedBefore: 10, messagesPerEvent: 2 })
    assert.equal(await readDbIds(log), ids.slice(2))
  })

  test('removes nothing behind a message that is kept, although its time is earlier', async (log) => {
    const ids = await store(log, at('a', 20), at('a', 5), at('b', 30))
    assert.equal(await pruneAll(log, before(10)), [0])
    assert.equal([(await readDbIds(log)).length, await log.following.pruned('*', '', 10)], [3, []])
    await pruneAll(log, before(25))
    assert.equal(await readDbIds(log), ids.slice(2))
  })

  test('removes messages of a clock that was ahead with the first expired one after them', async (log) => {
    const ahead = Date.now() + 365 * 24 * 60 * 60 * 1_000
    const several = (count: number, received_at: number) => Array.from({ length: count }, () => at('a', received_at))
    for (const count of [1, 1_500]) {
      await store(log, ...several(count, ahead))
      assert.equal(await pruneAll(log, before(10)), [0], 'nothing after them is expired')
      const kept = await store(log, at('b', 5), ...several(1, ahead), at('b', 20), at('b', 6))
      await pruneAll(log, before(10))
      assert.equal(await readDbIds(log), kept.slice(1), `${count} at the start`)
      await pruneAll(log, before(ahead + 1))
    }
  })

  test('removes a limited number at a time, oldest first', async (log) => {
    const ids = await store(log, ...Array.from({ length: 25 }, (_, n) => at(`e${n % 2}`, n)))
    assert.is(await log.prune(before(20), 10), 10)
    assert.equal(await readDbIds(log), ids.slice(10))
    assert.equal(await pruneAll(log, before(20), 10), [10, 0])
    assert.equal(await readDbIds(log), ids.slice(20))
    const removed = await pruneAll(log, keep(1), 1)
    assert.equal(removed, [1, 1, 1, 0])
  })

  test('removes old rejections', async (log, itsStore) => {
    await log.append([newRejection('old', { received_at: 5 }), newRejection('new', { received_at: 15 })])
    await pruneAll(log, before(10))
    assert.equal(
      (await itsStore.rejected()).map((row) => row.body.toString()),
      ['new'],
    )
  })

  test('looks at a limited number of rejections, oldest first, however old the later ones are', async (log) => {
    await log.append([20, 99, 5].map((received_at) => newRejection('x', { received_at })))
    assert.is(await log.prune(before(10), 2), 0)
    assert.equal(await pruneAll(log, before(30), 2), [1, 1, 0])
  })

  test('an event that was emptied is in no list, keeps its bounds for old cursors, and can start again', async (log) => {
    const ids = await store(log, at('a', 1), at('a', 2), at('b', 50))
    await pruneAll(log, before(10))
    assert.equal(
      (await log.events(10, 0)).map(({ event_id }) => event_id),
      ['b'],
    )
    const emptied = { first_db_id: 0, last_db_id: 0, pruned_db_id: ids[1], head_db_id: ids[2] }
    assert.equal(await log.bounds(createFilter(['a'])), emptied)
    assert.equal(await log.bounds(createFilter(['a', 'b'])), { ...emptied, first_db_id: ids[2], last_db_id: ids[2] })
    const [again] = await store(log, at('a', 60))
    assert.equal(await log.bounds(createFilter(['a'])), {
      first_db_id: again,
      last_db_id: again,
      pruned_db_id: ids[1],
      head_db_id: again,
    })
    assert.equal((await log.events(1, 0))[0], {
      event_id: 'a',
      messages: 1,
      first_db_id: again,
      last_db_id: again,
      first_at: 60,
      last_at: 60,
    })
  })

  test('never reuses an id, not even that of the highest row, not even after reopening', async (log, itsStore) => {
    const ids = await store(log, at('a', 1), at('a', 2))
    await pruneAll(log, before(100))
    assert.equal(await readDbIds(log), [])
    assert.is(await log.head(), ids[1], 'the head stays')
    assert.equal((await log.read(createFilter('*'), 0, ALL)).readThrough, ids[1])
    const other = await itsStore.open()
    assert.is(await other.head(), ids[1])
    const [next] = await store(other, at('a', 3))
    assert.ok(next! > ids[1]!, `${next} after ${ids[1]}`)
  })

  test('a pruned message_id can be used again by a new message', async (log) => {
    const message = { event_id: 'a', message_id: 'm', body: '{}', received_at: 1 }
    const [first] = await store(log, message)
    await pruneAll(log, before(10))
    const [second] = await store(log, { ...message, received_at: 20 })
    assert.ok(second! > first!)
  })

  test('a prune that fails removes nothing', async (log, itsStore) => {
    await store(log, at('a', 1))
    const release = await itsStore.lock()
    let code = ''
    await log.prune(before(10), 10).catch((error) => (code = error.code))
    await release()
    assert.equal([code, (await readDbIds(log)).length], ['storage_busy', 1])
  })
}
