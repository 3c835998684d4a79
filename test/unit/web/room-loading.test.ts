import * as assert from 'uvu/assert'
import type { Suite } from '../../support/harness/suite.ts'
import type { Json } from '../../support/harness/wait.ts'

/** Node's own one would keep this process running. */
class Turns {
  readonly port1 = { onmessage: (): void => {} }
  readonly port2 = { postMessage: (): void => void setImmediate(() => this.port1.onmessage()) }
}

/** The stream of a room; what it sends comes from the test. */
class Stream extends EventTarget {
  static last: Stream
  readonly readyState = 1

  constructor() {
    super()
    Stream.last = this
  }

  send(name: string, data: object, lastEventId = ''): void {
    this.dispatchEvent(Object.assign(new Event(name), { data: JSON.stringify(data), lastEventId }))
  }

  close(): void {}
}

/** The event of the gateway, with messages `first` to `last`; a round has a thousand. */
const stored = { first: 1, last: 1, logId: 'a log' }
/** Called for each request, which is answered by what is stored then, but only once a returned promise resolves. */
let onRequest: (path: string) => unknown

const messageOf = (db_id: number) => ({
  db_id,
  message_content: `message ${db_id}`,
  round_id: Math.ceil(db_id / 1_000),
  received_at: new Date(db_id).toISOString(),
})

const answerTo = ({ pathname, searchParams }: URL): object => {
  const { first, last, logId } = stored
  const [before, after] = [Number(searchParams.get('before')), Number(searchParams.get('last_message_db_id'))]
  const events = before === 0 || before > last ? [{ event_id: 'e', messages: last - first + 1, last_db_id: last }] : []
  if (pathname === '/api/events') return { data: events }
  const limit = Number(searchParams.get('limit'))
  const from = before > 0 ? Math.max(first, Math.min(before, last + 1) - limit) : Math.max(first, after + 1)
  const to = before > 0 ? Math.min(before - 1, last) : Math.min(after + limit, last)
  const data = Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => messageOf(from + index))
  return { data, has_more: before > 0 ? from > first : to < last, log_id: logId }
}

/** What a room needs of a browser, in which it does not share its stream with other tabs. */
const browser = {
  window: globalThis,
  location: new URL('http://gateway/events/e'),
  BroadcastChannel: undefined,
  EventSource: Stream,
  requestAnimationFrame: setImmediate,
  cancelAnimationFrame: clearImmediate,
  fetch: async (path: string) => {
    const wait = onRequest(path)
    const answer = JSON.stringify(answerTo(new URL(path, browser.location)))
    await wait
    return { ok: true, text: async () => answer }
  },
}

// Modules read these when they are loaded.
Object.assign(globalThis, { document: { documentElement: {} }, MessageChannel: Turns })
const { EMPTY_FILTER } = await import('../../../src/web/page/room/model/filter.ts')
const { RoomModel } = await import('../../../src/web/page/room/model/room.ts')
const { MessageNavigator } = await import('../../../src/web/page/room/navigation.ts')
const { VirtualList } = await import('../../../src/web/page/room/timeline/virtual-list.ts')
const { suite } = await import('../../support/harness/suite.ts')
const { until } = await import('../../support/harness/wait.ts')

type Room = InstanceType<typeof RoomModel>

let room: Room
let outside: object

/** A suite in whose tests there are rooms. */
const roomSuite = (name: string): Suite => {
  const rooms = suite(name)
  rooms.before.each(() => {
    outside = Object.fromEntries(Object.keys(browser).map((key) => [key, (globalThis as Json)[key]]))
    Object.assign(globalThis, browser)
  })
  rooms.after.each(() => {
    room.stop()
    Object.assign(globalThis, outside)
  })
  return rooms
}

/** Opens the room of an event with this many messages. */
const open = (messages: number): void => {
  Object.assign(stored, { first: 1, last: messages, logId: 'a log' })
  onRequest = () => {}
  room = new RoomModel('e')
  room.start()
}

const is = (state: string): Promise<unknown> =>
  until(() => room.history.get().is === state, { what: `history that is ${state}`, saw: () => room.history.get().is })

const idsOf = (): number[] => room.entries.map(({ id }) => id)

/** Whole numbers, both ends included. */
const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index)

/** Sends messages by the stream. */
const stream = async (from: number, to: number): Promise<void> => {
  for (const id of range(from, to)) Stream.last.send('new_message', messageOf(id), String(id))
  await until(() => room.entries.at(-1)?.id === to, { what: `message ${to}` })
}

const hello = (): void =>
  Stream.last.send('hello', { log_id: stored.logId, cursor: stored.last, first_db_id: 1, last_db_id: stored.last })

