import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { createFilter, type SubscriptionFilter } from '../../../src/core/subscription-filter.ts'
import type { SqliteStore } from '../../../src/store/sqlite/store.ts'
import { suite } from '../../support/harness/suite.ts'
import { fastDir } from '../../support/servers/fast-dir.ts'
import { newEntry } from '../../support/stages/entries.ts'
import { openSqlite } from '../../support/store/sqlite-store.ts'

const MESSAGES = 20_000
/** Number of events that one step reads (src/store/sqlite/store.ts). */
const WINDOWS = MESSAGES / 2_000
const AT_ONCE = 5
const LIMIT = { messages: 500, bytes: 1_000_000 }
const END = Number.MAX_SAFE_INTEGER

const test = suite('a scan of the whole store without matches')

let log: SqliteStore

test.before(async () => {
  log = await openSqlite(join(fastDir(), 'gateway.db'), true)
  for (let n = 0; n < MESSAGES; n += 1_000) {
    await log.append(Array.from({ length: 1_000 }, () => newEntry({ event_id: `e${n % 3_000}`, message_type: 'a' })))
  }
})
test.after(() => log.stop())

const forward = async (wanted: SubscriptionFilter): Promise<void> => {
  for (let after = 0, more = true; more; )
    ({ readThrough: after, hasMore: more } = await log.read(wanted, after, LIMIT))
}

const backward = async (wanted: SubscriptionFilter): Promise<void> => {
  for (let before = END, more = true; more; )
    ({ readThrough: before, hasMore: more } = await log.readBefore(wanted, before, LIMIT))
}

const LOOKS: Record<string, (wanted: SubscriptionFilter) => Promise<unknown>> = {
  forward,
  backward,
  'for the last ones': (wanted) => log.tailCursor(wanted, 5),
}

for (const [name, look] of Object.entries(LOOKS)) {
  test(`${name}: everybody else has a turn after each window, however many look`, async () => {
    let turns = 0
    let looking = true
    const count = (): void => {
      turns += 1
      if (looking) setImmediate(count)
    }
    setImmediate(count)
    const wanted = ['*', ['e0', 'e1000'], ['e2000']] as const
    const work = Array.from({ length: AT_ONCE }, (_, n) => look(createFilter(wanted[n % 3]!, [`nothing-${n}`])))
    await Promise.all(work)
    looking = false
    // Each step reads a part of the events; the two complete reads have every window.
    assert.ok(turns >= 2 * WINDOWS, `${turns} turns`)
  })
}

test('results are the same as without other work', async () => {
  const wanted = createFilter('*', ['a'])
  const pages = await Promise.all(Array.from({ length: AT_ONCE }, () => log.read(wanted, 0, LIMIT)))
  assert.equal([...new Set(pages.map(({ messages }) => messages.length))], [500])
  assert.is(await log.tailCursor(wanted, 5), MESSAGES - 5)
})

test.run()
