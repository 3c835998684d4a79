// needs: rabbitmq, pika
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import * as assert from 'uvu/assert'
import { Publisher } from '../../../src/publisher/index.ts'
import {
  type Agent,
  type AgentOptions,
  assertInOrder,
  declareQueue,
  firstCopies,
  pythonAgent,
  pythonWithPika,
  takeAll,
} from '../../support/clients/agents.ts'
import { killAtExit } from '../../support/harness/cleanup.ts'
import { WAIT_MS } from '../../support/harness/limits.ts'
import { suite } from '../../support/harness/suite.ts'
import { tempDir, until } from '../../support/harness/wait.ts'
import { ROOT } from '../../support/servers/gateway.ts'
import {
  deleteNames,
  type Names,
  type SharedBroker,
  sharedBroker,
  uniqueNames,
} from '../../support/servers/rabbitmq.ts'
import { mountTinyDisk, noTinyDisk } from '../../support/servers/tiny-disk.ts'

const test = suite('python-agent')

const NOWHERE = 'amqp://guest:guest@127.0.0.1:1'
const SCRIPT = join(ROOT, 'examples', 'python', 'agent.py')

let broker: SharedBroker
let names: Names
let outbox: string

test.before(async () => {
  broker = await sharedBroker()
})

test.after(async () => {
  await broker?.dispose()
})

test.before.each(() => {
  names = uniqueNames('python')
  outbox = join(tempDir('gateway-outbox-'), 'agent.db')
})

test.after.each(() => deleteNames(broker.url, names))

/** Opens an outbox and prints the permissions of its files. */
const OUTBOX = `
import os, sys
import agent
outbox = agent.Outbox(sys.argv[1], 10)
outbox.assert_intact()
print(*("%o" % (os.stat(os.path.realpath(sys.argv[1]) + end).st_mode & 0o777) for end in ("", "-wal")))
outbox.close()
`

/** Runs OUTBOX for a file, with a umask that removes no permission. */
const openOutbox = (file: string) =>
  spawnSync('/bin/sh', ['-c', 'umask 0; exec "$@"', 'sh', pythonWithPika(), '-B', '-c', OUTBOX, file], {
    cwd: join(ROOT, 'examples', 'python'),
    encoding: 'utf8',
  })

const agentOf = (options: Partial<AgentOptions>): Agent =>
  pythonAgent({ url: broker.url, exchange: names.exchange, outbox: '-', count: 1, ...options })

/**
 * One read of the outbox fails for each error that `on_fault` raises. Arguments: URL, exchange, outbox, errors. Prints
 * what is queued, and the faults.
 */
const FAILED_READ = `
import builtins, sqlite3, sys, time
import agent

raised = sys.argv[4:]
faults = []

class Outbox(agent.Outbox):
    def first(self):
        if len(raised) > 0:
            raise sqlite3.OperationalError("disk I/O error")
        return super().first()

def on_fault(error):
    faults.append(error.code)
    name = raised.pop(0)
    if name != "none":
        raise getattr(builtins, name)

agent.Outbox = Outbox
publisher = agent.Publisher(*sys.argv[1:4], on_fault=on_fault)
publisher.send({"event_id": "e", "message_id": "m"})
while publisher.queued > 0 and publisher.thread.is_alive():
    time.sleep(0.01)
print(publisher.queued, *faults)
`

/**
 * RabbitMQ is away until the disk is full, and then refuses the second message for good. Arguments: URL, exchange,
 * outbox, file to fill the disk with. Prints how many messages were accepted and are queued, and once the disk has space
 * again, how many rows are in the outbox and what was refused.
 */
const FULL_DISK = `
import os, sys, time
import pika
import agent

url, exchange, outbox, filler = sys.argv[1:]
queued = []

class Publisher(agent.Publisher):
    def publish(self, item):
        if item.message_id == "m-1":
            raise agent.PublishError("message_too_large", "Too large.", "refused")
        super().publish(item)

def on_fault(error):
    if error.code == "outbox_unwritable":
        queued.append(publisher.queued)

with open(filler, "wb") as file:
    file.write(bytes(786432))
publisher = Publisher("${NOWHERE}", exchange, outbox, on_fault=on_fault)
accepted = 0
try:
    while True:
        publisher.send({"event_id": "e", "message_id": "m-%d" % accepted, "n": accepted, "text": "x" * 4000})
        accepted += 1
except agent.PublishError:
    pass
with open(filler, "ab", buffering=0) as file:
    size = 65536
    while size > 0:
        try:
            file.write(bytes(size))
        except OSError:
            size //= 2
publisher.nodes = [pika.URLParameters(url)]
# With five faults in a row at the same number, nothing is sent any more.
while publisher.queued > 0 and (len(queued) < 5 or len(set(queued[-5:])) > 1):
    time.sleep(0.01)
print(accepted, publisher.queued, flush=True)
if publisher.queued == 0:
    os.remove(filler)
    rows = 1
    while rows > 0:
        time.sleep(0.01)
        with publisher.changed:
            rows = publisher.store.db.execute("SELECT count(*) FROM outbox").fetchone()[0]
    print(rows, *(publisher.store.db.execute("SELECT message_id, reason FROM refused").fetchone()))
publisher.close()
`

