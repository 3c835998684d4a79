import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import Database from 'better-sqlite3'
import * as assert from 'uvu/assert'
import { loadConfig } from '../../../src/config/config.ts'
import type { GatewayError } from '../../../src/core/errors.ts'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import { SCHEMA_VERSION } from '../../../src/store/migrations.ts'
import { APPLICATION_ID, openConnection, readSchema } from '../../../src/store/sqlite/file.ts'
import { sharedPaths } from '../../../src/store/sqlite/open-files.ts'
import {
  filterShape,
  selectBounds,
  selectionParams,
  windowEnd,
  windowMessages,
} from '../../../src/store/sqlite/queries.ts'
import { StatementCache } from '../../../src/store/sqlite/statement-cache.ts'
import { SqliteStore } from '../../../src/store/sqlite/store.ts'
import { suite } from '../../support/harness/suite.ts'
import { fastDir } from '../../support/servers/fast-dir.ts'
import { newEntry, store } from '../../support/stages/entries.ts'
import { openSqlite } from '../../support/store/sqlite-store.ts'

const ALL = { messages: 100_000, bytes: Number.POSITIVE_INFINITY }

const newFile = (name = 'gateway.db'): string => join(fastDir(), name)

/** Opens a file, runs statements, and closes it. */
const byHand = (file: string, ...statements: string[]): void => {
  const db = new Database(file)
  for (const statement of statements) db.exec(statement)
  db.close()
}

/** Creates a closed gateway database with some messages. */
const ours = async (messages = 3): Promise<string> => {
  const file = newFile()
  const log = await openSqlite(file, true)
  await store(log, ...Array.from({ length: messages }, () => ({ body: JSON.stringify('x'.repeat(500)) })))
  await log.stop()
  return file
}

/** Returns the error code with which the file is rejected, and asserts that the file and its folder are unchanged. */
const refusal = async (file: string): Promise<string> => {
  const before = readFileSync(file)
  const around = readdirSync(dirname(file))
  try {
    await (await openSqlite(file, true)).stop()
    return 'none'
  } catch (error) {
    assert.ok(readFileSync(file).equals(before), 'not a byte is changed')
    assert.equal(readdirSync(dirname(file)), around, 'nothing lies beside it')
    const { code, message, hint } = error as GatewayError
    assert.ok(message.includes(file) && hint.length > 0, 'says which file, and what to do')
    return code
  }
}

const statements = suite('prepared statements')

statements('stay within their limit, and those in use stay', () => {
  const cache = new StatementCache(10)
  const prepared: string[] = []
  const get = (key: string) =>
    cache.get(key, () => {
      prepared.push(key)
      return {} as Database.Statement
    })
  for (let n = 0; n < 1_000; n++) {
    get('hot')
    get(`shape ${n}`)
  }
  assert.is(cache.size, 10)
  assert.equal(
    prepared.filter((key) => key === 'hot'),
    ['hot'],
  )
})

const files = suite('the database file')

files('of a newer version is refused untouched', async () => {
  const file = await ours()
  byHand(file, `PRAGMA user_version = ${SCHEMA_VERSION + 1}`)
  assert.is(await refusal(file), 'database_newer')
})

files('of another application is refused untouched', async () => {
  const foreign: [string, string[]][] = [
    ['with its own application_id', ['PRAGMA application_id = 7', 'CREATE TABLE message (x)']],
    ['with an application_id and nothing else', ['PRAGMA application_id = 7']],
    ['with a user_version', ['PRAGMA user_version = 1']],
    ['with tables only', ['CREATE TABLE message (x)']],
    ['with tables, in WAL mode', ['PRAGMA journal_mode = WAL', 'CREATE TABLE message (x)']],
    ['with its own application_id, in WAL mode', ['PRAGMA journal_mode = WAL', 'PRAGMA application_id = 7']],
    ['with a single view', ['CREATE VIEW v AS SELECT 1']],
    ['with many tables', Array.from({ length: 200 }, (_, n) => `CREATE TABLE t${n} (x)`)],
  ]
  for (const [what, statements] of foreign) {
    const file = newFile()
    byHand(file, ...statements)
    assert.is(await refusal(file), 'database_not_ours', what)
  }
})

files('that is no database is refused untouched', async () => {
  for (const text of ['x', 'short note', 'a longer text\n'.repeat(1_000), '\0'.repeat(4096)]) {
    const file = newFile('notes.txt')
    writeFileSync(file, text)
    assert.is(await refusal(file), 'database_not_ours', JSON.stringify(text.slice(0, 20)))
  }
})

