import * as assert from 'uvu/assert'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import type { HubOptions } from '../../../src/streams/hub.ts'
import { suite } from '../../support/harness/suite.ts'
import { type Follower, hasIds, type LiveStage, makeLiveStage } from '../../support/stages/live-stage.ts'

const LARGE = JSON.stringify('x'.repeat(50_000))

const live = suite('live streams')

/** Registers tests, each with a separate stage and these options. */
const staged =
  (options: Partial<HubOptions> = {}) =>
  (name: string, body: (stage: LiveStage) => Promise<void>): void =>
    live(name, async () => {
      const stage = await makeLiveStage(options)
      try {
        await body(stage)
      } finally {
        await stage.dispose()
      }
    })

const test = staged()

const names = (...followers: Follower[]): string[] => followers.map((follower) => follower.names().join(' '))

test('caught_up is sent once, after everything up to last_db_id of hello', async (stage) => {
  const ids = await stage.append(...Array.from({ length: 1_200 }, () => ({})))
  const follower = await stage.connect()
  await hasIds(follower, ids)
  await stage.settle()
  ids.push(...(await stage.append({}, {})))
  stage.changes.notify()
  await hasIds(follower, ids)
  await stage.settle()
  assert.equal(names(follower), ['hello caught_up'])
  const { event, data } = follower.sink.events[1_201]!
  assert.equal([event, data], ['caught_up', `{"last_message_db_id":${ids[1_199]}}`])
})

test('an empty channel is caught up at once, at its cursor', async (stage) => {
  const [last] = await stage.append({ event_id: 'other' })
  const follower = await stage.connect({ cursor: last! })
  await stage.settle()
  assert.equal(names(follower), ['hello caught_up'])
  assert.is(follower.sink.events[1]!.data, `{"last_message_db_id":${last}}`)
})

test('messages up to last_db_id of hello precede caught_up even if the tailer has not read them yet', async (stage) => {
  const first = await stage.connect()
  await stage.settle()
  const ids = await stage.append({}, {})
  const second = await stage.connect()
  await hasIds(second, ids)
  await stage.settle()
  assert.equal([first.sink.ids, names(second)], [[], ['hello caught_up']])
  assert.is(second.sink.events.at(-1)!.event, 'caught_up')
})

test('a lost notification is compensated by polling (D1)', async (stage) => {
  const follower = await stage.connect()
  await stage.settle()
  const ids = await stage.append({}, {})
  await stage.settle()
  assert.equal(follower.sink.ids, [])
  stage.clock.advance(1_100)
  await hasIds(follower, ids)
})

test('a notification during a read is not lost (D1)', async (stage) => {
  const follower = await stage.connect()
  await stage.settle()
  const ids = await stage.append({})
  stage.log.hold()
  stage.changes.notify()
  await stage.settle()
  ids.push(...(await stage.append({})))
  stage.changes.notify()
  stage.log.release()
  await hasIds(follower, ids)
})

test('a message larger than the replay buffer follows those before it, without a read for each filter', async (stage) => {
  const followers = await Promise.all(
    [null, ['t'], ['t', 'u']].map((types) => stage.connect({ wanted: createFilter(['e'], types) })),
  )
  await stage.settle()
  stage.log.reads = 0
  const body = JSON.stringify({ message_content: 'x'.repeat(300_000) })
  const ids = await stage.append({ message_type: 't' }, { message_type: 't', body })
  stage.changes.notify()
  for (const follower of followers) await hasIds(follower, ids)
  assert.ok(stage.log.reads <= 2, `${stage.log.reads} reads`)
  ids.push(...(await stage.append({ message_type: 't' })))
  stage.changes.notify()
  for (const follower of followers) await hasIds(follower, ids)
})

test('a thousand notifications do not cause a thousand reads', async (stage) => {
  const follower = await stage.connect()
  await stage.settle()
  const ids = await stage.append({})
  stage.log.reads = 0
  for (let n = 0; n < 1_000; n++) stage.changes.notify()
  await hasIds(follower, ids)
  assert.ok(stage.log.reads <= 3, `${stage.log.reads} reads`)
})

test('a failing read of the tailer is reported and retried, and loses nothing', async (stage) => {
  const follower = await stage.connect()
  await stage.settle()
  stage.log.failing = true
  const ids = await stage.append({}, {})
  stage.changes.notify()
  await stage.settle()
  assert.is((stage.faults.at(-1) as { code?: string }).code, 'storage_unavailable')
  ids.push(...(await stage.append({})))
  stage.log.failing = false
  stage.clock.advance(1_100)
  await hasIds(follower, ids)
  assert.is(stage.faults.at(-1), null, 'and that it works again')
})

