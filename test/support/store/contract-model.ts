import fc from 'fast-check'
import * as assert from 'uvu/assert'
import type { NewMessage } from '../../../src/core/message.ts'
import { createFilter, matchesFilter, type SubscriptionFilter } from '../../../src/core/subscription-filter.ts'
import type { MessageStore, PageLimit } from '../../../src/store/store.ts'
import { runs } from '../harness/tier.ts'
import { appendPatiently, fresh, newEntry } from '../stages/entries.ts'
import type { LogTest } from './sqlite-store.ts'

/** A row of the model: the store is an array of these. */
type Row = Pick<NewMessage, 'event_id' | 'message_id' | 'message_type' | 'message_from' | 'body'> & { db_id: number }

const EVENTS = ['a', 'b', 'c']

const choice = <T>(...values: T[]) => fc.constantFrom(...values)

const message = fc.record({
  event: choice(...EVENTS),
  message_type: choice(null, 't', 'u'),
  message_from: choice(null, 'x', 'y'),
  /** A few ids, so that duplicates and conflicts occur; -1 for a unique one. */
  id: fc.integer({ min: -4, max: 3 }),
  size: fc.integer({ min: 0, max: 40 }),
})

const selected = fc.record({
  events: choice<string[] | '*'>('*', ['a'], ['b'], ['a', 'b'], ['c', 'a'], EVENTS, ['none'], ['a', 'none']),
  types: choice<string[] | null>(null, null, ['t'], ['u', 't'], ['none']),
  senders: choice<string[] | null>(null, null, ['x'], ['y', 'x']),
})

const limit = fc.record({ messages: fc.integer({ min: 1, max: 12 }), bytes: choice(1, 60, 200, 1_000, 1e9) })

/** Positions in the store, from 0 at its beginning to 1 at its end, and slightly beyond. */
const place = fc.double({ min: 0, max: 1.2, noNaN: true })

const operation = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant('append' as const), messages: fc.array(message, { maxLength: 6 }) }),
  },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('read' as const), selected, place, limit }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('readBefore' as const), selected, place, limit }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('walk' as const), selected, place, limit }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('tail' as const), selected, count: fc.integer({ min: 0, max: 12 }) }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('bounds' as const), selected }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('events' as const), place, limit: fc.integer({ min: 1, max: 5 }) }),
  },
)

type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

/** One run: its own events in a store that other runs have written to before. */
class Trial {
  readonly #log: MessageStore
  readonly #base: number
  readonly #name: string
  readonly #rows: Row[] = []
  /** The highest position that any page has reported as read. */
  #promised = 0

  constructor(log: MessageStore, base: number) {
    this.#log = log
    this.#base = base
    this.#name = fresh('run')
  }

  async perform(one: Operation): Promise<void> {
    switch (one.op) {
      case 'append':
        return this.#append(one.messages)
      case 'read':
        return this.#read(this.#selection(one.selected), this.#cursor(one.place), one.limit).then(() => {})
      case 'readBefore':
        return this.#readBefore(this.#selection(one.selected), this.#cursor(one.place), one.limit)
      case 'walk':
        return this.#walk(this.#selection(one.selected), this.#cursor(one.place), one.limit)
      case 'tail':
        return this.#tail(this.#selection(one.selected), one.count)
      case 'bounds':
        return this.#bounds(this.#selection(one.selected))
      case 'events':
        return this.#events(one.limit, this.#cursor(one.place))
    }
  }

  #event = (event: string): string => `${this.#name}-${event}`

