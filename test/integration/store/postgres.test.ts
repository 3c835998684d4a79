// needs: postgres
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import * as assert from 'uvu/assert'
import type { GatewayError } from '../../../src/core/errors.ts'
import { parseSearchTerms } from '../../../src/core/search-text.ts'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import { Revocations } from '../../../src/http/auth/revocations.ts'
import { SCHEMA_VERSION } from '../../../src/store/migrations.ts'
import { ConnectionFactory } from '../../../src/store/postgres/connect.ts'
import { tryListenerLockSql } from '../../../src/store/postgres/listener.ts'
import { Pool } from '../../../src/store/postgres/pool.ts'
import { PostgresQuarantine } from '../../../src/store/postgres/quarantine.ts'
import { schemaLockSql } from '../../../src/store/postgres/schema.ts'
import type { PostgresStore } from '../../../src/store/postgres/store.ts'
import { parsePostgresUrl } from '../../../src/store/postgres/url.ts'
import { escapeNul, unescapeNul } from '../../../src/store/postgres/values.ts'
import { advisoryLockSql } from '../../../src/store/postgres/writer.ts'
import { RetentionJob } from '../../../src/store/retention.ts'
import type { SearchQuery } from '../../../src/store/search/search.ts'
import type { MessageStore } from '../../../src/store/store.ts'
import { startCli } from '../../support/clients/cli.ts'
import { WAIT_MS } from '../../support/harness/limits.ts'
import { listChildren } from '../../support/harness/processes.ts'
import { postgresBin } from '../../support/harness/provision.ts'
import { suite } from '../../support/harness/suite.ts'
import { until } from '../../support/harness/wait.ts'
import { ROOT } from '../../support/servers/gateway.ts'
import { startDeafLine } from '../../support/servers/half-open-proxy.ts'
import {
  connect,
  extractSchemaName,
  freshSchema,
  messagesIn,
  queryRows,
  rejectedIn,
  sharedPostgres,
} from '../../support/servers/postgres.ts'
import { startProxy } from '../../support/servers/proxy.ts'
import { appendPatiently, newEntry, newMessage, newOrigin, newRejection, store } from '../../support/stages/entries.ts'
import { openPostgres } from '../../support/store/postgres-store.ts'

const ALL = { messages: 10_000, bytes: Number.POSITIVE_INFINITY }
const EVERYTHING = createFilter('*')

const test = suite('the store in PostgreSQL')

let server = ''
let opened: PostgresStore[] = []

const open: typeof openPostgres = (url, options) => {
  const opening = openPostgres(url, options).then((log) => {
    opened.push(log)
    return log
  })
  // If the test fails before it awaits this promise, it reports its own error.
  opening.catch(() => undefined)
  return opening
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: GatewayError) => error.code,
  )

const idsOf = async (log: MessageStore): Promise<number[]> =>
  (await log.read(EVERYTHING, 0, ALL)).messages.map(({ db_id }) => db_id)

test.before(async () => {
  server = await sharedPostgres()
})
test.after.each(async () => {
  for (const log of opened) await log.stop()
  opened = []
})

test('no db_id becomes visible after a greater one, however long commits take (L2)', async () => {
  const url = freshSchema(server)
  const logs = await Promise.all([open(url), open(url), open(url), open(url)])
  // Without the lock, the first id assigned would often become visible last.
  await queryRows(
    url,
    `CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN PERFORM pg_sleep(random() * 0.004); RETURN NULL; END$$;
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON message DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE FUNCTION dawdle()`,
  )
  const follower = await open(url)
  const seen: number[] = []
  let through = 0
  let done = false
  const following = (async () => {
    while (true) {
      const last = done
      const page = await follower.read(EVERYTHING, through, ALL)
      seen.push(...page.messages.map(({ db_id }) => db_id))
      through = page.readThrough
      if (last) return
    }
  })()
  const appended = await Promise.all(
    logs.map(async (log, writer) => {
      const ids: number[] = []
      for (let n = 0; n < 40; n++) {
        const batch = [newEntry({ event_id: `w${writer}` }), newEntry({ event_id: 'shared' })]
        ids.push(...(await appendPatiently(log, batch)).map(({ db_id }) => db_id))
      }
      return ids
    }),
  )
  done = true
  await following
  assert.equal(
    seen,
    appended.flat().sort((a, b) => a - b),
  )
})

test('a smaller db_id that is held open while another host writes is read first (L2)', async () => {
  const url = freshSchema(server)
  const patient = { lockTimeoutMs: WAIT_MS }
  const [held, other, follower] = await Promise.all([open(url, patient), open(url, patient), open(url)])
  await store(follower, { event_id: 'before' })
  // A commit of the event `held` waits in its transaction, after its db_id was assigned, for a lock of this test.
  await queryRows(
    url,
    `CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END$$;
    CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON message DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW WHEN (NEW.event_id = 'held') EXECUTE FUNCTION hold()`,
  )
  const release = await holdLocks(url, 'SELECT pg_advisory_lock(4711)')
  const waiting = async (): Promise<number> => {
    const sql = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
    return (await queryRows(url, sql)).length
  }
  const seen: number[] = []
  let through = 0
  const follow = async (): Promise<void> => {
    const page = await follower.read(EVERYTHING, through, ALL)
    seen.push(...page.messages.map(({ db_id }) => db_id))
    through = page.readThrough
  }
  const smaller = held.append([newEntry({ event_id: 'held' })])
  await until(async () => (await waiting()) === 1, { what: 'a commit that is held open' })
  let isDone = false
  const greater = other.append([newEntry({ event_id: 'other' })]).finally(() => (isDone = true))
  await until(async () => isDone || (await waiting()) === 2, { what: 'the other host waits, or has written' })
  await follow()
  await release()
  const ids = (await Promise.all([smaller, greater])).flat().map(({ db_id }) => db_id)
  await follow()
  assert.ok(ids[0]! < ids[1]!, 'the held one was assigned first')
  assert.equal(seen.slice(1), ids, 'no reader skips it')
})