files('that is damaged is refused untouched', async () => {
  const file = await ours(200)
  const bytes = readFileSync(file)
  for (const from of [4096 * 4, Math.floor(bytes.length / 8192) * 4096]) {
    const damaged = newFile()
    writeFileSync(
      damaged,
      Buffer.concat([bytes.subarray(0, from), Buffer.alloc(4096, 0xa5), bytes.subarray(from + 4096)]),
    )
    assert.is(await refusal(damaged), 'database_corrupt', `damaged at ${from}`)
  }
  const short = newFile()
  writeFileSync(short, bytes)
  truncateSync(short, Math.floor(bytes.length / 8192) * 4096)
  assert.is(await refusal(short), 'database_corrupt', 'cut off')
  assert.is(await refusal(file), 'none', 'the sound one is taken')
})

files('that cannot be opened is reported as such', async () => {
  const folder = newFile('folder')
  mkdirSync(folder)
  const file = newFile()
  writeFileSync(file, '')
  for (const path of [folder, join(file, 'below.db'), '/proc/nothing/below.db']) {
    const log = new SqliteStore({ file: path, newLogId: 'l', now: 1, inlineWriter: {} })
    const error = await log.start().then(
      () => null,
      (reason: GatewayError) => reason,
    )
    assert.is(error?.code, 'database_open_failed', path)
  }
})

files('behind symbolic links is used as itself, whether it exists or not', async () => {
  const real = join(fastDir(), 'real')
  mkdirSync(real)
  const folder = join(fastDir(), 'folder')
  symlinkSync(real, folder)
  symlinkSync('../next.db', join(real, 'link.db'))
  symlinkSync(join(folder, 'gateway.db'), join(dirname(real), 'next.db'))
  for (const inline of [true, false]) {
    const { databaseFile } = loadConfig({ DATABASE_URL: `sqlite:${join(folder, 'link.db')}` })
    const log = await openSqlite(databaseFile, inline)
    const append = () =>
      log.append([newEntry()]).then(
        ([result]) => result!.kind,
        (error: GatewayError) => error.code,
      )
    assert.equal([await append(), await append()], ['stored', 'stored'])
    await log.check(true)
    assert.ok((await log.size()).wal! > 0)
    await log.stop()
  }
  assert.is(await (await openSqlite(join(real, 'gateway.db'), true)).head(), 4)
})

files('that is missing is created, with its folders', async () => {
  const file = join(fastDir(), 'a', 'b', 'gateway.db')
  const log = await openSqlite(file, false)
  assert.equal(await store(log, {}), [1])
  await log.stop()
  assert.ok(existsSync(file))
})

files('that is empty is adopted', async () => {
  const file = newFile()
  writeFileSync(file, '')
  const log = await openSqlite(file, true)
  assert.equal(await store(log, {}), [1])
  await log.stop()
  assert.is((await openSqlite(file, true).then(async (again) => [await again.head(), await again.stop()]))[0], 1)
})

files('that another tool made and left empty is adopted', async () => {
  for (const statements of [
    ['VACUUM'],
    ['PRAGMA journal_mode = WAL', 'VACUUM'],
    ['CREATE TABLE x (y)', 'DROP TABLE x'],
  ]) {
    const file = newFile()
    byHand(file, ...statements)
    const log = await openSqlite(file, true)
    assert.equal(await store(log, {}), [1], statements.join())
    await log.stop()
  }
})

files('that a crash during creation left without tables is replaced', async () => {
  const file = newFile()
  byHand(file, `PRAGMA application_id = ${APPLICATION_ID}`, `PRAGMA user_version = ${SCHEMA_VERSION}`)
  const log = await openSqlite(file, true)
  assert.equal(await store(log, {}), [1])
  await log.stop()
})

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8)

files('is created for its owner only, with the files beside it and its folders, whatever the umask', async () => {
  for (const umask of [0, 0o022, 0o077]) {
    const before = process.umask(umask)
    try {
      const folder = join(fastDir(), 'new', 'data')
      const file = join(folder, 'gateway.db')
      const log = await openSqlite(file, true)
      await store(log, {})
      assert.equal(readdirSync(folder).sort(), ['gateway.db', 'gateway.db-shm', 'gateway.db-wal'])
      for (const name of readdirSync(folder)) assert.is(modeOf(join(folder, name)), '600', name)
      assert.equal([modeOf(folder), modeOf(dirname(folder))], ['700', '700'])
      assert.equal(sharedPaths(file), [])
      await log.stop()
    } finally {
      process.umask(before)
    }
  }
})

