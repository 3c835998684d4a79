// needs: postgres
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { GatewayError } from '../../../src/core/errors.ts'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import { parsePostgresUrl } from '../../../src/store/postgres/url.ts'
import { idGap } from '../../../src/store/sqlite/backup/restore.ts'
import type { MessageStore } from '../../../src/store/store.ts'
import { createSource, createTarget } from '../../../src/store/transfer/open-ends.ts'
import { transferStore } from '../../../src/store/transfer/transfer.ts'
import { callCli, hasTerminal, startCli, startOnTerminal } from '../../support/clients/cli.ts'
import { collectIds, openSse } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { checkIntegrity, inDatabase } from '../../support/servers/database.ts'
import { fastDir } from '../../support/servers/fast-dir.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { freshSchema, queryRows, sharedPostgres } from '../../support/servers/postgres.ts'
import { newMessage, newRejection, store } from '../../support/stages/entries.ts'
import { chats, eventUrl, newRoom, publish } from '../../support/stages/rooms.ts'
import { openPostgres } from '../../support/store/postgres-store.ts'
import { openSqlite } from '../../support/store/sqlite-store.ts'

const test = suite('a store that moves between SQLite and PostgreSQL')

let server = ''
test.before(async () => {
  server = await sharedPostgres()
})

const newFile = (): string => join(fastDir(), 'gateway.db')

const locationOf = (place: string) =>
  place.startsWith('postgres')
    ? { databaseFile: '', postgres: parsePostgresUrl(place) }
    : { databaseFile: place, postgres: null }

const move = (from: string, to: string) =>
  transferStore({
    source: createSource(locationOf(from)),
    target: createTarget(locationOf(to)),
    signal: new AbortController().signal,
    onProgress: () => {},
    onCaughtUp: () => assert.unreachable('a gateway uses the source'),
  })

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: GatewayError) => error.code,
  )

const TABLES = ['log', 'message', 'event', 'rejected', 'revocation', 'sqlite_sequence'] as const

const contentOf = (file: string) =>
  inDatabase(file, (db) => TABLES.map((table) => db.prepare(`SELECT * FROM ${table} ORDER BY 1, 2`).all()))