const failHistory = (path: string): void => {
  if (path.includes('limit=2000')) throw new Error('no history')
}

/** Opens a room of 1,000 messages whose history fails, and loads messages around 700: a gap is left below the first page. */
const openWithGap = async (): Promise<void> => {
  open(1_000)
  onRequest = failHistory
  await is('failed')
  await room.loadAround(700)
}

const loading = roomSuite('a war room that loads its messages')

loading('has each message once if a gap is loaded before the stream delivers the newest', async () => {
  open(1_000)
  onRequest = failHistory
  await is('failed')
  hello()
  await room.loadAround(700)
  assert.equal(room.gaps, [0, 760])
  stored.last = 1_001
  await room.loadGap(881)
  stored.last = 1_002
  await stream(1_001, 1_002)
  assert.equal(idsOf(), range(261, 1_002))
})

loading('loads the rest of a gap after retention has deleted its lower edge', async () => {
  await openWithGap()
  stored.first = 800
  await room.loadGap(881)
  assert.equal([room.gaps, idsOf()], [[], range(641, 760).concat(range(800, 1_000))])
})

loading('closes a gap after retention has deleted all of it', async () => {
  await openWithGap()
  stored.first = 900
  await room.loadGap(881)
  assert.equal(room.gaps, [])
  await is('whole')
})

loading('goes on to its beginning if that is requested during the first page, as for an export', async () => {
  open(9_000)
  room.loadUntil(() => false)
  const stops: string[] = []
  room.history.subscribe(() => {
    const { is, historyWanted } = room.history.get()
    if (is !== 'whole' && !historyWanted) stops.push(is)
  })
  await is('whole')
  assert.equal(stops, [], 'an export reports a failure at a stop')
})

const isCount = (path: string): boolean => path.startsWith('/api/events?')

loading('counts a message that is stored while they are counted, once the stream has delivered it', async () => {
  open(9_000)
  onRequest = (path) => isCount(path) && stored.last++
  await is('resting')
  assert.is(room.total, null)
  hello()
  await stream(9_001, stored.last)
  assert.is(room.total, stored.last)
})

loading('drops the count of a database that was replaced meanwhile', async () => {
  open(9_000)
  const counts: (() => void)[] = []
  onRequest = (path) => isCount(path) && new Promise<void>((resolve) => counts.push(resolve))
  await until(() => counts.length === 1, { what: 'the first count' })
  Object.assign(stored, { last: 12_000, logId: 'another log' })
  hello()
  await until(() => counts.length === 2, { what: 'the count of the other database' })
  counts[0]!()
  await new Promise(setImmediate)
  assert.is(room.total, null)
  counts[1]!()
  await is('resting')
  assert.is(room.total, 12_000)
})

loading.run()

const navigation = roomSuite('a navigation in a war room')

/** A room of 9,000 messages whose last 6,120 are loaded, and the messages that are selected in it. */
const navigable = async () => {
  open(9_000)
  await is('resting')
  const selected: (number | null)[] = []
  const list = new VirtualList()
  const render = (): void => list.setEntries(room.selection.shown, room.gaps)
  room.changed.subscribe(render)
  render()
  return { moves: new MessageNavigator(room, list, (id) => selected.push(id)), selected }
}

/** Makes the next requests for a part of the history wait. @returns a function that has them answered */
const hold = (): (() => void) => {
  let release = (): void => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  onRequest = (path) => path.includes('/messages?') && released
  return release
}

navigation('to a message that is not loaded is dropped by a later one', async () => {
  const { moves, selected } = await navigable()
  const release = hold()
  const slow = moves.message(100)
  await moves.message(8_990)
  release()
  assert.is(await slow, true)
  assert.equal(selected, [8_990])
})

navigation('to a message that is not loaded is dropped by a search', async () => {
  const { moves, selected } = await navigable()
  const release = hold()
  const slow = moves.message(100)
  const search = { ...EMPTY_FILTER, text: 'message 8990' }
  // Not before it waits for its request.
  await new Promise(setImmediate)
  room.selection.setFilter(search)
  release()
  assert.is(await slow, true)
  assert.equal([selected, room.selection.filter], [[], search])
})

navigation('to a round is dropped by one to another round', async () => {
  const { moves, selected } = await navigable()
  const release = hold()
  const both = Promise.all([moves.round(3), moves.round(1)])
  release()
  await both
  assert.equal(selected, [1])
})

navigation('to a round is dropped when the user stops the loading', async () => {
  const { moves, selected } = await navigable()
  const release = hold()
  moves.round(1)
  room.stopLoading()
  release()
  await is('resting')
  room.loadUntil(() => false)
  await is('whole')
  assert.equal(selected, [])
})

navigation.run()
