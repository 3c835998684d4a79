// needs: strace
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import Database from 'better-sqlite3'
import * as assert from 'uvu/assert'
import type { GatewayError } from '../../../src/core/errors.ts'
import { createBackup } from '../../../src/store/sqlite/backup/backup.ts'
import { idGap } from '../../../src/store/sqlite/backup/restore.ts'
import { APPLICATION_ID, BACKUP_APPLICATION_ID, readHeader } from '../../../src/store/sqlite/header.ts'
import { callCli, hasTerminal, jsonLines, runCli, startCli, startOnTerminal } from '../../support/clients/cli.ts'
import { collectIds, openSse } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { type Json, tempDir } from '../../support/harness/wait.ts'
import { addRejected, checkIntegrity, inDatabase, messageRows } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { store } from '../../support/stages/entries.ts'
import { chat, chats, eventUrl, listDbIds, newRoom, publish, readPages } from '../../support/stages/rooms.ts'
import { openSqlite } from '../../support/store/sqlite-store.ts'

const test = suite('backup')

const started: Gateway[] = []
const serve = async (): Promise<Gateway> => {
  const gateway = await startGateway()
  started.push(gateway)
  return gateway
}
test.after.each(async () => {
  for (const gateway of started.splice(0)) await gateway.dispose()
})

const env = ({ dbFile }: Pick<Gateway, 'dbFile'>) => ({ DATABASE_URL: `sqlite:${dbFile}` })

/** A closed database of about 12 MB: large quarantined bodies and some messages. */
const bigDatabase = async (): Promise<string> => {
  const file = join(tempDir(), 'gateway.db')
  const log = await openSqlite(file, true)
  await store(log, ...Array.from({ length: 10 }, () => ({})))
  await log.stop()
  addRejected(
    file,
    Array.from({ length: 12 }, () => ({ body: Buffer.alloc(1_000_000, 'x') })),
  )
  return file
}

const still = () => ({ signal: new AbortController().signal, onProgress: () => {}, onCheck: () => {} })

const logIdOf = (file: string): string =>
  inDatabase(file, (db) => db.prepare('SELECT log_id FROM log').pluck().get() as string)

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: GatewayError) => error.code,
  )

/** Restores a backup by hand, as docs/OPERATIONS.md describes. */
const restoreByHand = (backup: string, file: string): void => {
  for (const end of ['-wal', '-shm']) rmSync(file + end, { force: true })
  copyFileSync(backup, file)
}

const restore = (file: string, at: Pick<Gateway, 'dbFile'>) => callCli(['restore', file, '--json'], { env: env(at) })

/** Publishes without a pause until it is stopped. */
const underLoad = (gateway: Gateway, room: string) => {
  let going = true
  const run = (async () => {
    while (going)
      await publish(
        gateway,
        room,
        chats(50, (n) => chat(n, { pad: 'x'.repeat(1_000) })),
      )
  })()
  return async () => {
    going = false
    await run
  }
}

