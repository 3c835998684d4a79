// needs: chromium
import { rmSync } from 'node:fs'
import type { Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type Json, until } from '../../support/harness/wait.ts'
import { addMessages, type NewMessageRow } from '../../support/servers/database.ts'
import { getElementText, getElementTexts, isState, setUpSite } from '../../support/stages/pages.ts'
import { below, exportAs, isWhole, readThrough, row, seenIds, sees } from '../../support/stages/room-page.ts'
import { chat, chats, eventUrl, newRoom, publish, restIds } from '../../support/stages/rooms.ts'

/** More messages than are loaded automatically. */
const LONG = 9_000
const ROUNDS = 9
/** Noon of a past day, so that all minutes are on one day. */
const BEGIN = new Date(2026, 10, 2, 12).getTime()

/** The db_ids of the long event. */
let long: number[]

const test = suite('war room features')
const site = setUpSite(test)

/** A thousand messages per round, one of them an error, at 500 per minute. */
function* longEvent(): Generator<NewMessageRow> {
  for (let n = 0; n < LONG; n++) {
    const round_id = 1 + Math.floor((n * ROUNDS) / LONG)
    const message_type = n % 1_000 === 500 ? 'error_internal' : 'system_notification'
    yield { body: chat(n, { message_from: 'system', message_type, round_id }), at: BEGIN + n * 120 }
  }
}

test.before(async () => {
  await site.gateway.term()
  addMessages(site.gateway.dbFile, 'long', longEvent())
  await site.gateway.restart()
  long = await restIds(site.gateway, 'long')
})

const openLong = async (hash = '', options = {}): Promise<Page> => {
  const page = await site.pages.open(`/events/long${hash}`, { viewport: { width: 1280, height: 900 }, ...options })
  await isState(page, 'live')
  return page
}

/** Publishes an event with three roles, three rounds and two errors. */
const mixed = async (options = {}): Promise<{ page: Page; ids: number[]; event_id: string }> => {
  const event_id = newRoom('mixed')
  const says = (message_from: string, message_type: string, round_id: number | null, text: string): Json => ({
    message_from,
    message_type,
    round_id,
    message_content: { data: { text } },
  })
  const ids = await publish(site.gateway, event_id, [
    says('_captain', 'event_completed_by_captain', 1, 'Alpha'),
    says('_manager', 'error_action_creation', 1, 'beta ALPHA'),
    says('_captain', 'error_internal', 2, 'gamma 封禁 203.0.113.9'),
    says('system', 'system_notification', 2, 'delta \n "quoted" \\ back'),
    says('_manager', 'error_action_creation', 3, 'epsilon'),
  ])
  const page = await site.pages.room(event_id, options)
  await isState(page, 'live')
  await isWhole(page)
  return { page, ids, event_id }
}

/** Waits until exactly these messages are shown. */
const shows = async (page: Page, ids: (number | undefined)[]): Promise<void> => {
  let last: number[] = []
  await until(
    async () => {
      last = await readThrough(page)
      return JSON.stringify(last) === JSON.stringify(ids)
    },
    { what: `the messages ${ids}` },
  ).catch((error) => {
    throw new Error(`${error.message}; there are ${last}`)
  })
}

const choose = (page: Page, list: string, name: string): Promise<void> =>
  page.click(`${list} .choice:has(.choice-label:text-is("${name}"))`)

test('filters by role and type together, counts matches, and applies the filter to new messages', async () => {
  const { page, ids, event_id } = await mixed()
  await choose(page, '#roles', 'Captain')
  await shows(page, [ids[0], ids[2]])
  assert.is(await getElementText(page, '#found'), '2 of 5 loaded messages')
  await choose(page, '#roles', 'Manager')
  await shows(page, [ids[0], ids[1], ids[2], ids[4]])
  await choose(page, '#types', 'action not created')
  await shows(page, [ids[1], ids[4]])
  const more = [chat(6, { message_type: 'error_action_creation' }), chat(7, { message_type: 'chat' })]
  const [sixth] = await publish(site.gateway, event_id, more)
  await shows(page, [ids[1], ids[4], sixth])
  await page.waitForSelector('#found:has-text("3 of 7 loaded messages")')
  await choose(page, '#roles', 'Captain')
  await choose(page, '#roles', 'Manager')
  await choose(page, '#types', 'action not created')
  assert.is((await readThrough(page)).length, 7)
  await choose(page, '#roles', 'System')
  await choose(page, '#types', 'chat')
  await page.waitForSelector('#empty:has-text("None of the 7 loaded messages matches the filter.")')
  await page.click('#clear')
  assert.is((await readThrough(page)).length, 7)
})