test('commits are durable whatever the role and the database have as their defaults (L1)', async () => {
  const url = freshSchema(server)
  const [{ database, role } = { database: '', role: '' }] = await queryRows<{ database: string; role: string }>(
    url,
    'SELECT current_database() AS database, current_user AS role',
  )
  const settings = ['synchronous_commit = off', "default_transaction_isolation = 'repeatable read'", 'lock_timeout = 1']
  try {
    for (const setting of settings) await queryRows(url, `ALTER ROLE "${role}" SET ${setting}`)
    const log = await open(url)
    await queryRows(
      url,
      `CREATE TABLE seen (value text); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN INSERT INTO seen SELECT concat_ws(' ', current_setting('synchronous_commit'),
          current_setting('transaction_isolation'), current_setting('statement_timeout')); RETURN NULL; END$$;
      CREATE TRIGGER note AFTER INSERT ON message FOR EACH ROW EXECUTE FUNCTION note()`,
    )
    await store(log, {})
    await queryRows(url, `ALTER ROLE "${role}" SET synchronous_commit = remote_apply`)
    await store(await open(url), {})
    assert.equal(await queryRows(url, 'SELECT value FROM seen'), [
      { value: 'on read committed 0' },
      { value: 'remote_apply read committed 0' },
    ])
  } finally {
    await queryRows(server, `ALTER ROLE "${role}" RESET ALL`)
  }
  assert.ok(database !== '')
})

test('names of any characters are kept and distinguished, even those that PostgreSQL cannot store as text', async () => {
  const log = await open(freshSchema(server))
  const odd = [
    'a',
    'a\0',
    'a\u001a',
    'a\u001a0',
    'a\u001a1',
    '\0\u001a\0',
    '\u001a\u001a',
    'ä\0𝒳',
    "'; --",
    '\\x00',
    '%',
  ]
  for (const name of odd) assert.is(unescapeNul(escapeNul(name)), name)
  assert.is(new Set(odd.map(escapeNul)).size, odd.length)
  const ids = await store(log, ...odd.map((name) => ({ event_id: 'e', message_id: name, message_type: name })))
  for (const [index, name] of odd.entries()) {
    const { messages } = await log.read(createFilter(['e'], [name]), 0, ALL)
    assert.equal(
      messages.map((message) => [message.db_id, message.message_id, message.message_type]),
      [[ids[index], name, name]],
    )
  }
  const again = await log.append(odd.map((name) => newEntry({ event_id: 'e', message_id: name, body: '{}' })))
  assert.equal(
    again.map(({ kind, db_id }) => [kind, db_id]),
    ids.map((id) => ['conflict', id]),
  )
})

test('bodies are stored exactly as published', async () => {
  const log = await open(freshSchema(server))
  const bodies = [
    '{"playbook_id":12302548181076029,"x":1.10,"e":1E400}',
    '{"nul":"\\u0000","lone":"\\ud800","pair":"\\ud83d\\ude00","raw":"😀𝒳"}',
    '{"a":1,"a":2}',
    ' {\r\n\t"quotes":"\\"{}\\\\,NULL"}\n',
    `{"long":"${'内'.repeat(300_000)}"}`,
  ]
  await store(log, ...bodies.map((body) => ({ body })))
  const { messages } = await log.read(EVERYTHING, 0, ALL)
  assert.equal(
    messages.map(({ body }) => body),
    bodies,
  )
})

test('a body that PostgreSQL cannot store is rejected alone, with its reason, in the commit of its neighbours', async () => {
  const url = freshSchema(server)
  const log = await open(url)
  const nul = newEntry({ message_id: 'nul', body: '{"a":"\0"}' }, newOrigin())
  const outcomes = await log.append([
    newEntry({ message_id: 'a' }),
    nul,
    newRejection('x'),
    newEntry({ message_id: 'b' }),
  ])
  assert.equal(
    outcomes.map(({ kind }) => kind),
    ['stored', 'refused', 'rejected', 'stored'],
  )
  assert.equal(
    (await rejectedIn(url)).map(({ reason, detail }) => `${reason}: ${detail}`),
    ['message_unstorable: invalid byte sequence for encoding "UTF8": 0x00', 'invalid_json: no JSON'],
  )
})

test('batches of any size are stored in one commit and read in pages', async () => {
  const log = await open(freshSchema(server))
  const body = JSON.stringify('x'.repeat(1_000_000))
  const ids = await store(log, ...Array.from({ length: 40 }, () => ({ body })))
  const { messages, hasMore } = await log.read(EVERYTHING, 0, { messages: 100, bytes: 3_500_000 })
  assert.equal([messages.length, hasMore], [4, true])
  assert.equal((await log.readBefore(EVERYTHING, ids.at(-1)! + 1, { messages: 2, bytes: 1 })).messages.length, 1)
  assert.is(await log.head(), ids.at(-1))
})

test('gateways that start at the same time create the tables once', async () => {
  const url = freshSchema(server)
  const logs = await Promise.all(Array.from({ length: 5 }, () => open(url)))
  assert.is(new Set(logs.map(({ logId }) => logId)).size, 1)
  assert.is((await queryRows(url, 'SELECT * FROM log')).length, 1)
})