test('under load it is consistent, and clients that resume on the restored store miss nothing, twice', async () => {
  const gateway = await serve()
  const room = newRoom()
  await publish(
    gateway,
    room,
    chats(6_000, (n) => chat(n, { pad: 'x'.repeat(2_000) })),
  )
  const first = await openSse(`${eventUrl(gateway, room)}/stream?last_message_db_id=latest`)
  const oldLogId = (await first.next('hello')).data.log_id
  const tail = startCli(['tail', room, '--json', '--after', 'latest', '--url', gateway.url])
  const stop = underLoad(gateway, room)
  await first.waitFor(() => collectIds(first).length > 100)
  const file = join(tempDir(), 'backup.db')
  const { code, stdout, stderr } = await runCli(['backup', file, '--json'], { env: env(gateway) })
  assert.equal([code, stderr], [0, ''])
  const backedUpAt = collectIds(first).length
  await first.waitFor(() => collectIds(first).length > backedUpAt + 200)
  await stop()
  const live = messageRows(gateway.dbFile)
  await first.waitFor(() => collectIds(first).at(-1) === live.at(-1)!.db_id)
  await tail.seen(new RegExp(`"db_id":${live.at(-1)!.db_id}\\}`))
  await gateway.kill9()

  const said = JSON.parse(stdout)
  assert.equal(said, {
    file,
    log_id: oldLogId,
    messages: said.messages,
    last_db_id: said.messages,
    bytes: statSync(file).size,
  })
  assert.ok(said.messages > 6_100 && said.messages < live.length, `${said.messages} of ${live.length}`)
  assert.is(checkIntegrity(file), 'ok')
  assert.equal(messageRows(file), live.slice(0, said.messages), 'a prefix, to the last field')
  assert.equal(readdirSync(dirname(file)), ['backup.db'])
  assert.is(readHeader(file)?.applicationId, BACKUP_APPLICATION_ID)

  // The cursors of the clients are beyond the end of the backup.
  let cursor = live.at(-1)!.db_id
  let logId = oldLogId
  const given = new Set(live.slice(said.messages).map(({ db_id }) => db_id))
  for (let time = 1; time <= 2; time++) {
    if (gateway.running) {
      const inUse = await restore(file, gateway)
      assert.is(inUse.code, 1)
      assert.match(inUse.stderr, /storage_busy[\s\S]*hint: Stop every gateway/)
      await gateway.kill9()
    }
    const { code, stdout, stderr } = await restore(file, gateway)
    assert.equal([code, stderr], [0, ''])
    const { replaced, ...restored } = JSON.parse(stdout)
    assert.equal(restored, { ...said, file: gateway.dbFile })
    assert.equal(
      messageRows(replaced).slice(0, said.messages),
      live.slice(0, said.messages),
      'the old database is kept',
    )
    await gateway.restart()
    const news = await publish(gateway, room, chats(20))
    for (const id of news) assert.ok(id > cursor && !given.has(id), `${id} after ${cursor}`)
    const resumed = await openSse(`${eventUrl(gateway, room)}/stream`, { headers: { 'last-event-id': String(cursor) } })
    const hello = (await resumed.next('hello')).data
    assert.is.not(hello.log_id, logId)
    assert.is.not(hello.log_id, oldLogId)
    await resumed.next('caught_up')
    assert.equal(collectIds(resumed), news, 'by its cursor alone, whatever it makes of the log_id')
    const within = await openSse(`${eventUrl(gateway, room)}/stream`, {
      headers: { 'last-event-id': String(said.messages - 5) },
    })
    await within.next('caught_up')
    const left = live.slice(said.messages - 5, said.messages).map(({ db_id }) => db_id)
    assert.equal(collectIds(within), [...left, ...news])
    for (const id of news) given.add(id)
    cursor = news.at(-1)!
    logId = hello.log_id
    resumed.close()
    within.close()
  }
  // A client that checks the log_id reads the new store from the start.
  await tail.seen(new RegExp(`"db_id":${cursor}\\}`))
  tail.child.kill('SIGTERM')
  const ended = await tail.done
  assert.match(ended.stderr, 'The database was replaced')
  const restored = listDbIds((await readPages(gateway, room)).flat())
  const heard = jsonLines<{ db_id: number }>(ended.stdout).map(({ db_id }) => db_id)
  assert.equal(heard.slice(-restored.length), restored)
})

test('a restored store skips more ids than the old one can have assigned, each time', () => {
  const day = 86_400_000
  const lost = Date.parse('2026-11-22T10:00:00Z')
  assert.ok(idGap(lost, lost + day) > day * 110, 'at 110,000 messages a second')
  assert.ok(idGap(lost, lost - day) >= 1_000_000_000, 'with a clock that is behind')
  const [one, two] = [lost + day, lost + day + 1_000].map((now) => idGap(lost, now))
  assert.ok(two! - one! >= 110_000, 'the same backup again, a second later')
  assert.ok(Number.isSafeInteger(5 * idGap(0, Number.MAX_SAFE_INTEGER)))
})