test('searches the whole text of messages, ignoring case, and shows a match in a part that is folded', async () => {
  const { page, ids, event_id } = await mixed()
  const finds = async (text: string, found: (number | undefined)[]): Promise<void> => {
    await page.fill('#search', text)
    await page.waitForSelector(`#found:text-is("${found.length} of 5 loaded messages")`)
    await shows(page, found)
  }
  await finds('alpha', [ids[0], ids[1]])
  await finds('  ALPHA ', [ids[0], ids[1]])
  await finds('封禁', [ids[2]])
  await finds('"quoted" \\ back', [ids[3]])
  await finds('error_action_creation', [ids[1], ids[4]])
  await finds(`#${ids[4]}`, [ids[4]])
  await finds('.*', [])
  await page.press('#search', 'Escape')
  await shows(page, ids)
  assert.is(await page.inputValue('#search'), '')
  const log = Array.from({ length: 40 }, (_, n) => `10:00:${10 + n} INFO host 10.0.0.${n} was scanned`).join('\n')
  const [last] = await publish(site.gateway, event_id, [chat(0, { message_content: { data: { text: log } } })])
  await page.fill('#search', '10.0.0.33')
  await page.waitForSelector(`${row(last)} .excerpt:has-text("INFO host 10.0.0.33 was scanned 10:00:44")`)
  await page.click(`${row(last)} .more`)
  await page.waitForSelector(`${row(last)} .excerpt`, { state: 'detached' })
})

test('marks matches, steps through them with their number, and leaves one in view when the search is cleared', async () => {
  const page = await openLong()
  await page.waitForSelector('#history[data-is="resting"]')
  assert.match(await getElementText(page, '#windowed'), 'With more than 500 messages')
  await page.fill('#search', 'ERROR_internal')
  await page.waitForSelector('#found:text-is("6 of 6,120 loaded messages")')
  const hits = [3_500, 4_500, 5_500, 6_500, 7_500, 8_500].map((n) => long[n]!)
  const isAt = async (n: number): Promise<void> => {
    await page.waitForSelector(`#hit:text-is("match ${n} of 6")`)
    await page.waitForSelector(`${row(hits[n - 1])}[data-selected="true"]`)
  }
  await page.press('#search', 'Enter')
  await isAt(1)
  await page.press('#search', 'Shift+Enter')
  await isAt(6)
  await page.click('#hit-previous')
  await isAt(5)
  await page.click('#hit-next')
  await page.click('#hit-next')
  await isAt(1)
  await page.fill('#search', '')
  await page.waitForSelector('#found', { state: 'detached' })
  await sees(page, hits[0])
  await sees(page, long[3_501])
  // Without a selection it is the last match on the screen.
  await page.keyboard.press('Escape')
  await page.keyboard.press('G')
  await page.fill('#search', 'message 7123"')
  await page.waitForSelector('#found:text-is("1 of 6,120 loaded messages")')
  await page.fill('#search', 'message 7123')
  const marked = (): Promise<string[]> =>
    page.evaluate(() => [...(CSS.highlights.get('found') ?? [])].map((range) => range.startContainer.textContent ?? ''))
  await until(async () => (await marked()).join() === 'message 7123', { what: 'the mark', saw: marked })
  await page.fill('#search', '')
  await sees(page, long[7_124])
  assert.equal(await marked(), [])
})

test('keeps messages where they are while the plot above them is drawn', async () => {
  const event_id = newRoom('plotted')
  const [id] = await publish(site.gateway, event_id, chats(1))
  const page = await site.pages.room(event_id)
  await page.waitForSelector(row(id))
  const topOf = (): Promise<number> => page.$eval(row(id), (one) => one.getBoundingClientRect().top)
  await isWhole(page)
  const before = await topOf()
  await page.waitForSelector('.rate canvas')
  assert.is(await topOf(), before)
})

test('has filter, search and period in the address, for a reload, a colleague, and the way back', async () => {
  const { page, ids } = await mixed()
  await choose(page, '#roles', 'Manager')
  await choose(page, '#types', 'action not created')
  await page.fill('#search', '封 epsilon')
  await page.fill('#search', 'epsilon')
  await page.fill('.period input >> nth=0', '2026-01-01T10:00')
  const query = (): string => decodeURIComponent(new URL(page.url()).search)
  const since = `&since=${await page.evaluate(() => new Date('2026-01-01T10:00').toISOString())}`
  const all = `?q=epsilon&role=manager&message_type=error_action_creation${since}`
  await until(() => query() === all, { what: all, saw: query })
  await page.click(`${row(ids[4])} a.id`)
  // The event of a new hash comes later than the click.
  await page.waitForSelector(`${row(ids[4])}[data-selected="true"]`)
  await page.fill('#search', 'beta')
  await until(() => query() === all.replace('epsilon', 'beta'), { what: 'the other search', saw: query })
  await shows(page, [ids[1]])
  await page.goBack()
  await shows(page, [ids[4]])
  assert.is(await page.inputValue('#search'), 'epsilon')
  await page.reload()
  await isState(page, 'live')
  await shows(page, [ids[4]])
  assert.is(await page.inputValue('.period input >> nth=0'), '2026-01-01T10:00')
  assert.equal(await getElementTexts(page, '#rail [aria-pressed="true"] .choice-label'), [
    'Manager',
    'action not created',
  ])
  const other = await site.pages.open(new URL(page.url()).pathname + new URL(page.url()).search)
  await isState(other, 'live')
  await shows(other, [ids[4]])
  await other.click('#clear')
  await until(() => new URL(other.url()).search === '', { what: 'an address without a query' })
})

