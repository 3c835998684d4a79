// needs: rabbitmq
import {
  chmodSync,
  copyFileSync,
  existsSync,
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
import {
  type PublishError,
  type PublishErrorCode,
  Publisher,
  type PublisherOptions,
} from '../../../src/publisher/index.ts'
import { Agent, assertInOrder, declareQueue, firstCopies, rejection, takeAll } from '../../support/clients/agents.ts'
import { WAIT_MS } from '../../support/harness/limits.ts'
import { suite } from '../../support/harness/suite.ts'
import { tempDir, until } from '../../support/harness/wait.ts'
import { startProxy } from '../../support/servers/proxy.ts'
import {
  deleteNames,
  type Names,
  type SharedBroker,
  sharedBroker,
  uniqueNames,
} from '../../support/servers/rabbitmq.ts'
import { mountTinyDisk, noTinyDisk } from '../../support/servers/tiny-disk.ts'

const test = suite('outbox')

/** No process listens on this port. */
const NOWHERE = 'amqp://127.0.0.1:1'

let broker: SharedBroker
let names: Names
let file: string
const open: Publisher[] = []

test.before(async () => {
  broker = await sharedBroker()
})

test.after(async () => {
  await broker?.dispose()
})

test.before.each(() => {
  names = uniqueNames('outbox')
  file = join(tempDir('gateway-outbox-'), 'agent.db')
})

test.after.each(async () => {
  for (const publisher of open.splice(0)) await publisher.close({ timeoutMs: 1 })
  await deleteNames(broker.url, names)
})

const publisherOf = (options: PublisherOptions = {}): Publisher => {
  const publisher = new Publisher({ url: broker.url, exchange: names.exchange, outbox: file, ...options })
  open.push(publisher)
  return publisher
}

const send = (publisher: Publisher, event_id: string, n: number): Promise<unknown> =>
  publisher.send({ event_id, n, message_id: `${event_id}-${n}`, text: 'x'.repeat(200) })

const inFile = <T>(look: (db: Database.Database) => T): T => {
  const db = new Database(file, { readonly: true })
  try {
    return look(db)
  } finally {
    db.close()
  }
}

const rowsLeft = (): number => inFile((db) => db.prepare('SELECT count(*) FROM outbox').pluck().get() as number)

const openFault = (options: PublisherOptions = {}): PublishErrorCode => {
  try {
    publisherOf(options)
  } catch (error) {
    return (error as PublishError).code
  }
  throw new Error('it was opened')
}

test('send resolves without a broker, and a later agent sends the messages of the file in order', async () => {
  const first = publisherOf({ url: NOWHERE })
  await Promise.all(Array.from({ length: 600 }, (_, n) => send(first, `e${n % 3}`, Math.floor(n / 3))))
  assert.is(first.queued, 600)
  assert.equal(await first.close({ timeoutMs: 100 }), { queued: 600 })
  assert.is(rowsLeft(), 600)
  await declareQueue(broker.url, names, { 'x-queue-type': 'quorum' })
  const second = publisherOf()
  assert.is(second.queued, 600)
  const more = Array.from({ length: 30 }, (_, n) => send(second, `e${n % 3}`, 200 + Math.floor(n / 3)))
  await Promise.all(more)
  assert.ok(await second.flush({ timeoutMs: WAIT_MS }))
  assert.equal(await second.close(), { queued: 0 })
  assert.is(rowsLeft(), 0)
  assertInOrder(await takeAll(broker.url, names.queue), 630)
})

test('messages are in the file, synchronously and in WAL mode, before send resolves', async () => {
  const publisher = publisherOf({ url: NOWHERE })
  const { message_id } = await publisher.send({ event_id: 'e', message_content: 12302548181076029n })
  await publisher.close({ timeoutMs: 1 })
  const row = inFile((db) => db.prepare('SELECT * FROM outbox').get()) as Record<string, unknown>
  assert.is(row.message_id, message_id)
  assert.is(String(row.body), `{"event_id":"e","message_content":12302548181076029,"message_id":"${message_id}"}`)
})

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8)

