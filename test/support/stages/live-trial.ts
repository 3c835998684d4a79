import fc from 'fast-check'
import * as assert from 'uvu/assert'
import type { NewMessage } from '../../../src/core/message.ts'
import { createFilter, matchesFilter, type SubscriptionFilter } from '../../../src/core/subscription-filter.ts'
import { ChangeNotifier } from '../../../src/store/change-notifier.ts'
import type { MessageStore } from '../../../src/store/store.ts'
import { StreamHub } from '../../../src/streams/hub.ts'
import type { Clock } from '../harness/clock.ts'
import { until } from '../harness/wait.ts'
import { fresh, newEntry } from './entries.ts'
import { TroubledLog } from './failing-store.ts'
import { FakeSink, type Written } from './fake-sink.ts'
import { encodeHello } from './live-stage.ts'

const EVENTS = ['a', 'b', 'c']

const text = (size: number): string => JSON.stringify({ text: 'x'.repeat(size) })
/** Small ones; some that make pages end by bytes; some of which a few evict each other from the buffer. */
const BODIES = [text(10), text(3_000), text(30_000), text(70_000)] as const

const choice = <T>(...values: T[]) => fc.constantFrom(...values)
const weighted = <T>(...values: [number, T][]) =>
  fc.oneof(...values.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) })))

const message = fc.record({
  event: choice(...EVENTS),
  message_type: choice(null, 't', 'u'),
  message_from: choice(null, 'x'),
  body: weighted([12, 0], [3, 1], [2, 2], [1, 3]),
})

const appended = fc.record({
  op: fc.constant('append' as const),
  messages: fc.array(message, { minLength: 1, maxLength: 12, size: 'max' }),
  /** Repetitions of the batch: a burst exceeds one page. */
  times: weighted([30, 1], [2, 5], [1, 60]),
  notify: weighted([4, true], [1, false]),
})

const connect = fc.record({
  op: fc.constant('connect' as const),
  events: choice<string[] | '*'>(['a'], ['a'], ['b'], ['a', 'b'], EVENTS, '*', ['none', 'a']),
  types: choice<string[] | null>(null, null, ['t'], ['t', 'u']),
  senders: choice<string[] | null>(null, null, ['x']),
  unnamed: choice(false, false, true),
  /** Position of its cursor between the start of the run and the end of the store. */
  place: fc.oneof(choice(0, 1), fc.double({ min: 0, max: 1, noNaN: true })),
  slow: fc.boolean(),
  /** Operations between reading the bounds and the subscription. */
  delay: weighted([3, 0], [1, 1], [1, 3]),
})

const named = <Name extends string>(name: Name) => fc.record({ op: fc.constant(name), which: fc.nat({ max: 20 }) })

