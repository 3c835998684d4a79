import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import Database from 'better-sqlite3'
import * as assert from 'uvu/assert'
import type { GatewayError } from '../../../src/core/errors.ts'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import { SqliteStore } from '../../../src/store/sqlite/store.ts'
import type { FaultPoint, MessageStore } from '../../../src/store/store.ts'
import { suite } from '../../support/harness/suite.ts'
import { until } from '../../support/harness/wait.ts'
import { fastDir } from '../../support/servers/fast-dir.ts'
import { mountTinyDisk, noTinyDisk, type TinyDisk } from '../../support/servers/tiny-disk.ts'
import { newEntry, newRejection, store } from '../../support/stages/entries.ts'
import { openSqlite } from '../../support/store/sqlite-store.ts'

const ALL = { messages: 100_000, bytes: Number.POSITIVE_INFINITY }

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: GatewayError) => error.code,
  )

const idsOf = async (log: MessageStore): Promise<string[]> =>
  (await log.read(createFilter('*'), 0, ALL)).messages.map(({ message_id }) => message_id)

const faults = suite('a database file with faults')

for (const inline of [true, false]) {
  const how = inline ? 'inline' : 'threaded'

  /** @param saved the file that holds every committed message afterwards; null if none can */
  const lost = (title: string, takeAway: (file: string) => void, saved: string | null): void => {
    faults(`${title} is noticed before anything is written into nowhere (${how})`, async () => {
      const file = join(fastDir(), 'gateway.db')
      const log = await openSqlite(file, inline)
      await store(log, ...Array.from({ length: 50 }, () => ({})))
      await log.check(false)
      const before = await idsOf(log)
      takeAway(file)
      for (const write of [false, true]) assert.is(await codeOf(log.check(write)), 'database_replaced')
      assert.is(await codeOf(log.append([newEntry()])), 'database_replaced')
      assert.is(await codeOf(log.prune({ receivedBefore: 9_999, messagesPerEvent: null }, 10)), 'database_replaced')
      // As after a SIGKILL: only what is in this file is left.
      if (saved !== null) {
        const copy = join(fastDir(), 'gateway.db')
        copyFileSync(file.replace('gateway.db', saved), copy)
        const reopened = await openSqlite(copy, true)
        assert.equal(await idsOf(reopened), before)
        const [next] = await store(reopened, {})
        assert.ok(next! > before.length, 'no id is given out twice')
        await reopened.stop()
      }
      await log.stop()
    })
  }

  const RESCUED = 'gateway.db.rescued'
  lost('a removed file', (file) => rmSync(file), RESCUED)
  lost(
    'a replaced file',
    (file) => {
      copyFileSync(file, `${file}.new`)
      renameSync(`${file}.new`, file)
    },
    RESCUED,
  )
  lost('a file that was moved away', (file) => renameSync(file, `${file}.old`), RESCUED)
  for (const suffix of ['-wal', '-shm']) {
    lost(`a removed ${suffix}`, (file) => rmSync(file + suffix), 'gateway.db')
    lost(
      `a replaced ${suffix}`,
      (file) => {
        copyFileSync(file + suffix, `${file}.new`)
        renameSync(`${file}.new`, file + suffix)
      },
      'gateway.db',
    )
  }
  lost(
    'a removed -wal and -shm',
    (file) => {
      rmSync(`${file}-wal`)
      rmSync(`${file}-shm`)
    },
    'gateway.db',
  )
  lost('an emptied -wal', (file) => truncateSync(`${file}-wal`, 0), null)
  lost('a -wal that was cut', (file) => truncateSync(`${file}-wal`, statSync(`${file}-wal`).size - 100), null)

  faults(`a copy of an earlier fault is kept, and not reported as this one (${how})`, async () => {
    const file = join(fastDir(), 'gateway.db')
    writeFileSync(`${file}.rescued`, 'earlier')
    const log = await openSqlite(file, inline)
    await store(log, {}, {})
    const before = await idsOf(log)
    rmSync(file)
    const { message } = (await log.append([newEntry()]).catch((error: unknown) => error)) as GatewayError
    assert.ok(message.includes(`${file}.rescued-2`), message)
    assert.is(readFileSync(`${file}.rescued`, 'utf8'), 'earlier')
    assert.is(statSync(`${file}.rescued-2`).mode & 0o777, 0o600, 'as the database')
    const reopened = await openSqlite(`${file}.rescued-2`, true)
    assert.equal(await idsOf(reopened), before)
    await reopened.stop()
    await log.stop()
    assert.equal(
      readdirSync(dirname(file)).filter((name) => name.endsWith('.part')),
      [],
    )
  })

  faults(`a WAL that another process checkpoints and truncates is no fault (${how})`, async () => {
    const file = join(fastDir(), 'gateway.db')
    const log = await openSqlite(file, inline)
    for (let n = 0; n < 3; n++) {
      await store(log, {})
      const db = new Database(file)
      db.pragma('wal_checkpoint(TRUNCATE)')
      db.close()
      assert.is(statSync(`${file}-wal`).size, 0)
      await log.check(false)
    }
    assert.is((await store(log, {})).length, 1)
    assert.not.ok(existsSync(`${file}.rescued`))
    await log.stop()
  })
}