/** Returns the first and the last message of the timeline. */
const ends = async (page: Page): Promise<{ first: number; last: number }> => {
  const scrollTo = (part: number) =>
    page.$eval(
      '#box',
      (box, part) => {
        box.scrollTop = box.scrollHeight * part
        return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
      },
      part,
    )
  await scrollTo(0)
  const first = (await seenIds(page))[0]!
  const isAtEnd = async (): Promise<boolean> => {
    await scrollTo(1)
    return (await below(page)) <= 1
  }
  await until(isAtEnd, { what: 'its end' })
  return { first, last: (await seenIds(page)).at(-1)! }
}

/** Returns where a message is on the screen, once it stays there: rows get their real heights within some frames. */
const settledTop = (page: Page, id: number | undefined): Promise<number> =>
  page.$eval(row(id), async (one) => {
    let last = Number.NaN
    for (let unchanged = 0; unchanged < 20; ) {
      await new Promise(requestAnimationFrame)
      const { top } = one.getBoundingClientRect()
      unchanged = top === last ? unchanged + 1 : 0
      last = top
    }
    return last
  })

test('keeps messages where they are on the screen when something above them goes or appears', async () => {
  const page = await openLong()
  await page.waitForSelector('#history[data-is="resting"]')
  await page.$eval('#box', (box) => void (box.scrollTop -= 2_000))
  await page.waitForSelector('#to-end')
  const [, second] = await seenIds(page)
  const before = await settledTop(page, second)
  for (const state of ['detached', 'attached'] as const) {
    await page.click('#plot-toggle')
    await page.waitForSelector('.rate canvas', { state })
    const top = await settledTop(page, second)
    assert.ok(Math.abs(top - before) < 1, `${top} instead of ${before}, plot ${state}`)
  }
})

test('does not move a row that is clicked while it is partly visible', async () => {
  const page = await openLong()
  await page.waitForSelector('#history[data-is="resting"]')
  await page.$eval('#box', (box) => void (box.scrollTop -= 2_000))
  const cut = await until(
    async () => {
      const found = await page.$eval('#box', (box) => {
        const { left, width, bottom } = box.getBoundingClientRect()
        // Not to the right, where a row shows its buttons under the pointer.
        const [x, y] = [left + width / 3, bottom - 8]
        const one = document.elementFromPoint(x, y)?.closest<HTMLElement>('.row')
        const rect = one?.getBoundingClientRect()
        if (rect !== undefined && rect.bottom > bottom + 8) return { x, y, id: Number(one!.dataset.id), top: rect.top }
        box.scrollTop -= 8
        return null
      })
      return found !== null && (await settledTop(page, found.id)) === found.top ? found : null
    },
    { what: 'a row that is cut by the end of the box' },
  )
  await page.mouse.click(cut!.x, cut!.y)
  await page.waitForSelector(`${row(cut!.id)}[data-selected="true"]`)
  const top = await settledTop(page, cut!.id)
  assert.ok(Math.abs(top - cut!.top) < 1, `${top} instead of ${cut!.top}`)
})

test.full('chooses a period by a click on the plot, by a drag, and by the two times', async () => {
  const page = await openLong()
  // 6,000 messages are loaded by themselves: the last twelve minutes.
  await page.waitForSelector('#history[data-is="resting"]')
  const over = (await (await page.waitForSelector('.rate .u-over')).boundingBox())!
  const minutes = new Set(long.slice(-6_000).map((_, n) => Math.floor((BEGIN + (n + 3_000) * 120) / 60_000))).size
  const middle = over.y + over.height / 2
  const at = (part: number): number => over.x + over.width * part
  const readout = async (part: number): Promise<string> => {
    await page.mouse.move(at(part + 0.1 / minutes), middle)
    await page.mouse.move(at(part), middle)
    return getElementText(page, '.rate .plot-readout')
  }
  // The plot is drawn again up to half a second after the last page is loaded.
  await until(async () => (await readout(0.2 / minutes)).includes('12:05'), { what: 'the first minute in the plot' })
  await page.mouse.click(at(1.5 / minutes), middle)
  await page.waitForSelector('#found:text-is("500 of 6,120 loaded messages")')
  const clicked = await ends(page)
  assert.is(clicked.last - clicked.first, 499)
  await page.mouse.move(at(2.2 / minutes), middle)
  await page.mouse.down()
  await page.mouse.move(at(5.1 / minutes), middle, { steps: 5 })
  // The plot follows the pointer once per frame.
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))))
  await page.mouse.up()
  const dragged = async (): Promise<number> =>
    Number(/^([\d,]+)/.exec(await getElementText(page, '#found'))?.[1]?.replace(',', ''))
  await until(async () => (await dragged()) > 1_200 && (await dragged()) < 1_700, { what: 'about three minutes' })
  const [from, to] = await page.$$eval('.period input', (fields) =>
    fields.map((one) => (one as HTMLInputElement).value),
  )
  assert.match(from!, /^2026-11-02T12:\d\d$/)
  assert.ok(to! > from!)
  await page.fill('.period input >> nth=0', '2026-11-02T12:17')
  await page.fill('.period input >> nth=1', '2026-11-02T12:18')
  await page.waitForSelector('#found:text-is("500 of 6,120 loaded messages")')
  assert.equal(await ends(page), { first: long[8_500], last: long[8_999] })
  await page.click('#clear')
  await page.waitForSelector('#found', { state: 'detached' })
})