  #selection({ events, types, senders }: { events: string[] | '*'; types: string[] | null; senders: string[] | null }) {
    return createFilter(events === '*' ? '*' : events.map(this.#event), types, senders)
  }

  #cursor(at: number): number {
    const end = (this.#rows.at(-1)?.db_id ?? this.#base) - this.#base
    return this.#base + Math.round(at * (end + 1))
  }

  #matching(wanted: SubscriptionFilter): Row[] {
    return this.#rows.filter(
      (row) => (wanted.events === '*' || wanted.events.includes(row.event_id)) && matchesFilter(wanted, row),
    )
  }

  async #append(messages: readonly (typeof message extends fc.Arbitrary<infer T> ? T : never)[]): Promise<void> {
    const made = messages.map(({ event, id, size, ...rest }) => ({
      ...rest,
      event_id: this.#event(event),
      message_id: id < 0 ? fresh('m') : `m${id}`,
      body: JSON.stringify('x'.repeat(id < 0 ? size : size % 2)),
    }))
    const outcomes = await appendPatiently(
      this.#log,
      made.map((one) => newEntry(one)),
    )
    for (const [index, one] of made.entries()) {
      const { kind, db_id } = outcomes[index]!
      const known = this.#rows.find((row) => row.event_id === one.event_id && row.message_id === one.message_id)
      if (known === undefined) {
        assert.is(kind, 'stored')
        assert.ok(db_id > (this.#rows.at(-1)?.db_id ?? this.#base), 'ids rise')
        assert.ok(db_id > this.#promised, `${db_id} was promised not to come: a page went through ${this.#promised}`)
        this.#rows.push({ ...one, db_id })
      } else {
        assert.equal([kind, db_id], [known.body === one.body ? 'duplicate' : 'conflict', known.db_id])
      }
    }
  }

  /** Number of these rows that a page contains. */
  #fits(rows: readonly Row[], { messages, bytes }: PageLimit): number {
    let count = 0
    let taken = 0
    while (count < rows.length && count < messages && taken < bytes) taken += rows[count++]!.body.length
    return count
  }

  async #read(wanted: SubscriptionFilter, after: number, pageLimit: PageLimit) {
    const page = await this.#log.read(wanted, after, pageLimit)
    const behind = this.#matching(wanted).filter(({ db_id }) => db_id > after)
    const expected = behind.slice(0, this.#fits(behind, pageLimit))
    assert.equal(page.messages.map(this.#same), expected.map(this.#same))
    assert.is(page.hasMore, expected.length < behind.length)
    if (page.hasMore) assert.is(page.readThrough, expected.at(-1)!.db_id)
    else assert.ok(page.readThrough >= Math.max(after, this.#rows.at(-1)?.db_id ?? 0), `through ${page.readThrough}`)
    if (!page.hasMore && after <= (this.#rows.at(-1)?.db_id ?? this.#base)) {
      this.#promised = Math.max(this.#promised, page.readThrough)
    }
    return page
  }

  #same = ({ db_id, event_id, message_id, message_type, message_from, body }: Row): unknown[] => [
    db_id,
    event_id,
    message_id,
    message_type,
    message_from,
    body,
  ]

  async #readBefore(wanted: SubscriptionFilter, before: number, pageLimit: PageLimit): Promise<void> {
    // Rows of other runs are below the base; a read without a filter would include them.
    const whole = wanted.events === '*' ? { ...wanted, events: createFilter(EVENTS.map(this.#event)).events } : wanted
    const page = await this.#log.readBefore(whole, before, pageLimit)
    const below = this.#matching(whole).filter(({ db_id }) => db_id < before)
    const newest = [...below].reverse()
    const expected = newest.slice(0, this.#fits(newest, pageLimit)).reverse()
    assert.equal(page.messages.map(this.#same), expected.map(this.#same))
    assert.is(page.hasMore, expected.length < below.length)
    if (page.hasMore) assert.is(page.readThrough, expected[0]!.db_id)
  }

  async #walk(wanted: SubscriptionFilter, cursor: number, pageLimit: PageLimit): Promise<void> {
    const ids: number[] = []
    let after = cursor
    for (let more = true; more; ) {
      const page = await this.#read(wanted, after, pageLimit)
      ids.push(...page.messages.map(({ db_id }) => db_id))
      ;({ hasMore: more, readThrough: after } = page)
    }
    assert.equal(
      ids,
      this.#matching(wanted)
        .map(({ db_id }) => db_id)
        .filter((id) => id > cursor),
    )
  }

  async #tail(wanted: SubscriptionFilter, count: number): Promise<void> {
    if (wanted.events === '*') return
    const ids = this.#matching(wanted).map(({ db_id }) => db_id)
    assert.is(await this.#log.tailCursor(wanted, count), ids[ids.length - 1 - count] ?? 0)
  }

  async #bounds(wanted: SubscriptionFilter): Promise<void> {
    if (wanted.events === '*') return
    const ids = this.#matching(createFilter(wanted.events)).map(({ db_id }) => db_id)
    const { head_db_id, ...bounds } = await this.#log.bounds(wanted)
    assert.equal(bounds, { first_db_id: ids[0] ?? 0, last_db_id: ids.at(-1) ?? 0, pruned_db_id: 0 })
    assert.ok(head_db_id >= (this.#rows.at(-1)?.db_id ?? this.#base))
  }

  async #events(most: number, before: number): Promise<void> {
    const listed = await this.#log.events(most, before)
    const expected = EVENTS.map((event) => this.#rows.filter((row) => row.event_id === this.#event(event)))
      .filter((rows) => rows.length > 0)
      .map((rows) => ({ event_id: rows[0]!.event_id, messages: rows.length, last_db_id: rows.at(-1)!.db_id }))
      .filter(({ last_db_id }) => before === 0 || last_db_id < before)
      .sort((one, other) => other.last_db_id - one.last_db_id)
      .slice(0, most)
    const mine = listed.filter(({ event_id }) => event_id.startsWith(`${this.#name}-`))
    assert.equal(
      mine.map(({ event_id, messages, last_db_id }) => ({ event_id, messages, last_db_id })),
      expected,
    )
  }
}

/** L4 against a plain array, for any appends and reads. */
export const checkModel = (test: LogTest): void => {
  test('reads, pages, tails, bounds and lists are those of an array, for any appends between them', (log) =>
    fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 30, size: 'max' }), async (operations) => {
        const trial = new Trial(log, await log.head())
        for (const one of operations) await trial.perform(one)
      }),
      { numRuns: runs(25, 1_500) },
    ))
}
