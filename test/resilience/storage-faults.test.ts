// needs: rabbitmq, pika
// workers: 1; full: 1, 3
import { execFileSync } from 'node:child_process'
import { renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import * as assert from 'uvu/assert'
import { assertNothingLost, IdReader, Load } from '../support/clients/load.ts'
import { PikaPublisher } from '../support/clients/pika.ts'
import { suite } from '../support/harness/suite.ts'
import { runs } from '../support/harness/tier.ts'
import { getJson, type Json, postJson, tempDir, until } from '../support/harness/wait.ts'
import { faultCleared, faultNamed } from '../support/resilience/observe.ts'
import { checkIntegrity, countMessages, holdWriteLock, messageRows } from '../support/servers/database.ts'
import { type Gateway, listWorkerPids, RUN_WORKERS, startGateway } from '../support/servers/gateway.ts'
import {
  type ControlledBroker,
  controlledBroker,
  limitDeliveries,
  queueReady,
  unlimitDeliveries,
} from '../support/servers/rabbitmq.ts'
import { KEY, openStage, type Stage } from '../support/stages/stage.ts'

const test = suite('storage-faults')

let broker: ControlledBroker

test.before(async () => {
  broker = await controlledBroker()
})

test.after(async () => {
  await broker?.dispose()
})

const storageFault = (gateway: Gateway, code: string, startedAt?: number): Promise<Json> =>
  faultNamed(gateway, { component: 'store_write', code }, startedAt)

/** A small file system in memory, or why there can be none. */
const mountSmall = (): { dir: string; unmount(): void } | string => {
  if (process.getuid?.() !== 0) return 'mounting a tmpfs needs root'
  const dir = tempDir('gateway-small-')
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', dir], { stdio: 'pipe' })
  } catch (error) {
    return `no tmpfs can be mounted: ${(error as Error).message.split('\n')[0]}`
  }
  return { dir, unmount: () => void execFileSync('umount', ['-l', dir], { stdio: 'pipe' }) }
}

const fill = (file: string): void => {
  const { bavail, bsize } = statfsSync(file.replace(/\/[^/]*$/, ''))
  // Including the last bytes, so that not even a small commit fits.
  writeFileSync(file, Buffer.alloc(bavail * bsize))
}

const small = mountSmall()
if (typeof small === 'string') test.skip('a full disk stops acknowledging, and loses nothing', small)
else {
  test('a full disk stops acknowledging, keeps streams open, and loses nothing', async () => {
    let stage: Stage | undefined
    try {
      stage = await openStage(broker.url, 'full', { gateway: { dataDir: small.dir } })
      const { gateway, names } = stage
      const stream = await stage.open('full')
      const bodies = Array.from({ length: 40 }, (_, n) =>
        JSON.stringify({ event_id: 'full', n, message_content: 'x'.repeat(8_000) }),
      )
      await stage.publish(bodies.slice(0, 10))
      await stage.stored(10)
      const ballast = join(small.dir, 'ballast')
      fill(ballast)
      const startedAt = Date.now()
      await stage.publish(bodies.slice(10))
      const fault = await storageFault(gateway, 'storage_unavailable', startedAt)
      assert.ok(fault.hint.includes('disk'))
      const stored = countMessages(gateway.dbFile)
      assert.ok(stored < 40, `${stored} stored`)
      assert.ok((await broker.queueDepth(names.queue)) >= 40 - stored, 'what is not stored is not acknowledged')
      await stream.next('heartbeat')
      assert.is((await getJson(`${gateway.url}/livez`)).status, 200)
      rmSync(ballast)
      await faultCleared(gateway, Date.now(), RUN_WORKERS)
      await stage.stored(40)
      // Without message_ids a second delivery would be visible, and so would a requeue that changes the order.
      const numbers = messageRows(gateway.dbFile).map(({ body }) => JSON.parse(body).n as number)
      assert.equal(
        numbers,
        Array.from({ length: 40 }, (_, n) => n),
      )
      await stream.waitFor(({ events }) => events.filter(({ event }) => event === 'new_message').length === 40)
      await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
      assert.is(checkIntegrity(gateway.dbFile), 'ok')
    } finally {
      await stage?.dispose()
      small.unmount()
    }
  })
}