/** Acquires locks on a separate connection. @returns a function that releases them */
const holdLocks = async (url: string, sql: string): Promise<() => Promise<void>> => {
  const holder = await connect(url)
  await holder.query(`BEGIN; ${sql}`)
  return () => holder.end()
}

test('startup waits while another process creates or locks the tables, warns once, and continues', async () => {
  const url = freshSchema(server)
  for (const lock of [schemaLockSql(extractSchemaName(url)), 'LOCK TABLE header']) {
    const release = await holdLocks(url, lock)
    const warnings: string[] = []
    const opening = open(url, { lockTimeoutMs: 20, onWarning: (text) => warnings.push(text) })
    await until(() => warnings.length > 0, { what: 'the warning' })
    await release()
    assert.is((await store(await opening, {})).length, 1)
    assert.is(warnings.length, 1, String(warnings))
    assert.match(warnings[0]!, /^waiting for the database: .*55P03\), retrying$/)
  }
})

test('a locked table that a gateway reads at its start is waited for, and named', async () => {
  const url = freshSchema(server)
  await open(url)
  const release = await holdLocks(url, 'LOCK TABLE revocation')
  const starting = startCli(['serve'], { env: { DATABASE_URL: url, PORT: '0' } })
  try {
    await starting.seen(/waiting for the database: .*55P03/)
    await release()
    await starting.seen(/"msg":"listening"/)
  } finally {
    starting.child.kill('SIGTERM')
  }
  assert.is((await starting.done).code, 0)
})

test('startup fails if a lock is never released, and names its holder', async () => {
  const url = freshSchema(server)
  await open(url)
  const release = await holdLocks(url, 'LOCK TABLE header')
  const error = await openPostgres(url, { lockTimeoutMs: 20, startLockTimeoutMs: 1 }).catch((fault) => fault)
  assert.equal([error.code, error.message.includes(extractSchemaName(url))], ['storage_busy', true])
  await release()
})

test('gateways with different schemas do not wait for each other at the start', async () => {
  const [stuck, free] = [freshSchema(server), freshSchema(server)]
  await open(stuck)
  const release = await holdLocks(stuck, 'LOCK TABLE header')
  const opening = open(stuck, { lockTimeoutMs: 600_000 })
  const waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'header'::regclass"
  await until(async () => (await queryRows(stuck, waiting)).length === 1, { what: 'a start that waits for its tables' })
  await open(free, { lockTimeoutMs: 20, startLockTimeoutMs: 1 })
  await release()
  await opening
})

test('transient errors of PostgreSQL delay startup and do not end it', async () => {
  const url = freshSchema(server)
  await open(url)
  await queryRows(
    url,
    `CREATE SEQUENCE attempt; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN IF nextval('attempt') % 2 = 1 THEN RAISE 'for a moment' USING ERRCODE = TG_ARGV[0]; END IF; RETURN NEW; END$$`,
  )
  const failWith = (code: string) =>
    queryRows(
      url,
      `CREATE OR REPLACE TRIGGER fail BEFORE UPDATE ON header FOR EACH ROW EXECUTE FUNCTION fail('${code}')`,
    )
  const passing = '25P03 40001 40P01 53000 53100 53200 53300 55006 57014 57P01 57P03 57P05 58030'.split(' ')
  for (const code of passing) {
    await failWith(code)
    const warnings: string[] = []
    await open(url, { onWarning: (text) => warnings.push(text) })
    assert.is(warnings.length, 1, code)
    assert.match(warnings[0]!, code)
  }
  for (const code of ['22000', '42501', 'XX000']) {
    await failWith(code)
    assert.is.not(await codeOf(openPostgres(url)), 'none', code)
    await open(url)
  }
})

/** Starts a gateway that waits for its database until `release` is called. */
const startWaiting = async (env: Record<string, string>) => {
  const url = freshSchema(server)
  await open(url)
  const release = await holdLocks(url, 'LOCK TABLE header')
  const starting = startCli(['serve'], { env: { DATABASE_URL: url, PORT: '0', ...env } })
  await starting.seen(/waiting for the database/)
  return { starting, release }
}

for (const WORKERS of ['1', '2']) {
  test(`a gateway with WORKERS=${WORKERS} that is stopped while it waits for its database exits gracefully`, async () => {
    const { starting, release } = await startWaiting({ WORKERS, SHUTDOWN_SECONDS: '10' })
    starting.child.kill('SIGTERM')
    const { code, stdout, stderr } = await starting.done
    assert.is(code, 0, stdout + stderr)
    await release()
  })
}

test('a gateway whose first worker is stopped alone while it waits for its database exits with an error', async () => {
  const { starting, release } = await startWaiting({ WORKERS: '2' })
  for (const pid of listChildren(starting.child.pid!)) process.kill(pid, 'SIGTERM')
  const { code, stdout, stderr } = await starting.done
  assert.is(code, 1, stdout + stderr)
  await release()
})

test('a command that exits with an error does not announce a retry', async () => {
  const { code, stderr } = await startCli(['rejected', 'list'], {
    env: { DATABASE_URL: server.replace(/:[^:@]+@/, ':not-the-word@') },
  }).done
  assert.is(code, 1)
  assert.match(stderr, /database_auth_failed[\s\S]*hint: .*pg_hba\.conf of PostgreSQL\.$/m)
})