test('a failing read of history is reported and retried, and loses nothing', async (stage) => {
  const ids = await stage.append(...Array.from({ length: 700 }, () => ({})))
  stage.log.failing = true
  const follower = await stage.connect()
  await stage.settle()
  assert.equal([names(follower), stage.faults.length > 0], [['hello'], true])
  stage.log.failing = false
  stage.clock.advance(16_000)
  await hasIds(follower, ids)
  assert.is(follower.sink.ids.length, 700)
})

test('a subscriber that reads nothing costs one write, whatever arrives (S1)', async (stage) => {
  await stage.append(...Array.from({ length: 40 }, () => ({ body: LARGE })))
  const slow = await stage.connect({ slow: true })
  const quick = await stage.connect()
  for (let n = 0; n < 20; n++) {
    await stage.append({ body: LARGE })
    stage.changes.notify()
    stage.clock.advance(500)
    await stage.settle()
  }
  assert.equal([slow.sink.writes, slow.names()], [1, ['hello']])
  assert.is(quick.sink.ids.length, 60, 'it holds nobody else up (S4)')
  for (let n = 0; n < 10; n++) {
    slow.sink.take()
    await stage.settle()
  }
  assert.ok(slow.sink.largestWrite < 512 * 1024, `${slow.sink.largestWrite} bytes in one write`)
  slow.sink.slow = false
  slow.sink.take()
  await hasIds(slow, quick.sink.ids)
})

test('messages are not read while every subscriber is blocked, and are sent as soon as one is not', async (stage) => {
  const stalled = await stage.connect({ slow: true })
  await stage.settle()
  const reads = stage.log.reads
  for (let n = 0; n < 5; n++) {
    await stage.append({ body: LARGE })
    stage.changes.notify()
    await stage.settle()
  }
  assert.is(stage.log.reads, reads)
  stalled.sink.slow = false
  stalled.sink.take()
  await stage.settle()
  assert.is(stalled.sink.ids.length, 5, 'without a notification or a tick of the clock')
  stalled.sink.slow = true
  await stage.append({})
  stage.changes.notify()
  await stage.settle()
  // It is unblocked while the head is read.
  await stage.append({})
  stage.log.hold()
  stage.changes.notify()
  await stage.settle()
  stalled.sink.slow = false
  stalled.sink.take()
  await stage.settle()
  stage.log.release()
  await stage.settle()
  assert.is(stalled.sink.ids.length, 7)
})

staged({ stallMs: 2_000 })(
  'a reader that takes nothing is closed as too slow; one that takes a little is not',
  async (stage) => {
    const [stuck, lame, quick] = [
      await stage.connect({ slow: true }),
      await stage.connect({ slow: true }),
      await stage.connect(),
    ]
    await stage.settle()
    assert.is(stage.live.stalled, 2)
    for (let n = 0; n < 5; n++) {
      stage.clock.advance(600)
      lame.sink.takeSome()
    }
    assert.equal(names(stuck, lame), ['hello caught_up closing', 'hello caught_up'])
    assert.is(stuck.sink.events.at(-1)!.data, '{"reason":"too_slow"}')
    assert.equal([stage.closings, stage.live.subscribers, stage.live.stalled], [['too_slow'], 2, 1])
    stage.clock.advance(5_000)
    assert.equal(names(lame), ['hello caught_up closing'])
    stage.clock.advance(60_000)
    assert.equal(names(quick), ['hello caught_up'])
    assert.equal([stage.live.subscribers, stage.live.stalled], [1, 0])
  },
)

staged({ stallMs: 2_000, heartbeatMs: 60_000 })(
  'no stream is closed as slow once its write was taken',
  async (stage) => {
    const follower = await stage.connect({ slow: true })
    stage.clock.advance(1_500)
    follower.sink.slow = false
    follower.sink.take()
    await stage.settle()
    stage.clock.advance(10_000)
    assert.equal(names(follower), ['hello caught_up'])
  },
)