/** Every kind of row, with names that PostgreSQL cannot hold, an emptied event, and a duplicate that has taken the last id. */
const fill = async (log: MessageStore): Promise<void> => {
  const twice = newMessage({ event_id: 'a', message_id: 'tw\0ice' })
  await store(log, { event_id: 'emptied' }, { event_id: 'pruned' }, { event_id: 'emptied' })
  await log.prune({ receivedBefore: 2_000, messagesPerEvent: null }, 100)
  const names = { message_from: 'fr\u001aom', message_type: '中文\0', round_id: 7, received_at: 5_000 }
  await store(log, { event_id: 'pruned', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` }, names, twice)
  await log.append([{ kind: 'message', message: twice, origin: null }])
  await log.append(['x', '\0y', 'z'].map((body) => newRejection(body, { detail: 'no\0ne' })))
  await log.quarantine.drop([3])
  await log.revoke({ subject: 'ann', issued_before: 3, until: null }, 0)
}

test('it is the same after a move and a move back', async () => {
  const [file, url, back] = [newFile(), freshSchema(server), newFile()]
  const log = await openSqlite(file, true)
  await fill(log)
  const [head, logId] = [await log.head(), log.logId]
  const bounds = await log.bounds(createFilter('*'))
  await log.stop()
  const before = contentOf(file)
  await move(file, url)
  const moved = await openPostgres(url)
  assert.equal([moved.logId, await moved.head()], [logId, head], 'a cursor at the duplicate is not ahead')
  assert.equal(await moved.bounds(createFilter('*')), bounds)
  assert.equal(
    (await moved.events(10, 0)).map(({ event_id }) => event_id),
    ['a', 'event', 'pruned'],
  )
  await moved.stop()
  await move(url, back)
  assert.equal(contentOf(back), before)
  assert.is(checkIntegrity(back), 'ok')
  assert.is(await codeOf(openPostgres(url)), 'database_moved')
  const again = freshSchema(server)
  await move(back, again)
  const last = await openPostgres(again)
  assert.equal(await store(last, {}), [head + 1])
  const copy = freshSchema(server)
  assert.is(await codeOf(move(back, again)), 'database_target_used')
  await last.stop()
  await move(again, copy)
  const copied = await openPostgres(copy)
  assert.equal([copied.logId, await copied.head()], [logId, head + 1])
  await copied.stop()
})

test('a move after a failover skips the ids that can be lost by the clock of the server, not of this host (R1)', async () => {
  const [url, copy] = [freshSchema(server), freshSchema(server)]
  const day = 86_400_000
  const log = await openPostgres(url)
  const [first] = await store(log, { received_at: Date.now() - day })
  await log.stop()
  await queryRows(url, "UPDATE header SET timeline = '00000000'")
  const { now } = Date
  Date.now = () => now() - 31 * day
  await move(url, copy).finally(() => {
    Date.now = now
  })
  const moved = await openPostgres(copy)
  const [next] = await store(moved, {})
  const [atOnce, duringADay] = [idGap(0, 0), idGap(0, day)]
  assert.ok(next! - first! > duringADay, `${next} after ${first}; ${atOnce} without the day`)
  await moved.stop()
})

test('a gateway that writes to the target is not disturbed', async () => {
  const [file, url] = [newFile(), freshSchema(server)]
  const log = await openSqlite(file, true)
  await store(log, {})
  await log.stop()
  const gateway = await openPostgres(url)
  await store(gateway, { event_id: 'own' })
  assert.is(await codeOf(move(file, url)), 'database_target_used')
  assert.is((await store(gateway, { event_id: 'own' })).length, 1)
  await gateway.stop()
  await (await openSqlite(file, true)).stop()
})

test('the command can be killed and run again, and ends once the last gateway has stopped', async () => {
  const [file, url] = [newFile(), freshSchema(server)]
  const log = await openPostgres(url)
  await store(log, ...Array.from({ length: 3_000 }, () => ({})))
  const call = ['migrate', '--from', url, '--to', `sqlite:${file}`]
  const first = startCli(call)
  await first.seen(/Everything is copied/)
  assert.is(await codeOf(openSqlite(file, true)), 'database_incomplete')
  first.child.kill('SIGKILL')
  await first.done
  const ids = await store(log, { event_id: 'later' })
  const second = hasTerminal ? startOnTerminal(call) : startCli(call)
  await second.seen(/Everything is copied/)
  await log.stop()
  const { code, stdout } = await second.done
  assert.is(code, 0, stdout)
  assert.match(stdout, /3,001 messages of 2 events up to db_id 3001, 0 quarantined, verified/)
  if (hasTerminal) assert.match(stdout, /\[#+\.*\] copying [\d,]+ of [\d,]+ rows, [\d,]+ rows\/s/)
  const moved = await openSqlite(file, true)
  assert.equal([await moved.head(), moved.logId], [ids[0], log.logId])
  await moved.stop()
  const refused = await callCli(call)
  assert.is(refused.code, 1)
  assert.match(refused.stderr, /database_target_used|database_moved/)
})

test('invalid arguments end with exit code 2, without the password', async () => {
  for (const args of [[], ['--from', 'gateway.db'], ['--to', 'mysql://gw:hunter2@db/soc']]) {
    const { code, stderr } = await callCli(['migrate', ...args])
    assert.is(code, 2, stderr)
    assert.not.match(stderr, 'hunter2')
  }
})

/** Moves the store of a running gateway while a client publishes; the gateway is stopped when the command asks for it. */
const switchOver = async (gateway: Gateway, from: string, to: string, room: string): Promise<number[]> => {
  const command = startCli(['migrate', '--from', from, '--json'], { env: { DATABASE_URL: to } })
  await command.seen(/Everything is copied/)
  const ids = await publish(gateway, room, chats(5))
  await gateway.term()
  const { code, stderr, stdout } = await command.done
  assert.is(code, 0, stderr)
  assert.is(JSON.parse(stdout).last_db_id >= ids.at(-1)!, true)
  return ids
}

test('clients resume with the cursors they had', async () => {
  const url = freshSchema(server)
  const before = await startGateway()
  const room = newRoom()
  await publish(before, room, chats(30))
  const repeated = { message_id: 'same', message_content: 'twice' }
  for (let time = 0; time < 2; time++) await publish(before, room, [repeated])
  const reader = await openSse(`${eventUrl(before, room)}/stream`)
  const { log_id } = (await reader.next('hello')).data
  await reader.next('caught_up')
  const cursor = collectIds(reader).at(-1)!
  const sqlite = `sqlite:${before.dbFile}`
  const missed = await switchOver(before, sqlite, url, room)
  const after = await startGateway({ env: { DATABASE_URL: url } })
  try {
    const news = await publish(after, room, chats(3))
    // The duplicate has taken an id, which SQLite accepts as a cursor too.
    assert.is(missed[0], cursor + 2)
    for (const from of [cursor, cursor + 1]) {
      const resumed = await openSse(`${eventUrl(after, room)}/stream`, { headers: { 'last-event-id': String(from) } })
      assert.is((await resumed.next('hello')).data.log_id, log_id)
      await resumed.next('caught_up')
      assert.equal(collectIds(resumed), [...missed, ...news])
      assert.not(resumed.events.some(({ event }) => event === 'reset'))
      resumed.close()
    }
    const file = newFile()
    const last = await switchOver(after, url, `sqlite:${file}`, room)
    const moved = await openSqlite(file, true)
    assert.is(moved.logId, log_id)
    const { messages } = await moved.read(createFilter([room]), cursor, { messages: 100, bytes: 1e9 })
    assert.equal(
      messages.map(({ db_id }) => db_id),
      [...missed, ...news, ...last],
    )
    await moved.stop()
    assert.equal(await queryRows(url, 'SELECT version FROM header'), [], 'a gateway on the source cannot write')
  } finally {
    await after.dispose()
    await before.dispose()
  }
})

test.run()
