import * as assert from 'uvu/assert'

/** Node's own one would keep this process running. */
class Turns {
  readonly port1 = { onmessage: (): void => {} }
  readonly port2 = { postMessage: (): void => void setImmediate(() => this.port1.onmessage()) }
}

// Texts follow the language of the document, and timers are those of the window; neither exists here.
const window = { setTimeout: (act: () => void) => setImmediate(act) }
Object.assign(globalThis, { document: { documentElement: {} }, window, MessageChannel: Turns })
const { toEntry } = await import('../../../src/web/page/room/model/entry.ts')
const { compileFilter, EMPTY_FILTER, excerptAround } = await import('../../../src/web/page/room/model/filter.ts')
const { filterFromQuery, filterToQuery } = await import('../../../src/web/page/room/model/filter-url.ts')
const { FilteredMessages } = await import('../../../src/web/page/room/model/filtered-messages.ts')
const { addRange, findGaps, insertEntries } = await import('../../../src/web/page/room/model/loaded-ranges.ts')
const { markedText, occurrences } = await import('../../../src/web/page/room/timeline/highlight.ts')
const { appendRows, dividersAbove, GAP, createRows } = await import('../../../src/web/page/room/timeline/rows.ts')
const { MAX_WHOLE, VirtualList } = await import('../../../src/web/page/room/timeline/virtual-list.ts')
const { filterParameters, isShown } = await import('../../../src/web/page/search/hit-filter.ts')
const { language } = await import('../../../src/web/page/shared/i18n.ts')
const { timeLabels } = await import('../../../src/web/page/shared/plot/time-labels.ts')
const { suite } = await import('../../support/harness/suite.ts')
const { until } = await import('../../support/harness/wait.ts')

type Entry = ReturnType<typeof toEntry>

const entryOf = (db_id: number): Entry => {
  const message = { db_id, message_content: db_id % 2 ? 'odd' : 'even', received_at: '2026-11-22T10:00:00.000Z' }
  return toEntry(message, JSON.stringify(message))
}

const entriesOf = (...ids: number[]): Entry[] => ids.map(entryOf)

const upTo = (last: number): Entry[] => Array.from({ length: last }, (_, index) => entryOf(index + 1))

const idsOf = (entries: readonly Entry[]): number[] => entries.map(({ id }) => id)

const address = suite('a filter in the address of a page')

address('is read as it was written', () => {
  const filter = {
    roles: new Set(['captain', 'ai'] as const),
    types: new Set(['', 'a&b=c']),
    text: ' 203.0.113.7 封禁+%# ',
    from: Date.UTC(2026, 10, 22, 9, 30, 5),
    to: Date.UTC(2026, 10, 22, 10),
    attention: true,
  }
  assert.equal(filterFromQuery(filterToQuery(filter)), filter)
  assert.is(filterToQuery(EMPTY_FILTER), '')
  assert.is(filterToQuery({ ...EMPTY_FILTER, text: '  ' }), '')
  assert.is(filterToQuery({ ...EMPTY_FILTER, text: 'a', from: 0 }), '?q=a&since=1970-01-01T00%3A00%3A00.000Z')
})

address('is without what is unknown or invalid', () => {
  for (const query of ['', '?', '?x=1', '?role=admin&since=yesterday&until=&attention=2', '?q=']) {
    assert.equal(filterFromQuery(query), EMPTY_FILTER, query)
  }
  assert.equal(filterFromQuery('?role=ai&role=x').roles, new Set(['ai']))
})

address.run()

const excerpt = suite('the excerpt of a message around a match')

excerpt('is on one line, decoded, and cut at both ends without half a character', () => {
  const around = (text: string, search: string): string => excerptAround(JSON.stringify({ text }), search)
  assert.is(excerptAround('{"a":"x\\n\\u5c01\\u7981"}', ' 封禁 '), '{"a":"x 封禁"}')
  assert.is(around('a Host b', 'hOST'), '{"text":"a Host b"}')
  assert.is(around(`${'😀'.repeat(40)}hit${'😀'.repeat(40)}`, 'hit'), `…${'😀'.repeat(30)}hit${'😀'.repeat(30)}…`)
  assert.is(around(`x${'😀'.repeat(40)}hit.${'😀'.repeat(40)}`, 'hit'), `…${'😀'.repeat(30)}hit.${'😀'.repeat(29)}…`)
  assert.is(around('a', 'b'), '')
})