staged({ maxAgeMs: 100_000 })(
  'streams end at their longest age, shortened by up to a fifth at random',
  async (stage) => {
    const followers: Follower[] = []
    for (let n = 0; n < 60; n++) followers.push(await stage.connect())
    await stage.settle()
    stage.clock.advance(79_000)
    assert.is(stage.live.subscribers, 60)
    const left: number[] = []
    for (let n = 0; n < 22; n++) {
      stage.clock.advance(1_000)
      left.push(stage.live.subscribers)
    }
    assert.is(left.at(-1), 0)
    assert.ok(new Set(left).size > 5, `not all at once: ${left}`)
    assert.is(followers[0]!.sink.events.at(-1)!.data, '{"reason":"max_age"}')
  },
)

test('damaged rows end the streams that need them, and no other', async (stage) => {
  const [needs, other, all] = [
    await stage.connect(),
    await stage.connect({ wanted: createFilter(['o']) }),
    await stage.connect({ wanted: createFilter('*') }),
  ]
  await stage.settle()
  const [, second] = await stage.append({}, { event_id: 'o' })
  stage.log.damaged = 'e'
  stage.changes.notify()
  await hasIds(other, [second!])
  await stage.settle()
  assert.equal(names(needs, other, all), ['hello caught_up closing', 'hello caught_up', 'hello caught_up closing'])
  for (const { sink } of [needs, all]) assert.is(sink.events.at(-1)!.data, '{"reason":"database_corrupt"}')
  const retry = needs.sink.retries.at(-1)!
  assert.ok(retry >= 15_000 && retry <= 30_000, `retry: ${retry}`)
  assert.equal(stage.closings, ['database_corrupt', 'database_corrupt'])
  // A client that returns meanwhile gets the same reason, and one of another event everything of it.
  const [returned, late] = [await stage.connect(), await stage.connect({ wanted: createFilter(['o', 'p']) })]
  await hasIds(late, [second!])
  await stage.settle()
  assert.equal(names(returned, late), ['hello closing', 'hello caught_up'])
  stage.log.damaged = null
  const [, fourth] = await stage.append({}, { event_id: 'o' })
  stage.changes.notify()
  await hasIds(other, [second!, fourth!])
  await hasIds(late, [second!, fourth!])
})

test('a stop ends every stream with its reason, and spreads the reconnects', async (stage) => {
  const followers: Follower[] = []
  for (let n = 0; n < 40; n++) followers.push(await stage.connect({ wanted: createFilter([`e${n % 3}`]) }))
  await stage.settle()
  assert.equal([stage.live.subscribers, stage.live.channels], [40, 3])
  await stage.live.stop()
  const retries = followers.map(({ sink }) => sink.retries.at(-1)!)
  assert.ok(
    retries.every((ms) => ms >= 10_000 && ms <= 15_000),
    String(retries),
  )
  assert.ok(new Set(retries).size > 20)
  for (const { sink } of followers) {
    assert.equal([sink.events.at(-1)!.data, sink.state, sink.breaches], ['{"reason":"shutdown"}', 'ended', []])
  }
  assert.equal([stage.live.subscribers, stage.live.channels, stage.clock.intervals], [0, 0, 0])
})

test('subscribers without event names get the same messages as the others of their filter', async (stage) => {
  const ids = await stage.append({}, {})
  const unnamed = await stage.connect({ wanted: createFilter(['e'], null, null, true) })
  const named = await stage.connect()
  await hasIds(named, ids)
  ids.push(...(await stage.append({ message_type: 't' })))
  stage.changes.notify()
  for (const follower of [named, unnamed]) await hasIds(follower, ids)
  await stage.settle()
  const eventsOf = ({ sink }: Follower) => sink.events.map(({ event }) => event)
  assert.equal(eventsOf(named), ['hello', 'new_message', 'new_message', 'caught_up', 'new_message'])
  assert.equal(eventsOf(unnamed), ['hello', 'message', 'message', 'caught_up', 'message'])
})

test('a stream whose request came before a stop, and that is opened after it, ends with closing as well', async (stage) => {
  await stage.live.stop()
  const { sink } = await stage.connect()
  await stage.settle()
  assert.equal([sink.events.at(-1)!.data, sink.state], ['{"reason":"shutdown"}', 'ended'])
  assert.equal([stage.live.subscribers, stage.live.channels], [0, 0])
})

