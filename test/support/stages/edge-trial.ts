import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { createFilter, type SubscriptionFilter } from '../../../src/core/subscription-filter.ts'
import { until } from '../harness/wait.ts'
import { fastDir } from '../servers/fast-dir.ts'
import { append, EdgeNode, LocalConnection, type Node, readRows, startNode } from './edge-stage.ts'
import { FakeSink, type Written } from './fake-sink.ts'

const EVENTS = ['a', 'b', 'c']
const BODY = JSON.stringify({ text: 'x'.repeat(40) })
const LARGE = JSON.stringify({ text: 'x'.repeat(60_000) })

const choice = <T>(...values: T[]) => fc.constantFrom(...values)
const op = <Name extends string>(name: Name) => fc.record({ op: fc.constant(name) })
const which = fc.nat({ max: 5 })

const appended = fc.record({
  op: fc.constant('append' as const),
  events: fc.array(choice(...EVENTS), { minLength: 1, maxLength: 6 }),
  large: fc.constantFrom(false, false, false, true),
})

/** `places`: where a reader connects the first, second … time. */
const joined = fc.record({
  op: fc.constant('join' as const),
  events: choice<string[] | '*'>('*', '*', ['a'], ['a', 'b'], ['c']),
  places: fc.array(choice('core' as const, 'edge' as const), { minLength: 1, maxLength: 4 }),
})

export const edgeOperation = fc.oneof(
  { weight: 8, arbitrary: appended },
  { weight: 4, arbitrary: joined },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('move' as const), which }) },
  { weight: 2, arbitrary: op('cut') },
  { weight: 3, arbitrary: op('heal') },
  { weight: 1, arbitrary: op('restartCore') },
  { weight: 2, arbitrary: op('restartEdge') },
  { weight: 1, arbitrary: op('newCore') },
  {
    weight: 2,
    arbitrary: fc.record({ op: choice('pruneCore' as const, 'pruneEdge' as const), keep: choice(1, 2, 4) }),
  },
  { weight: 6, arbitrary: fc.record({ op: fc.constant('wait' as const), turns: choice(1, 5, 30) }) },
)

export type EdgeOperation = typeof edgeOperation extends fc.Arbitrary<infer T> ? T : never

type Place = 'core' | 'edge'

const turn = (): Promise<void> => new Promise(setImmediate)

/**
 * A client that keeps its last id, as EventSource does, and starts over if the log_id changes, as /client.js does. After each end of its
 * stream it connects to its next place.
 */
class Reader {
  /** null while the node is down. */
  readonly #nodeAt: (place: Place) => Node | null
  readonly #places: readonly Place[]
  readonly filter: SubscriptionFilter
  /** Ids since it last started over; `from`: the cursor with which it did. */
  epoch: { readonly logId: string; readonly from: number; readonly ids: number[] } = { logId: '', from: 0, ids: [] }
  caughtUp = false
  #sink: FakeSink | null = null
  #leave = (): void => {}
  #lastId: number | null = null
  #connections = 0
  #connecting = false

  constructor(filter: SubscriptionFilter, places: readonly Place[], nodeAt: (place: Place) => Node | null) {
    this.filter = filter
    this.#places = places
    this.#nodeAt = nodeAt
  }