test.full('a copy made by other means becomes a backup by backing it up', async () => {
  const file = await bigDatabase()
  const snapshot = join(tempDir(), 'snapshot.db')
  copyFileSync(file, snapshot)
  const made = join(tempDir(), 'backup.db')
  const { code, stderr } = await runCli(['backup', made], { env: env({ dbFile: snapshot }) })
  assert.is(code, 0, stderr)
  // A backup of a backup is also marked as a backup.
  const again = join(tempDir(), 'again.db')
  assert.is((await runCli(['backup', again], { env: env({ dbFile: made }) })).code, 0)
  const log = await openSqlite(again, true)
  try {
    assert.is.not(log.logId, logIdOf(file))
    assert.ok((await log.head()) > 1_000_000_000)
  } finally {
    await log.stop()
  }
  assert.is(readHeader(again)?.applicationId, APPLICATION_ID)
})

test('only its owner can access it, even if others can access the database, and no other files are left', async () => {
  const file = await bigDatabase()
  chmodSync(file, 0o644)
  const to = join(tempDir(), 'copy of the log.db')
  const made = await createBackup({ from: file, to, ...still() })
  assert.equal([made.messages, made.last_db_id, made.bytes], [10, 10, statSync(to).size])
  assert.is(statSync(to).mode & 0o777, 0o600)
  assert.equal(readdirSync(dirname(to)), ['copy of the log.db'])
  assert.equal(
    readdirSync(dirname(file)).filter((name) => !/-(wal|shm)$/.test(name)),
    ['gateway.db'],
  )
})

test('no existing file is overwritten, and a failure leaves no files', async () => {
  const file = await bigDatabase()
  const dir = tempDir()
  const there = join(dir, 'there.db')
  writeFileSync(there, 'precious')
  symlinkSync(join(dir, 'nowhere'), join(dir, 'link.db'))
  const before = readdirSync(dir).sort()
  const refused = (to: string, from = file) => codeOf(createBackup({ from, to, ...still() }))
  assert.is(await refused(there), 'backup_exists')
  assert.is(await refused(join(dir, 'link.db')), 'backup_exists')
  assert.is(await refused(file), 'backup_exists')
  assert.is(await refused(join(dir, 'no folder', 'b.db')), 'backup_write_failed')
  assert.is(await refused(join(dir, 'b.db'), join(dir, 'none.db')), 'database_open_failed')
  assert.is(await refused(join(dir, 'b.db'), there), 'database_not_ours')
  // It arrives while the copy is made.
  const late = join(dir, 'late.db')
  const racing = { ...still(), onCheck: () => writeFileSync(late, 'precious too') }
  assert.is(await codeOf(createBackup({ from: file, to: late, ...racing })), 'backup_exists')
  assert.is(readFileSync(late, 'utf8'), 'precious too')
  rmSync(late)
  const stop = new AbortController()
  let steps = 0
  const stopping = {
    ...still(),
    signal: stop.signal,
    onProgress: () => ++steps === 2 && stop.abort(new Error('enough')),
  }
  await createBackup({ from: file, to: join(dir, 'b.db'), ...stopping }).then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'enough'),
  )
  assert.equal(readdirSync(dir).sort(), before)
  assert.is(readFileSync(there, 'utf8'), 'precious')
})

test('a damaged database is detected in the copy, which is then deleted', async () => {
  const file = await bigDatabase()
  const bytes = readFileSync(file)
  const index = inDatabase(file, (db) =>
    db.prepare("SELECT rootpage FROM sqlite_master WHERE name = 'message_by_event'").pluck().get(),
  ) as number
  bytes.fill(0xa5, (index - 1) * 4096, index * 4096)
  writeFileSync(file, bytes)
  const to = join(tempDir(), 'b.db')
  assert.is(await codeOf(createBackup({ from: file, to, ...still() })), 'database_corrupt')
  assert.not.ok(existsSync(to))
})