/** Locks a file against other processes until the connection is closed. */
const LOCKS: Readonly<Record<string, (file: string) => Promise<Database.Database>>> = {
  'another process is making': async (file) => {
    const db = new Database(file)
    db.exec('BEGIN EXCLUSIVE')
    return db
  },
  'another process has for itself': async (file) => {
    await (await openSqlite(file, true)).stop()
    const db = new Database(file)
    db.pragma('locking_mode = EXCLUSIVE')
    db.exec('BEGIN IMMEDIATE')
    return db
  },
}

for (const [what, lock] of Object.entries(LOCKS)) {
  faults(`a file that ${what} is waited for, with one warning, and not for ever`, async () => {
    const file = join(fastDir(), 'gateway.db')
    const holder = await lock(file)
    const options = { file, newLogId: 'l', now: 1, inlineWriter: {} }
    const impatient = await new SqliteStore({ ...options, startLockTimeoutMs: 1 }).start().catch((error) => error)
    assert.equal([impatient.code, impatient.message.includes(file)], ['storage_busy', true])
    const warnings: string[] = []
    const log = new SqliteStore({ ...options, onWarning: (text) => warnings.push(text) })
    const started = log.start()
    started.catch(() => undefined)
    await until(() => warnings.length > 0, { what: 'the warning' })
    holder.close()
    await started
    assert.is((await store(log, {})).length, 1)
    assert.is(warnings.length, 1)
    assert.match(warnings[0]!, /^waiting for the database: .* is locked: SQLITE_BUSY, retrying$/)
    await log.stop()
  })
}

/** A store whose commits throw at a stage while `stage` is set. */
const withFault = async (): Promise<{
  log: MessageStore
  file: string
  at: { stage: FaultPoint | null }
  stages: FaultPoint[]
}> => {
  const file = join(fastDir(), 'gateway.db')
  const at: { stage: FaultPoint | null } = { stage: null }
  const stages: FaultPoint[] = []
  const onStage = (stage: FaultPoint): void => {
    stages.push(stage)
    if (stage === at.stage) throw new Error('fault of the test')
  }
  const log = new SqliteStore({ file, newLogId: 'l', now: 1, inlineWriter: { onStage } })
  await log.start()
  return { log, file, at, stages }
}

faults('no reader sees a batch before its commit, and every reader all of it afterwards', async () => {
  const file = join(fastDir(), 'gateway.db')
  const counts: Record<string, number[]> = {}
  const log = new SqliteStore({
    file,
    newLogId: 'l',
    now: 1,
    inlineWriter: {
      onStage: (stage) => {
        const db = new Database(file, { readonly: true })
        const count = (table: string) => db.prepare(`SELECT count(*) FROM ${table}`).pluck().get() as number
        counts[stage] = ['message', 'rejected', 'event'].map(count)
        db.close()
      },
    },
  })
  await log.start()
  await log.append([newEntry(), newRejection('x'), newEntry(), newRejection('y')])
  assert.equal(counts, { in_transaction: [0, 0, 0], committed: [2, 2, 1] })
  await log.stop()
})

faults('a fault inside the transaction stores nothing, messages and rejections alike', async () => {
  const { log, file, at } = await withFault()
  await store(log, { message_id: 'before' })
  at.stage = 'in_transaction'
  const batch = [newEntry({ message_id: 'a' }), newRejection('x'), newEntry({ message_id: 'b', event_id: 'new' })]
  assert.is(await codeOf(log.append(batch)), 'storage_unavailable')
  at.stage = null
  const db = new Database(file, { readonly: true })
  assert.is(db.prepare('SELECT count(*) FROM rejected').pluck().get(), 0)
  db.close()
  assert.equal([await idsOf(log), (await log.events(9, 0)).length], [['before'], 1])
  assert.equal(
    (await log.append(batch)).map(({ kind }) => kind),
    ['stored', 'rejected', 'stored'],
  )
  await log.stop()
})