export const liveOperation = fc.oneof(
  { weight: 8, arbitrary: appended },
  { weight: 5, arbitrary: connect },
  { weight: 2, arbitrary: named('disconnect') },
  { weight: 5, arbitrary: named('take') },
  { weight: 1, arbitrary: named('takeSome') },
  { weight: 2, arbitrary: named('slowDown') },
  { weight: 1, arbitrary: named('speedUp') },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('advance' as const), ms: choice(500, 1_000, 11_000) }) },
  { weight: 8, arbitrary: fc.record({ op: fc.constant('turns' as const), count: fc.integer({ min: 1, max: 8 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: choice('hold' as const, 'release' as const, 'fail' as const, 'mend' as const) }),
  },
)

export type LiveOperation = typeof liveOperation extends fc.Arbitrary<infer T> ? T : never

type Connect = typeof connect extends fc.Arbitrary<infer T> ? T : never

type Row = Pick<NewMessage, 'event_id' | 'message_type' | 'message_from'> & { db_id: number }

interface Reader {
  readonly sink: FakeSink
  readonly wanted: SubscriptionFilter
  readonly cursor: number
  readonly target: number
  readonly leave: () => void
  /** Data of each `caught_up`, and the number of messages before it. */
  readonly caughtUp: { readonly id: number; readonly after: number }[]
  gone: boolean
}

const turn = (): Promise<void> => new Promise(setImmediate)

/** One run of the property: a separate StreamHub over a store that other runs have written to before. */
export class LiveTrial {
  readonly #log: TroubledLog
  readonly #clock: Clock
  readonly #changes = new ChangeNotifier()
  readonly #live: StreamHub
  readonly #rows: Row[] = []
  readonly #readers: Reader[] = []
  readonly #coming: { in: number; subscribe: () => void }[] = []
  readonly #name = fresh('run')
  #base = 0

  constructor(log: MessageStore, clock: Clock) {
    this.#log = new TroubledLog(log)
    this.#clock = clock
    this.#live = new StreamHub({
      store: this.#log,
      changes: this.#changes,
      heartbeatMs: 1_000,
      maxAgeMs: 0,
      shutdownRetryMs: 1_000,
      stallMs: 1e9,
      onFault: () => {},
      onClosing: () => {},
    })
  }

  async run(operations: readonly LiveOperation[]): Promise<void> {
    this.#base = await this.#log.head()
    await this.#live.start()
    try {
      for (const one of operations) {
        await this.#perform(one)
        for (const coming of this.#coming) if (coming.in-- === 0) coming.subscribe()
      }
      await this.#drain()
      for (const reader of this.#readers) this.#judge(reader)
    } finally {
      this.#log.failing = false
      this.#log.release()
      await this.#live.stop()
    }
    for (const { sink, gone } of this.#readers) {
      if (!gone) assert.is(sink.events.at(-1)!.event, 'closing')
      assert.equal(sink.breaches, [])
    }
    assert.equal(
      [this.#live.subscribers, this.#live.channels, this.#clock.intervals],
      [0, 0, 0],
      'nothing is left behind',
    )
  }

  async #perform(one: LiveOperation): Promise<void> {
    switch (one.op) {
      case 'append': {
        for (let n = 0; n < one.times; n++) await this.#append(one.messages)
        if (one.notify) this.#changes.notify()
        return
      }
      case 'connect':
        return this.#connect(one)
      case 'advance':
        return this.#clock.advance(one.ms)
      case 'turns':
        for (let n = 0; n < one.count; n++) await turn()
        return
      case 'hold':
        return this.#log.hold()
      case 'release':
        return this.#log.release()
      case 'fail':
      case 'mend':
        this.#log.failing = one.op === 'fail'
        return
    }
    const reader = this.#readers[one.which % Math.max(1, this.#readers.length)]
    if (reader === undefined || reader.gone) return
    if (one.op === 'take') reader.sink.take()
    else if (one.op === 'takeSome') reader.sink.takeSome()
    else if (one.op === 'disconnect') {
      reader.gone = true
      reader.sink.vanish()
      reader.leave()
    } else {
      reader.sink.slow = one.op === 'slowDown'
      if (!reader.sink.slow) reader.sink.take()
    }
  }

  async #append(messages: readonly (typeof message extends fc.Arbitrary<infer T> ? T : never)[]): Promise<void> {
    const made = messages.map(({ event, body, ...rest }) => ({
      ...rest,
      event_id: `${this.#name}-${event}`,
      body: BODIES[body as 0]!,
    }))
    const outcomes = await this.#log.append(made.map((one) => newEntry(one)))
    for (const [index, { db_id }] of outcomes.entries()) this.#rows.push({ ...made[index]!, db_id })
  }

  async #connect(wish: Connect): Promise<void> {
    const events = wish.events === '*' ? '*' : wish.events.map((event) => `${this.#name}-${event}`)
    const wanted = createFilter(events, wish.types, wish.senders, wish.unnamed)
    const { head_db_id: head, first_db_id, last_db_id: target } = await this.#log.bounds(wanted)
    const cursor = this.#base + Math.round(wish.place * (head - this.#base))
    const preamble = encodeHello(wanted, { cursor, first_db_id, last_db_id: target })
    const subscribe = (): void => {
      const sink = new FakeSink({ slow: wish.slow })
      const caughtUp: Reader['caughtUp'] = []
      sink.onEvent = ({ event, data }: Written) => {
        if (event !== 'caught_up') return
        caughtUp.push({
          id: (JSON.parse(data) as { last_message_db_id: number }).last_message_db_id,
          after: sink.ids.length,
        })
      }
      const leave = this.#live.subscribe({ filter: wanted, sink, cursor, caughtUpAt: target, head, preamble })
      this.#readers.push({ sink, wanted, cursor, target, leave, caughtUp, gone: false })
    }
    this.#coming.push({ in: wish.delay, subscribe })
  }

  #expected({ wanted, cursor }: Reader): number[] {
    return this.#rows
      .filter((row) => row.db_id > cursor && matchesFilter(wanted, row))
      .filter((row) => wanted.events === '*' || wanted.events.includes(row.event_id))
      .map(({ db_id }) => db_id)
  }

  /** Repairs everything, and lets the subscribers read until nothing more arrives. */
  async #drain(): Promise<void> {
    for (const coming of this.#coming) if (coming.in >= 0) coming.subscribe()
    this.#log.failing = false
    this.#log.release()
    for (const { sink } of this.#readers) sink.slow = false
    const open = this.#readers.filter(({ gone }) => !gone)
    const want = open.map((reader) => this.#expected(reader).length)
    const complete = (): boolean =>
      open.every(({ sink, caughtUp }, index) => sink.ids.length >= want[index]! && caughtUp.length > 0)
    const step = async (): Promise<boolean> => {
      for (const { sink } of open) sink.take()
      // Polling and timers compensate for lost notifications and failed reads.
      this.#clock.advance(500)
      await turn()
      return complete()
    }
    const saw = () => open.map(({ sink, caughtUp }, index) => [sink.ids.length, want[index], caughtUp.length])
    await until(step, { what: 'all messages and caught_up at each open subscriber', saw, everyMs: 0 })
    // Duplicates arrive late.
    for (let n = 0; n < 5; n++) await turn()
  }

  #judge(reader: Reader): void {
    const { sink, gone, cursor, target, caughtUp } = reader
    const { ids } = sink
    const expected = this.#expected(reader)
    const what = `cursor ${cursor}, target ${target}, of ${JSON.stringify(reader.wanted)}`
    assert.equal(sink.breaches, [], what)
    assert.equal(ids, gone ? expected.slice(0, ids.length) : expected, what)
    // A subscriber that disconnects immediately may have received nothing: its first bytes wait for its first page.
    if (!gone || sink.events.length > 0) assert.is(sink.events[0]!.event, 'hello', what)
    if (!gone) assert.is(caughtUp.length, 1, `caught_up comes once: ${what}`)
    assert.ok(caughtUp.length <= 1, `caught_up comes once: ${what}`)
    for (const { id, after } of caughtUp) {
      const promised = expected.filter((one) => one <= target).length
      assert.ok(after >= promised, `caught_up after ${after} of ${promised} messages: ${what}`)
      assert.is(id, ids[after - 1] ?? cursor, `caught_up names the last message: ${what}`)
    }
  }
}