  /** Connects if it has no stream. */
  async tick(): Promise<void> {
    if (this.#connecting || this.#sink?.state === 'open') return
    const node = this.#nodeAt(this.#places[this.#connections % this.#places.length]!)
    if (node === null) return
    this.#connecting = true
    this.#connections++
    const sink = new FakeSink()
    this.caughtUp = false
    sink.onEvent = (event) => this.#onEvent(sink, event)
    this.#sink = sink
    try {
      this.#leave = await node.subscribe(this.filter, this.#lastId, sink)
    } catch {
      // The node was stopped meanwhile.
      sink.destroy()
    }
    this.#connecting = false
  }

  move(): void {
    if (this.#sink?.state !== 'open' || this.#connecting) return
    this.#sink.vanish()
    this.#leave()
  }

  #begin(logId: string, from: number): void {
    this.epoch = { logId, from, ids: [] }
  }

  #onEvent(sink: FakeSink, { event, id, data }: Written): void {
    if (sink !== this.#sink || sink.state !== 'open') return
    if (event === 'hello') {
      const { log_id, cursor } = JSON.parse(data) as { log_id: string; cursor: number }
      const isOther = this.epoch.logId !== log_id
      if (isOther && this.epoch.logId !== '' && cursor !== 0) {
        this.#lastId = null
        this.#begin(log_id, 0)
        // What still arrives on this stream is after a cursor of the other store.
        sink.onEvent = () => {}
        setImmediate(() => this.move())
        return
      }
      this.#lastId = cursor
      if (isOther || cursor === 0) this.#begin(log_id, cursor)
    } else if (event === 'caught_up') this.caughtUp = true
    else if (event === 'new_message') {
      this.#lastId = id
      this.epoch.ids.push(id!)
    }
  }
}

/** Returns the rows that a reader must have received and has not. @param pruned what retention has deleted at the edge, by event */
const findMissing = (
  { epoch, filter }: Reader,
  rows: Awaited<ReturnType<typeof readRows>>,
  pruned: ReadonlyMap<string, number>,
): number[] =>
  rows
    .filter(({ event_id }) => filter.events === '*' || filter.events.includes(event_id))
    .filter(({ db_id, event_id }) => db_id > epoch.from && db_id > (pruned.get(event_id) ?? 0))
    .map(({ db_id }) => db_id)
    .filter((db_id) => !epoch.ids.includes(db_id))

/** One run: a core, its edge, and readers that move between them. */
export class EdgeTrial {
  readonly #readers: Reader[] = []
  /** Every id that a core has assigned, with its event, by log_id. */
  readonly #assigned = new Map<string, Map<number, string>>()
  readonly #edgeFile = `${fastDir()}/gateway.db`
  #coreFile = `${fastDir()}/gateway.db`
  #core: Node | null = null
  #edge: EdgeNode | null = null
  #connection!: LocalConnection

  async run(operations: readonly EdgeOperation[]): Promise<void> {
    this.#core = await startNode(this.#coreFile)
    this.#connection = new LocalConnection(this.#core)
    this.#edge = new EdgeNode(this.#edgeFile, this.#connection)
    await this.#edge.start()
    try {
      for (const one of operations) {
        await this.#perform(one)
        for (const reader of this.#readers) void reader.tick()
        await turn()
      }
      await this.#judge()
    } finally {
      await this.#edge?.stop()
      await this.#core?.stop()
    }
  }

  async #perform(one: EdgeOperation): Promise<void> {
    const core = this.#core!
    const edge = this.#edge!
    switch (one.op) {
      case 'append': {
        const ids = await append(
          core,
          ...one.events.map((event_id) => ({ event_id, lacks: 3, body: one.large ? LARGE : BODY })),
        )
        const assigned = this.#assigned.get(core.store.logId) ?? new Map<number, string>()
        for (const [index, id] of ids.entries()) assigned.set(id, one.events[index]!)
        this.#assigned.set(core.store.logId, assigned)
        return
      }
      case 'join': {
        const nodeAt = (place: Place) => (place === 'core' ? this.#core : this.#edge)
        this.#readers.push(new Reader(createFilter(one.events), one.places, nodeAt))
        return
      }
      case 'move':
        return this.#readers[one.which % Math.max(1, this.#readers.length)]?.move()
      case 'cut':
        return this.#connection.cut()
      case 'heal':
        return this.#connection.heal()
      case 'restartCore':
        return this.#replaceCore(this.#coreFile)
      case 'newCore':
        return this.#replaceCore(`${fastDir()}/gateway.db`)
      case 'restartEdge':
        this.#edge = null
        await edge.stop()
        this.#edge = new EdgeNode(this.#edgeFile, this.#connection)
        return this.#edge.start()
      case 'pruneCore':
      case 'pruneEdge': {
        const node = one.op === 'pruneCore' ? core : edge
        await node.store.prune({ receivedBefore: null, messagesPerEvent: one.keep }, 1_000)
        return node.hub.clearHistoryCache()
      }
      case 'wait':
        for (let n = 0; n < one.turns; n++) await turn()
    }
  }

  async #replaceCore(file: string): Promise<void> {
    const core = this.#core!
    this.#core = null
    this.#connection.cut()
    await core.stop()
    this.#coreFile = file
    this.#core = await startNode(file)
    this.#connection.core = this.#core
    this.#connection.heal()
  }

