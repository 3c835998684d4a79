import * as assert from 'uvu/assert'
import { serializeDelivery } from '../../../src/core/message.ts'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import { toMessageRecord } from '../../../src/upstream/record.ts'
import { suite } from '../../support/harness/suite.ts'
import { until } from '../../support/harness/wait.ts'
import { fastDir } from '../../support/servers/fast-dir.ts'
import { append, EdgeNode, LocalConnection, type Node, readRows, startNode } from '../../support/stages/edge-stage.ts'
import { newEntry } from '../../support/stages/entries.ts'
import { FakeSink } from '../../support/stages/fake-sink.ts'

const test = suite('an edge')

const ALL = createFilter('*')

const deliveries = async (node: Node, events: readonly string[] | '*' = '*'): Promise<string[]> =>
  (await readRows(node, events)).map(serializeDelivery)

const eventsOf = (node: Node) => node.store.events(100, 0)

/** Runs a retention that keeps this many messages of each event. */
const prune = async (node: Node, messagesPerEvent: number): Promise<void> => {
  await node.store.prune({ receivedBefore: null, messagesPerEvent }, 100)
  node.hub.clearHistoryCache()
}

/** Waits until the copy is up to date. */
const level = (edge: EdgeNode): Promise<unknown> =>
  until(() => edge.follower.isLevel, { what: 'an edge that is level', saw: () => edge.follower.status })

/** Interval of polls that only leaves those which a request causes, in milliseconds. */
const RARELY = 600_000

const withPair = async (
  body: (core: Node, edge: EdgeNode, connection: LocalConnection, file: string) => Promise<void>,
  before: (core: Node) => Promise<unknown> = async () => {},
  pollMs = 5,
): Promise<void> => {
  const core = await startNode()
  await before(core)
  const connection = new LocalConnection(core)
  const file = `${fastDir()}/gateway.db`
  const edge = new EdgeNode(file, connection, '*', pollMs)
  await edge.start()
  try {
    await body(core, edge, connection, file)
  } finally {
    await edge.stop()
    await core.stop()
  }
}

test('keeps the text, the ids, the log_id and the counts of its core', () =>
  withPair(
    async (core, edge) => {
      await append(core, {
        event_id: 'b',
        body: '{"text":"live","event_id":"b","message_id":"m-b"}',
        message_id: 'm-b',
      })
      await level(edge)
      assert.is(edge.store.logId, core.store.logId)
      assert.equal(await deliveries(edge), await deliveries(core))
      assert.equal(await eventsOf(edge), await eventsOf(core))
      assert.equal(await edge.store.bounds(ALL), await core.store.bounds(ALL))
      const typed = createFilter('*', ['t'], ['f'])
      const limit = { messages: 10, bytes: 1_000 }
      assert.is(
        (await edge.store.read(typed, 0, limit)).messages.length,
        1,
        'types and senders are columns of the copy',
      )
    },
    async (core) => {
      const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
      await append(
        core,
        { event_id: 'a', message_id: 'm 1', lacks: 3, body: '{}' },
        { event_id: 'a', lacks: 7, body: ' {"published_by":"me","n":12302548181076029} ', traceparent },
        { event_id: '事件', message_id: '"', lacks: 3, body: '{"message_content":"x,\\"received_at\\":\\"no\\""}' },
        { event_id: 'a', lacks: 3, body: '{"type":"t","source":"f"}', message_type: 't', message_from: 'f' },
      )
    },
  ))

test('refuses a message whose last keys are not those of a gateway', () => {
  const text = '{"event_id":"e","message_id":"m","received_at":"2026-11-22T10:00:00.123Z","db_id":7}'
  assert.is(serializeDelivery(toMessageRecord(text, 7)), text)
  for (const [data, id] of [
    [text, 8],
    ['{"event_id":"e"}', 7],
    ['{"received_at":"2026-11-22T10:00:00.123Z","db_id":7}', 7],
    [text.replace('2026', 'soon'), 7],
  ] as const) {
    assert.throws(() => toMessageRecord(data, id), /unknown form/, data)
  }
})