test('the gateway waits for a write lock of another process, and acknowledges nothing meanwhile', async () => {
  const stage = await openStage(broker.url, 'locked')
  const { gateway, names } = stage
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: true })
  const load = new Load(agent, 'locked', { everyMs: 2 })
  const reader = new IdReader(gateway, 'locked')
  try {
    load.start()
    reader.start()
    await load.more(100)
    const lock = holdWriteLock(gateway.dbFile)
    const startedAt = Date.now()
    const stored = countMessages(gateway.dbFile)
    await storageFault(gateway, 'storage_busy', startedAt)
    await load.more(50)
    assert.is(countMessages(gateway.dbFile), stored)
    assert.ok((await broker.queueDepth(names.queue)) >= 50)
    assert.is((await getJson(`${gateway.url}/api/events`)).status, 200, 'reading goes on')
    lock.release()
    await faultCleared(gateway, Date.now(), RUN_WORKERS)
    await load.stop()
    await assertNothingLost(gateway.dbFile, [load], [reader])
    assert.is(reader.connections, 1)
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
  } finally {
    await reader.stop()
    await agent.kill9()
    await stage.dispose()
  }
})

test.full('a store that fails for long gets its messages back in order, and a delivery limit drops none', async () => {
  const stage = await openStage(broker.url, 'returned')
  const { gateway, names } = stage
  const undertaker = new PikaPublisher({ url: broker.url, exchange: `${names.exchange}.dead`, mandatory: true })
  const numbers = (from: number) => Array.from({ length: 100 }, (_, n) => from + n)
  await limitDeliveries(broker, names.queue, { limit: 2, end: '' })
  const lock = holdWriteLock(gateway.dbFile)
  try {
    // Without ids of their own, a second copy would be seen.
    await stage.publish(numbers(0).map((n) => JSON.stringify({ event_id: 'live', n })))
    await undertaker.publishAll(numbers(100).map((n) => ({ key: KEY, body: JSON.stringify({ event_id: 'dead', n }) })))
    await storageFault(gateway, 'storage_busy')
    for (const queue of [names.queue, `${names.queue}.dead`]) {
      let seen: unknown
      await until(async () => (seen = (await queueReady(broker.url, queue))?.messages) === 100, {
        what: `all messages are back in ${queue}`,
        saw: () => seen,
      })
    }
    lock.release()
    await stage.stored(200)
    await gateway.ready()
    for (const [event_id, from] of [
      ['live', 0],
      ['dead', 100],
    ] as const) {
      assert.equal(
        messageRows(gateway.dbFile, event_id).map(({ body }) => JSON.parse(body).n),
        numbers(from),
      )
    }
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
  } finally {
    await unlimitDeliveries(broker, names.queue)
    await undertaker.close()
    await stage.dispose()
  }
})

test.full('messages that wait for the store take no more memory than INGEST_BUFFER_BYTES allows', async () => {
  const count = 200
  const stage = await openStage(broker.url, 'buffer', {
    env: { INGEST_BUFFER_BYTES: '4000000', NODE_OPTIONS: '--max-old-space-size=128' },
  })
  const { gateway, names } = stage
  const pad = 'x'.repeat(900_000)
  try {
    // Compressed, these bodies take a thousandth of what is held.
    const forms = [
      ['big', (text: string) => text, {}],
      ['compressed', gzipSync, { content_encoding: 'gzip' }],
    ] as const
    for (const [event_id, encode, properties] of forms.slice(0, runs(1, 2))) {
      const lock = holdWriteLock(gateway.dbFile)
      const texts = Array.from({ length: count }, (_, n) => JSON.stringify({ event_id, message_id: `m${n}`, pad }))
      await stage.publish(
        texts.map((text) => encode(text)),
        properties,
      )
      await storageFault(gateway, 'storage_busy')
      assert.is(await broker.queueDepth(names.queue), count)
      lock.release()
      await stage.stored(event_id === 'big' ? count : 2 * count)
      assert.equal(
        messageRows(gateway.dbFile, event_id).map(({ message_id }) => message_id),
        Array.from({ length: count }, (_, n) => `m${n}`),
      )
      await gateway.ready()
      await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
    }
    assert.ok(gateway.running, 'the first process still runs')
    assert.is(gateway.logs().filter(({ msg }) => msg === 'listening').length, 1)
  } finally {
    await stage.dispose()
  }
})