test('shows how much of the history is loaded, and loads the rest on request', async () => {
  const page = await openLong()
  await page.waitForSelector('#history[data-is="resting"]')
  assert.match(await getElementText(page, '#history'), 'History: 6,120 of 9,000 messages loaded')
  assert.is(await getElementText(page, '#count'), '9,000 messages')
  await page.fill('#search', 'message 17"')
  await page.waitForSelector('#found:has-text("0 of 6,120 loaded messages")')
  assert.match(await getElementText(page, '#history'), 'Older messages are not loaded and not searched.')
  await page.click('#load-all')
  await page.waitForSelector('#found:has-text("1 of 9,000 loaded messages")')
  assert.is(await page.locator('#history progress, #load-all').count(), 0)
  assert.equal(await readThrough(page), [long[17]])
})

test('searches all messages of the event beyond the loaded ones, and opens a hit', async () => {
  const page = await openLong()
  await page.waitForSelector('#history[data-is="resting"]')
  await page.fill('#search', '"message 17 timestamp"')
  await page.waitForSelector('#found:has-text("0 of 6,120 loaded messages")')
  await page.click('#search-beyond')
  await page.waitForSelector('#hits-status:has-text("1 message, newest first")')
  assert.equal(await getElementTexts(page, '.hit mark'), ['message 17 timestamp'])
  await page.evaluate(() => Object.assign(globalThis, { isSamePage: true }))
  await page.click('.hit a')
  await sees(page, long[17])
  assert.is(await page.getAttribute(row(long[17]), 'data-selected'), 'true')
  assert.is(await page.evaluate(() => (globalThis as Json).isSamePage), true, 'the page was not loaded again')
})

const showsHits = async (page: Page, ns: number[], what: string): Promise<void> => {
  let last: (string | null)[] = []
  await until(
    async () => {
      last = await page.$$eval('.hit a', (all) => all.map((one) => one.getAttribute('data-id')))
      return String(last) === String(ns.map((n) => long[n]))
    },
    { what, saw: () => String(last) },
  )
}

/** The errors of the long event, newest first. */
const errors = Array.from({ length: ROUNDS }, (_, n) => n * 1_000 + 500).toReversed()

test('searches beyond the loaded messages only for what the filters show, and keeps them when a hit is opened', async () => {
  const page = await openLong('?q=message&message_type=error_internal')
  await page.waitForSelector('#history[data-is="resting"]')
  await page.click('#search-beyond')
  await showsHits(page, errors, 'the errors, newest first')
  await page.waitForSelector('#hits-filter:has-text("Only messages that the filters show")')
  await page.fill('.period input >> nth=1', '2026-11-02T12:02')
  await showsHits(page, [500], 'the error of the first two minutes')
  await choose(page, '#roles', 'System')
  await showsHits(page, [500], 'the same with its role')
  await page.click('.hit a')
  await sees(page, long[500])
  const query = (): string => new URL(page.url()).search
  const isQuery = (pattern: RegExp): Promise<unknown> =>
    until(() => pattern.test(query()), { what: String(pattern), saw: query })
  await isQuery(/^\?q=message&role=system&message_type=error_internal&until=/)
  // The search of the gateway finds words, that of the room a text of JSON.
  await page.fill('#search', '"message 500 timestamp"')
  await page.waitForSelector('#hits-title:has-text("timestamp")')
  await showsHits(page, [500], 'the phrase')
  await page.click('.hit a')
  await isQuery(/^\?role=system&message_type=error_internal&until=/)
  await sees(page, long[500])
  await page.click('#clear')
  await page.fill('#search', 'message 500')
  await choose(page, '#roles', 'System')
  await page.click('#attention')
  await page.click('#search-beyond')
  await page.waitForSelector('#hits-filter:has-text("“Needs attention” does not apply here.")')
})

