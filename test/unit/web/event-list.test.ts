import * as assert from 'uvu/assert'

// The texts follow the language of the document, which does not exist here.
Object.assign(globalThis, { document: Object.assign(new EventTarget(), { documentElement: {} }) })
const { EventListStore } = await import('../../../src/web/page/events/events.ts')
const { suite } = await import('../../support/harness/suite.ts')
const { until } = await import('../../support/harness/wait.ts')

const list = suite('the list of events')

/** What the list needs of a browser: responses come when the test gives them, and the stream stays silent. */
const fakeBrowser = () => {
  const requests: { path: string; answer: (events: readonly string[]) => void }[] = []
  const kept = { window: globalThis.window, fetch: globalThis.fetch, EventSource: globalThis.EventSource }
  const answerTo = (events: readonly string[]): Response => {
    const at = new Date(0).toISOString()
    const data = events.map((event_id, index) => {
      const id = events.length - index
      return { event_id, messages: 1, first_db_id: id, last_db_id: id, first_at: at, last_at: at }
    })
    return Response.json({ data, has_more: true, log_id: 'a log' })
  }
  Object.assign(globalThis, {
    window: globalThis,
    EventSource: class extends EventTarget {
      close(): void {}
    },
    fetch: (path: string) =>
      path.startsWith('/api/events?')
        ? new Promise<Response>((resolve) => requests.push({ path, answer: (events) => resolve(answerTo(events)) }))
        : Promise.resolve(Response.json({ data: [] })),
  })
  const next = async (): Promise<(typeof requests)[number]> => {
    await until(() => requests.length > 0, { what: 'a request' })
    return requests.shift()!
  }
  return { next, restore: () => Object.assign(globalThis, kept) }
}

list('drops older events that were asked for before the database was replaced', async () => {
  const browser = fakeBrowser()
  const store = new EventListStore()
  const ids = () => store.list.get().events.map(({ event_id }) => event_id)
  try {
    store.start()
    ;(await browser.next()).answer(['before'])
    await until(() => ids().length > 0, { what: 'the list' })
    const more = store.more()
    const older = await browser.next()
    store.reload()
    ;(await browser.next()).answer(['after'])
    await until(() => ids()[0] === 'after', { what: 'the new list' })
    older.answer(['older'])
    await more
    assert.equal(ids(), ['after'])
  } finally {
    store.stop()
    browser.restore()
  }
})

list.run()
