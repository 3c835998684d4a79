import * as assert from 'uvu/assert'
import { MATCH_ALL } from '../../../src/core/quarantine-filter.ts'
import { createFilter, type SubscriptionFilter } from '../../../src/core/subscription-filter.ts'
import type { MessagePage, MessageStore, PageLimit } from '../../../src/store/store.ts'
import { newEntry, newOrigin, newRejection, store } from '../stages/entries.ts'
import type { LogTest } from './sqlite-store.ts'

const ALL: PageLimit = { messages: 10_000, bytes: Number.POSITIVE_INFINITY }

const listDbIds = (page: MessagePage): number[] => page.messages.map(({ db_id }) => db_id)

/** Returns every page after a cursor, as subscribers read them. */
export const walk = async (
  log: MessageStore,
  wanted: SubscriptionFilter,
  cursor: number,
  limit: PageLimit,
): Promise<MessagePage[]> => {
  const pages: MessagePage[] = []
  for (let after = cursor; ; ) {
    const page = await log.read(wanted, after, limit)
    pages.push(page)
    if (!page.hasMore) return pages
    assert.ok(page.readThrough > after, `a page with more behind it goes on: ${page.readThrough} after ${after}`)
    after = page.readThrough
  }
}

/** Returns every page below `before`, newest first, as a client pages backwards. */
export const walkBack = async (
  log: MessageStore,
  wanted: SubscriptionFilter,
  before: number,
  limit: PageLimit,
): Promise<MessagePage[]> => {
  const pages: MessagePage[] = []
  for (let below = before; ; ) {
    const page = await log.readBefore(wanted, below, limit)
    pages.push(page)
    if (!page.hasMore) return pages
    assert.ok(page.readThrough < below, `a page with more before it goes on: ${page.readThrough} below ${below}`)
    below = page.readThrough
  }
}