test('a query on a connection times out, and the next query gets a working connection', async () => {
  const connector = new ConnectionFactory(parsePostgresUrl(server), { lockTimeoutMs: 1_000 }, () => undefined)
  const pool = new Pool(connector, 1)
  const late = pool.withConnection((client) => client.query('SELECT pg_sleep(30)'), 50)
  const error = await late.catch((fault: GatewayError) => fault)
  assert.is((error as GatewayError).code, 'database_unreachable')
  assert.match((error as GatewayError).message, 'no response within 0.05 seconds')
  assert.is((await pool.withConnection((client) => client.query('SELECT 1'))).rowCount, 1)
  await pool.end()
})

test('the server cancels the statement of a read before the gateway gives it up, and the connection stays', async () => {
  const connector = new ConnectionFactory(parsePostgresUrl(server), { lockTimeoutMs: 1_000 }, () => undefined)
  const pool = new Pool(connector, 1)
  const setting = "SELECT setting::int, pg_backend_pid() AS pid FROM pg_settings WHERE name = 'statement_timeout'"
  const read = () => pool.withConnection((client) => client.query<{ setting: number; pid: number }>(setting))
  const [first] = (await read()).rows
  assert.is(first!.setting, 29_000)
  const cancelled = pool.withConnection((client) => client.query('SET statement_timeout = 1; SELECT pg_sleep(3600)'))
  assert.match(((await cancelled.catch((fault: GatewayError) => fault)) as GatewayError).message, '57014')
  assert.is((await read()).rows[0]!.pid, first!.pid)
  await pool.end()
})

test('the tables are those of schema.sql, column for column', async () => {
  const url = freshSchema(server)
  await open(url)
  const sqlite = new Database(':memory:')
  sqlite.exec(readFileSync(join(ROOT, 'schema.sql'), 'utf8'))
  const tables = sqlite.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
  const types: Record<string, string> = { INTEGER: 'bigint', TEXT: 'text', BLOB: 'bytea' }
  for (const { name } of tables.all() as { name: string }[]) {
    const wanted = sqlite.prepare(`PRAGMA table_info(${name})`).all() as Record<string, string | number>[]
    const columns = await queryRows<Record<string, string>>(
      url,
      `SELECT column_name, data_type, is_nullable, collation_name FROM information_schema.columns
      WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position`,
      [extractSchemaName(url), name],
    )
    assert.equal(
      columns.map((one) => [one.column_name, one.data_type, one.is_nullable, one.collation_name]),
      wanted.map((one) => [
        one.name,
        types[one.type!],
        one.notnull || one.pk ? 'NO' : 'YES',
        one.type === 'TEXT' ? 'C' : null,
      ]),
      name,
    )
  }
  const indexes = sqlite
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
    .pluck()
    .all()
  const made = await queryRows<{ indexname: string }>(url, 'SELECT indexname FROM pg_indexes WHERE schemaname = $1', [
    extractSchemaName(url),
  ])
  for (const name of indexes)
    assert.ok(
      made.some(({ indexname }) => indexname === name),
      String(name),
    )
  sqlite.close()
})

test('tables of an earlier version are upgraded, those of a later one are rejected', async () => {
  const url = freshSchema(server)
  await store(await open(url), {})
  const KEYS = `SELECT conname, pg_get_constraintdef(oid) AS def FROM pg_constraint
    WHERE conrelid = 'message'::regclass AND contype = 'u'`
  const keys = await queryRows(url, KEYS)
  await queryRows(
    url,
    `DROP TABLE revocation; DROP INDEX event_by_pruning; ALTER TABLE message DROP COLUMN traceparent;
    ALTER TABLE log DROP COLUMN followed, DROP COLUMN level_at;
    ALTER TABLE message DROP CONSTRAINT message_message_id_event_id_key;
    ALTER TABLE message ADD UNIQUE (event_id, message_id); UPDATE header SET version = 1`,
  )
  const log = await open(url)
  await log.revoke({ subject: 's', issued_before: 1, until: null }, 0)
  assert.is((await idsOf(log)).length, 1)
  assert.equal(await queryRows(url, KEYS), keys)
  const [{ version } = { version: '' }] = await queryRows<{ version: string }>(url, 'SELECT version FROM header')
  assert.is(version, String(SCHEMA_VERSION))
  await queryRows(url, `UPDATE header SET version = ${SCHEMA_VERSION + 1}`)
  assert.is(await codeOf(openPostgres(url)), 'database_newer')
})

test('tables of a gateway without a list of the processes get one, and old rows are deleted', async () => {
  const url = freshSchema(server)
  await open(url)
  await queryRows(url, 'DROP TABLE gateway')
  const [one, other] = [await open(url), await open(url)]
  await one.announce('{"n":1}')
  await queryRows(url, "INSERT INTO gateway VALUES ('old', 0, '{}'), ('late', 9e15, '{}')")
  const { peers, database } = await other.announce('{"n":2}')
  // The rows as they were before this one.
  assert.equal(peers.map(({ status }) => status).toSorted(), ['{"n":1}', '{}', '{}'])
  const age = peers.find(({ status }) => status === '{"n":1}')!.age_ms
  assert.ok(age >= 0 && age < DAY, String(age))
  assert.equal([database.schema_version, database.timeline, database.standbys], [SCHEMA_VERSION, 1, 0])
  assert.equal([database.synchronous_standby_names, database.synchronous_standbys, database.servers], ['', 0, []])
  assert.equal((await one.announce('{"n":3}')).peers.length, 2)
  const [row] = await queryRows<{ relpersistence: string }>(
    url,
    "SELECT relpersistence FROM pg_class WHERE oid = 'gateway'::regclass",
  )
  assert.is(row!.relpersistence, 'u', 'a commit that waits for no standby')
})

