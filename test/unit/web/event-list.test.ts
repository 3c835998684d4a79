import { setImmediate as immediate } from 'node:timers/promises'
import * as assert from 'uvu/assert'

// The texts follow the language of the document, which does not exist here.
Object.assign(globalThis, { document: Object.assign(new EventTarget(), { documentElement: {} }) })
const { EventListStore } = await import('../../../src/web/page/events/events.ts')
const { continueSession } = await import('../../../src/web/page/shared/session.ts')
const { suite } = await import('../../support/harness/suite.ts')

const list = suite('the list of events')

/** A request of the list. It ends once the list has processed the answer of the test. */
interface Request {
  readonly path: string
  answer(data: readonly unknown[]): Promise<void>
  refuse(status: number): Promise<void>
}

/** An event as the gateway lists it. */
const listed = (event_id: string, last_db_id: number, messages = 1) => {
  const at = new Date(0).toISOString()
  return { event_id, messages, first_db_id: 1, last_db_id, first_at: at, last_at: at }
}

/** What the list needs of a browser: responses, messages and the end of pauses come when the test gives them. */
const fakeBrowser = () => {
  const requests: Request[] = []
  const timers: (() => void)[] = []
  const streams: EventTarget[] = []
  const kept = {
    window: globalThis.window,
    location: globalThis.location,
    fetch: globalThis.fetch,
    EventSource: globalThis.EventSource,
  }
  Object.assign(globalThis, {
    window: { setTimeout: (act: () => void) => timers.push(act) },
    location: new URL('http://gateway/'),
    EventSource: class extends EventTarget {
      constructor() {
        super()
        streams.push(this)
      }
      close(): void {}
    },
    fetch: (path: string) =>
      new Promise<Response>((resolve) => {
        const respond = (body: unknown, status = 200): Promise<void> =>
          new Promise((done) => {
            const text = async (): Promise<string> => {
              setImmediate(done)
              return JSON.stringify(body)
            }
            resolve({ ok: status === 200, status, text } as Response)
          })
        requests.push({
          path,
          answer: (data) => respond({ data, has_more: true, log_id: 'a log' }),
          refuse: (status) => respond({ code: 'a_code', message: 'a message' }, status),
        })
      }),
  })
  return {
    timers,
    /** Returns the first request of this kind that has not been taken. */
    take(kind: string): Request {
      const at = requests.findIndex(({ path }) => path.startsWith(kind))
      assert.ok(at >= 0, `a request of ${kind}`)
      return requests.splice(at, 1)[0]!
    },
    waiting: (kind: string): number => requests.filter(({ path }) => path.startsWith(kind)).length,
    /** Ends all pauses. */
    async wake(): Promise<void> {
      for (const act of timers.splice(0)) act()
      await immediate()
    },
    receive(event_id: string, db_id: number): void {
      const send = (name: string, data: unknown): unknown =>
        streams[0]!.dispatchEvent(
          Object.assign(new Event(name), { data: JSON.stringify(data), lastEventId: `${db_id}` }),
        )
      send('hello', { log_id: 'a log', cursor: db_id - 1, first_db_id: 1, last_db_id: db_id - 1 })
      send('new_message', { event_id, db_id, received_at: new Date(0).toISOString() })
    },
    restore: (): unknown => Object.assign(globalThis, kept),
  }
}

type Browser = ReturnType<typeof fakeBrowser>

/** Runs a test with a list that has been started. */
const withList = async (body: (store: InstanceType<typeof EventListStore>, browser: Browser) => Promise<void>) => {
  const browser = fakeBrowser()
  const store = new EventListStore()
  try {
    store.start()
    await body(store, browser)
  } finally {
    store.stop()
    browser.restore()
  }
}

const EVENTS = '/api/events?limit=200'
const OLDER = '/api/events?limit=200&before='
const COUNT = '/api/events?limit=1&before='