test('continues after its last message when the connection breaks and when it restarts', () =>
  withPair(async (core, edge, connection, file) => {
    await append(core, {}, {}, {})
    await level(edge)
    connection.cut()
    await append(core, {}, {})
    await until(() => edge.follower.status.state === 'away')
    assert.is((await readRows(edge)).length, 3, 'what was copied is served')
    connection.heal()
    await until(async () => (await readRows(edge)).length === 5)
    await edge.stop()
    await append(core, {})
    const again = new EdgeNode(file, connection)
    await again.start()
    await until(async () => (await readRows(again)).length === 6)
    assert.equal(await deliveries(again), await deliveries(core))
    assert.equal(again.resets, [], 'nothing started over')
    await again.stop()
    await edge.start()
  }))

test('admits a cursor that only its core has reached when the core dies before it can be asked', () =>
  withPair(
    async (core, edge, connection) => {
      await level(edge)
      const second = new EdgeNode(`${fastDir()}/gateway.db`, new LocalConnection(edge), '*', RARELY)
      await second.start()
      try {
        await level(second)
        // The message reaches a client of the core, not the edge.
        const [stored] = await core.store.append([newEntry({})])
        connection.refuseState()
        for (const node of [edge, second]) {
          const sink = new FakeSink()
          await node.subscribe(ALL, stored!.db_id, sink)
          await until(() => sink.events.some(({ event }) => event === 'caught_up'))
          assert.equal(
            sink.events.map(({ event }) => event),
            ['hello', 'caught_up'],
          )
        }
      } finally {
        await second.stop()
      }
    },
    undefined,
    RARELY,
  ))

test('admits a cursor that only its core has reached, and refuses one beyond it as the core does', () =>
  withPair(async (core, edge, connection) => {
    const ids = await append(core, { event_id: 'a' }, { event_id: 'b' })
    await level(edge)
    connection.cut()
    await until(() => !edge.follower.isLevel)
    const [ahead = 0] = await append(core, { event_id: 'a' })
    const early = new FakeSink()
    await edge.subscribe(ALL, ahead, early)
    await until(() => early.events.some(({ event }) => event === 'hello'))
    assert.equal(
      early.events.map(({ event }) => event),
      ['hello', 'caught_up'],
      'no reset while the core is away',
    )
    const beyond = new FakeSink()
    await edge.subscribe(ALL, ahead + 100, beyond)
    connection.heal()
    await until(() => beyond.state === 'ended', {
      what: 'the end of the stream whose cursor the core has not assigned',
    })
    const [next = 0] = await append(core, { event_id: 'b' })
    await until(() => early.ids.length > 0)
    assert.equal(early.ids, [next], 'neither the messages before the cursor, nor any twice')
    for (const node of [core, edge]) {
      const late = new FakeSink()
      await node.subscribe(ALL, next + 100, late)
      await until(() => late.ids.length === 4)
      assert.equal(JSON.parse(late.events[1]!.data), { reason: 'cursor_ahead', first_db_id: ids[0] })
      const narrow = new FakeSink()
      await node.subscribe(createFilter(['a']), next, narrow)
      await until(() => narrow.ids.length === 2)
      assert.is(narrow.events[1]!.event, 'reset', 'the ids of others stay hidden')
    }
  }))

test('takes over what retention has deleted, with the bounds', () =>
  withPair(async (core, edge, connection) => {
    const ids = await append(core, { event_id: 'a' }, { event_id: 'a' }, { event_id: 'b' }, { event_id: 'a' })
    await level(edge)
    await prune(core, 1)
    await until(async () => (await readRows(edge)).length === 2)
    assert.equal(await eventsOf(edge), await eventsOf(core))
    assert.equal(await edge.store.bounds(createFilter(['a'])), await core.store.bounds(createFilter(['a'])))
    connection.cut()
    await append(core, { event_id: 'a' }, { event_id: 'a' })
    await prune(core, 1)
    const reader = new FakeSink()
    await edge.subscribe(ALL, ids[3]!, reader)
    connection.heal()
    await until(() => reader.state === 'ended', { what: 'the end of a stream that would miss messages' })
    assert.equal(edge.resets, [null, 'history_pruned'], 'after the first contact')
    await level(edge)
    for (const node of [core, edge]) {
      const resumed = new FakeSink()
      await node.subscribe(ALL, ids[3]!, resumed)
      await until(() => resumed.ids.length === 2)
      assert.equal(JSON.parse(resumed.events[1]!.data), { reason: 'history_pruned', first_db_id: ids[2] })
    }
    assert.equal(await deliveries(edge), await deliveries(core))
  }))

