import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { until } from '../harness/wait.ts'
import { checkOutcome, storedIn } from '../resilience/oracle.ts'
import { countMessages } from '../servers/database.ts'
import type { Gateway } from '../servers/gateway.ts'
import { KEY, streamUrl } from '../stages/stage.ts'
import type { PikaPublisher } from './pika.ts'
import { Reader, type ReaderOptions } from './sse.ts'

/** Maximum number of lines queued in the publisher, so that it can stop quickly. */
const WINDOW = 50

/**
 * Publishes numbered messages of one event, by default some hundred per second, until it is stopped. Their ids are
 * `PREFIX-0`, `PREFIX-1` and so on.
 */
export class Load {
  /** The ids that the broker has confirmed, in order. */
  readonly confirmed: string[] = []
  readonly event_id: string
  readonly #publisher: Pick<PikaPublisher, 'publish'>
  readonly #prefix: string
  readonly #everyMs: number
  #stopping = false
  #running: Promise<void> | null = null

  constructor(publisher: Pick<PikaPublisher, 'publish'>, event_id: string, { prefix = event_id, everyMs = 3 } = {}) {
    this.#publisher = publisher
    this.event_id = event_id
    this.#prefix = prefix
    this.#everyMs = everyMs
  }

  start(): this {
    this.#running ??= this.#run()
    // `stop` throws the error.
    this.#running.catch(() => {})
    return this
  }

  /** Resolves when the broker has confirmed everything that was published. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
  }

  /** Resolves when the broker has confirmed this many more. */
  async more(count: number): Promise<void> {
    const enough = this.confirmed.length + count
    await until(() => this.confirmed.length >= enough, {
      what: `${count} more confirmed messages`,
      saw: () => `${this.confirmed.length} of ${enough}`,
    })
  }

  async #run(): Promise<void> {
    const open = new Set<Promise<void>>()
    let failure: unknown
    for (let n = 0; !this.#stopping && failure === undefined; n++) {
      const message_id = `${this.#prefix}-${n}`
      const body = JSON.stringify({ event_id: this.event_id, message_id, n, message_content: '内容'.repeat(20) })
      const sent = this.#publisher.publish({ key: KEY, body }).then(
        () => void this.confirmed.push(message_id),
        (error: unknown) => {
          failure = error
        },
      )
      open.add(sent)
      sent.finally(() => open.delete(sent))
      if (open.size >= WINDOW) await Promise.race(open)
      if (this.#everyMs > 0) await sleep(this.#everyMs)
    }
    await Promise.all(open)
    if (failure !== undefined) throw failure
  }
}

/** A client of one event that records message ids. It reconnects faster than a browser. */
export class IdReader extends Reader {
  readonly messageIds: string[]

  constructor(gateway: Gateway, event_id: string, { retryMs, ...options }: ReaderOptions = {}) {
    const ids: string[] = []
    super(() => streamUrl(gateway, event_id), {
      ...options,
      onMessage: (event) => {
        ids.push(event.data.message_id)
        options.onMessage?.(event)
      },
    })
    this.messageIds = ids
    // Shorter than `retry:`, since rounds of a second would otherwise end before the client has reconnected.
    if (retryMs !== undefined) Object.defineProperty(this, 'retryMs', { get: () => retryMs, set: () => {} })
  }
}

/** Fails unless both lists are equal; reports what is lost, duplicated or out of order. */
export const assertSameOnce = (actual: readonly string[], expected: readonly string[], what: string): void => {
  const seen = new Set<string>()
  const doubled = actual.filter((id) => seen.size === seen.add(id).size)
  const lost = expected.filter((id) => !seen.has(id))
  const wanted = new Set(expected)
  const strange = [...seen].filter((id) => !wanted.has(id))
  const show = (ids: string[]): string => `${ids.length} (${ids.slice(0, 5).join(', ')})`
  assert.is(
    `lost ${show(lost)}, doubled ${show(doubled)}, strange ${show(strange)}`,
    'lost 0 (), doubled 0 (), strange 0 ()',
    what,
  )
  const misplaced = actual.findIndex((id, index) => id !== expected[index])
  assert.is(misplaced, -1, `${what}: out of order at ${misplaced}: ${actual[misplaced]}, not ${expected[misplaced]}`)
}

/** Asserts that each client received each confirmed message of its load once, in database order. */
export const assertReadOnce = async (loads: readonly Load[], readers: readonly IdReader[]): Promise<void> => {
  for (const [n, reader] of readers.entries()) {
    const { confirmed } = loads[n % loads.length]!
    await reader.waitForCount(confirmed.length)
    assertSameOnce(reader.messageIds, confirmed, `reader ${n}`)
    assert.ok(
      reader.ids.every((id, index) => id > (reader.ids[index - 1] ?? 0)),
      `reader ${n}: its db_ids rise`,
    )
    assert.is(reader.counts.reset ?? 0, 0, `reader ${n}: no reset`)
  }
}

/**
 * Final check of every trial: the database is intact, contains each confirmed message once and in publishing order, and
 * each client received each message once, in database order.
 */
export const assertNothingLost = async (
  file: string,
  loads: readonly Load[],
  readers: readonly IdReader[],
): Promise<void> => {
  for (const { event_id, confirmed } of loads) {
    let stored = 0
    const what = `all ${confirmed.length} confirmed messages of ${event_id}`
    await until(() => (stored = countMessages(file, event_id)) >= confirmed.length, { what, saw: () => stored })
  }
  await assertReadOnce(loads, readers)
  const confirmed = loads.flatMap(({ event_id, confirmed }) =>
    confirmed.map((message_id) => ({ event_id, message_id })),
  )
  const violations = checkOutcome({
    confirmed,
    invalid: [],
    ...storedIn(file, new Set(loads.map(({ event_id }) => event_id))),
    readers: readers.map(({ ids, counts, failed }, n) => {
      const { event_id } = loads[n % loads.length]!
      return { name: String(n), events: [event_id], cursor: 0, ids, resets: counts.reset ?? 0, failed }
    }),
  })
  assert.equal(violations, [])
}
