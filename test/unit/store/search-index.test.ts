import { closeSync, existsSync, openSync, rmSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import type { NewMessage } from '../../../src/core/message.ts'
import { foldText, matchesTerms, parseSearchTerms, searchableText } from '../../../src/core/search-text.ts'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import { IndexSearch } from '../../../src/store/search/index-search.ts'
import type { SearchHit, SearchQuery } from '../../../src/store/search/search.ts'
import { SearchIndex } from '../../../src/store/search/search-index.ts'
import { SqliteStore } from '../../../src/store/sqlite/store.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { until } from '../../support/harness/wait.ts'
import { inDatabase } from '../../support/servers/database.ts'
import { fastDir } from '../../support/servers/fast-dir.ts'
import { newMessage, store } from '../../support/stages/entries.ts'
import { openSqlite } from '../../support/store/sqlite-store.ts'

const test = suite('the search index')

let file: string
let log: SqliteStore
let opened: SearchIndex[] = []
/** Milliseconds of the clock of the indexes. */
let clock = 0

const openIndex = (): SearchIndex => {
  const index = new SearchIndex(file, () => clock)
  opened.push(index)
  return index
}

test.before.each(async () => {
  file = join(fastDir(), 'gateway.db')
  log = await openSqlite(file, true)
})
test.after.each(async () => {
  for (const index of opened.splice(0)) index.close()
  opened = []
  await log.stop()
})

const put = (content: unknown, over: Partial<NewMessage> = {}): Promise<number[]> =>
  store(log, { body: JSON.stringify({ message_content: content }), ...over })

const query = (text: string, over: Partial<SearchQuery> = {}): SearchQuery => ({
  terms: parseSearchTerms(text)!,
  filter: createFilter('*'),
  since: null,
  until: null,
  before: null,
  limit: 100,
  ...over,
})

/** Writes into the file of the index as no gateway does. */
const spoil = (write: (db: Database.Database) => unknown): void => {
  const db = new Database(`${file}.search`)
  write(db)
  db.close()
}

const catchUp = (index: SearchIndex): void => {
  while (index.step());
}

const idsOf = (hits: readonly SearchHit[]): number[] => hits.map(({ db_id }) => db_id)

/** Returns the db_ids of the hits after the index has everything. */
const find = (index: SearchIndex, text: string, over: Partial<SearchQuery> = {}): number[] => {
  catchUp(index)
  return idsOf(index.search(query(text, over)).hits)
}

test('addresses, hashes, host names, parts of words and Chinese words of two characters are found', async () => {
  const sha = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
  const contents = [
    'from 203.0.113.7:443',
    { sha256: sha },
    'DC01.corp.example',
    '检测到攻击行为',
    'a C2 server',
    '{"a":"b"}',
  ]
  const ids: number[] = []
  for (const content of contents) ids.push(...(await put(content)))
  const index = openIndex()
  const found = (text: string): number => ids.indexOf(find(index, text)[0]!) + 1
  for (const [text, expected] of [
    ['203.0.113.7', 1],
    ['3.0.11', 1],
    [sha, 2],
    [sha.slice(5, 30).toUpperCase(), 2],
    ['dc01.CORP', 3],
    ['攻击', 4],
    ['行为', 4],
    ['C2', 5],
    ['er', 5],
    ['"a c2"', 5],
    ['203.0.113.8', 0],
    ['击攻', 0],
    ['"c2 a"', 0],
  ] as const) {
    assert.is(found(text), expected, text)
  }
})

test('finds exactly what a scan of all messages finds, newest first and page by page', async () => {
  const text = fc.stringMatching(/^[abAB12."{ \n攻击İß😀-]{0,12}$/u)
  const bodies: string[] = []
  const index = openIndex()
  await fc.assert(
    fc.asyncProperty(
      fc.array(text, { maxLength: 8 }),
      text,
      fc.integer({ min: 1, max: 4 }),
      async (contents, asked, limit) => {
        for (const content of contents) {
          const body = JSON.stringify({ message_content: content })
          const [id] = await store(log, { body })
          bodies[id!] = body
        }
        const terms = parseSearchTerms(asked)
        if (terms === null) return
        const expected = [...bodies.keys()].filter(
          (id) => bodies[id] && matchesTerms(foldText(searchableText(bodies[id])), terms),
        )
        catchUp(index)
        const ids: number[] = []
        let before: number | null = null
        do {
          const { hits, nextBefore } = index.search(query(asked, { limit, before }))
          assert.ok(hits.length === limit || nextBefore === null)
          ids.push(...idsOf(hits))
          before = nextBefore
        } while (before !== null)
        assert.equal(ids, expected.reverse(), asked)
      },
    ),
    { numRuns: runs(200, 5_000) },
  )
})

test('only messages of the filter and of the period are found', async () => {
  const day = 86_400_000
  const [first] = await put('needle', { event_id: 'a', message_type: 't', message_from: 'f', received_at: day })
  // More than a span of ids whose times are known together.
  await store(log, ...Array.from({ length: 1_100 }, () => ({ event_id: 'a', received_at: 2 * day })))
  const [second] = await put('needle', { event_id: 'b', message_type: 'u', received_at: 3 * day })
  const [third] = await put('needle', { event_id: 'a b%c', message_from: 'f', received_at: 2 * day })
  const index = openIndex()
  const ids = (over: Partial<SearchQuery>): number[] => find(index, 'needle', over)
  assert.equal(ids({}), [third, second, first])
  assert.equal(ids({ filter: createFilter(['a']) }), [first])
  assert.equal(ids({ filter: createFilter(['A', 'a b%c', 'nowhere']) }), [third])
  assert.equal(ids({ filter: createFilter([]) }), [])
  assert.equal(ids({ filter: createFilter('*', ['t', 'u']) }), [second, first])
  assert.equal(ids({ filter: createFilter('*', null, ['f']) }), [third, first])
  assert.equal(ids({ since: 2 * day }), [third, second])
  assert.equal(ids({ since: day, until: 2 * day }), [first])
  assert.equal(ids({ since: 3 * day + 1 }), [])
  assert.equal(ids({ before: third! }), [second, first])
})

test('a search ends at its time limit with the place where it continues', async () => {
  for (let n = 0; n < 5; n++) await put('needle')
  const index = openIndex()
  catchUp(index)
  const slow = new SearchIndex(file, () => (clock += 400))
  opened.push(slow)
  const { hits, nextBefore } = slow.search(query('needle'))
  assert.ok(hits.length > 0 && hits.length < 5, `${hits.length} hits`)
  assert.is(nextBefore, hits.at(-1)!.db_id)
  const elsewhere = slow.search(query('needle', { filter: createFilter(['elsewhere']) }))
  assert.equal([elsewhere.hits, elsewhere.nextBefore], [[], null], 'messages of other events take no time')
})

test('an index that is deleted, cut off, of another version or of another store is rebuilt', async () => {
  const [id] = await put('needle')
  const path = `${file}.search`
  const index = openIndex()
  const overwrite = (): void => {
    const fd = openSync(path, 'w')
    writeSync(fd, 'x'.repeat(10_000))
    closeSync(fd)
  }
  const faults: readonly (readonly [name: string, happens: () => void])[] = [
    ['deleted under the gateway', () => rmSync(path)],
    [
      'cut off',
      () => {
        spoil((db) => db.pragma('wal_checkpoint(TRUNCATE)'))
        truncateSync(path, 5_000)
      },
    ],
    ['of another log_id', () => spoil((db) => db.exec("DELETE FROM gram; UPDATE state SET log_id = 'other'"))],
    ['ahead of the store', () => spoil((db) => db.exec('DELETE FROM gram; UPDATE state SET cursor = 1000'))],
  ]
  for (const [name, happens] of faults) {
    assert.equal(find(index, 'needle'), [id], `before it is ${name}`)
    happens()
    assert.equal(find(index, 'needle'), [id], name)
    assert.is(index.status.messages, 1, name)
  }
  index.close()
  opened = []
  for (const [name, happens] of [
    ['no database', overwrite],
    ['of another version', () => spoil((db) => db.pragma('user_version = 77'))],
    ['gone', () => rmSync(path)],
  ] as const) {
    happens()
    const next = new SearchIndex(file)
    assert.equal(find(next, 'needle'), [id], name)
    next.close()
    assert.ok(existsSync(path))
  }
})

test('the copy of an edge is indexed again if it is one of other events, under the same log_id and with greater ids', async () => {
  await log.stop()
  file = join(fastDir(), 'edge.db')
  log = new SqliteStore({ file, newLogId: 'edge', now: 1, edge: true, inlineWriter: {} })
  await log.start()
  const copy = log.copy!
  const record = (db_id: number, event_id: string) => ({
    db_id,
    ...newMessage({ event_id, body: JSON.stringify({ message_content: 'word' }) }),
  })
  await copy.open(['a'])
  await copy.restart('core')
  await copy.add([record(2, 'a'), record(4, 'a')])
  const index = openIndex()
  assert.equal(find(index, 'word'), [4, 2])
  await copy.open(['a', 'b'])
  await copy.add([record(1, 'b'), record(2, 'a'), record(3, 'b'), record(4, 'a'), record(5, 'b')])
  assert.equal(find(index, 'word'), [5, 4, 3, 2, 1])
})

test('deleted messages are not found, and leave the index', async () => {
  await store(
    log,
    ...Array.from({ length: 2_500 }, (_, n) => ({ event_id: `e${n % 2}`, body: '{"message_content":"needle"}' })),
  )
  const index = openIndex()
  catchUp(index)
  assert.is(index.status.messages, 2_500)
  while ((await log.prune({ receivedBefore: null, messagesPerEvent: 3 }, 1_000)) > 0);
  assert.is(index.search(query('needle')).hits.length, 6)
  clock += 10_000
  catchUp(index)
  assert.equal([index.status.messages, index.status.pending], [6, 0])
  assert.is(
    inDatabase(`${file}.search`, (db) => db.prepare('SELECT count(*) FROM gram_docsize').pluck().get()),
    6,
  )
})

test('an index with everything has nothing to do until the store changes', async () => {
  const index = openIndex()
  const settle = (): void => {
    catchUp(index)
    index.step()
  }
  assert.is(index.isCurrent, false)
  await put('needle')
  settle()
  assert.is(index.isCurrent, true)
  await store(log, ...Array.from({ length: 5 }, () => ({})))
  assert.is(index.isCurrent, false, 'messages were stored')
  settle()
  assert.is(index.isCurrent, true)
  await log.prune({ receivedBefore: null, messagesPerEvent: 3 }, 1_000)
  assert.is(index.isCurrent, false, 'messages were deleted')
  settle()
  assert.is(index.isCurrent, true, 'it looks for deleted messages only now and then')
  clock += 10_000
  assert.is(index.isCurrent, false)
  settle()
  assert.is(index.status.messages, 3)
  clock += 10_000
  settle()
  assert.is(index.isCurrent, true)
})

test('several workers index each message once, and another one continues when one ends', async () => {
  const [one, two] = [openIndex(), openIndex()]
  for (let round = 0; round < 3; round++) {
    await store(log, ...Array.from({ length: 700 }, () => ({ body: '{"message_content":"needle"}' })))
    assert.is(one.status.pending, 700)
    one.step()
    two.step()
    two.step()
    assert.equal([one.status.messages, one.status.pending], [700 * (round + 1), 0])
  }
  spoil((db) => {
    db.exec('BEGIN IMMEDIATE')
    assert.is(one.step(), false, 'a worker that finds the index locked leaves it to the other')
    db.exec('COMMIT')
  })
  one.close()
  opened = [two]
  const [last] = await put('the last one')
  assert.equal(find(two, 'last one'), [last])
})

test('its thread finds what was stored just before, and ends with the store', async () => {
  const faults: (string | null)[] = []
  const search = new IndexSearch({ databaseFile: file, onFault: (reason) => faults.push(reason) })
  try {
    search.start()
    await store(log, ...Array.from({ length: 900 }, () => ({})))
    const [id] = await put('needle')
    const page = await search.search(query('needle'))
    assert.equal([idsOf(page.hits), page.nextBefore, page.indexed], [[id], null, 1])
    await until(() => search.status?.messages === 901, { what: 'the status', saw: () => JSON.stringify(search.status) })
    assert.equal(faults, [])
  } finally {
    await search.stop()
  }
})

test.run()