/** Limits of time that Python's locks do not take. Arguments: URL, exchange, outbox. Prints what is left after each close. */
const NO_LIMITS = `
import sys, threading
import agent

url, exchange, outbox = sys.argv[1:]
for timeout in (float("inf"), threading.TIMEOUT_MAX * 2):
    publisher = agent.Publisher(url, exchange, send_timeout=timeout)
    publisher.send({"event_id": "e"})
    print(publisher.close(timeout))
    publisher = agent.Publisher(url, exchange, outbox)
    publisher.send({"event_id": "e"})
    print(publisher.close(timeout))
`

/** Closed while a call waits. Arguments: URL, exchange. Prints the code of that call. */
const CLOSED = `
import sys, threading, time
import agent

publisher = agent.Publisher(*sys.argv[1:], send_timeout=30)

def send():
    try:
        publisher.send({"event_id": "e"})
    except agent.PublishError as error:
        print(error.code, error.delivery_status)

thread = threading.Thread(target=send)
thread.start()
while publisher.queued == 0:
    time.sleep(0.01)
publisher.close(0)
thread.join()
`

/** Runs Python where it can import the example. */
const runPython = (args: string[], env: Record<string, string> = {}, input = '') =>
  new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve, reject) => {
    const child = spawn(pythonWithPika(), ['-B', ...args], {
      cwd: join(ROOT, 'examples', 'python'),
      env: { PATH: process.env.PATH, ...env },
      stdio: 'pipe',
    })
    if (child.pid !== undefined) child.once('exit', killAtExit(child.pid))
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString()
    })
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString()
    })
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout, stderr }))
    child.stdin.end(input)
  })

const runScript = (args: string[], env: Record<string, string>, input = '') => runPython([SCRIPT, ...args], env, input)