test('the file and a new folder are for their owner only, whatever the umask; a file that is not is named', async () => {
  const warnings: string[] = []
  const onWarning = ({ message }: Error): unknown => warnings.push(message)
  process.on('warning', onWarning)
  const before = process.umask(0)
  try {
    file = join(file, '..', 'new', 'agent.db')
    const first = publisherOf({ url: NOWHERE })
    await send(first, 'e', 1)
    assert.equal([modeOf(file), modeOf(`${file}-wal`), modeOf(dirname(file))], ['600', '600', '700'])
    await first.close({ timeoutMs: 1 })
    assert.equal(warnings, [])
    chmodSync(file, 0o640)
    await publisherOf({ url: NOWHERE }).close({ timeoutMs: 1 })
    await until(() => warnings.length > 0, { what: 'a warning' })
    assert.equal(warnings, [`Other users have access to the outbox: chmod go= ${file}`])
  } finally {
    process.umask(before)
    process.off('warning', onWarning)
  }
})

test('a full outbox refuses messages, also after a restart', async () => {
  const first = publisherOf({ url: NOWHERE, maxQueued: 3 })
  const outcomes = await Promise.allSettled([0, 1, 2, 3].map((n) => send(first, 'e', n)))
  assert.equal(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'rejected'],
  )
  assert.is((await rejection(send(first, 'e', 4), 'outbox_full')).deliveryStatus, 'not_sent')
  await first.close({ timeoutMs: 1 })
  await rejection(send(publisherOf({ url: NOWHERE, maxQueued: 3 }), 'e', 5), 'outbox_full')
})

test('two agents never share a file: the second is refused until the first has ended', async () => {
  await declareQueue(broker.url, names)
  const agent = new Agent({ url: NOWHERE, exchange: names.exchange, outbox: file, count: 50 })
  await agent.hasAccepted(50)
  assert.is(openFault(), 'outbox_locked')
  await agent.kill9()
  const publisher = publisherOf()
  assert.is(openFault(), 'outbox_locked', 'in the same process too')
  const other = new Agent({ url: broker.url, exchange: names.exchange, outbox: file, count: 1 })
  await other.ended()
  assert.is(other.fault, 'outbox_locked')
  assert.is(openFault(), 'outbox_locked', 'a refusal takes no lock away')
  assert.ok(await publisher.flush({ timeoutMs: WAIT_MS }))
  await publisher.close()
  assertInOrder(await takeAll(broker.url, names.queue), 50)
  assert.is(
    inFile((db) => db.pragma('integrity_check', { simple: true })),
    'ok',
  )
})

test('an agent that is killed with a full outbox loses no message whose send resolved', async () => {
  await declareQueue(broker.url, names, { 'x-queue-type': 'quorum' })
  const options = { exchange: names.exchange, outbox: file, events: 5 }
  const first = new Agent({ ...options, url: NOWHERE, count: 100_000 })
  await first.hasAccepted(2_000)
  await first.kill9()
  const promised = first.accepted
  const held = inFile((db) => db.prepare('SELECT message_id FROM outbox ORDER BY seq').pluck().all()) as string[]
  assert.ok(held.length >= promised, `${held.length} of ${promised}`)
  // It is killed again while it empties the file.
  const second = new Agent({ ...options, url: broker.url, count: 0 })
  await until(() => second.queued > 0 && second.queued < held.length, {
    everyMs: 1,
    what: 'a file that is being emptied',
  })
  await second.kill9()
  const third = new Agent({ ...options, url: broker.url, count: 0 })
  await third.ended()
  assert.is(third.fault, undefined)
  const taken = await takeAll(broker.url, names.queue)
  assertInOrder(taken, held.length)
  assert.equal(
    firstCopies(taken)
      .map(({ message_id }) => message_id)
      .sort(),
    [...held].sort(),
  )
  assert.is(rowsLeft(), 0)
})

test('a row leaves the file only after its confirmation', async () => {
  await declareQueue(broker.url, names)
  const line = await startProxy(Number(new URL(broker.url).port))
  const url = new URL(broker.url)
  url.port = String(line.port)
  const first = publisherOf({ url: url.href })
  await send(first, 'warm', 0)
  assert.ok(await first.flush())
  line.freeze()
  for (let n = 0; n < 50; n++) await send(first, `e${n}`, 0)
  assert.not.ok(await first.flush({ timeoutMs: 300 }), 'nothing is confirmed')
  assert.equal(await first.close({ timeoutMs: 1 }), { queued: 50 })
  assert.is(rowsLeft(), 50)
  await line.close()
  assert.equal(await publisherOf().close({ timeoutMs: WAIT_MS }), { queued: 0 })
  assertInOrder(await takeAll(broker.url, names.queue), 51)
})