test('tables that are upgraded under a running store are used one version ahead, with a warning, and no further', async () => {
  const url = freshSchema(server)
  const warnings: string[] = []
  const log = await open(url, { onWarning: (text) => warnings.push(text) })
  await queryRows(url, `UPDATE header SET version = ${SCHEMA_VERSION + 1}`)
  await store(log, {})
  for (const write of [false, true]) await log.check(write)
  assert.is(warnings.length, 1, String(warnings))
  assert.match(warnings[0]!, `they have version ${SCHEMA_VERSION + 1}`)
  await queryRows(url, `UPDATE header SET version = ${SCHEMA_VERSION + 2}`)
  assert.equal(
    [await codeOf(log.append([newEntry()])), await codeOf(log.check(false))],
    Array(2).fill('database_newer'),
  )
  assert.is((await messagesIn(url)).length, 1)
})

/** Runs `work` on a host whose clock differs. */
const withClock = async (aheadMs: number, work: () => Promise<void>): Promise<void> => {
  const { now } = Date
  Date.now = () => now() + aheadMs
  try {
    await work()
  } finally {
    Date.now = now
  }
}

const DAY = 86_400_000

test('the clock of the server decides about retention, whatever that of a host is, which is named', async () => {
  const url = freshSchema(server)
  const right = await open(url)
  await store(right, { message_id: 'right', received_at: Date.now() })
  for (const [aheadMs, name] of [
    [31 * DAY, '2678400 seconds ahead'],
    [-31 * DAY, '2678400 seconds behind'],
  ] as const) {
    await withClock(aheadMs, async () => {
      const warnings: string[] = []
      const wrong = await open(url, { onWarning: (text) => warnings.push(text) })
      await store(wrong, { message_id: name, received_at: Date.now() })
      const job = new RetentionJob({
        store: wrong,
        maxAgeMs: 30 * DAY,
        messagesPerEvent: null,
        onPruned: (count) => assert.unreachable(`${count} deleted`),
        onClockJump: () => undefined,
        onFault: (error) => assert.unreachable(String(error)),
      })
      job.start()
      await job.stop()
      for (const write of [false, true]) await wrong.check(write)
      assert.is(warnings.length, 1, String(warnings))
      assert.match(warnings[0]!, name)
    })
  }
  const rows = await queryRows<{ received_at: string }>(url, 'SELECT received_at FROM message')
  assert.is(rows.length, 3)
  for (const { received_at } of rows) assert.is(Math.round((Number(received_at) - Date.now()) / DAY), 0)
})

test('retention reads only the first rows of the quarantine, however long it is', async () => {
  const url = freshSchema(server)
  const log = await open(url)
  await log.append([20, 20, 5].map((received_at) => newRejection('x', { received_at })))
  assert.is(await log.prune({ receivedBefore: 10, messagesPerEvent: null }, 2), 0)
  const expired = { receivedBefore: 21, messagesPerEvent: null }
  assert.equal([await log.prune(expired, 2), await log.prune(expired, 2), await log.prune(expired, 2)], [2, 1, 0])
  assert.equal(await rejectedIn(url), [])
})

test('a host whose clock is ahead neither deletes the revocations of others nor revokes tokens of the future', async () => {
  const url = freshSchema(server)
  const until = Date.now() + DAY / 2
  await (await open(url)).revoke({ subject: 'ann', issued_before: 1, until }, Date.now())
  await withClock(DAY, async () => {
    const revocations = new Revocations({
      store: await open(url),
      onRevoked: () => undefined,
      broadcast: () => undefined,
    })
    await revocations.start()
    await revocations.add({ subject: 'bob', issued_before: revocations.now(), until: null })
    assert.ok(revocations.isRevoked({ subject: 'ann', issuedAt: 1 }), 'it still applies')
  })
  const [ann, bob] = await (await open(url)).revocations()
  assert.equal(ann, { subject: 'ann', issued_before: 1, until })
  assert.is(Math.round((bob!.issued_before - Date.now()) / DAY), 0, 'new tokens are accepted')
})

test('a foreign schema is rejected and left unchanged', async () => {
  const url = freshSchema(server)
  const schema = extractSchemaName(url)
  await queryRows(server, `CREATE SCHEMA "${schema}"; CREATE TABLE "${schema}".event (id int)`)
  const error = await openPostgres(url).catch((fault: GatewayError) => fault)
  assert.is((error as GatewayError).code, 'database_not_ours')
  assert.match((error as GatewayError).hint, '?schema=NAME')
  const relations = await queryRows(url, 'SELECT tablename FROM pg_tables WHERE schemaname = $1', [schema])
  assert.is(relations.length, 1)
})

test('tables that are replaced under the store are detected before anything is written to the new ones', async () => {
  const url = freshSchema(server)
  const log = await open(url)
  await store(log, {})
  await queryRows(url, "UPDATE log SET log_id = 'another'")
  for (const write of [false, true]) assert.is(await codeOf(log.check(write)), 'database_replaced')
  assert.is(await codeOf(log.append([newEntry()])), 'database_replaced')
  assert.is((await messagesIn(url)).length, 1)
  await queryRows(url, `DROP SCHEMA "${extractSchemaName(url)}" CASCADE`)
  assert.is(await codeOf(log.check(false)), 'database_replaced')
  assert.is(await codeOf(log.append([newEntry()])), 'database_replaced')
})