/** L4: filters, order, pages, bounds and the list of events, by example; checkModel covers the rest. */
export const checkReading = (test: LogTest): void => {
  test('a new log is empty', async (log) => {
    for (const wanted of [createFilter('*'), createFilter(['e']), createFilter(['e', 'f'], ['t'])]) {
      assert.equal(await log.read(wanted, 0, ALL), { messages: [], readThrough: 0, hasMore: false })
      assert.equal((await log.readBefore(wanted, 1_000, ALL)).messages, [])
      assert.is(await log.tailCursor(wanted, 5), 0)
      const bounds = { first_db_id: 0, last_db_id: 0, pruned_db_id: 0, head_db_id: 0 }
      assert.equal(await log.bounds(wanted), bounds)
    }
    assert.equal([await log.head(), await log.events(10, 0)], [0, []])
  })

  test('selects by event, type and sender', async (log) => {
    const ids = await store(
      log,
      { event_id: 'a', message_type: 't', message_from: 'x' },
      { event_id: 'b', message_type: 't' },
      { event_id: 'a', message_type: 'u', message_from: 'y' },
      { event_id: 'c', message_type: 'u', message_from: 'x' },
      { event_id: 'a' },
    )
    const table: [SubscriptionFilter, number[]][] = [
      [createFilter('*'), [0, 1, 2, 3, 4]],
      [createFilter(['a']), [0, 2, 4]],
      [createFilter(['a', 'b']), [0, 1, 2, 4]],
      [createFilter(['a', 'nowhere']), [0, 2, 4]],
      [createFilter(['nowhere']), []],
      [createFilter('*', ['t']), [0, 1]],
      [createFilter('*', ['t', 'u']), [0, 1, 2, 3]],
      [createFilter('*', null, ['x']), [0, 3]],
      [createFilter(['a'], ['u']), [2]],
      [createFilter(['a', 'c'], ['u'], ['x']), [3]],
      [createFilter('*', ['t'], ['y']), []],
      [createFilter('*', []), []],
      [createFilter('*', ['T']), []],
    ]
    for (const [wanted, places] of table) {
      const expected = places.map((place) => ids[place]!)
      const page = await log.read(wanted, 0, ALL)
      assert.equal(
        [listDbIds(page), page.readThrough, page.hasMore],
        [expected, ids.at(-1), false],
        JSON.stringify(wanted),
      )
      const back = await log.readBefore(wanted, ids.at(-1)! + 1, ALL)
      assert.equal([listDbIds(back), back.hasMore], [expected, false], JSON.stringify(wanted))
    }
  })

  test('treats no name as a pattern or a number', async (log) => {
    const odd = ["'; DROP TABLE message; --", '%', '_', '1', '01', 'É', 'e\u0301', '*', ' a', 'a\u0000b']
    for (const event_id of odd) await store(log, { event_id, message_type: event_id, message_from: event_id })
    for (const event_id of odd) {
      const page = await log.read(createFilter([event_id], [event_id], [event_id]), 0, ALL)
      assert.equal(
        page.messages.map((one) => one.event_id),
        [event_id],
      )
    }
  })

  test('a hundred events in one filter are read in one order', async (log) => {
    const events = Array.from({ length: 100 }, (_, n) => `e${n}`)
    const ids = await store(log, ...Array.from({ length: 500 }, (_, n) => ({ event_id: `e${(n * 37) % 130}` })))
    const expected = ids.filter((_, n) => (n * 37) % 130 < 100)
    const pages = await walk(log, createFilter(events), 0, { messages: 7, bytes: Number.POSITIVE_INFINITY })
    assert.equal(pages.flatMap(listDbIds), expected)
    assert.is(await log.tailCursor(createFilter(events), 10), expected.at(-11))
  })

  test('a page ends at its count; more only if there is more', async (log) => {
    const ids = await store(log, {}, {}, {})
    const of = async (messages: number, after = 0) => {
      const { readThrough, hasMore, ...page } = await log.read(createFilter(['event']), after, { ...ALL, messages })
      return [page.messages.length, readThrough, hasMore]
    }
    assert.equal(await of(2), [2, ids[1], true])
    assert.equal(await of(3), [3, ids[2], false])
    assert.equal(await of(1, ids[1]), [1, ids[2], false])
    assert.equal(await of(4), [3, ids[2], false])
  })

  test('a page ends once its bodies reach the byte limit; its first message is included whatever its size', async (log) => {
    const body = JSON.stringify('x'.repeat(98))
    const ids = await store(log, ...Array.from({ length: 5 }, () => ({ body })))
    for (const [bytes, count] of [
      [1, 1],
      [100, 1],
      [101, 2],
      [200, 2],
      [499, 5],
      [500, 5],
    ] as const) {
      const page = await log.read(createFilter('*'), 0, { messages: 9, bytes })
      assert.equal([listDbIds(page), page.hasMore], [ids.slice(0, count), count < 5], `${bytes} bytes`)
      const back = await log.readBefore(createFilter('*'), ids[4]! + 1, { messages: 9, bytes })
      assert.equal([listDbIds(back), back.hasMore], [ids.slice(-count), count < 5], `${bytes} bytes backwards`)
    }
  })

  test('through reaches the end of the store if the filter matches nothing more', async (log) => {
    const [mine] = await store(log, { event_id: 'a' })
    const [theirs] = await store(log, { event_id: 'b' })
    assert.equal((await log.read(createFilter(['a']), 0, ALL)).readThrough, theirs)
    assert.equal((await log.read(createFilter(['a']), mine!, { ...ALL, messages: 1 })).readThrough, theirs)
    assert.equal((await log.read(createFilter(['a']), 0, { ...ALL, messages: 1 })).hasMore, false)
  })

  test('through never precedes a cursor', async (log) => {
    const [id] = await store(log, {})
    assert.equal(await log.read(createFilter('*'), id! + 5, ALL), {
      messages: [],
      readThrough: id! + 5,
      hasMore: false,
    })
  })

  test('a filter that matches little scans the store in bounded steps and misses nothing', async (log) => {
    // Includes those at the edges of a window of 2,000 rows, in both directions, of all and of the even ones.
    const rare = new Set([3, 998, 2_000, 2_400, 2_999, 4_000, 4_998])
    const made = Array.from({ length: 5_000 }, (_, n) => ({
      event_id: n % 2 === 0 ? 'even' : 'odd',
      message_type: rare.has(n) ? 'rare' : 'common',
      message_from: n % 3 === 0 ? 'x' : 'y',
    }))
    const ids = await store(log, ...made)
    const selections = [
      createFilter('*', ['rare']),
      createFilter(['even'], ['rare']),
      createFilter(['even', 'odd'], ['rare']),
      createFilter(['even', 'odd'], ['rare', 'common'], ['x']),
      createFilter('*', ['never']),
      createFilter('*', ['common']),
    ]
    for (const wanted of selections) {
      const { events, types, senders } = wanted
      const matching = ids.filter((_, n) => {
        const one = made[n]!
        const typed = types?.has(one.message_type) ?? true
        return typed && (senders?.has(one.message_from) ?? true) && (events === '*' || events.includes(one.event_id))
      })
      const text = JSON.stringify(wanted)
      const pages = await walk(log, wanted, 0, { messages: 1_000, bytes: Number.POSITIVE_INFINITY })
      assert.equal(pages.flatMap(listDbIds), matching, text)
      assert.is(pages.at(-1)!.readThrough, ids.at(-1), text)
      const back = await walkBack(log, wanted, ids.at(-1)! + 1, { messages: 1_000, bytes: Number.POSITIVE_INFINITY })
      assert.equal(back.reverse().flatMap(listDbIds), matching, `${text} backwards`)
      for (const count of [0, 1, 2, matching.length - 1, matching.length, matching.length + 1]) {
        if (count < 0) continue
        const cursor = matching.at(-1 - count) ?? 0
        assert.is(await log.tailCursor(wanted, count), count < matching.length ? cursor : 0, `${text}, tail ${count}`)
      }
    }
  })

  test('bounds are those of the events, whatever the filter', async (log) => {
    const ids = await store(log, { event_id: 'a' }, { event_id: 'b' }, { event_id: 'a' }, { event_id: 'c' })
    const expect = async (wanted: SubscriptionFilter, first: number, last: number): Promise<void> => {
      const bounds = { first_db_id: ids[first] ?? 0, last_db_id: ids[last] ?? 0, pruned_db_id: 0, head_db_id: ids[3] }
      assert.equal(await log.bounds(wanted), bounds, JSON.stringify(wanted))
    }
    await expect(createFilter('*'), 0, 3)
    await expect(createFilter(['a']), 0, 2)
    await expect(createFilter(['a'], ['t'], ['f']), 0, 2)
    await expect(createFilter(['b', 'a', 'none']), 0, 2)
    await expect(createFilter(['b', 'c']), 1, 3)
    await expect(createFilter(['none']), -1, -1)
  })

  test('lists events by latest activity, in pages', async (log) => {
    const at = (event_id: string, received_at: number) => ({ event_id, received_at })
    const ids = await store(log, at('a', 10), at('b', 20), at('c', 30))
    ids.push(...(await store(log, at('a', 25), at('b', 15))))
    const b = { event_id: 'b', messages: 2, first_db_id: ids[1], last_db_id: ids[4], first_at: 20, last_at: 20 }
    const a = { event_id: 'a', messages: 2, first_db_id: ids[0], last_db_id: ids[3], first_at: 10, last_at: 25 }
    const c = { event_id: 'c', messages: 1, first_db_id: ids[2], last_db_id: ids[2], first_at: 30, last_at: 30 }
    assert.equal(await log.events(10, 0), [b, a, c])
    assert.equal(await log.events(2, 0), [b, a])
    assert.equal(await log.events(2, a.last_db_id!), [c])
    assert.equal(await log.events(2, c.last_db_id!), [])
  })

  test('pages of the quarantine end at the given bytes of bodies, and have at least one row', async (log) => {
    await log.append(['a', 'b', 'c'].map((letter) => newRejection(letter.repeat(100))))
    const sizes = [1, 100, 101, 1_000].map(async (bytes) => {
      const rows = await log.quarantine.listWithBodies(MATCH_ALL, 0, Number.MAX_SAFE_INTEGER - 1, bytes)
      return rows.length
    })
    assert.equal(await Promise.all(sizes), [1, 1, 2, 3])
  })

  test('quarantined messages are in no event', async (log) => {
    await store(log, { event_id: 'e', message_id: 'm', body: '{"a":1}' })
    await log.append([newEntry({ event_id: 'e', message_id: 'm', body: '{}' }, newOrigin())])
    assert.equal(
      (await log.events(10, 0)).map(({ messages }) => messages),
      [1],
    )
  })

  test('a filter without events is empty in every kind of read', async (log) => {
    await store(log, { event_id: 'a' }, { event_id: 'b' })
    for (const wanted of [createFilter([]), createFilter([], ['t'], ['f'])]) {
      assert.equal(await log.read(wanted, 0, ALL), { messages: [], readThrough: 2, hasMore: false })
      assert.equal(await log.readBefore(wanted, 100, ALL), { messages: [], readThrough: 0, hasMore: false })
      assert.is(await log.tailCursor(wanted, 5), 0)
      assert.equal(await log.bounds(wanted), { first_db_id: 0, last_db_id: 0, pruned_db_id: 0, head_db_id: 2 })
    }
    assert.equal(await log.events(10, 0, []), [])
  })

  test('lists only the given events, in the same order and pages', async (log) => {
    await store(log, ...['a', 'b', 'c', 'a', 'd'].map((event_id) => ({ event_id })))
    const named = async (limit: number, before: number, among: string[]) =>
      (await log.events(limit, before, among)).map(({ event_id }) => event_id)
    assert.equal(await named(10, 0, ['c', 'a', 'unknown', 'a']), ['a', 'c'])
    assert.equal(await named(1, 0, ['c', 'a']), ['a'])
    assert.equal(await named(1, 4, ['c', 'a']), ['c'])
    const many = Array.from({ length: 400 }, (_, n) => `e${n}`)
    assert.equal(await named(10, 0, [...many, 'd']), ['d'])
    assert.is((await log.read(createFilter(many), 0, ALL)).readThrough, 5)
  })

  test('handles filters of every shape, however many shapes are used', async (log) => {
    await store(log, { event_id: 'e0', message_type: 't0', message_from: 'f0' })
    const names = (prefix: string, count: number) => Array.from({ length: count }, (_, n) => `${prefix}${n}`)
    for (let n = 0; n < 600; n++) {
      const wanted = createFilter(names('e', 1 + (n % 40)), names('t', 1 + (n % 7)), names('f', 1 + Math.floor(n / 40)))
      assert.is((await log.read(wanted, 0, ALL)).messages.length, 1)
    }
  })
}