excerpt.run()

const search = suite('the filter of a room in a search of the gateway')

search('is sent as far as the gateway can apply it, and decides on the hits', () => {
  const parameters = (filter: Partial<typeof EMPTY_FILTER>): object => filterParameters({ ...EMPTY_FILTER, ...filter })
  assert.equal(parameters({ text: 'a', attention: true }), {})
  assert.equal(parameters({ roles: new Set(['captain', 'expert']), types: new Set(['a', 'b c']) }), {
    message_from: '_captain,_expert',
    message_type: 'a,b c',
  })
  assert.equal(parameters({ from: Date.UTC(2026, 10, 22), to: Date.UTC(2026, 10, 23) + 0.5 }), {
    since: '2026-11-22T00:00:00.000Z',
    until: '2026-11-23T00:00:00.000Z',
  })
  // Senders of these roles have any name; a list cannot have these types.
  for (const role of ['user', 'ai', 'system'] as const)
    assert.equal(parameters({ roles: new Set([role, 'captain']) }), {})
  for (const type of ['', 'a,b', ' a']) assert.equal(parameters({ types: new Set(['a', type]) }), {})
  const shown = (
    filter: Partial<typeof EMPTY_FILTER>,
    message_from: string | null,
    message_type: string | null,
  ): boolean => isShown({ ...EMPTY_FILTER, ...filter }, { message_from, message_type })
  assert.is(shown({}, null, null), true)
  assert.equal(
    ['ann', null, 'system', '_captain', 'ai_assistant'].map((from) => shown({ roles: new Set(['user']) }, from, 'a')),
    [true, true, false, false, false],
  )
  assert.equal(
    ['a,b', 'a', null].map((type) => shown({ types: new Set(['a,b', '']) }, 'ann', type)),
    [true, false, true],
  )
})

search.run()

const ranges = suite('the loaded ranges of an event')

ranges('join where they overlap, and have gaps where they do not', () => {
  const tail = [{ first: 900, last: Number.POSITIVE_INFINITY }]
  assert.equal(findGaps(tail), [], 'the history bar has what is before')
  const two = addRange(tail, { first: 100, last: 200 })
  assert.equal(two, [{ first: 100, last: 200 }, tail[0]])
  assert.equal(findGaps(two), [0, 200])
  assert.equal(findGaps(addRange(two, { first: 0, last: 50 })), [50, 200])
  assert.equal(addRange(two, { first: 150, last: 900 }), [{ first: 100, last: Number.POSITIVE_INFINITY }])
  assert.equal(addRange([{ first: 1, last: 5 }], { first: 5, last: 9 }), [{ first: 1, last: 9 }], 'at one message')
  assert.equal(addRange(addRange(two, { first: 300, last: 400 }), { first: 0, last: 900 }), [
    { first: 0, last: Number.POSITIVE_INFINITY },
  ])
})

ranges('take messages in any place, each once', () => {
  const loaded = entriesOf(3, 4, 9)
  for (const [page, all, fresh] of [
    [
      [1, 2],
      [1, 2, 3, 4, 9],
      [1, 2],
    ],
    [
      [2, 3, 4, 5],
      [2, 3, 4, 5, 9],
      [2, 5],
    ],
    [
      [5, 8],
      [3, 4, 5, 8, 9],
      [5, 8],
    ],
    [[4], [3, 4, 9], []],
    [[], [3, 4, 9], []],
  ] as const) {
    const inserted = insertEntries(loaded, entriesOf(...page))
    assert.equal([idsOf(inserted.all), idsOf(inserted.fresh)], [all, fresh])
  }
  assert.is(insertEntries(loaded, entriesOf(3, 4)).all[0], loaded[0], 'a loaded message keeps its measured height')
})