test('a command changes nothing in the quarantine of a store that was moved or replaced since it was opened', async () => {
  const url = freshSchema(server)
  await (await open(url)).append([newRejection('x')])
  const [row] = await rejectedIn(url)
  const { rejected_id } = row!
  const quarantine = await PostgresQuarantine.open(parsePostgresUrl(url))
  for (const change of ["UPDATE log SET log_id = 'another'", 'DELETE FROM header']) {
    await queryRows(url, change)
    assert.is(await codeOf(quarantine.drop([rejected_id])), 'database_replaced')
    const result = { message: newMessage() }
    assert.is(await codeOf(quarantine.replay([{ rejected_id, result }])), 'database_replaced')
    assert.equal([(await rejectedIn(url)).length, (await messagesIn(url)).length], [1, 0])
  }
  await quarantine.close()
})

test('other processes are notified of a commit, a revocation and a sign-out; the one that made it is not', async () => {
  const url = freshSchema(server)
  const heard: string[] = []
  const listening = (name: string) => ({
    onAppended: () => void heard.push(`${name} grown`),
    onRevoked: () => void heard.push(`${name} revoked`),
    onSessionEnd: (tokenId: string) => void heard.push(`${name} ${tokenId}`),
  })
  const one = await open(url, listening('one'))
  await open(url, listening('two'))
  await until(() => heard.filter((word) => word.endsWith('grown')).length === 2, { what: 'both listen' })
  heard.length = 0
  await store(one, {})
  await until(() => heard.length > 0, { what: 'the word of the commit' })
  await one.append([newRejection('x')])
  await one.revoke({ subject: 's', issued_before: 1, until: null }, 0)
  await until(() => heard.length > 1, { what: 'the word of the revocation' })
  await one.notifySessionEnd('token-1')
  await until(() => heard.length > 2, { what: 'the word of the sign-out' })
  assert.equal(heard, ['two grown', 'two revoked', 'two token-1'])
})

test('a listener that lost its connection listens again, and reports that notifications may be missing', async () => {
  const url = freshSchema(server)
  let heard = 0
  const log = await open(url, { onAppended: () => heard++ })
  await until(() => heard === 1, { what: 'it listens' })
  const ended = await queryRows(
    url,
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND query LIKE $1",
    [`%${extractSchemaName(url)}%`],
  )
  assert.is(ended.length, 1)
  await until(() => heard === 2, { what: 'it listens again' })
  await store(log, {})
})

test('a check does not pass while the table of a failed write is locked, although a smaller write succeeds', async () => {
  const url = freshSchema(server)
  const log = await open(url)
  const release = await holdLocks(url, 'LOCK TABLE message')
  assert.is(await codeOf(log.append([newEntry()])), 'storage_busy')
  for (let n = 0; n < 2; n++) assert.is(await codeOf(log.check(true)), 'storage_busy')
  await release()
  assert.is(await codeOf(log.check(true)), 'none')
  assert.is((await messagesIn(url)).length, 0, 'the check stores nothing')
})