for (const [what, add, lose] of [
  ['removed', test, (file: string) => rmSync(file)],
  [
    'replaced',
    test.full,
    (file: string) => {
      renameSync(file, `${file}.moved`)
      writeFileSync(file, '')
    },
  ],
] as const) {
  add(`a database file that is ${what} is named, and nothing is acknowledged any more`, async () => {
    const stage = await openStage(broker.url, what)
    try {
      const { gateway, names } = stage
      await stage.publish(['{"event_id":"lost","message_id":"1"}'])
      await stage.stored(1)
      await until(async () => (await broker.queueDepth(names.queue)) === 0)
      lose(gateway.dbFile)
      // Before the gateway has checked by itself.
      await stage.publish(['{"event_id":"lost","message_id":"2"}', '{"bad":1}'])
      const fault = await storageFault(gateway, 'database_replaced')
      assert.ok(fault.hint.includes('restart'))
      assert.is(await broker.queueDepth(names.queue), 2)
      assert.is((await getJson(`${gateway.url}/livez`)).status, 200)
      for (const suffix of ['', '-wal', '-shm', '.moved']) rmSync(`${gateway.dbFile}${suffix}`, { force: true })
      await gateway.kill9()
      await gateway.restart()
      await gateway.ready()
      await stage.stored(1)
      assert.equal(
        messageRows(gateway.dbFile).map(({ message_id }) => message_id),
        ['2'],
      )
      await until(async () => (await broker.queueDepth(names.queue)) === 0)
    } finally {
      await stage.dispose()
    }
  })
}

for (const workers of ['1', '2']) {
  const add = workers === '2' ? test : test.full
  add(`a -wal and -shm removed under ${workers} workers cost nothing that was answered with 201`, async () => {
    const gateway = await startGateway({ env: { WORKERS: workers } })
    const url = `${gateway.url}/api/events/wal/messages`
    const accepted: string[] = []
    const post = async (from: number): Promise<void> => {
      for (let n = from; n < from + 50; n++) {
        const { status, body } = await postJson(url, { message_id: `m${n}` })
        if (status === 201) accepted.push(`m${n}`)
        else assert.equal([status, body.code], [503, 'database_replaced'])
      }
    }
    try {
      await gateway.ready()
      await post(0)
      assert.is(accepted.length, 50)
      rmSync(`${gateway.dbFile}-wal`)
      rmSync(`${gateway.dbFile}-shm`)
      await post(50)
      const fault = await storageFault(gateway, 'database_replaced')
      assert.match(fault.message, /-wal was removed\. All committed messages are saved in/)
      if (workers === '2') {
        const [worker] = listWorkerPids(gateway)
        process.kill(worker!, 'SIGKILL')
        await gateway.waitForLog(({ msg }) => msg === 'worker not restarted: a file of the database was lost')
        await post(100)
      }
      await gateway.kill9()
      await gateway.restart()
      await gateway.ready()
      await post(150)
      const rows = messageRows(gateway.dbFile)
      assert.equal(new Set(accepted), new Set(rows.map(({ message_id }) => message_id)))
      assert.is(new Set(rows.map(({ db_id }) => db_id)).size, rows.length)
      assert.is(checkIntegrity(gateway.dbFile), 'ok')
    } finally {
      await gateway.dispose()
    }
  })
}

test.full('a database that is removed while nothing arrives is detected as well', async () => {
  const stage = await openStage(broker.url, 'idle')
  try {
    rmSync(stage.gateway.dbFile)
    await storageFault(stage.gateway, 'database_replaced')
  } finally {
    await stage.dispose()
  }
})

test.run()