ranges('show gaps above the rows after them, whatever is filtered', () => {
  const above = (rows: ReturnType<typeof createRows>): number[] =>
    rows.entries.map((_entry, index) => dividersAbove(rows, index))
  assert.equal(above(createRows(entriesOf(1, 2, 7, 9), 0, [0, 2, 8])), [GAP, 0, GAP, GAP])
  assert.equal(above(createRows(entriesOf(7, 9), 0, [2])), [GAP, 0])
  const rows = createRows(entriesOf(1, 7), 0, [2])
  assert.is(appendRows(rows, [...rows.entries, ...entriesOf(8, 9)]), true)
  assert.equal(above(rows), [0, GAP, 0, 0])
})

ranges('are filtered as they come', async () => {
  const selection = new FilteredMessages(() => {})
  const filter = { ...EMPTY_FILTER, text: 'odd' }
  let all: readonly Entry[] = entriesOf(8, 9)
  selection.replace(all)
  selection.setFilter(filter)
  await until(() => selection.seen === 2, { what: 'the scan' })
  for (const page of [entriesOf(1, 2, 3), entriesOf(4, 5, 6)]) {
    const inserted = insertEntries(all, page)
    all = inserted.all
    selection.insert(all, inserted.fresh)
  }
  assert.equal(idsOf(selection.shown), [1, 3, 5, 9])
  assert.equal(idsOf(all.filter(compileFilter(filter))), [1, 3, 5, 9])
  selection.setFilter(EMPTY_FILTER)
  assert.is(selection.shown, all)
})

ranges('keep their matches when older messages arrive between two slices of a scan', async () => {
  const selection = new FilteredMessages(() => {})
  const all = upTo(40)
  const { now } = performance
  let time = 0
  // Each message takes a millisecond, so that a slice ends before the scan does.
  performance.now = () => time++
  try {
    selection.replace(all.slice(20))
    selection.setFilter({ ...EMPTY_FILTER, text: 'message' })
    selection.prepend(all, 20)
    await until(() => selection.seen === 40, { what: 'the scan', everyMs: 1 })
  } finally {
    performance.now = now
  }
  assert.equal(idsOf(selection.shown), idsOf(all))
})

ranges.run()

const windowing = suite('the rows in the document')

interface Trial {
  readonly box: { scrollTop: number }
  readonly list: InstanceType<typeof VirtualList>
  /** Ranges of rows that were rendered one after the other. */
  readonly spans: (readonly [start: number, end: number])[]
  readonly render: (entries: readonly Entry[]) => void
}

/** A list of 800 pixels, rendered whenever it asks for it. */
const listOf = (): Trial => {
  const list = new VirtualList()
  const box = { clientHeight: 800, scrollTop: 0, scrollHeight: 1e9, getBoundingClientRect: () => ({ top: 0 }) }
  list.attach(box as unknown as HTMLElement)
  const spans: Trial['spans'] = []
  const draw = (): void => {
    const { start, end } = list.span()
    spans.push([start, end])
    list.place()
  }
  list.moved.subscribe(draw)
  const render = (entries: readonly Entry[]): void => {
    list.setEntries(entries, [])
    draw()
  }
  return { box, list, spans, render }
}

const largestStep = (spans: Trial['spans']): number =>
  Math.max(...spans.slice(1).map(([start, end], index) => end - start - (spans[index]![1] - spans[index]![0])))

windowing('are all of up to 500, a few more each time, and then stay', async () => {
  const { list, spans, render } = listOf()
  const entries = upTo(MAX_WHOLE)
  render(entries)
  assert.ok(spans[0]![1] - spans[0]![0] < 30, 'those on the screen first')
  const isWhole = (): boolean => spans.at(-1)!.join() === `0,${list.rows.entries.length}`
  await until(isWhole, { what: 'all rows', saw: () => spans.at(-1) })
  assert.ok(largestStep(spans) <= 16, `${largestStep(spans)} at once`)
  list.reveal(3, 'top')
  assert.equal(spans.at(-1), [0, MAX_WHOLE])
  spans.length = 0
  const [first, ...rest] = entries
  render(rest)
  await until(isWhole, { what: 'all rows of another filter' })
  assert.ok(largestStep(spans) <= 16, `${largestStep(spans)} at once with another filter`)
  render([first!, ...rest])
  await until(isWhole, { what: 'an older message' })
})

