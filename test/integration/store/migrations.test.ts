import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import * as assert from 'uvu/assert'
import type { GatewayError } from '../../../src/core/errors.ts'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import { FIRST_VERSION, MIGRATIONS, migrate, SCHEMA_VERSION } from '../../../src/store/migrations.ts'
import { openConnection } from '../../../src/store/sqlite/file.ts'
import { SqliteStore } from '../../../src/store/sqlite/store.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, until } from '../../support/harness/wait.ts'
import { fastDir } from '../../support/servers/fast-dir.ts'
import { ROOT, startGateway } from '../../support/servers/gateway.ts'
import { mountTinyDisk, noTinyDisk } from '../../support/servers/tiny-disk.ts'
import { store } from '../../support/stages/entries.ts'
import { openSqlite } from '../../support/store/sqlite-store.ts'

const test = suite('migrations')

const ALL = { messages: 10_000, bytes: Number.POSITIVE_INFINITY }

const VERSIONS = Array.from({ length: SCHEMA_VERSION - FIRST_VERSION + 1 }, (_, index) => FIRST_VERSION + index)

const fixtureOf = (version: number): string => join(ROOT, 'test', 'fixtures', `schema-${version}.sql`)

/** Creates a database with the schema of that version. */
const madeBy = (version: number, file = join(fastDir(), 'gateway.db')): string => {
  const db = new Database(file)
  db.exec(readFileSync(fixtureOf(version), 'utf8'))
  db.close()
  return file
}

/** Opens a file, reads it, and closes it. */
const look = <T>(file: string, at: (db: Database.Database) => T): T => {
  const db = new Database(file, { readonly: true })
  try {
    return at(db)
  } finally {
    db.close()
  }
}

/** Returns tables and indexes of a file, without comments and white space. */
const shapeOf = (file: string): { version: number; shape: unknown[]; columns: unknown[] } =>
  look(file, (db) => {
    const rows = db
      .prepare("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name")
      .all()
    const plain = (sql: string) =>
      sql
        .replace(/--.*$/gm, '')
        .replace(/\s+/g, ' ')
        .replace(/ ?([(),]) ?/g, '$1')
        .trim()
    const tables = (rows as { type: string; name: string; sql: string }[]).map((row) => ({
      ...row,
      sql: plain(row.sql),
    }))
    return {
      version: db.pragma('user_version', { simple: true }) as number,
      shape: tables,
      columns: tables.filter(({ type }) => type === 'table').map(({ name }) => db.pragma(`table_xinfo(${name})`)),
    }
  })

const contentOf = async (log: SqliteStore): Promise<unknown> => ({
  log_id: log.logId,
  head: await log.head(),
  messages: (await log.read(createFilter('*'), 0, ALL)).messages,
  events: await log.events(100, 0),
  bounds: await log.bounds(createFilter(['e2'])),
})

test('are numbered without gaps, and every released version has its fixture', () => {
  assert.equal(
    MIGRATIONS.map(({ version }) => version),
    VERSIONS.slice(1),
  )
  const fixtures = readdirSync(join(ROOT, 'test', 'fixtures')).filter((name) => /^schema-\d+\.sql$/.test(name))
  assert.equal(
    fixtures.sort(),
    VERSIONS.map((version) => `schema-${version}.sql`),
  )
  for (const version of VERSIONS) {
    assert.is(
      look(madeBy(version), (db) => db.pragma('user_version', { simple: true })),
      version,
    )
  }
})

test('lead from every released version to schema.sql', async () => {
  const fresh = join(fastDir(), 'gateway.db')
  await (await openSqlite(fresh, true)).stop()
  for (const version of VERSIONS) {
    const file = madeBy(version)
    await (await openSqlite(file, true)).stop()
    assert.equal(shapeOf(file), shapeOf(fresh), `from ${version}`)
  }
})

test('keep every message, event, counter and rejected body', async () => {
  for (const version of VERSIONS) {
    const file = madeBy(version)
    const log = await openSqlite(file, false)
    const bodies = (await log.read(createFilter('*'), 0, ALL)).messages.map(({ db_id, body }) => [db_id, body])
    assert.equal(bodies, [
      [1, '{"event_id":"e1","message_id":"a","playbook_id":12302548181076029}'],
      [2, '{"text":"neither id is in here"}'],
      [7, '{"event_id":"e2","message_id":"a","n":1.10}'],
    ])
    assert.is(log.logId, `log-of-version-${version}`, 'readers’ cursors stay good')
    assert.is((await log.bounds(createFilter(['e2']))).pruned_db_id, 5)
    const before = await contentOf(log)
    await log.stop()
    assert.equal(
      await openSqlite(file, true).then(async (again) => [await contentOf(again), await again.stop()][0]),
      before,
    )
    const rejected = look(file, (db) => db.prepare('SELECT rejected_id, body FROM rejected').raw().all())
    assert.equal(rejected, [[3, Buffer.from('{NaN')]])
    const after = await openSqlite(file, true)
    assert.equal(await store(after, {}), [10], 'ids go on behind those that were given out')
    const revocation = { subject: 's', issued_before: 1, until: null }
    assert.equal(await after.revoke(revocation, 0), revocation)
    await after.stop()
  }
})