test('the script publishes by flags and from stdin, and a bad line affects no other one', async () => {
  await declareQueue(broker.url, names)
  // Of two nodes the first one is away.
  const RABBITMQ_URL = broker.url.replace('@', `@${new URL(NOWHERE).host},`)
  const env = { RABBITMQ_URL, RABBITMQ_EXCHANGE: names.exchange }
  const flags = ['--event-id', 'a.b', '--from', '_captain', '--type', 'llm_response', '--content', '{"data":{"n":1}}']
  const one = await runScript(flags, env)
  assert.is(one.code, 0, one.stderr)
  const lines = [
    '{"event_id":"e","n":0}',
    'no json',
    '{"event_id":"e","score":NaN}',
    '',
    '{"event_id":"e","n":1}',
  ].join('\n')
  const many = await runScript([], env, lines)
  assert.is(many.code, 1)
  assert.match(many.stderr, 'line 2:')
  assert.match(many.stderr, 'line 3: invalid_message')
  const taken = await takeAll(broker.url, names.queue)
  assert.equal(
    taken.map(({ routingKey, durable, contentType }) => [routingKey, durable, contentType]),
    ['a_b.llm_response', 'e.message', 'e.message'].map((key) => [
      `notifications.frontend.${key}`,
      true,
      'application/json',
    ]),
  )
  for (const { messageId, message_id } of taken) {
    assert.is(messageId, message_id)
    assert.match(message_id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  }
  assert.equal(
    [one.stdout, many.stdout].join('').trim().split('\n'),
    taken.map(({ message_id }) => message_id),
  )
})

test('errors have the codes of the TypeScript library', async () => {
  const wrong = new URL(broker.url)
  wrong.password = 'wrong'
  process.env.TIMEOUT = '2'
  try {
    const cases: [Partial<AgentOptions>, string][] = [
      [{ url: NOWHERE }, 'broker_unreachable'],
      [{ url: 'amqp://mq..example' }, 'broker_unreachable'],
      [{ url: wrong.href }, 'broker_auth_failed'],
      [{}, 'exchange_missing'],
    ]
    for (const [options, code] of cases) {
      const agent = agentOf(options)
      await agent.ended()
      assert.is(agent.fault, code, agent.output)
    }
    await declareQueue(broker.url, { ...names, binding: 'elsewhere' })
    const unroutable = agentOf({})
    await unroutable.ended()
    assert.is(unroutable.fault, 'publish_unroutable')
    await declareQueue(
      broker.url,
      { ...names, queue: `${names.queue}.full` },
      { 'x-max-length': 2, 'x-overflow': 'reject-publish' },
    )
    const nacked = agentOf({ count: 3 })
    await nacked.ended()
    assert.is(nacked.fault, 'publish_nacked', nacked.output)
    assert.is(nacked.accepted, 2)
    await takeAll(broker.url, `${names.queue}.full`)
    await deleteNames(broker.url, { ...names, queue: `${names.queue}.full` })
  } finally {
    delete process.env.TIMEOUT
  }
  const { code, stderr } = await runScript(['--event-id', 'e'], {})
  assert.is(code, 2)
  assert.match(stderr, 'config_invalid')
})

test('an outbox is for its owner only, whatever the umask; one that is not is named', async () => {
  const first = openOutbox(outbox)
  assert.equal([first.status, first.stdout.trim(), first.stderr], [0, '600 600', ''])
  chmodSync(outbox, 0o644)
  assert.match(openOutbox(outbox).stderr, `Other users have access to the outbox: chmod go= ${outbox}`)
})

test('an outbox behind a symbolic link is used as itself, whether it exists or not', () => {
  const link = join(tempDir(), 'link.db')
  symlinkSync(outbox, link)
  for (let n = 0; n < 2; n++) {
    const { status, stdout, stderr } = openOutbox(link)
    assert.equal([status, stdout.trim(), stderr], [0, '600 600', ''])
  }
})

test('an outbox is emptied after a kill -9 of the agent, and no second agent opens it', async () => {
  await declareQueue(broker.url, names)
  const first = agentOf({ url: NOWHERE, outbox, count: 100_000, events: 3 })
  await first.hasAccepted(300)
  const second = agentOf({ outbox })
  await second.ended()
  assert.is(second.fault, 'outbox_locked', second.output)
  await first.kill9()
  const db = new Database(outbox, { readonly: true })
  const held = db.prepare('SELECT message_id FROM outbox ORDER BY seq').pluck().all() as string[]
  db.close()
  assert.ok(held.length >= first.accepted)
  const third = agentOf({ outbox, count: 0 })
  await until(() => third.queued > 0 && third.queued < held.length, { everyMs: 1 })
  await third.kill9()
  // The file has the format of the TypeScript library, which can send it as well.
  const publisher = new Publisher({ url: broker.url, exchange: names.exchange, outbox })
  assert.ok(publisher.queued > 0)
  assert.equal(await publisher.close({ timeoutMs: WAIT_MS }), { queued: 0 })
  const taken = await takeAll(broker.url, names.queue)
  assertInOrder(taken, held.length)
  assert.equal(
    firstCopies(taken)
      .map(({ message_id }) => message_id)
      .sort(),
    [...held].sort(),
  )
})

test('an outbox that cannot be read for a moment is reported, and its messages are sent', async () => {
  await declareQueue(broker.url, names)
  const { stdout, stderr } = await runPython(['-c', FAILED_READ, broker.url, names.exchange, outbox, 'none'])
  assert.is(stdout.trim(), '0 outbox_unwritable', stderr)
  assert.is((await takeAll(broker.url, names.queue)).length, 1)
})

test('an on_fault that raises is logged, and the messages are sent', async () => {
  await declareQueue(broker.url, names)
  const args = ['-c', FAILED_READ, broker.url, names.exchange, outbox, 'SystemExit', 'RuntimeError']
  const { stdout, stderr } = await runPython(args)
  assert.is(stdout.trim(), '0 outbox_unwritable outbox_unwritable', stderr)
  assert.match(stderr, 'RuntimeError')
})

test('a limit of time may be infinite', async () => {
  await declareQueue(broker.url, names)
  const { stdout, stderr } = await runPython(['-c', NO_LIMITS, broker.url, names.exchange, outbox])
  assert.is(stdout, '0\n'.repeat(4), stderr)
})

test('close ends the calls that wait', async () => {
  const { stdout, stderr } = await runPython(['-c', CLOSED, NOWHERE, names.exchange])
  assert.is(stdout, 'publisher_closed not_sent\n', stderr)
})

const without = noTinyDisk()
if (without !== null) test.skip('a full disk holds back nothing that is in the outbox', without)
else {
  test('a full disk holds back nothing that is in the outbox', async () => {
    await declareQueue(broker.url, names)
    const disk = mountTinyDisk(1_048_576)
    try {
      const files = ['agent.db', 'filler'].map((name) => join(disk.dir, name))
      const { stdout, stderr } = await runPython(['-c', FULL_DISK, broker.url, names.exchange, ...files])
      const [counts, emptied] = stdout.trim().split('\n')
      const [accepted, queued] = counts!.split(' ').map(Number)
      assert.ok(accepted! > 2, stderr)
      assert.is(queued, 0, `${queued} of ${accepted} messages are not sent`)
      assert.match(emptied!, /^0 m-1 message_too_large: /)
      const sent = Array.from({ length: accepted! }, (_, n) => n).filter((n) => n !== 1)
      assert.equal(
        (await takeAll(broker.url, names.queue)).map(({ n }) => n),
        sent,
      )
    } finally {
      await disk.dispose()
    }
  })
}

test.run()