test('completes the hits of a search while the index is built', async () => {
  await site.gateway.term()
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${site.gateway.dbFile}.search${suffix}`, { force: true })
  await site.gateway.restart()
  const page = await openLong('?q=message&message_type=error_internal')
  await page.waitForSelector('#history[data-is="resting"]')
  await page.click('#search-beyond')
  await page.waitForSelector('#hits-building')
  await showsHits(page, errors, 'the errors, newest first')
  await page.waitForSelector('#hits-building', { state: 'detached' })
})

/** Answers searches for "message" with the next of these messages of the long event; null fails. Returns where each one began. */
const answerSearches = async (
  page: Page,
  answers: ({ n: number; indexed?: number } | null)[],
): Promise<(string | null)[]> => {
  const begins: (string | null)[] = []
  await page.route('**/api/search?*', (route) => {
    const { searchParams } = new URL(route.request().url())
    if (searchParams.get('q') !== 'message') return route.fallback()
    begins.push(searchParams.get('before'))
    const next = answers.shift()
    if (!next) return route.fulfill({ status: 503, json: { status: 'error', code: 'overloaded' } })
    const { n, indexed = 1 } = next
    const data = [
      {
        db_id: long[n],
        event_id: 'long',
        message_from: 'system',
        message_type: 'chat',
        received_at: new Date().toISOString(),
        snippet: 'message',
      },
    ]
    return route.fulfill({ json: { status: 'success', data, next_before: n === 500 ? null : n, indexed } })
  })
  return begins
}

const ALL_ANSWERS = [{ n: 2_500 }, { n: 1_500 }, { n: 500 }]
const ALL_BEGINS = [null, '2500', '1500']

test('continues a search after an answer that ended early, and after a failure on request', async () => {
  const page = await openLong('?q=message')
  const begins = await answerSearches(page, [{ n: 2_500 }, { n: 1_500 }, null, { n: 500 }, ...ALL_ANSWERS])
  await page.waitForSelector('#history[data-is="resting"]')
  await page.click('#search-beyond')
  await page.waitForSelector('#hits-status:has-text("The search failed: 503 overloaded")')
  await showsHits(page, [2_500, 1_500], 'the hits before the failure')
  await page.click('#more-hits:has-text("Retry")')
  await page.waitForSelector('#hits-status:has-text("3 messages, newest first")')
  await showsHits(page, [2_500, 1_500, 500], 'all hits')
  assert.equal(begins.splice(0), [...ALL_BEGINS, '1500'])
  await page.fill('#search', 'nothing-like-this')
  await page.waitForSelector('#hits-status:has-text("No message contains all of this.")')
  await page.fill('#search', 'message')
  await page.waitForSelector('#hits-status:has-text("3 messages, newest first")')
  await showsHits(page, [2_500, 1_500, 500], 'the same hits once more')
  assert.equal(begins, ALL_BEGINS)
})

test('repeats a search if one of its answers came while the index was built', async () => {
  const page = await openLong('?q=message')
  const [first, ...others] = ALL_ANSWERS
  const begins = await answerSearches(page, [{ ...first!, indexed: 0.5 }, ...others, { n: 3_500 }, ...ALL_ANSWERS])
  await page.waitForSelector('#history[data-is="resting"]')
  await page.click('#search-beyond')
  await page.waitForSelector('#hits-building')
  await showsHits(page, [3_500, 2_500, 1_500, 500], 'the hits once the index was complete')
  assert.equal(begins, [...ALL_BEGINS, null, '3500', '2500', '1500'])
})

test('stops a search whose hits are all hidden by the filters, and searches older messages on request', async () => {
  const page = await openLong('?q=message&message_type=error_internal')
  let answers = 0
  await page.route('**/api/search?*', (route) => {
    answers += 1
    return route.fulfill({ json: { status: 'success', data: [], next_before: 10_000 - answers, indexed: 1 } })
  })
  await page.waitForSelector('#history[data-is="resting"]')
  await page.click('#search-beyond')
  await page.waitForSelector('#hits-status:has-text("Older ones are not searched yet.")')
  assert.is(answers, 10)
  await page.click('#more-hits')
  await until(() => answers === 20, { what: 'ten more pages', saw: () => answers })
})

test.full('shows when the history cannot be loaded, and retries', async () => {
  const page = await site.pages.open('/')
  await page.route('**/messages?before=*limit=2000', (route) => route.abort())
  await page.goto(`${site.gateway.url}/events/long`)
  await isState(page, 'live')
  await page.waitForSelector('#history[data-is="failed"] .problem')
  assert.match(await getElementText(page, '#history'), /Older messages could not be loaded: unreachable/)
  await page.unroute('**/messages?before=*limit=2000')
  await page.click('#load-all')
  await isWhole(page)
})

test.full('jumps to a round, even one that is not loaded', async () => {
  const page = await openLong()
  await page.waitForSelector('#history[data-is="resting"]')
  assert.match(await getElementText(page, '.rounds'), /Round 1not loaded yet/)
  await page.click('.rounds [data-round="5"]')
  await sees(page, long[4_000])
  assert.match(await getElementText(page, row(long[4_000])), /^(2 Nov|Nov 2)?Round 5/)
  assert.is((await seenIds(page))[0], long[4_000])
  await page.click('.rounds .choice:has-text("Round 2")')
  await sees(page, long[1_000])
  await page.click('.rounds .choice:has-text("Round 1")')
  await sees(page, long[0])
  assert.match(await getElementText(page, '.rounds'), /Round 111,000/)
})

test('opens at the message in its URL, and follows hash changes from there', async () => {
  const page = await openLong(`#${long[123]}`)
  await sees(page, long[123])
  assert.is(await page.getAttribute(row(long[123]), 'data-selected'), 'true')
  await page.waitForSelector('#to-end')
  // Only what is around the message is loaded, beside the newest ones.
  await page.waitForSelector('#history[data-is="resting"]:has-text("6,240 of 9,000")')
  await page.evaluate((id) => void (location.hash = `#${id}`), long[183])
  await sees(page, long[183])
  await page.click('.row:has(.gap) >> nth=-1 >> button:text-is("Load")')
  await page.waitForSelector('#history:has-text("6,804 of 9,000")')
  await sees(page, long[184])
  await page.click('#load-all')
  await isWhole(page)
  assert.is(await page.locator('.gap').count(), 0)
  await sees(page, long[184])
  await page.fill('#search', 'error_internal')
  await page.waitForSelector('#found:has-text("9 of 9,000")')
  // A filter that hides the requested message is reset.
  await page.evaluate((id) => void (location.hash = `#${id}`), long[4_711])
  await sees(page, long[4_711])
  assert.is(await page.locator('#found').count(), 0)
  assert.is(await page.inputValue('#search'), '')
  await page.evaluate(() => void (location.hash = '#999999999'))
  await page.waitForSelector('#note:has-text("Message #999999999 is not in this event.")')
  await page.click(`${row(long[4_712])} a.id`)
  await page.waitForSelector(`${row(long[4_712])}[data-selected="true"]`)
  assert.is(new URL(page.url()).hash, `#${long[4_712]}`)
  await page.goBack()
  await page.waitForSelector('#note:has-text("Message #999999999 is not in this event.")')
})