windowing('stay where the user has scrolled to while more are added, before the browser reports it', async () => {
  const { box, list, spans, render } = listOf()
  render(upTo(MAX_WHOLE))
  assert.ok(box.scrollTop > 1_000, 'the end')
  const isWhole = (): boolean => spans.at(-1)!.join() === `0,${list.rows.entries.length}`
  box.scrollTop = 7
  await until(isWhole, { what: 'all rows' })
  assert.equal([box.scrollTop, list.atEnd], [7, false])
  box.scrollTop = 3_000
  render([...list.rows.entries.slice(0, -1), ...entriesOf(MAX_WHOLE)])
  assert.is(box.scrollTop, 3_000)
})

windowing('stay where the browser has scrolled to when they are rendered again before it reports that', () => {
  const { box, list } = listOf()
  const draw = (): void => void list.moved.set(list.moved.get() + 1)
  list.setEntries(upTo(MAX_WHOLE), [])
  draw()
  const end = box.scrollTop
  box.scrollTop = 3_000
  list.measure([{ index: MAX_WHOLE - 1, height: 300 }])
  draw()
  assert.equal([box.scrollTop, list.atEnd], [3_000, false])
  box.scrollTop = 4_000
  list.toEnd()
  assert.equal([box.scrollTop > end, list.atEnd], [true, true], 'a jump has precedence')
  box.scrollTop = 5_000
  list.reveal(1, 'top')
  assert.is(box.scrollTop, 0)
})

windowing('are only those on the screen beyond that', async () => {
  const { list, spans, render } = listOf()
  render(upTo(MAX_WHOLE))
  await until(() => spans.at(-1)!.join() === `0,${MAX_WHOLE}`, { what: 'all rows' })
  render([...list.rows.entries, entryOf(MAX_WHOLE + 1)])
  assert.is(list.isWindow, true)
  assert.ok(spans.at(-1)![1] - spans.at(-1)![0] < 30)
})

windowing.run()

const marks = suite('the marks of a search')

marks('are where the text is, in any case, and nowhere for a db_id', () => {
  assert.equal(occurrences('Alpha ALPHA alp', 'alpha'), [0, 6])
  assert.equal(occurrences('封禁 203.0.113.9 封禁', '封禁'), [0, 15])
  assert.equal(occurrences('aaaa', 'aa'), [0, 2])
  assert.equal(occurrences('a.c abc', '.'), [1])
  assert.equal(occurrences('İstanbul i', 'i'), [], 'its length differs in lower case')
  assert.equal(['  a b ', '#12', ' #12 ', '#1x', ''].map(markedText), ['a b', '', '', '#1x', ''])
})

marks.run()

const axis = suite('the times on an axis')

axis('are never twice the same', () => {
  const begin = new Date(2026, 10, 22, 23, 58).getTime() / 1_000
  for (const step of [1, 15, 30, 60, 300, 3_600, 21_600, 86_400, 604_800]) {
    const labels = timeLabels(
      Array.from({ length: 12 }, (_, n) => begin + n * step),
      step,
    )
    assert.is(new Set(labels).size, 12, `${step}: ${labels}`)
  }
})

axis('have the day where it changes only', () => {
  language.set('en')
  const begin = new Date(2026, 10, 22, 23, 40).getTime() / 1_000
  assert.equal(
    timeLabels(
      [0, 600, 1_200, 1_800].map((after) => begin + after),
      600,
    ).map((label) => label.replace(/.*[a-z]+.* /i, 'day ')),
    ['day 23:40', '23:50', 'day 00:00', '00:10'],
  )
  assert.equal(timeLabels([begin, begin + 600], 600), ['23:40', '23:50'])
})

axis.run()
