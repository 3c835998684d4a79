import * as assert from 'uvu/assert'

// The texts follow the language of the document, which does not exist here.
Object.assign(globalThis, { document: Object.assign(new EventTarget(), { documentElement: {} }) })
const { EventListStore } = await import('../../../src/web/page/events/events.ts')
const { continueSession } = await import('../../../src/web/page/shared/session.ts')
const { suite } = await import('../../support/harness/suite.ts')
const { until } = await import('../../support/harness/wait.ts')

const list = suite('the list of events')

/** A request of the list; the test answers it. */
interface Request {
  readonly path: string
  answer(data: readonly unknown[]): void
  refuse(status: number): void
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
        requests.push({
          path,
          answer: (data) => resolve(Response.json({ data, has_more: true, log_id: 'a log' })),
          refuse: (status) => resolve(Response.json({ code: 'a_code', message: 'a message' }, { status })),
        })
      }),
  })
  return {
    timers,
    /** Waits for the next request of events, or of names. */
    async next(path: string): Promise<Request> {
      const isNext = (request: Request): boolean => request.path.startsWith(path)
      await until(() => requests.some(isNext), { what: `a request of ${path}` })
      return requests.splice(requests.findIndex(isNext), 1)[0]!
    },
    hasRequest: (path: string): boolean => requests.some((request) => request.path.startsWith(path)),
    endPauses(): void {
      for (const act of timers.splice(0)) act()
    },
    async receive(event_id: string, db_id: number): Promise<void> {
      await until(() => streams.length > 0, { what: 'the stream' })
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

const EVENTS = '/api/events?'
const OLDER = '/api/events?limit=200&before='

list('drops older events that were asked for before the database was replaced', () =>
  withList(async (store, browser) => {
    const ids = () => store.list.get().events.map(({ event_id }) => event_id)
    ;(await browser.next(EVENTS)).answer([listed('before', 9)])
    await until(() => ids().length > 0, { what: 'the list' })
    const more = store.more()
    const older = await browser.next(OLDER)
    store.reload()
    ;(await browser.next(EVENTS)).answer([listed('after', 9)])
    await until(() => ids()[0] === 'after', { what: 'the new list' })
    older.answer([listed('older', 1)])
    await more
    assert.equal(ids(), ['after'])
  }),
)

list('forgets an error once older events are loaded after all', () =>
  withList(async (store, browser) => {
    ;(await browser.next(EVENTS)).answer([listed('a', 9)])
    await until(() => store.list.get().is === 'loaded', { what: 'the list' })
    const failing = store.more()
    ;(await browser.next(OLDER)).refuse(503)
    await failing
    assert.ok(store.list.get().error)
    const more = store.more()
    ;(await browser.next(OLDER)).answer([listed('older', 1)])
    await more
    assert.is(store.list.get().error, null)
  }),
)

list('loads itself again after an error, and after a denial only with a new token', () =>
  withList(async (store, browser) => {
    ;(await browser.next(EVENTS)).refuse(503)
    await until(() => store.list.get().is === 'failed', { what: 'the error' })
    browser.endPauses()
    for (const status of [401, 403]) {
      const before = store.list.get().error
      ;(await browser.next(EVENTS)).refuse(status)
      await until(() => store.list.get().error !== before, { what: `the error ${status}` })
      assert.is(browser.timers.length, 0)
      continueSession()
    }
    ;(await browser.next(EVENTS)).answer([listed('a', 9)])
    await until(() => store.list.get().is === 'loaded', { what: 'the list' })
  }),
)

list.run()