test('navigates by keys, and lists them', async () => {
  const { page, ids, event_id } = await mixed({ permissions: ['clipboard-read', 'clipboard-write'] })
  const isSelected = (id: number | undefined): Promise<unknown> =>
    page.waitForSelector(`${row(id)}[data-selected="true"]`)
  const press = (key: string): Promise<void> => page.keyboard.press(key)
  const clipboard = (): Promise<string> => page.evaluate(() => navigator.clipboard.readText())
  const [raw] =
    (await getJson(`${eventUrl(site.gateway, event_id)}/messages`)).text.match(
      /\{"message_from":"system".*?"db_id":\d+\}/,
    ) ?? []
  await press('k')
  await isSelected(ids[4])
  await press('k')
  await isSelected(ids[3])
  await press('c')
  await page.waitForSelector('#note:has-text("Copied")')
  assert.is(await clipboard(), raw)
  await press('l')
  await until(async () => (await clipboard()) === `${site.gateway.url}/events/${event_id}#${ids[3]}`, {
    what: 'the link',
  })
  await press('x')
  await page.waitForSelector(`${row(ids[3])} .whole`)
  await press('x')
  await page.waitForSelector(`${row(ids[3])} .whole`, { state: 'detached' })
  await press('j')
  await isSelected(ids[4])
  await press('[')
  await isSelected(ids[2])
  await press('[')
  await isSelected(ids[0])
  await press(']')
  await isSelected(ids[2])
  await press('g')
  await isSelected(ids[0])
  await press('G')
  await page.waitForSelector('[data-selected="true"]', { state: 'detached' })
  const focused = (): Promise<string> => page.evaluate(() => document.activeElement?.id ?? '')
  await press('/')
  assert.is(await focused(), 'search')
  await page.keyboard.type('jk?')
  assert.is(await page.inputValue('#search'), 'jk?', 'who types is not led away')
  await press('Escape')
  assert.is(await focused(), 'box')
  await page.waitForSelector('#text')
  await press('n')
  assert.is(await focused(), 'text')
  await press('Escape')
  await press('?')
  await page.waitForSelector('dialog[open]')
  assert.match(await getElementText(page, '#help'), /Copy as JSON/)
  await press('Escape')
  await page.waitForSelector('dialog', { state: 'detached' })
})

test.full('exports the shown messages as published, and loads missing ones first', async () => {
  const page = await openLong()
  await page.waitForSelector('#history[data-is="resting"]')
  const all = await exportAs(page, 'lines')
  assert.is(all.name, 'long.jsonl')
  assert.equal(
    all.lines.map((line) => JSON.parse(line).db_id),
    long,
  )
  const { page: other, event_id } = await mixed()
  await publish(site.gateway, event_id, '{"message_content":{\n"data":12302548181076029 }}')
  await other.waitForSelector('#count:text-is("6 messages")')
  await other.fill('#search', '12302548181076029')
  await other.waitForSelector('#found:has-text("1 of 6")')
  const { lines } = await exportAs(other, 'lines')
  assert.is(lines.length, 1)
  assert.ok(lines[0]!.startsWith('{"message_content":{ "data":12302548181076029 },"event_id"'), lines[0])
})