test('a restored backup next to the WAL of another database is rejected unchanged, and accepted once that is removed', async () => {
  const file = await bigDatabase()
  const backup = join(tempDir(), 'b.db')
  await createBackup({ from: file, to: backup, ...still() })
  const place = join(tempDir(), 'gateway.db')
  const other = new Database(place)
  other.pragma('journal_mode = WAL')
  other.exec("CREATE TABLE message (x); INSERT INTO message VALUES ('of another time')")
  const wal = readFileSync(`${place}-wal`)
  other.close()
  restoreByHand(backup, place)
  writeFileSync(`${place}-wal`, wal)
  assert.is(await codeOf(openSqlite(place, true)), 'database_stale_wal')
  const link = join(tempDir(), 'link.db')
  symlinkSync(place, link)
  assert.is(await codeOf(createBackup({ from: link, to: join(tempDir(), 'b.db'), ...still() })), 'database_stale_wal')
  assert.ok(readFileSync(place).equals(readFileSync(backup)))
  assert.ok(readFileSync(`${place}-wal`).equals(wal))
  rmSync(`${place}-wal`)
  const log = await openSqlite(place, true)
  await log.stop()
  assert.equal(messageRows(place), messageRows(file))
})

test('a crash during the restore leaves a backup, not a store that assigns ids twice', async () => {
  const file = await bigDatabase()
  const place = join(tempDir(), 'gateway.db')
  await createBackup({ from: file, to: place, ...still() })
  // Killed as in the restore: everything is on disk, and only the removal of the journal would complete it.
  const script = `import Database from 'better-sqlite3'
    const db = new Database(${JSON.stringify(place)})
    db.exec('BEGIN EXCLUSIVE; PRAGMA application_id = ${APPLICATION_ID}; COMMIT')`
  const killed = '--quiet=all --follow-forks --trace=unlink --inject=unlink:signal=KILL --output=/dev/null'.split(' ')
  const node = [process.execPath, '--input-type=module', '-e', script]
  spawnSync('strace', [...killed, ...node], { cwd: import.meta.dirname, stdio: 'inherit' })
  assert.is(readHeader(place)?.applicationId, APPLICATION_ID, 'the header of the half-done work is on the disk')
  assert.ok(existsSync(`${place}-journal`))
  const log = await openSqlite(place, true)
  try {
    assert.is.not(log.logId, logIdOf(file))
    assert.ok((await log.head()) > 1_000_000_000)
  } finally {
    await log.stop()
  }
})

test.full('commands that would write into a backup refuse it', async () => {
  const file = await bigDatabase()
  const backup = join(tempDir(), 'b.db')
  await createBackup({ from: file, to: backup, ...still() })
  const { code, stderr } = await runCli(['rejected', 'list'], { env: env({ dbFile: backup }) })
  assert.is(code, 1)
  assert.match(stderr, /database_is_backup[\s\S]*hint: Start the gateway on it once/)
  assert.is(readHeader(backup)?.applicationId, BACKUP_APPLICATION_ID)
})

test('restore accepts any copy of a database, in an empty place and over a damaged one', async () => {
  const file = await bigDatabase()
  const place = join(tempDir(), 'new', 'gateway.db')
  const made = JSON.parse((await restore(file, { dbFile: place })).stdout)
  assert.equal([made.messages, made.replaced], [10, null])
  assert.is(readHeader(place)?.applicationId, BACKUP_APPLICATION_ID)
  assert.is(statSync(place).mode & 0o777, 0o600)
  writeFileSync(place, readFileSync(place).fill(0xa5, 0, 8_192))
  writeFileSync(`${place}-wal`, 'of the old one')
  const damaged = readFileSync(place)
  const { replaced } = JSON.parse((await restore(file, { dbFile: place })).stdout)
  assert.ok(readFileSync(replaced).equals(damaged))
  assert.is(readFileSync(`${replaced}-wal`, 'utf8'), 'of the old one')
  assert.equal(messageRows(place), messageRows(file))
  assert.equal(
    readdirSync(dirname(place)).sort(),
    ['gateway.db', basename(replaced), `${basename(replaced)}-wal`].sort(),
  )
})