test('messages that the broker refuses are retried without losing their place in the event', async () => {
  // A classic queue decides for each message separately, so it can reject an earlier one and accept a later one.
  await declareQueue(broker.url, names, { 'x-max-length': 5, 'x-overflow': 'reject-publish' })
  const states: string[] = []
  const publisher = publisherOf({
    onState: ({ status, error }) => states.push(`${status} ${error?.code ?? ''}`.trim()),
  })
  await Promise.all(Array.from({ length: 300 }, (_, n) => send(publisher, `e${n % 2}`, Math.floor(n / 2))))
  await until(() => states.includes('degraded publish_nacked'))
  const taken = await takeAll(broker.url, names.queue, (seen) => firstCopies(seen).length === 300)
  assertInOrder(taken, 300)
  assert.ok(await publisher.flush({ timeoutMs: WAIT_MS }))
  assert.equal(publisher.state, { status: 'ready', error: null, queued: 0 })
})

test('unroutable messages wait in the file, report their error, and are sent once a queue is bound; others overtake them', async () => {
  await declareQueue(broker.url, { ...names, binding: 'notifications.frontend.*.good' })
  const states: string[] = []
  const publisher = publisherOf({
    onState: ({ status, error }) => states.push(`${status} ${error?.code ?? ''}`.trim()),
  })
  await publisher.send({ event_id: 'stuck', message_type: 'bad', n: 0 })
  await publisher.send({ event_id: 'stuck', message_type: 'good', n: 1 })
  await publisher.send({ event_id: 'free', message_type: 'good', n: 0 })
  await until(() => states.includes('degraded publish_unroutable') && publisher.queued === 2)
  assert.is(publisher.state.error?.code, 'publish_unroutable')
  await declareQueue(broker.url, names)
  assert.ok(await publisher.flush({ timeoutMs: WAIT_MS }))
  assert.is(publisher.state.status, 'ready')
  assertInOrder(await takeAll(broker.url, names.queue), 3)
})

test('a message that cannot be read holds back its event alone, and is sent once it can be read', async () => {
  await declareQueue(broker.url, names)
  const before = publisherOf({ url: NOWHERE })
  for (const event_id of ['bad', 'good']) for (const n of [0, 1]) await send(before, event_id, n)
  await before.close({ timeoutMs: 1 })
  const setBody = (sql: string): void => {
    const db = new Database(file)
    db.exec(`UPDATE outbox SET body = ${sql} WHERE message_id = 'bad-0'`)
    db.close()
  }
  // Instead of a damaged page, which the check at the start would find: a body that is a number.
  setBody('5')
  const publisher = publisherOf()
  await until(() => publisher.queued === 2 && publisher.state.status === 'degraded')
  assert.is(publisher.state.error?.code, 'outbox_unwritable')
  await send(publisher, 'good', 2)
  await until(() => publisher.queued === 2)
  await publisher.close({ timeoutMs: 1 })
  setBody(`CAST('{"event_id":"bad","message_id":"bad-0","n":0}' AS BLOB)`)
  const after = publisherOf()
  assert.ok(await after.flush({ timeoutMs: WAIT_MS }))
  assertInOrder(await takeAll(broker.url, names.queue), 5)
})

test('a missing exchange holds messages back until it is there', async () => {
  const publisher = publisherOf()
  await send(publisher, 'e', 0)
  await until(() => publisher.state.error?.code === 'exchange_missing')
  await declareQueue(broker.url, names)
  assert.ok(await publisher.flush({ timeoutMs: WAIT_MS }))
  assertInOrder(await takeAll(broker.url, names.queue), 1)
})

const without = noTinyDisk()
if (without !== null) test.skip('a full disk refuses messages, and loses none whose send resolved', without)
else {
  test('a full disk refuses messages, and loses none whose send resolved', async () => {
    await declareQueue(broker.url, names)
    const disk = mountTinyDisk(1_048_576)
    try {
      file = join(disk.dir, 'agent.db')
      const publisher = publisherOf({ url: NOWHERE })
      for (let n = 0; n < 20; n++) await send(publisher, 'e', n)
      disk.fill()
      let promised = 20
      // Free pages of the file are used first.
      const error = await until(
        async () => {
          try {
            await publisher.send({ event_id: 'e', n: promised, message_id: `e-${promised}`, text: 'x'.repeat(4_000) })
            promised++
            return false
          } catch (reason) {
            return reason as PublishError
          }
        },
        { everyMs: 1 },
      )
      assert.is(error.code, 'outbox_unwritable')
      assert.is(error.deliveryStatus, 'not_sent')
      assert.ok(error.hint.includes('disk'))
      assert.is(publisher.queued, promised)
      await publisher.close({ timeoutMs: 1 })
      // On a full disk the file can still be emptied and its agent started.
      const second = publisherOf()
      assert.ok(await second.flush({ timeoutMs: WAIT_MS }))
      disk.free()
      await send(second, 'e', promised)
      assert.ok(await second.flush({ timeoutMs: WAIT_MS }))
      await second.close()
      assert.is(rowsLeft(), 0)
      assertInOrder(await takeAll(broker.url, names.queue), promised + 1)
    } finally {
      for (const publisher of open.splice(0)) await publisher.close({ timeoutMs: 1 })
      await disk.dispose()
    }
  })
}