test('a silent server is noticed by a check, fails what is in progress and further calls at once, and is used again', async () => {
  const url = freshSchema(server)
  const line = await startProxy(Number(new URL(server).port))
  const log = await open(url.replace(/:\d+\//, `:${line.port}/`))
  await store(log, {})
  await log.check(false)
  line.freeze()
  const inProgress = [log.append([newEntry()]), log.head()].map(codeOf)
  assert.is(await codeOf(log.check(false)), 'database_unreachable')
  assert.equal(await Promise.all(inProgress), ['database_unreachable', 'database_unreachable'])
  const errorOf = () => log.head().catch((fault: GatewayError) => fault)
  assert.is(await errorOf(), await errorOf(), 'the server is not asked again')
  line.thaw()
  await until(async () => (await codeOf(log.check(true))) === 'none', { what: 'a check that passes' })
  assert.is((await store(log, {})).length, 1)
  await line.close()
})

/** Ends the listener's connection, and returns once the server has done it. */
const endListener = async (url: string): Promise<void> => {
  const where = "FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND query LIKE $1"
  const values = [`%${extractSchemaName(url)}%`]
  assert.is((await queryRows(server, `SELECT pg_terminate_backend(pid) ${where}`, values)).length, 1)
  await until(async () => (await queryRows(server, `SELECT 1 ${where}`, values)).length === 0, { what: 'its end' })
}

test('a listener whose connection breaks while it subscribes has one connection afterwards', async () => {
  const url = freshSchema(server)
  const port = Number(new URL(server).port)
  const line = await startProxy(port)
  const holder = await connect(url)
  await holder.query(tryListenerLockSql(extractSchemaName(url)))
  let heard = 0
  await open(url.replace(/:\d+\//, `:${line.port}/`), { lockTimeoutMs: WAIT_MS, onAppended: () => heard++ })
  let waiting: { pid: number }[] = []
  const subscribes = async (): Promise<boolean> => {
    const sql = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE $1"
    waiting = await queryRows(server, sql, [`LISTEN "${extractSchemaName(url)}"%`])
    return waiting.length === 1
  }
  await until(subscribes, { what: 'a listener that subscribes' })
  await line.close()
  for (const { pid } of waiting) await queryRows(server, `SELECT pg_terminate_backend(${pid})`)
  const again = await startProxy(port, line.port)
  await holder.end()
  // A reconnect comes after 750 ms at most, so a second one would come within these, of which each takes 250 ms at least.
  for (let n = 1; n <= 5; n++) {
    await until(() => heard >= n, { what: `connection ${n}` })
    await endListener(url)
  }
  await until(() => heard >= 6, { what: 'the last connection' })
  assert.is(heard, 6)
  await again.close()
})

test('a check does not wait for reads that hang on a silent server, although the listener has no connection', async () => {
  const url = freshSchema(server)
  const line = await startProxy(Number(new URL(server).port))
  let listens = false
  // One connection for reading.
  const log = await open(url.replace(/:\d+\//, `:${line.port}/`), {
    connections: 3,
    onAppended: () => (listens = true),
  })
  await until(() => listens, { what: 'it listens' })
  await log.head()
  await endListener(url)
  line.freeze()
  const errorOf = async (work: Promise<unknown>): Promise<GatewayError> => {
    try {
      await work
    } catch (error) {
      return error as GatewayError
    }
    throw new Error('it succeeded')
  }
  const read = errorOf(log.head())
  const error = await errorOf(log.check(false))
  assert.is(error.code, 'database_unreachable')
  assert.match(error.message, 'no response within 4 seconds')
  assert.is(await read, error, 'the read fails with the check, not by its own timeout')
  line.thaw()
  await until(async () => (await codeOf(log.check(true))) === 'none', { what: 'a check that passes' })
  await line.close()
})

test('a check that gets no connection has the error of the last attempt, and breaks no read', async () => {
  const own = freshSchema(server)
  const [role, database] = [extractSchemaName(own), new URL(own).pathname.slice(1)]
  await queryRows(server, `CREATE ROLE "${role}" LOGIN PASSWORD 'own'`)
  await queryRows(server, `GRANT CREATE ON DATABASE "${database}" TO "${role}"`)
  const url = own.replace(/\/\/[^@]+@/, `//${role}:own@`)
  let listens = false
  const log = await open(url, { connections: 3, lockTimeoutMs: 60_000, onAppended: () => (listens = true) })
  await until(() => listens, { what: 'it listens' })
  await store(log, {})
  const release = await holdLocks(own, 'LOCK TABLE message')
  await queryRows(server, `ALTER ROLE "${role}" CONNECTION LIMIT 0`)
  await endListener(own)
  const read = log.read(EVERYTHING, 0, ALL)
  assert.is(await codeOf(log.check(false)), 'database_too_many_connections')
  await release()
  assert.is((await read).messages.length, 1)
  await queryRows(server, `ALTER ROLE "${role}" CONNECTION LIMIT -1`)
  await until(async () => (await codeOf(log.check(true))) === 'none', { what: 'a check that passes' })
})

test('a commit whose response is lost is detected: neither messages nor quarantined ones are stored twice', async () => {
  const url = freshSchema(server)
  const line = await startDeafLine(Number(new URL(server).port))
  let once = true
  const log = await open(url.replace(/:\d+\//, `:${line.port}/`), {
    onStage: (stage) => {
      if (stage === 'in_transaction' && once) line.deafen()
      once = false
    },
  })
  await (await open(url)).append([newEntry({ message_id: 'm', body: '{"first":1}' })])
  const conflict = newEntry({ message_id: 'm', body: '{"second":1}' }, newOrigin())
  const batch = [newEntry({ message_id: 'a' }), newRejection('bad'), conflict, newEntry({ message_id: 'b' })]
  const lost = codeOf(log.append(batch))
  await until(async () => (await messagesIn(url)).length === 3, { what: 'the commit' })
  line.reset()
  assert.is(await lost, 'database_unreachable')
  const kinds = async () => (await appendPatiently(log, batch)).map(({ kind }) => kind)
  await until(
    async () => {
      assert.equal(await kinds(), ['duplicate', 'rejected', 'conflict', 'duplicate'])
      return true
    },
    { what: 'the same batch again' },
  )
  assert.is((await messagesIn(url)).length, 3)
  assert.equal(
    (await rejectedIn(url)).map(({ reason }) => reason),
    ['invalid_json', 'message_conflict'],
  )
  await line.close()
})

test('a restored copy has its own log_id, and assigns no id that the lost store can have assigned (R1)', async () => {
  const url = freshSchema(server)
  const schema = extractSchemaName(url)
  const before = await open(url)
  const [first] = await store(before, { received_at: Date.now() })
  const bin = postgresBin()
  const plain = server.replace(/\?.*$/, '')
  const dumped = spawnSync(join(bin!, 'pg_dump'), ['--dbname', plain, '--schema', schema], { encoding: 'utf8' })
  assert.is(dumped.status, 0, dumped.stderr)
  // These are lost although clients have received them.
  await store(before, {}, {}, {})
  await queryRows(server, `DROP SCHEMA "${schema}" CASCADE`)
  const restored = spawnSync(join(bin!, 'psql'), ['--quiet', '--dbname', plain], {
    input: dumped.stdout,
    encoding: 'utf8',
  })
  assert.is(restored.status, 0, restored.stderr)
  assert.is(await codeOf(before.append([newEntry()])), 'none', 'it is the same log until a gateway starts on it')
  const after = await open(url)
  assert.is.not(after.logId, before.logId)
  assert.is(await codeOf(before.append([newEntry()])), 'database_replaced')
  const [next] = await store(after, {})
  assert.ok(next! - first! >= 1_000_000_000, `${next} after ${first}`)
  assert.is((await open(url)).logId, after.logId, 'once')
})

test('after the promotion of a standby ids continue above all that the old primary can have assigned (R1)', async () => {
  const url = freshSchema(server)
  const log = await open(url)
  const [first] = await store(log, { received_at: Date.now() })
  await queryRows(url, "UPDATE header SET timeline = '00000000'")
  const [second, third] = await store(log, {}, {})
  assert.ok(second! - first! >= 1_000_000_000, `${second} after ${first}`)
  assert.is(third, second! + 1)
})

test('reads stay within their connection limit, and none waits for ever', async () => {
  const url = freshSchema(`${server}?application_name=crowd`)
  const log = await open(url, { connections: 5 })
  await store(log, {})
  const reads = Promise.all(Array.from({ length: 200 }, () => log.read(EVERYTHING, 0, ALL)))
  const counted = queryRows<{ count: string }>(
    server,
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'crowd'",
  )
  assert.is((await reads).length, 200)
  const [{ count } = { count: '' }] = await counted
  assert.ok(Number(count) <= 5, count)
})

test('reads continue while a write waits', async () => {
  const url = freshSchema(server)
  const log = await open(url)
  const [id] = await store(log, {})
  const other = await connect(url)
  await other.query(`BEGIN; ${advisoryLockSql(extractSchemaName(url))}`)
  const late = codeOf(log.append([newEntry()]))
  assert.equal(await idsOf(log), [id])
  assert.is(await late, 'storage_busy')
  await other.end()
  assert.is((await log.append([newEntry()]))[0]!.kind, 'stored')
})

test('a search scans the messages, newest first, whatever their text is', async () => {
  const url = freshSchema(server)
  const log = await open(url)
  const put = (message_content: unknown, event_id = 'a') =>
    store(log, { event_id, body: JSON.stringify({ message_content }) }).then(([id]) => id!)
  const escaped = await store(log, {
    event_id: 'a',
    body: '{"message_content":"\\u653b\\u51fb \\"100%_x\\" C:\\\\a\\/b"}',
  })
  const plain = await put('攻击 from 203.0.113.7\nÜBER', 'b')
  const many = await Promise.all(Array.from({ length: 5 }, (_, n) => put(`needle ${n}`)))
  const find = async (text: string, over: Partial<SearchQuery> = {}) => {
    const query = {
      terms: parseSearchTerms(text)!,
      filter: EVERYTHING,
      since: null,
      until: null,
      before: null,
      limit: 10,
    }
    const { hits, nextBefore } = await log.search({ ...query, ...over }, new AbortController().signal)
    return [...hits.map(({ db_id }) => db_id), ...(nextBefore === null ? [] : ['more'])]
  }
  assert.equal(await find('攻击'), [plain, escaped[0]])
  assert.equal(await find('203.0.113.7 über'), [plain])
  assert.equal(await find('"7 über"'), [plain])
  for (const text of ['100%_X', '100%', '_x', 'c:\\A/b', '"100%_x"']) assert.equal(await find(text), [escaped[0]], text)
  assert.equal(await find('100x_x'), [])
  const newest = many.sort((a, b) => b - a)
  assert.equal(await find('needle', { limit: 3 }), [...newest.slice(0, 3), 'more'])
  assert.equal(await find('needle', { limit: 3, before: newest[2]! }), newest.slice(3))
  assert.equal(await find('needle', { since: 2_000 }), [])
  assert.equal(await find('攻击', { filter: createFilter(['b']) }), [plain])
  assert.equal(await find('攻击', { filter: createFilter([]) }), [])
})

test('a search of messages that the server compares slowly goes on in smaller windows, and misses nothing', async () => {
  const url = freshSchema(server)
  const log = await open(url)
  const bodyOf = (n: number) => JSON.stringify({ message_content: n % 50 === 0 ? 'needle' : 'hay' })
  const ids = await store(log, ...Array.from({ length: 200 }, (_, n) => ({ body: bodyOf(n) })))
  // All rows take 40 seconds, longer than one call may use a connection.
  await queryRows(
    url,
    `CREATE FUNCTION slow(body text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
      $$BEGIN PERFORM pg_sleep(0.2); RETURN body; END$$;
    ALTER TABLE message RENAME TO stored;
    CREATE VIEW message AS SELECT db_id, event_id, message_id, message_from, message_type, received_at, lacks, traceparent,
      slow(body) AS body FROM stored`,
  )
  const search = (before: number | null) =>
    log.search(
      { terms: ['needle'], filter: EVERYTHING, since: null, until: null, before, limit: 10 },
      new AbortController().signal,
    )
  const first = search(null)
  assert.is(await codeOf(first), 'none')
  let page = await first
  assert.ok(page.nextBefore! < ids.at(-1)!, `the next page starts before ${page.nextBefore}`)
  await queryRows(
    url,
    `CREATE OR REPLACE FUNCTION slow(body text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN body; END'`,
  )
  const found = page.hits.map(({ db_id }) => db_id)
  while (page.nextBefore !== null) {
    page = await search(page.nextBefore)
    found.push(...page.hits.map(({ db_id }) => db_id))
  }
  assert.equal(
    found,
    [150, 100, 50, 0].map((n) => ids[n]),
  )
})

test('a search whose client has disconnected scans no further window', async () => {
  const url = freshSchema(server)
  const log = await open(url)
  await queryRows(
    url,
    `INSERT INTO message (event_id, message_id, received_at, lacks, body)
     SELECT 'a', n::text, 1000, 0, '{}' FROM generate_series(1, 30000) n`,
  )
  const query = { terms: ['needle'], filter: EVERYTHING, since: null, until: null, before: null, limit: 10 }
  assert.is.not((await log.search(query, AbortSignal.abort())).nextBefore, null)
})

test.run()