files('to which other users have access is named, as are its folder and the files beside it', async () => {
  const file = newFile()
  const log = await openSqlite(file, true)
  const paths = [dirname(file), file, `${file}-wal`, `${file}-shm`]
  for (const [path, mode] of [
    [paths[0], 0o750],
    [paths[1], 0o640],
    [paths[2], 0o604],
    [paths[3], 0o620],
  ] as const) {
    const before = statSync(path!).mode
    chmodSync(path!, mode)
    assert.equal(sharedPaths(file), [path])
    chmodSync(path!, before)
  }
  // Others can reach files whose names they know, and these are private.
  chmodSync(dirname(file), 0o711)
  assert.equal(sharedPaths(file), [])
  await log.stop()
})

files('gets its log_id once, when it is created', async () => {
  const file = newFile()
  const names: string[] = []
  for (const newLogId of ['first', 'second']) {
    const log = new SqliteStore({ file, newLogId, now: 1, inlineWriter: {} })
    await log.start()
    names.push(log.logId)
    await log.stop()
  }
  assert.equal(names, ['first', 'first'])
})

files('identifies its application and version in its header', async () => {
  const file = newFile()
  const log = await openSqlite(file, true)
  const header = readFileSync(file)
  assert.equal([header.readUInt32BE(68), header.readUInt32BE(60)], [APPLICATION_ID, SCHEMA_VERSION])
  assert.is(header.toString('latin1', 68, 72), 'DSGW')
  await log.stop()
})

files('is configured to survive a power failure, on every connection and however often it is opened', async () => {
  const seen = new Set<Database.Database>()
  const { prepare } = Database.prototype
  Database.prototype.prepare = function (this: Database.Database, ...args: [string]) {
    seen.add(this)
    return prepare.apply(this, args)
  } as typeof prepare
  try {
    const file = newFile()
    for (let round = 0; round < 3; round++) {
      const log = await openSqlite(file, true)
      await store(log, {})
      await log.read(createFilter('*'), 0, ALL)
      const open = [...seen].filter((db) => db.open && db.name === file)
      assert.equal(open.map((db) => db.readonly).sort(), [false, true], 'one that writes and one that reads')
      for (const db of open) {
        assert.is(db.pragma('synchronous', { simple: true }), 2)
        assert.is(db.pragma('journal_mode', { simple: true }), 'wal')
        assert.is(db.pragma('busy_timeout', { simple: true }), 100)
      }
      await log.stop()
      assert.equal(
        open.map((db) => db.open),
        [false, false],
        'stop closes both',
      )
    }
  } finally {
    Database.prototype.prepare = prepare
  }
})

files('in which commits would not be durable is rejected', async () => {
  const file = await ours()
  byHand(file, 'PRAGMA journal_mode = DELETE')
  assert.throws(
    () => openConnection(file, { readonly: true }),
    (error: GatewayError) => error.code === 'database_open_failed' && /journal_mode is delete/.test(error.message),
  )
})

files('that was left between creation and the switch to WAL, or restored from a copy, opens', async () => {
  const file = await ours()
  byHand(file, 'PRAGMA journal_mode = DELETE')
  const copy = newFile('copy.db')
  byHand(file, `VACUUM INTO '${copy}'`)
  for (const path of [file, copy]) {
    const log = await openSqlite(path, true)
    assert.equal([await log.head(), (await store(log, {}))[0]], [3, 4], path)
    await log.stop()
  }
})

files('its reading connection cannot write', async () => {
  const db = openConnection(await ours(), { readonly: true })
  assert.throws(() => db.exec('DELETE FROM message'), /readonly/)
  db.close()
})

files('returns the bounds of all events without a scan of events or messages', async () => {
  const db = openConnection(await ours(), { readonly: true })
  const plan = db.prepare(`EXPLAIN QUERY PLAN ${selectBounds(createFilter('*'))}`).all() as { detail: string }[]
  const steps = plan
    .map(({ detail }) => detail)
    .filter((detail) => !/^(SCAN CONSTANT ROW|SCALAR SUBQUERY)/.test(detail))
  const counter = 'SCAN sqlite_sequence'
  assert.equal(
    steps.filter((step) => !step.startsWith('SEARCH ')),
    [counter],
    steps.join('\n'),
  )
  assert.ok(steps.some((step) => step.includes('event_by_pruning')))
  db.close()
})