  /** Heals everything, waits until nothing is in progress, and compares. */
  async #judge(): Promise<void> {
    const core = this.#core!
    const edge = this.#edge!
    this.#connection.heal()
    const prunedAtEdge = async (): Promise<ReadonlyMap<string, number>> =>
      new Map(
        await Promise.all(
          EVENTS.map(async (event) => [event, (await edge.store.bounds(createFilter([event]))).pruned_db_id] as const),
        ),
      )
    const settled = async (): Promise<boolean> => {
      for (const reader of this.#readers) void reader.tick()
      const rows = await readRows(core)
      const isCopied =
        edge.follower.isLevel &&
        edge.store.logId === core.store.logId &&
        (await edge.store.head()) >= (rows.at(-1)?.db_id ?? 0) &&
        // What the core deletes follows with its next state.
        (await readRows(edge)).every(({ db_id }) => rows.some((row) => row.db_id === db_id))
      if (!isCopied || !this.#readers.every(({ epoch, caughtUp }) => caughtUp && epoch.logId === core.store.logId)) {
        return false
      }
      // What was stored after `caught_up` may still be on its way.
      const prunedHere = await prunedAtEdge()
      return this.#readers.every((reader) => findMissing(reader, rows, prunedHere).length === 0)
    }
    await until(settled, {
      what: 'an edge and readers that are up to date',
      saw: () => [
        edge.follower.status,
        edge.failures.slice(-3),
        this.#readers.map(({ epoch, caughtUp }) => [epoch, caughtUp]),
      ],
      everyMs: 2,
    })
    // What follows `caught_up`, and what would come twice.
    for (let n = 0; n < 20; n++) await turn()
    const rows = await readRows(core)
    const pruned = (await edge.store.bounds(createFilter('*'))).pruned_db_id
    const copied = (await readRows(edge)).map(({ db_id, event_id }) => `${db_id} ${event_id}`)
    const both = rows.map(({ db_id, event_id }) => `${db_id} ${event_id}`)
    const missing = both.filter((row) => !copied.includes(row))
    assert.equal(
      copied.filter((row) => !both.includes(row)),
      [],
      'the edge has nothing that its core lacks',
    )
    const prunedHere = await prunedAtEdge()
    for (const row of missing) {
      const [id, event] = row.split(' ')
      assert.ok(
        Number(id) <= (prunedHere.get(event!) ?? 0),
        `the edge lacks ${row}, and its retention has not deleted it (${pruned})`,
      )
    }
    const assigned = this.#assigned.get(core.store.logId) ?? new Map<number, string>()
    for (const { epoch, filter } of this.#readers) {
      const { ids, from } = epoch
      const what = `reader of ${filter.events} from ${from}: ${ids}; core ${[...assigned.keys()]}`
      assert.equal(
        ids,
        [...new Set(ids)].sort((a, b) => a - b),
        `rising, none twice: ${what}`,
      )
      for (const id of ids) assert.ok(assigned.has(id), `${id} is an id of the core: ${what}`)
    }
  }
}