test('a gateway upgrades the database of an earlier one, and serves it', async () => {
  const dataDir = fastDir()
  madeBy(FIRST_VERSION, join(dataDir, 'gateway.db'))
  const gateway = await startGateway({ dataDir })
  try {
    const { body } = await getJson(`${gateway.url}/api/events/e1/messages`)
    assert.equal(
      body.data.map(({ db_id }: { db_id: number }) => db_id),
      [1, 2],
    )
  } finally {
    await gateway.dispose()
  }
})

test('several processes can open a file of an earlier version at once', async () => {
  const file = madeBy(FIRST_VERSION)
  const logs = await Promise.all([openSqlite(file, false), openSqlite(file, false), openSqlite(file, true)])
  for (const log of logs) assert.equal(await log.revocations(), [])
  for (const log of logs) await log.stop()
})

/** Migrations of hypothetical later versions; the second one fails. */
const FAILING = [
  ...MIGRATIONS,
  { version: SCHEMA_VERSION + 1, summary: 'a column', sql: 'ALTER TABLE message ADD COLUMN later TEXT;' },
  { version: SCHEMA_VERSION + 2, summary: 'a fault', sql: 'CREATE TABLE more (x); INSERT INTO nowhere VALUES (1);' },
]

test('one that fails rolls back all before it, and is named', () => {
  const file = madeBy(FIRST_VERSION)
  const before = shapeOf(file)
  const db = openConnection(file)
  assert.throws(
    () => migrate(db, FAILING),
    ({ code, message, hint }: GatewayError) =>
      code === 'database_upgrade_failed' &&
      message.includes(`step ${SCHEMA_VERSION + 2} (a fault): no such table: nowhere`) &&
      hint.length > 0,
  )
  db.close()
  assert.equal(shapeOf(file), before)
})

test('a conflicting foreign table is named, and nothing is changed', async () => {
  const file = madeBy(FIRST_VERSION)
  const db = new Database(file)
  db.exec('CREATE TABLE revocation (mine)')
  db.close()
  const before = shapeOf(file)
  const error = await openSqlite(file, true).then(
    () => null,
    (reason: GatewayError) => reason,
  )
  assert.is(error?.code, 'database_upgrade_failed')
  assert.match(error!.message, 'table revocation already exists')
  assert.equal(shapeOf(file), before)
})

test('a kill in the middle leaves the previous version, and the next start completes the upgrade', async () => {
  const file = madeBy(FIRST_VERSION)
  const before = shapeOf(file)
  const script = `
import { migrate } from '${ROOT}/src/store/migrations.ts'
import { openConnection } from '${ROOT}/src/store/sqlite/file.ts'
const db = openConnection(process.argv[1])
db.function('die', () => process.kill(process.pid, 'SIGKILL'))
const steps = ${JSON.stringify(FAILING.slice(0, -1))}
migrate(db, [...steps, { version: ${SCHEMA_VERSION + 2}, summary: 'death', sql: 'SELECT die();' }])`
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script, file], { encoding: 'utf8' })
  assert.is(signal, 'SIGKILL')
  assert.ok(existsSync(`${file}-wal`), 'the unfinished transaction is there')
  const log = await openSqlite(file, true)
  await log.stop()
  assert.is(before.version, FIRST_VERSION)
  assert.is(shapeOf(file).version, SCHEMA_VERSION)
})

test('another process that writes is waited for, and named', async () => {
  const file = madeBy(FIRST_VERSION)
  const holder = openConnection(file)
  holder.exec('BEGIN IMMEDIATE')
  const warnings: string[] = []
  const onWarning = (text: string): number => warnings.push(text)
  const log = new SqliteStore({ file, newLogId: 'l', now: 1, inlineWriter: {}, onWarning })
  const started = log.start()
  started.catch(() => undefined)
  await until(() => warnings.length > 0, { what: 'the warning' })
  holder.close()
  await started
  await log.stop()
  assert.match(warnings[0]!, /is locked: SQLITE_BUSY, retrying$/)
  assert.is(shapeOf(file).version, SCHEMA_VERSION)
})

const why = noTinyDisk()
if (why !== null) test.skip('a full disk leaves the previous version', why)
else {
  test('a full disk leaves the previous version', async () => {
    const disk = mountTinyDisk(1024 * 1024)
    try {
      const file = madeBy(FIRST_VERSION, join(disk.dir, 'gateway.db'))
      const before = shapeOf(file)
      disk.fill()
      const error = await openSqlite(file, true).then(
        () => null,
        (reason: GatewayError) => reason,
      )
      assert.ok(error !== null && /^database_/.test(error.code), String(error))
      disk.free()
      assert.equal(shapeOf(file), before)
      await (await openSqlite(file, true)).stop()
      assert.is(shapeOf(file).version, SCHEMA_VERSION)
    } finally {
      await disk.dispose()
    }
  })
}

test('never downgrade: a file of a later version is rejected unchanged', () => {
  const file = madeBy(SCHEMA_VERSION)
  const db = openConnection(file)
  db.pragma(`user_version = ${SCHEMA_VERSION + 1}`)
  assert.throws(
    () => migrate(db),
    ({ code, message }: GatewayError) => code === 'database_newer' && message.includes(`version ${SCHEMA_VERSION + 1}`),
  )
  db.close()
})

test.run()