test('exports the filtered messages or the whole event as an HTML or Markdown report', async () => {
  const { page, ids, event_id } = await mixed()
  await page.fill('#search', 'alpha')
  await page.waitForSelector('#found:text-is("2 of 5 loaded messages")')
  const idsIn = (lines: string[], pattern: RegExp): number[] =>
    [...lines.join('\n').matchAll(pattern)].map(([, id]) => Number(id))
  const html = await exportAs(page, 'html')
  assert.is(html.name, `${event_id}.html`)
  assert.equal(idsIn(html.lines, /<article id="message-(\d+)"/g), ids.slice(0, 2))
  assert.match(html.lines.join('\n'), '<dd>“alpha”</dd>')
  const markdown = await exportAs(page, 'markdown', true)
  assert.is(markdown.name, `${event_id}.md`)
  assert.equal(idsIn(markdown.lines, /^### #(\d+) /gm), ids)
  const { lines } = await exportAs(page, 'lines', true)
  assert.equal(
    lines.map((line) => JSON.parse(line).db_id),
    ids,
  )
})

/** Fires an event of printing, as the browser does around it. */
const fire = (page: Page, name: 'beforeprint' | 'afterprint'): Promise<unknown> =>
  page.evaluate((name) => dispatchEvent(new Event(name)), name)

/** Returns the db_ids of the messages in the printed copy that are visible. */
const printedIds = (page: Page): Promise<number[]> =>
  page.$$eval('.print-copy article', (all) =>
    all.filter((one) => one.checkVisibility()).map(({ id }) => Number(id.replace('message-', ''))),
  )

test('prints all loaded messages that are shown, on light pages without controls, also from a dark theme', async () => {
  const event_id = newRoom('print')
  const ids = await publish(site.gateway, event_id, chats(200))
  const page = await site.pages.room(event_id, { colorScheme: 'dark' })
  await isState(page, 'live')
  await isWhole(page)
  await fire(page, 'beforeprint')
  assert.equal(await printedIds(page), [], 'the screen does not change')
  await page.emulateMedia({ media: 'print' })
  assert.equal(await printedIds(page), ids)
  const seen = await page.evaluate(() => ({
    controls: [...document.querySelectorAll('button, input, textarea, nav')].filter((one) => one.checkVisibility())
      .length,
    text: document.body.innerText,
    ink: getComputedStyle(document.querySelector('.print-copy')!).color,
    rule: [...document.styleSheets].flatMap(({ cssRules }) => [...cssRules]).find((one) => one instanceof CSSPageRule)
      ?.cssText,
  }))
  assert.is(seen.controls, 0)
  assert.match(seen.text, `${event_id}\n`)
  assert.match(seen.text, 'message 200')
  assert.is(seen.ink, 'rgb(22, 28, 35)')
  assert.match(String(seen.rule), `content: "${event_id}"`)
  const pdf = (await page.pdf()).toString('latin1')
  assert.ok((pdf.match(/\/Type\s*\/Page\b(?!s)/g) ?? []).length >= 10, 'at most twenty messages on a page')
  await fire(page, 'afterprint')
  await page.emulateMedia({ media: 'screen' })
  assert.is(await page.locator('.print-copy').count(), 0)
  await page.fill('#search', 'message 17"')
  await page.waitForSelector('#found:has-text("1 of 200")')
  // In place of the browser's dialog, which a test cannot close.
  await page.evaluate(() => {
    globalThis.print = () => {
      dispatchEvent(new Event('beforeprint'))
      Object.assign(globalThis, { printed: document.querySelector('.print-copy')!.textContent })
      dispatchEvent(new Event('afterprint'))
    }
  })
  await page.click('#export')
  await page.click('#export-print')
  await page.waitForFunction('globalThis.printed')
  const printed = String(await page.evaluate('printed'))
  assert.match(printed, `#${ids[16]}`)
  assert.is(printed.match(/#\d+/g)?.length, 1)
})

test('prints nothing of a room that is left while the copy for it is made', async () => {
  const [left, other] = [newRoom('left'), newRoom('other')]
  await publish(site.gateway, left, chats(20))
  const ids = await publish(site.gateway, other, chats(2))
  const page = await site.pages.open('/')
  // Work in slices ends its slice after each item, and goes on when the test says so.
  await page.addInitScript(() => {
    const held: (() => void)[] = []
    const state = { isHolding: false, prints: 0 }
    class Turns {
      readonly port1 = { onmessage: (): void => {} }
      readonly port2 = {
        postMessage: (): void => {
          if (state.isHolding) held.push(() => this.port1.onmessage())
          else setTimeout(() => this.port1.onmessage())
        },
      }
    }
    const print = (): void => void state.prints++
    Object.assign(globalThis, { MessageChannel: Turns, held, state, print })
  })
  await page.goto(`${site.gateway.url}/events/${left}`)
  await isWhole(page)
  await page.click('#export')
  await page.evaluate(() => {
    let time = performance.now()
    performance.now = () => (time += 10)
    Object.assign((globalThis as Json).state, { isHolding: true })
  })
  await page.click('#export-print')
  await page.waitForFunction('held.length > 0')
  await page.click('a.back')
  await page.click(`a:has-text("${other}")`)
  await page.waitForSelector(`#title:has-text("${other}")`)
  await page.evaluate(async () => {
    const { held, state } = globalThis as Json
    while (held.length > 0) {
      held.shift()()
      await new Promise((resolve) => setTimeout(resolve))
    }
    state.isHolding = false
  })
  assert.is(await page.evaluate('state.prints'), 0)
  await page.waitForSelector(row(ids[1]))
  await page.emulateMedia({ media: 'print' })
  await fire(page, 'beforeprint')
  assert.equal(await printedIds(page), ids)
})

/** Records the browser's notifications instead of showing them. Permission is granted when it is requested. */
const recordNotifications = (page: Page): Promise<unknown> =>
  page.addInitScript(() => {
    const shown: unknown[] = []
    class Recorded {
      static permission = 'default'
      static async requestPermission(): Promise<string> {
        Recorded.permission = 'granted'
        return 'granted'
      }
      constructor(title: string, { body, tag }: NotificationOptions) {
        shown.push([title, body, tag])
      }
    }
    Object.assign(globalThis, { Notification: Recorded, shown })
  })

const setHidden = (page: Page, hidden: boolean): Promise<void> =>
  page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden })
    document.dispatchEvent(new Event('visibilitychange'))
  }, hidden)