test('a file that is removed or replaced under the agent is detected, and send rejects from then on', async () => {
  for (const lose of [() => rmSync(file), () => renameSync(file, `${file}.moved`)]) {
    const publisher = publisherOf({ url: NOWHERE })
    await send(publisher, 'e', 0)
    lose()
    await rejection(send(publisher, 'e', 1), 'outbox_replaced')
    assert.is(publisher.queued, 1)
    await publisher.close({ timeoutMs: 1 })
    for (const suffix of ['', '-wal']) rmSync(`${file}${suffix}`, { force: true })
  }
})

test('a WAL that is removed, replaced or truncated under the agent is detected, and what was sent before is kept', async () => {
  const loses: [string, () => void, number][] = [
    ['removed', () => rmSync(`${file}-wal`), 1],
    [
      'replaced',
      () => {
        copyFileSync(`${file}-wal`, `${file}.new`)
        renameSync(`${file}.new`, `${file}-wal`)
      },
      1,
    ],
    // Nothing has the content of a truncated file any more.
    ['truncated', () => truncateSync(`${file}-wal`, 0), 0],
  ]
  for (const [what, lose, kept] of loses) {
    const publisher = publisherOf({ url: NOWHERE })
    await send(publisher, 'e', 0)
    lose()
    await rejection(send(publisher, 'e', 1), 'outbox_replaced')
    // As after a SIGKILL: only what is in this file is left.
    const copy = `${file}.${what}`
    copyFileSync(file, copy)
    await publisher.close({ timeoutMs: 1 })
    assert.is(publisherOf({ url: NOWHERE, outbox: copy }).queued, kept, what)
    for (const suffix of ['', '-wal']) rmSync(`${file}${suffix}`, { force: true })
  }
})

test('a file that is not an outbox is rejected and left unchanged', async () => {
  const contents: [string, PublishErrorCode, () => void][] = [
    ['text', 'outbox_not_ours', () => writeFileSync(file, 'my diary\n'.repeat(500))],
    [
      "another application's database",
      'outbox_not_ours',
      () => {
        const db = new Database(file)
        db.exec('CREATE TABLE diary (day TEXT)')
        db.close()
      },
    ],
    [
      'a newer outbox',
      'outbox_newer',
      () => {
        const db = new Database(file)
        db.pragma(`application_id = ${0x44534f42}`)
        db.pragma('user_version = 99')
        db.exec('CREATE TABLE outbox (seq INTEGER)')
        db.close()
      },
    ],
  ]
  for (const [what, code, make] of contents) {
    make()
    const before = readFileSync(file)
    assert.is(openFault({ url: NOWHERE }), code, what)
    assert.ok(readFileSync(file).equals(before), what)
    assert.not.ok(existsSync(`${file}-wal`))
    rmSync(file)
  }
  assert.is(openFault({ url: NOWHERE, outbox: '/dev/null/agent.db' }), 'outbox_unwritable')
})

test('a damaged file is rejected with a hint', async () => {
  const publisher = publisherOf({ url: NOWHERE })
  for (let n = 0; n < 50; n++) await send(publisher, 'e', n)
  await publisher.close({ timeoutMs: 1 })
  const bytes = readFileSync(file)
  bytes.fill(0xa5, 8_192, 16_384)
  writeFileSync(file, bytes)
  assert.is(openFault({ url: NOWHERE }), 'outbox_corrupt')
})

test('the outbox drains while its agent keeps sending, and the file stops growing', async () => {
  await declareQueue(broker.url, names)
  const publisher = publisherOf()
  for (let round = 0; round < 20; round++) {
    await Promise.all(
      Array.from({ length: 200 }, (_, n) => send(publisher, `e${n % 20}`, round * 10 + Math.floor(n / 20))),
    )
    await publisher.flush({ timeoutMs: WAIT_MS })
  }
  await publisher.close()
  const pages = inFile((db) => db.pragma('page_count', { simple: true })) as number
  assert.ok(pages < 200, `${pages} pages`)
  assertInOrder(await takeAll(broker.url, names.queue), 4_000)
})

test.run()