test('with a retention of its own, has the higher bounds', () =>
  withPair(async (core, edge, connection) => {
    const ids = await append(core, {}, {}, {}, {})
    await level(edge)
    await prune(edge, 1)
    await prune(core, 3)
    connection.reconnect()
    await append(core, {})
    await until(async () => (await edge.store.head()) === ids[3]! + 1)
    await level(edge)
    assert.equal(
      (await readRows(edge)).map(({ db_id }) => db_id),
      [ids[3], ids[3]! + 1],
    )
    assert.is((await edge.store.bounds(ALL)).pruned_db_id, ids[2])
  }))

test('starts over with another store of its core, and tells its readers', () =>
  withPair(async (core, edge, connection) => {
    const ids = await append(core, {}, {}, {})
    await level(edge)
    const reader = new FakeSink()
    await edge.subscribe(ALL, ids[2]!, reader)
    const other = await startNode()
    await append(other, {})
    connection.core = other
    connection.reconnect()
    await until(() => reader.state === 'ended')
    await level(edge)
    assert.is(edge.store.logId, other.store.logId)
    assert.equal(await deliveries(edge), await deliveries(other))
    const resumed = new FakeSink()
    await edge.subscribe(ALL, ids[2]!, resumed)
    await until(() => resumed.ids.length === 1)
    assert.equal(JSON.parse(resumed.events[1]!.data).reason, 'cursor_ahead', 'as at the core')
    await other.stop()
  }))

test('copies all again if it follows other events, and only those', async () => {
  const core = await startNode()
  await append(core, { event_id: 'a' }, { event_id: 'b' }, { event_id: 'a' })
  const file = `${fastDir()}/gateway.db`
  for (const events of [['a'], ['b', 'a'], '*', ['b']] as const) {
    const edge = new EdgeNode(file, new LocalConnection(core, events), events)
    await edge.start()
    await level(edge)
    assert.equal(await deliveries(edge), await deliveries(core, events), String(events))
    await edge.stop()
  }
  await core.stop()
})

test('does not take the store of a gateway for its copy, and no gateway its copy for a store', async () => {
  const file = `${fastDir()}/gateway.db`
  const core = await startNode(file)
  await append(core, {})
  await core.stop()
  const codeOf = async (start: Promise<void>) =>
    start.then(
      () => 'started',
      (error: { code: string }) => error.code,
    )
  const other = await startNode()
  const connection = new LocalConnection(other)
  const wrong = new EdgeNode(file, connection)
  assert.is(await codeOf(wrong.start()), 'database_not_copy')
  await wrong.stop()
  const copy = `${fastDir()}/gateway.db`
  const edge = new EdgeNode(copy, connection)
  await edge.start()
  await edge.stop()
  assert.is(await codeOf(startNode(copy).then(() => {})), 'database_is_copy')
  await other.stop()
})

test('follows revocations, also those that are removed', () =>
  withPair(async (_core, edge, connection) => {
    const ann = { subject: 'ann', issued_before: 5_000, until: null }
    connection.revocations = [ann, { subject: 'bob', issued_before: 1_000, until: 1 }]
    await until(async () => (await edge.store.revocations()).length === 1)
    assert.equal(await edge.store.revocations(), [ann], 'without the expired one')
    connection.revocations = [{ ...ann, issued_before: 3_000 }]
    await until(async () => (await edge.store.revocations())[0]?.issued_before === 3_000)
    connection.revocations = []
    await until(async () => (await edge.store.revocations()).length === 0)
  }))

test('can be the core of another edge, which knows when the first one is behind', () =>
  withPair(async (core, middle, connection) => {
    const outer = new EdgeNode(`${fastDir()}/gateway.db`, new LocalConnection(middle))
    await outer.start()
    const [id = 0] = await append(core, {}, {})
    await level(outer)
    assert.equal(await deliveries(outer), await deliveries(core))
    connection.cut()
    const [ahead = 0] = await append(core, {})
    await until(() => !middle.follower.isLevel)
    const reader = new FakeSink()
    await outer.subscribe(ALL, ahead, reader)
    assert.is(await outer.follower.mayReach(ahead, true), true, 'the core of its core may have it')
    const answers = await Promise.all([id, ahead].map((cursor) => outer.follower.mayReach(cursor, false)))
    assert.equal(answers, [true, true], 'who cannot read everything does not learn where the copy ends')
    connection.heal()
    await level(outer)
    const [next = 0] = await append(core, {})
    await until(() => reader.ids.length > 0)
    assert.equal(reader.ids, [next])
    assert.ok(id < ahead)
    await outer.stop()
  }))

test.run()