test('notifies of messages that need attention while the tab is hidden, in the rooms where this is switched on', async () => {
  const { page, event_id } = await mixed()
  await recordNotifications(page)
  await page.reload()
  await isState(page, 'live')
  assert.is(await page.getAttribute('#notify', 'aria-pressed'), 'false')
  await page.click('#notify')
  await page.waitForSelector('#notify[aria-pressed="true"]')
  assert.is(await page.locator('#notify-state').count(), 0)
  await page.fill('#name', 'Ann')
  await publish(site.gateway, event_id, chat(6, { message_type: 'error_internal' }))
  await page.waitForSelector('#count:text-is("6 messages")')
  await setHidden(page, true)
  await publish(site.gateway, event_id, [chat(7), chat(8, { message_content: { data: { text: 'ask ann\u202e' } } })])
  await until(async () => (await page.title()) === `⚠ (2) ${event_id} – deepsoc-gateway`, { what: 'the mark' })
  assert.equal(await page.evaluate('shown'), [
    [`Your name: ${event_id}`, 'Captain: ask ann⟨U+202E⟩', `deepsoc-gateway ${event_id}`],
  ])
  await setHidden(page, false)
  await until(async () => (await page.title()) === `${event_id} – deepsoc-gateway`, { what: 'the title as before' })
  await page.reload()
  await page.waitForSelector('#notify[aria-pressed="true"]')
  await page.waitForSelector('#notify-state:has-text("allows no notifications")')
  await page.goto(`${site.gateway.url}/events/${newRoom()}`)
  await page.waitForSelector('#notify[aria-pressed="false"]')
})

test.full('filters the messages that need attention, also by the name that was typed', async () => {
  const { page, ids, event_id } = await mixed()
  await page.click('#attention')
  await shows(page, [ids[0], ids[1], ids[2], ids[4]])
  await page.fill('#name', 'Ann')
  const [named] = await publish(site.gateway, event_id, [chat(6, { message_content: 'for Ann' }), chat(7)])
  await shows(page, [ids[0], ids[1], ids[2], ids[4], named])
  await page.click('#attention')
  assert.is((await readThrough(page)).length, 7)
})

test.full('lists rounds and types in reasonable numbers, whatever was published', async () => {
  const event_id = newRoom()
  const odd = Array.from({ length: 3_000 }, (_, n) => chat(n, { round_id: n * 7, message_type: `type-${n}` }))
  await publish(site.gateway, event_id, odd)
  const page = await site.pages.room(event_id)
  await isState(page, 'live')
  await isWhole(page)
  assert.ok((await page.locator('#rail button').count()) < 300)
  await page.click('#types + .more')
  assert.ok((await getElementTexts(page, '#types .choice')).length >= 50)
  assert.ok((await page.locator('#rail button').count()) < 400)
  // However many there are, roles and types stay in sight, and a section can be closed.
  await page.$eval('#rail', (rail) => rail.scrollTo(0, 0))
  const isInSight = async (selector: string): Promise<boolean> => (await page.locator(selector).boundingBox())!.y < 600
  assert.ok(await isInSight('#roles'))
  assert.ok(await page.$eval('.rounds', ({ scrollHeight, clientHeight }) => scrollHeight > clientHeight))
  await page.click('.part:has(.rounds) > summary')
  await page.waitForSelector('.rounds', { state: 'hidden' })
  await page.reload()
  await isState(page, 'live')
  await page.waitForSelector('#roles .choice')
  assert.is(await page.isVisible('.rounds'), false)
})

test.run()