files('filters of any size share a few statements, which read along an index', async () => {
  const names = (count: number) => Array.from({ length: count }, (_, n) => `n${n}`)
  const shapes = new Set<string>()
  for (let count = 1; count <= 400; count++) {
    for (const types of [null, names(1 + (count % 100))]) {
      for (const senders of [null, names(1 + (count % 99))]) {
        shapes.add(filterShape(createFilter(names(count), types, senders)))
      }
    }
  }
  assert.ok(shapes.size <= 40, `${shapes.size} shapes`)
  const db = openConnection(await ours(), { readonly: true })
  for (const filter of ['*', 1, 3, 400].flatMap((count) => {
    const events = typeof count === 'number' ? names(count) : '*'
    return [createFilter(events), createFilter(events, ['t', 'u'], ['f'])]
  })) {
    const params = { ...selectionParams(filter), after: 0, before: 9, limit: 1, skip: 1 }
    for (const sql of [windowEnd(filter, 'desc'), windowMessages(filter, 'asc', 'all')]) {
      const plan = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(params) as { detail: string }[]
      const scans = plan.map(({ detail }) => detail).filter((detail) => /SCAN (message|event)|TEMP B-TREE/.test(detail))
      assert.equal(scans, [], sql.slice(0, 500))
    }
  }
  db.close()
})

files('a filter of three events returns each message once, up to the limit', async () => {
  const log = await openSqlite(newFile(), true)
  const ids = await store(
    log,
    ...['a', 'b', 'c', 'c', 'd', 'a'].map((event_id) => ({ event_id, message_type: 't\0"é' })),
  )
  const wanted = ids.filter((_, n) => n !== 4)
  for (const filter of [createFilter(['a', 'b', 'c']), createFilter(['a', 'b', 'c'], ['t\0"é', 'u'])]) {
    for (let limit = 1; limit <= 6; limit++) {
      const page = await log.read(filter, 0, { ...ALL, messages: limit })
      assert.equal(
        page.messages.map(({ db_id }) => db_id),
        wanted.slice(0, limit),
      )
      assert.is(page.hasMore, limit < 5)
    }
    assert.is(await log.tailCursor(filter, 3), wanted[1])
    assert.is((await log.bounds(filter)).last_db_id, ids[5])
  }
  await log.stop()
})

const day = 86_400_000
const fewDaysAgo = (days: number) => Date.now() - days * day

/** Prunes everything older than 30 days. */
const pruneMonth = async (log: SqliteStore): Promise<void> => {
  while ((await log.prune({ receivedBefore: fewDaysAgo(30), messagesPerEvent: null }, 1_000)) > 0);
}

const left = async (log: SqliteStore): Promise<number[]> =>
  (await log.read(createFilter('*'), 0, ALL)).messages.map(({ db_id }) => db_id)

files('retention by age continues after messages of a clock that was ahead', async () => {
  const log = await openSqlite(newFile(), true)
  // Far ahead, and more than one step reads.
  const ahead = Array.from({ length: 13_000 }, () => ({ received_at: fewDaysAgo(-3_650) }))
  const ids = await store(log, ...ahead, { received_at: fewDaysAgo(29) }, { received_at: fewDaysAgo(1) })
  await pruneMonth(log)
  await pruneMonth(log)
  assert.equal(await left(log), ids, 'nothing behind them is old yet')
  await log.stop()

  const later = await openSqlite(newFile(), true)
  const more = await store(
    later,
    ...ahead,
    { received_at: fewDaysAgo(40) },
    { received_at: fewDaysAgo(31) },
    { received_at: fewDaysAgo(1) },
  )
  await pruneMonth(later)
  await pruneMonth(later)
  assert.equal(await left(later), more.slice(-1))
  await later.stop()
})

files('retention by age keeps messages of a clock that was slow as long as those before them', async () => {
  const log = await openSqlite(newFile(), true)
  const ids = await store(
    log,
    { received_at: fewDaysAgo(40) },
    { received_at: fewDaysAgo(2) },
    { received_at: 0 },
    {
      received_at: fewDaysAgo(1),
    },
  )
  await pruneMonth(log)
  assert.equal(await left(log), ids.slice(1))
  await log.stop()
})

files('has strict tables that release their space', async () => {
  const file = newFile()
  const log = await openSqlite(file, true)
  const db = new Database(file, { readonly: true })
  const tables = db.prepare("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'").all()
  const named = (tables as { name: string; strict: number }[]).filter(({ name }) => !name.startsWith('sqlite_'))
  assert.equal(Object.fromEntries(named.map(({ name, strict }) => [name, strict])), {
    log: 1,
    message: 1,
    event: 1,
    rejected: 1,
    revocation: 1,
  })
  assert.is(db.pragma('auto_vacuum', { simple: true }), 2)
  const pages = () => db.pragma('page_count', { simple: true }) as number
  await store(log, ...Array.from({ length: 500 }, () => ({ body: JSON.stringify('x'.repeat(2_000)) })))
  const full = pages()
  while ((await log.prune({ receivedBefore: 9_999, messagesPerEvent: null }, 100)) > 0);
  assert.ok(pages() < full / 2, `${pages()} of ${full} pages`)
  db.close()
  await log.stop()
  assert.match(readSchema(), 'STRICT')
})

files.run()
statements.run()