test('restore changes nothing if it cannot succeed', async () => {
  const file = await bigDatabase()
  const place = await bigDatabase()
  const before = readFileSync(place)
  const broken = join(tempDir(), 'broken.db')
  writeFileSync(broken, readFileSync(file).subarray(0, 5_000_000))
  const other = join(tempDir(), 'other.db')
  new Database(other).exec('PRAGMA application_id = 7; CREATE TABLE theirs (x)').close()
  for (const [from, to, code] of [
    [broken, place, 'database_corrupt'],
    [place, place, 'backup_exists'],
    [other, place, 'database_not_ours'],
    [file, other, 'database_not_ours'],
    [join(tempDir(), 'none.db'), place, 'database_open_failed'],
  ] as const) {
    const ran = await restore(from, { dbFile: to })
    assert.equal([ran.code, ran.stdout], [1, ''], code)
    assert.match(ran.stderr, new RegExp(`${code}[\\s\\S]*hint: `))
  }
  assert.ok(readFileSync(place).equals(before))
  assert.equal(readdirSync(dirname(place)), ['gateway.db'])
})

test.full('several workers that start on a restored backup agree on its new log_id', async () => {
  const file = await bigDatabase()
  const dataDir = tempDir()
  await createBackup({ from: file, to: join(dataDir, 'gateway.db'), ...still() })
  const gateway = await startGateway({ dataDir, env: { WORKERS: '3' } })
  started.push(gateway)
  const seen = new Set<Json>()
  for (let n = 0; n < 12; n++) {
    const stream = await openSse(`${eventUrl(gateway, 'event')}/stream`)
    seen.add((await stream.next('hello')).data.log_id)
    stream.close()
  }
  assert.equal([...seen], [logIdOf(gateway.dbFile)])
  assert.not.match(gateway.output(), /database_|storage_/)
})

test('usage errors, and a store in PostgreSQL, are reported with a hint', async () => {
  for (const args of [[], ['a', 'b'], ['']]) {
    for (const command of ['backup', 'restore']) assert.is((await callCli([command, ...args])).code, 2)
  }
  const postgres = { DATABASE_URL: 'postgres://ann:hunter2@db.example/log' }
  const { code, stdout, stderr } = await runCli(['backup', join(tempDir(), 'b.db')], { env: postgres })
  assert.equal([code, stdout], [1, ''])
  assert.match(stderr, /backup_unsupported[\s\S]*hint: .*pg_dump/)
  assert.not.match(stderr, /hunter2|db\.example/)
  assert.match((await callCli(['restore', 'b.db'], { env: postgres })).stderr, /backup_unsupported/)
})

if (hasTerminal) {
  test.full('on a terminal it shows progress and rate, then the result', async () => {
    const file = await bigDatabase()
    const to = join(tempDir(), 'b.db')
    const { code, stdout } = await startOnTerminal(['backup', to], { env: env({ dbFile: file }) }).done
    assert.is(code, 0)
    assert.match(stdout, /\[#*\.+\] backing up \d+ of 1\d MB, [\d,]+ MB\/s/)
    assert.match(stdout, /b\.db: 10 messages up to db_id 10, 1\d,\d{3},\d{3} bytes, checked\r\n$/)
  })
} else {
  test.skip('on a terminal it shows how far it is and how fast', 'there is no script of util-linux')
}

test.run()
