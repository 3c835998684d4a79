// needs: rabbitmq, sqlalchemy
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import * as assert from 'uvu/assert'
import { Agent, declareQueue, firstCopies, takeAll } from '../../support/clients/agents.ts'
import { runCli } from '../../support/clients/cli.ts'
import { bridgePython } from '../../support/harness/provision.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, tempDir, until } from '../../support/harness/wait.ts'
import { messageRows, rejectedRows } from '../../support/servers/database.ts'
import { ROOT, startGateway } from '../../support/servers/gateway.ts'
import { startProxy } from '../../support/servers/proxy.ts'
import {
  deleteNames,
  type Names,
  type SharedBroker,
  sharedBroker,
  uniqueNames,
  withChannel,
} from '../../support/servers/rabbitmq.ts'
import { brokerEnv } from '../../support/stages/stage.ts'

const test = suite('bridge')

let broker: SharedBroker
let names: Names
let folder: string

test.before(async () => {
  broker = await sharedBroker()
})

test.after(async () => {
  delete process.env.RABBITMQ_QUEUE
  await broker?.dispose()
})

test.before.each(() => {
  names = uniqueNames('bridge')
  process.env.RABBITMQ_QUEUE = names.queue
  folder = tempDir('gateway-bridge-')
})

test.after.each(() => deleteNames(broker.url, names))

/** A process of DeepSOC that writes rows numbered from `from`. All processes of a test share its folder. */
const deepsoc = (options: { from: number; count: number; url?: string }): Agent =>
  new Agent({
    url: broker.url,
    exchange: names.exchange,
    outbox: folder,
    events: 3,
    ...options,
    command: [bridgePython()!, join(ROOT, 'test/support/deepsoc/process.py')],
  })

/** The message_ids of DeepSOC's table in the order of its ids. */
const tableIds = (): string[] => {
  const db = new Database(join(folder, 'deepsoc.db'), { readonly: true })
  try {
    return db.prepare('SELECT message_id FROM messages ORDER BY id').pluck().all() as string[]
  } finally {
    db.close()
  }
}

const rowCount = (): number => (existsSync(join(folder, 'deepsoc.db')) ? tableIds().length : 0)

const brokerAt = (port: number): string => Object.assign(new URL(broker.url), { port: String(port) }).href

test('rows of several processes are published in the order of the table, although RabbitMQ and a process die', async () => {
  await declareQueue(broker.url, names, { 'x-queue-type': 'quorum' })
  const port = await freePort()
  const brokerPort = Number(new URL(broker.url).port)
  let proxy = await startProxy(brokerPort, port)
  // The first one publishes, since it holds the lock of the outbox.
  const first = deepsoc({ from: 0, count: 100_000, url: brokerAt(port) })
  await first.hasAccepted(50)
  const others = [1, 2].map((n) => deepsoc({ from: n * 100_000, count: 300, url: brokerAt(port) }))
  await until(() => rowCount() > 200, { what: 'rows of all processes', saw: rowCount })
  await proxy.close()
  const before = rowCount()
  // DeepSOC goes on writing meanwhile.
  await until(() => rowCount() > before + 100, { what: 'rows without RabbitMQ', saw: rowCount })
  await first.kill9()
  proxy = await startProxy(brokerPort, port)
  for (const other of others) await other.ended()
  await proxy.close()
  for (const { queued, output } of others) assert.is(queued, 0, output)
  const taken = firstCopies(await takeAll(broker.url, names.queue))
  assert.equal(
    taken.map(({ message_id }) => message_id),
    tableIds(),
  )
})

test('rows are published although the first node of the cluster is away', async () => {
  await declareQueue(broker.url, names)
  const process = deepsoc({ from: 0, count: 9, url: broker.url.replace('@', '@127.0.0.1:1,') })
  await process.ended()
  assert.is(process.queued, 0, process.output)
  assert.equal(
    (await takeAll(broker.url, names.queue)).map(({ message_id }) => message_id),
    tableIds(),
  )
})

test('messages wait until the queue of the gateway exists, although another queue takes them', async () => {
  const other = { ...names, queue: `${names.queue}.other` }
  await declareQueue(broker.url, other)
  try {
    const process = deepsoc({ from: 0, count: 9 })
    await until(() => process.fault === 'queue_missing', { what: 'a fault', saw: () => process.output })
    await declareQueue(broker.url, names)
    await process.ended()
    assert.is(process.queued, 0, process.output)
    const ids = async (queue: string) => (await takeAll(broker.url, queue)).map(({ message_id }) => message_id)
    assert.equal(await ids(names.queue), tableIds())
    // DeepSOC's own queue, from which its page is fed, gets no line of a user a second time.
    assert.equal(
      await ids(other.queue),
      tableIds().filter((_, index) => index % 3 !== 2),
    )
  } finally {
    await withChannel(broker.url, (channel) => channel.queueDelete({ queue: other.queue }))
  }
})

test('the gateway stores each row once, whether it comes from the bridge, an export or both', async () => {
  const gateway = await startGateway({ env: brokerEnv(broker.url, names) })
  try {
    await gateway.ready()
    const process = deepsoc({ from: 0, count: 60 })
    await process.ended()
    const stored = () => messageRows(gateway.dbFile).map(({ message_id }) => message_id)
    await until(() => stored().length >= 60, { what: 'the rows in the store', saw: () => stored().length })
    const file = join(folder, 'messages.jsonl')
    const script = [
      'import sys; sys.path.insert(0, sys.argv[1]); import deepsoc_model, deepsoc_bridge as b',
      'sys.exit(b.export(b.MessageTable(), sys.argv[2], print))',
    ].join('\n')
    const exported = spawnSync(bridgePython()!, ['-B', '-c', script, join(ROOT, 'test/support/deepsoc'), file], {
      env: { PATH: '/usr/bin:/bin', DATABASE_URL: `sqlite:///${join(folder, 'deepsoc.db')}` },
      encoding: 'utf8',
    })
    assert.is(exported.status, 0, exported.stderr)
    const env = brokerEnv(broker.url, names)
    const published = await runCli(['publish'], { env, input: readFileSync(file) })
    assert.is(published.code, 0, published.stderr)
    // The queue keeps the order: this message is stored after all others.
    await runCli(['publish', '--event', 'end', '--id', 'end', '--content', 'x'], { env })
    await until(() => stored().includes('end'), { what: 'the last message', saw: () => stored().length })
    assert.equal(stored(), [...tableIds(), 'end'])
    assert.equal(rejectedRows(gateway.dbFile), [])
  } finally {
    await gateway.dispose()
  }
})

test.run()
