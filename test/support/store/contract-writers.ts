import { once } from 'node:events'
import * as assert from 'uvu/assert'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import type { MessageStore } from '../../../src/store/store.ts'
import { until } from '../harness/wait.ts'
import { appendPatiently, newEntry, store } from '../stages/entries.ts'
import type { LogTest } from './sqlite-store.ts'

const EVERYTHING = createFilter('*')
const ALL = { messages: 10_000, bytes: Number.POSITIVE_INFINITY }
const PER_WRITER = 60

/** Reads a store continuously like a tailer, and records what it read in which order. */
class Follower {
  readonly seen: number[] = []
  /** Cursors returned by pages, each with the ids known at that time. */
  #through = 0
  #stopped = false
  readonly #log: MessageStore
  readonly #running: Promise<void>

  constructor(log: MessageStore) {
    this.#log = log
    this.#running = this.#run()
    this.#running.catch(() => {})
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const page = await this.#log.read(EVERYTHING, this.#through, { messages: 7, bytes: 1_000_000 })
      this.seen.push(...page.messages.map(({ db_id }) => db_id))
      assert.ok(page.readThrough >= this.#through, 'through never goes back')
      this.#through = page.readThrough
      await new Promise(setImmediate)
    }
  }
}

/** L2, and operation next to other writers. */
export const checkWriters = (test: LogTest): void => {
  test('sees rows of another log on the same store', async (log, itsStore) => {
    const other = await itsStore.open()
    const [mine] = await store(log, { event_id: 'a' })
    const [theirs] = await store(other, { event_id: 'a' })
    assert.ok(theirs! > mine!)
    for (const one of [log, other]) {
      const { messages } = await one.read(createFilter(['a']), 0, ALL)
      assert.equal(
        messages.map(({ db_id }) => db_id),
        [mine, theirs],
      )
      assert.is((await one.bounds(createFilter(['a']))).last_db_id, theirs)
      assert.is((await one.events(10, 0))[0]!.messages, 2)
    }
  })

  test('the unique key holds across logs (L3)', async (log, itsStore) => {
    const other = await itsStore.open()
    const batch = Array.from({ length: 50 }, (_, n) => newEntry({ message_id: `m${n}`, body: '{}' }))
    const both = await Promise.all([appendPatiently(log, batch), appendPatiently(other, batch)])
    const kinds = both.flat().map((outcome) => outcome.kind)
    assert.is(kinds.filter((one) => one === 'stored').length, 50)
    assert.is(kinds.filter((one) => one === 'duplicate').length, 50)
    assert.equal(
      both[0]!.map(({ db_id }) => db_id),
      both[1]!.map(({ db_id }) => db_id),
    )
  })

  test('no id becomes visible after a greater one, with processes writing side by side (L2)', async (log, itsStore) => {
    const followers = [new Follower(log), new Follower(await itsStore.open())]
    const told: number[] = []
    const children = ['p', 'q'].map((event_id) => itsStore.writerProcess([event_id, 'shared'], PER_WRITER))
    let rest = ''
    const ends = children.map((child) => once(child, 'close'))
    for (const child of children) {
      child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n')
        rest = lines.pop() ?? ''
        told.push(...lines.map(Number))
      })
    }
    await until(() => told.length > 0, { what: 'the first message of a process' })
    for (let n = 0; n < PER_WRITER; n++) {
      const batch = Array.from({ length: 1 + (n % 5) }, () => newEntry({ event_id: 'shared' }))
      told.push(...(await appendPatiently(log, batch)).map(({ db_id }) => db_id))
    }
    for (const [code] of await Promise.all(ends)) assert.is(code, 0, 'the process ended well')
    const expected = told.sort((a, b) => a - b)
    assert.is(new Set(expected).size, expected.length, 'no id was given twice')
    for (const follower of followers) {
      await until(() => follower.seen.length >= expected.length, { what: 'the followers at the end' })
      await follower.stop()
      assert.equal(follower.seen, expected)
    }
    const counts = (await log.events(10, 0)).map(({ event_id, messages }) => [event_id, messages])
    assert.equal(Object.fromEntries(counts), { p: PER_WRITER, q: PER_WRITER, shared: PER_WRITER * 5 })
  })
}