staged({ heartbeatMs: 15_000 })(
  'every stream has its heartbeat, none while a write is under way, and not all at once',
  async (stage) => {
    const followers: Follower[] = []
    for (let n = 0; n < 60; n++) followers.push(await stage.connect({ slow: n === 0 }))
    await stage.settle()
    const count = ({ sink }: Follower) => sink.events.filter(({ event }) => event === 'heartbeat').length
    const totals: number[] = []
    for (let n = 0; n < 30; n++) {
      stage.clock.advance(500)
      await stage.settle()
      totals.push(followers.reduce((sum, follower) => sum + count(follower), 0))
    }
    const [slow, ...others] = followers.map(count)
    assert.is(slow, 0)
    // Twice if real time has passed as well.
    assert.ok(
      others.every((beats) => beats === 1 || beats === 2),
      String(others),
    )
    assert.ok(new Set(totals).size > 10, String(totals))
    assert.ok(followers.every(({ sink }) => sink.events.every(({ event, id }) => event !== 'heartbeat' || id === null)))
  },
)

test('a subscriber that disconnected is never written to again (S2), whenever it disconnects', async (stage) => {
  await stage.append({}, {})
  stage.log.hold()
  const reading = await stage.connect()
  const staying = await stage.connect()
  await stage.settle()
  reading.sink.vanish()
  reading.leave()
  reading.leave()
  stage.log.release()
  stage.changes.notify()
  await hasIds(staying, [1, 2])
  stage.clock.advance(31_000)
  assert.equal([reading.sink.breaches, reading.sink.ids, stage.live.subscribers], [[], [], 1])
})

test('equal filters share one channel, which is removed with the last subscriber', async (stage) => {
  const wishes = [
    createFilter(['a', 'b']),
    createFilter(['b', 'a', 'a']),
    createFilter(['a', 'b'], ['t']),
    createFilter('*'),
  ]
  const followers: Follower[] = []
  for (const wanted of wishes) followers.push(await stage.connect({ wanted }))
  assert.equal([stage.live.subscribers, stage.live.channels], [4, 3])
  for (const { leave } of followers) leave()
  assert.equal([stage.live.subscribers, stage.live.channels], [0, 0])
})

test('a thousand subscribers that reconnect at once read each page of history once', async (stage) => {
  const ids = await stage.append(...Array.from({ length: 2_000 }, () => ({})))
  const followers: Follower[] = []
  for (let n = 0; n < 200; n++) followers.push(await stage.connect({ cursor: ids[n % 50]! }))
  for (const [n, follower] of followers.entries()) await hasIds(follower, ids.slice((n % 50) + 1))
  assert.ok(stage.log.reads < 60, `${stage.log.reads} reads`)
})

test('messages deleted by retention are not served from memory', async (stage) => {
  const ids = await stage.append({}, {}, { received_at: 5_000 })
  await hasIds(await stage.connect(), ids)
  await stage.log.prune({ receivedBefore: 4_000, messagesPerEvent: null }, 10)
  stage.live.clearHistoryCache()
  await hasIds(await stage.connect(), ids.slice(2))
})

test('messages deleted by another process are not served from memory for longer than a minute', async (stage) => {
  const ids = await stage.append({}, {}, { received_at: 5_000 })
  await hasIds(await stage.connect(), ids)
  await stage.log.prune({ receivedBefore: 4_000, messagesPerEvent: null }, 10)
  stage.clock.advance(61_000)
  await hasIds(await stage.connect(), ids.slice(2))
})

test('messages of a busy channel that another process has deleted are not served from its buffer for longer than a minute', async (stage) => {
  const reading = await stage.connect()
  const ids: number[] = []
  const append = async (): Promise<void> => {
    ids.push(...(await stage.append({ received_at: 1_000 + ids.length })))
    stage.changes.notify()
    await hasIds(reading, ids)
  }
  await append()
  await stage.log.prune({ receivedBefore: 2_000, messagesPerEvent: null }, 10)
  for (let n = 0; n < 7; n++) {
    stage.clock.advance(9_000)
    await append()
  }
  await hasIds(await stage.connect({ cursor: ids[0]! - 1 }), ids.slice(1))
})

staged({ stallMs: 1e9 })('a channel that gives its memory back between messages leaves no gap', async (stage) => {
  const ids = await stage.append({ body: LARGE })
  const [quick, slow] = [await stage.connect(), await stage.connect({ slow: true })]
  for (let n = 0; n < 4; n++) {
    ids.push(...(await stage.append({ body: LARGE })))
    stage.changes.notify()
    await hasIds(quick, ids)
    stage.clock.advance(20_000)
    await stage.settle()
  }
  slow.sink.slow = false
  slow.sink.take()
  await hasIds(slow, ids)
})

live.run()