faults('a batch whose commit was not reported is recognized when it is appended again', async () => {
  const { log, at } = await withFault()
  at.stage = 'committed'
  const batch = [newEntry({ message_id: 'a' }), newEntry({ message_id: 'b' })]
  assert.is(await codeOf(log.append(batch)), 'storage_unavailable')
  at.stage = null
  assert.equal(
    (await log.append(batch)).map(({ kind }) => kind),
    ['duplicate', 'duplicate'],
  )
  assert.equal(await idsOf(log), ['a', 'b'])
  await log.stop()
})

faults(
  'a prune whose messages are gone succeeds, even if another process takes the lock right after the commit',
  async () => {
    const file = join(fastDir(), 'gateway.db')
    let other: Database.Database | null = null
    const lock = () => other?.exec('BEGIN IMMEDIATE')
    const onStage = (stage: FaultPoint): void => void (stage === 'committed' && lock())
    const log = new SqliteStore({ file, newLogId: 'l', now: 1, inlineWriter: { onStage } })
    await log.start()
    await store(log, ...Array.from({ length: 100 }, () => ({ body: JSON.stringify('x'.repeat(3_000)) })))
    other = new Database(file)
    const pruned = await log.prune({ receivedBefore: 9_999, messagesPerEvent: null }, 100).catch((error) => error.code)
    assert.is(pruned, 100)
    other.close()
    await log.stop()
  },
)

faults('appends of one moment share one transaction', async () => {
  const { log, stages } = await withFault()
  await Promise.all(Array.from({ length: 40 }, () => log.append([newEntry()])))
  assert.equal(stages, ['in_transaction', 'committed'])
  await log.stop()
})

const withDisk = (title: string, body: (log: MessageStore, disk: TinyDisk) => Promise<void>): void => {
  const reason = noTinyDisk()
  if (reason !== null) {
    faults.skip(title, reason)
    return
  }
  for (const inline of [true, false]) {
    faults(`${title} (${inline ? 'inline' : 'threaded'})`, async () => {
      const disk = mountTinyDisk(4 * 1024 * 1024)
      try {
        const log = await openSqlite(join(disk.dir, 'gateway.db'), inline)
        await body(log, disk)
        await log.stop()
      } finally {
        await disk.dispose()
      }
    })
  }
}

const large = (n: number) => newEntry({ message_id: `large-${n}`, body: JSON.stringify('x'.repeat(40_000)) })

withDisk(
  'on a full disk an append stores nothing, and the same batch goes through once there is space',
  async (log, disk) => {
    await store(log, { message_id: 'before' })
    disk.fill()
    const batch = [...Array.from({ length: 10 }, (_, n) => large(n)), newRejection('x'.repeat(40_000))]
    for (let attempt = 0; attempt < 3; attempt++) {
      assert.is(await codeOf(log.append(batch)), 'storage_unavailable')
      assert.equal(await idsOf(log), ['before'], 'reading goes on')
    }
    const filler = join(disk.dir, 'filler')
    truncateSync(filler, statSync(filler).size - 60 * 1024)
    for (let check = 0; check < 2; check++) {
      assert.is(await codeOf(log.check(true)), 'storage_unavailable', 'a small commit fits, the batch does not')
    }
    disk.free()
    await log.check(true)
    assert.equal(new Set((await log.append(batch)).map(({ kind }) => kind)), new Set(['stored', 'rejected']))
    assert.is((await idsOf(log)).length, 11)
    assert.is((await log.events(9, 0))[0]!.messages, 11)
  },
)

withDisk(
  'a disk that fills up under single messages loses none that was told stored, and keeps none that was not',
  async (log) => {
    const stored: string[] = []
    let code = 'none'
    for (let n = 0; code === 'none' && n < 1_000; n++) {
      code = await codeOf(log.append([large(n)]))
      if (code === 'none') stored.push(`large-${n}`)
    }
    assert.is(code, 'storage_unavailable')
    assert.ok(stored.length > 10, `${stored.length} stored`)
    assert.equal(await idsOf(log), stored)
    assert.match(await codeOf(log.check(true)), /^(none|storage_unavailable)$/)
    assert.equal(await idsOf(log), stored)
  },
)

faults.run()
