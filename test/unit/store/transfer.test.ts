import { existsSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import * as assert from 'uvu/assert'
import type { GatewayError } from '../../../src/core/errors.ts'
import { createBackup } from '../../../src/store/sqlite/backup/backup.ts'
import { UNFINISHED_APPLICATION_ID } from '../../../src/store/sqlite/header.ts'
import { SqliteStore } from '../../../src/store/sqlite/store.ts'
import type { MessageRecord } from '../../../src/store/store-copy.ts'
import { SqliteSource } from '../../../src/store/transfer/sqlite-source.ts'
import { SqliteTarget } from '../../../src/store/transfer/sqlite-target.ts'
import { type TransferOptions, type TransferResult, transferStore } from '../../../src/store/transfer/transfer.ts'
import { suite } from '../../support/harness/suite.ts'
import { inDatabase } from '../../support/servers/database.ts'
import { fastDir } from '../../support/servers/fast-dir.ts'
import { newEntry, newMessage, newRejection, store } from '../../support/stages/entries.ts'
import { openSqlite } from '../../support/store/sqlite-store.ts'

const test = suite('a store that moves to another database')

const newFiles = (): { from: string; to: string } => {
  const folder = fastDir()
  return { from: join(folder, 'from.db'), to: join(folder, 'to.db') }
}

const move = (from: string, to: string, over: Partial<TransferOptions> = {}): Promise<TransferResult> =>
  transferStore({
    source: new SqliteSource(from),
    target: new SqliteTarget(to),
    signal: new AbortController().signal,
    onProgress: () => {},
    onCaughtUp: () => assert.unreachable('a gateway uses the source'),
    ...over,
  })

const TABLES = ['log', 'message', 'event', 'rejected', 'revocation', 'sqlite_sequence'] as const

/** Returns every row of every table. */
const contentOf = (file: string) =>
  inDatabase(file, (db) => TABLES.map((table) => db.prepare(`SELECT * FROM ${table} ORDER BY 1, 2`).all()))

/** A store with every kind of row: pruned and emptied events, traces, a gap at the end of the ids, a quarantine. */
const fill = async (log: SqliteStore): Promise<void> => {
  const twice = newMessage({ event_id: 'a', message_id: 'twice' })
  await store(log, { event_id: 'emptied' }, { event_id: 'pruned' }, { event_id: 'emptied' })
  await log.prune({ receivedBefore: 2_000, messagesPerEvent: null }, 100)
  const names = { message_from: 'from', message_type: 'ty\0pe', round_id: 7, received_at: 5_000 }
  await store(log, { event_id: 'pruned', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` }, names, twice)
  await log.append([{ kind: 'message', message: twice, origin: null }])
  await log.append(['x', 'y', 'z'].map((body) => newRejection(body)))
  await log.quarantine.drop([3])
  await log.revoke({ subject: 'ann', issued_before: 3, until: null }, 0)
}

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: GatewayError) => error.code,
  )

test('has every row, every id and the same log_id afterwards, and the next id is new', async () => {
  const { from, to } = newFiles()
  const log = await openSqlite(from, true)
  await fill(log)
  const [head, logId] = [await log.head(), log.logId]
  await log.stop()
  const before = contentOf(from)
  const result = await move(from, to)
  assert.equal(
    { ...result, stopped_ms: 0 },
    { log_id: logId, messages: 3, events: 4, quarantined: 2, last_db_id: head, stopped_ms: 0 },
  )
  assert.equal(contentOf(to), before)
  const moved = await openSqlite(to, true)
  assert.is(moved.logId, logId)
  assert.is(await moved.head(), head)
  assert.equal(await store(moved, {}), [head + 1])
  await moved.stop()
  assert.is(await codeOf(openSqlite(from, true)), 'database_moved')
  assert.is(await codeOf(move(from, join(fastDir(), 'second.db'))), 'database_moved')
  assert.is(await codeOf(move(to, from)), 'database_target_used')
})

test('is not the copy of an edge', async () => {
  const { from, to } = newFiles()
  const edge = new SqliteStore({ file: from, newLogId: 'edge', now: 1, edge: true, inlineWriter: {} })
  await edge.start()
  await edge.copy!.open('*')
  await edge.copy!.restart('core')
  await edge.copy!.add([{ db_id: 1, ...newMessage() }])
  await edge.stop()
  const code = await codeOf(move(from, to))
  assert.equal([code, existsSync(to)], ['database_is_copy', false])
})

test('follows its gateway until that has stopped, with what is stored, pruned and replayed meanwhile', async () => {
  const { from, to } = newFiles()
  const log = await openSqlite(from, true)
  await fill(log)
  const caughtUp = Promise.withResolvers<void>()
  let isMoved = false
  const moving = move(from, to, { onCaughtUp: caughtUp.resolve }).then(() => {
    isMoved = true
  })
  await Promise.race([caughtUp.promise, moving])
  assert.is(await codeOf(openSqlite(to, true)), 'database_incomplete')
  await store(log, { event_id: 'later' }, { event_id: 'a' }, { event_id: 'a' })
  await log.append([newRejection('later')])
  await log.prune({ receivedBefore: null, messagesPerEvent: 1 }, 100)
  const reason = { reason: 'invalid_utf8', detail: 'another detail' } as const
  await log.quarantine.replay([
    { rejected_id: 1, result: { error: reason } },
    { rejected_id: 2, result: { message: newMessage({ event_id: 'replayed' }) } },
  ])
  await log.revoke({ subject: 'bob', issued_before: 4, until: 9 }, 0)
  await log.removeRevocation('ann')
  const before = contentOf(from)
  assert.not(isMoved, 'a gateway still uses the source')
  await log.stop()
  await moving
  assert.equal(contentOf(to), before)
})

test('continues after an interruption', async () => {
  const { from, to } = newFiles()
  const log = await openSqlite(from, true)
  await store(log, ...Array.from({ length: 5_000 }, () => ({})))
  await log.append(['x', 'y'].map((body) => newRejection(body)))
  await log.stop()
  const before = contentOf(from)
  const steps: number[] = []
  for (const stopAfter of [1, 1, 9]) {
    const stopping = new AbortController()
    let pages = 0
    const onProgress = (done: number) => {
      steps.push(done)
      if (++pages === stopAfter) stopping.abort(new Error('interrupted'))
    }
    const moving = move(from, to, { signal: stopping.signal, onProgress })
    if (stopAfter === 9) await moving
    else
      await moving.then(
        () => assert.unreachable(),
        (error: Error) => assert.is(error.message, 'interrupted'),
      )
  }
  assert.equal(steps, [2_000, 4_000, 5_000, 5_002], 'no page twice')
  assert.equal(contentOf(to), before)
})

test('is finished by the next attempt if the process ended after the source was marked', async () => {
  const { from, to } = newFiles()
  const log = await openSqlite(from, true)
  await fill(log)
  await log.stop()
  const before = contentOf(from)
  class Unfinished extends SqliteTarget {
    override finish(): Promise<void> {
      throw new Error('killed')
    }
  }
  await move(from, to, { target: new Unfinished(to) }).then(
    () => assert.unreachable(),
    () => {},
  )
  assert.is(await codeOf(openSqlite(from, true)), 'database_moved')
  assert.is(await codeOf(openSqlite(to, true)), 'database_incomplete')
  await move(from, to)
  assert.equal(contentOf(to), before)
  // As after a kill between the commit and the checkpoint that writes the mark into the file itself.
  const db = new Database(to)
  db.pragma(`application_id = ${UNFINISHED_APPLICATION_ID}`)
  db.close()
  await move(from, to)
  assert.equal(contentOf(to), before)
})

test('stays as it is if the copy differs', async () => {
  const { from, to } = newFiles()
  const log = await openSqlite(from, true)
  await fill(log)
  await log.stop()
  const before = contentOf(from)
  class Damaged extends SqliteTarget {
    override addMessages(rows: readonly MessageRecord[]): Promise<void> {
      return super.addMessages(rows.map((row) => ({ ...row, body: row.body.replace('twice', 'Twice') })))
    }
  }
  class Forgetful extends SqliteTarget {
    override async countByEvent(): Promise<Map<string, number>> {
      const counts = await super.countByEvent()
      return counts.set('a', counts.get('a')! - 1).set('event', counts.get('event')! + 1)
    }
  }
  assert.is(await codeOf(move(from, to, { target: new Damaged(to) })), 'database_copy_differs')
  assert.equal(
    inDatabase(to, (db) => db.prepare('SELECT count(*) FROM message').pluck().get()),
    0,
  )
  assert.is(await codeOf(move(from, to, { target: new Forgetful(to) })), 'database_copy_differs')
  await (await openSqlite(from, true)).stop()
  assert.equal(contentOf(from), before)
})

test('never overwrites a store, and no copy of one moves under its log_id', async () => {
  const { from, to } = newFiles()
  const log = await openSqlite(from, true)
  await store(log, {})
  await log.append([newEntry()])
  await log.stop()
  await (await openSqlite(to, true)).stop()
  const before = contentOf(to)
  assert.is(await codeOf(move(from, to)), 'database_target_used')
  assert.equal(contentOf(to), before)
  const backup = `${from}.backup`
  const still = { signal: new AbortController().signal, onProgress: () => {}, onCheck: () => {} }
  await createBackup({ from, to: backup, ...still })
  assert.is(await codeOf(move(backup, `${to}.2`)), 'database_is_backup')
  assert.is(await codeOf(move(join(fastDir(), 'none.db'), `${to}.2`)), 'database_open_failed')
  await move(from, `${to}.2`)
  const moved = `${from}.moved`
  await createBackup({ from, to: moved, ...still })
  const restored = await openSqlite(moved, true)
  assert.is.not(restored.logId, log.logId, 'a backup of the old source is a store of its own')
  await restored.stop()
})

test.run()