list('drops older events that were asked for before the database was replaced', () =>
  withList(async (store, browser) => {
    await browser.take(EVENTS).answer([listed('before', 9)])
    void store.more()
    const older = browser.take(OLDER)
    store.reload()
    await browser.take(EVENTS).answer([listed('after', 9)])
    await older.answer([listed('older', 1)])
    assert.equal(
      store.list.get().events.map(({ event_id }) => event_id),
      ['after'],
    )
  }),
)

list('forgets an error once older events are loaded after all', () =>
  withList(async (store, browser) => {
    await browser.take(EVENTS).answer([listed('a', 9)])
    void store.more()
    await browser.take(OLDER).refuse(503)
    assert.ok(store.list.get().error)
    void store.more()
    await browser.take(OLDER).answer([listed('older', 1)])
    assert.is(store.list.get().error, null)
  }),
)

list('loads itself again after an error, and after a denial only with a new token', () =>
  withList(async (store, browser) => {
    await browser.take(EVENTS).refuse(503)
    await browser.wake()
    for (const status of [401, 403]) {
      await browser.take(EVENTS).refuse(status)
      assert.is(store.list.get().is, 'failed')
      assert.is(browser.timers.length, 0)
      continueSession()
    }
    await browser.take(EVENTS).answer([listed('a', 9)])
    assert.is(store.list.get().is, 'loaded')
  }),
)

/** Returns what the list shows of an event: its number of messages and the time of the first. */
const shownOf = (store: InstanceType<typeof EventListStore>, id: string) => {
  const { messages, first_db_id } = store.list.get().events.find(({ event_id }) => event_id === id)!
  return [messages, first_db_id]
}

list('requests the count of an old event until it has one', () =>
  withList(async (store, browser) => {
    await browser.take(EVENTS).answer([listed('a', 100)])
    browser.receive('old', 101)
    await browser.take(COUNT).refuse(503)
    await browser.wake()
    await browser.take(COUNT).refuse(401)
    await browser.wake()
    assert.is(browser.waiting(COUNT), 0)
    continueSession()
    await immediate()
    await browser.take(COUNT).answer([listed('old', 101, 5_001)])
    assert.equal(shownOf(store, 'old'), [5_001, 1])
  }),
)

list('counts an old event with its next message if that was stored before the count was requested', () =>
  withList(async (store, browser) => {
    await browser.take(EVENTS).answer([listed('a', 100)])
    browser.receive('old', 101)
    // Its last message is 102 by now, so it is not the newest event before 102.
    await browser.take(COUNT).answer([listed('a', 100)])
    browser.receive('old', 102)
    browser.receive('old', 103)
    const count = browser.take(COUNT)
    assert.is(count.path, `${COUNT}103`)
    assert.is(browser.waiting(COUNT), 0, 'one request at a time')
    await count.answer([listed('old', 102, 5_002)])
    assert.equal(shownOf(store, 'old'), [5_003, 1])
    browser.receive('old', 104)
    assert.is(browser.waiting(COUNT), 0)
  }),
)

list('loads the names of the other events after an error, and none in vain', () =>
  withList(async (store, browser) => {
    const named = (event_name: string) => [{ event_id: event_name, db_id: 1, message_content: { event_name } }]
    const shown = () => [...store.list.get().profiles.values()].map(({ name }) => name)
    await browser.take(EVENTS).answer([listed('a', 3), listed('b', 2), listed('c', 1)])
    await browser.take('/api/events/a/messages?').refuse(503)
    await browser.wake()
    await browser.take('/api/events/a/messages?').answer(named('a'))
    await browser.take('/api/events/b/messages?').refuse(404)
    await browser.take('/api/events/c/messages?').refuse(401)
    await browser.wake()
    assert.is(browser.waiting('/api/events/c/messages?'), 0)
    continueSession()
    await immediate()
    await browser.take('/api/events/c/messages?').answer(named('c'))
    assert.equal(shown(), ['a', 'c'])
  }),
)

list.run()
