// needs: rabbitmq, pika
import { execFileSync } from 'node:child_process'
import { existsSync, linkSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { assertNothingLost, Load } from '../../support/clients/load.ts'
import { PikaPublisher } from '../../support/clients/pika.ts'
import { isRunning } from '../../support/harness/processes.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { getJson, tempDir, until } from '../../support/harness/wait.ts'
import { anyAnswer, faultNamed } from '../../support/resilience/observe.ts'
import { countMessages } from '../../support/servers/database.ts'
import { type Gateway, listWorkerPids, startGateway } from '../../support/servers/gateway.ts'
import { queueReady, type SharedBroker, sharedBroker } from '../../support/servers/rabbitmq.ts'
import { chats, getSampleValue, metric, newRoom, parseMetrics, publish } from '../../support/stages/rooms.ts'
import { openStage, type Stage } from '../../support/stages/stage.ts'

const test = suite('failures of workers')

const WORKERS = runs(2, 3)
const STREAMS = 12
const STORED = 'gateway_messages_stored_total'

let gateway: Gateway
let broker: SharedBroker

test.before(async () => {
  broker = await sharedBroker()
  gateway = await startGateway({ env: { WORKERS: String(WORKERS) } })
})
test.after(async () => {
  await gateway?.dispose()
  await broker?.dispose()
})

const textOf = async (): Promise<string> => {
  const { status, text } = await getJson(`${gateway.url}/metrics`)
  assert.is(status, 200, text)
  return text
}

/** Samples of all counters and histograms. */
const cumulative = (text: string): [sample: string, value: number][] => {
  const names = [...text.matchAll(/^# TYPE (\S+) (?:counter|histogram)$/gm)].map(([, name]) => name!)
  return [...parseMetrics(text)].filter(([sample]) => names.some((name) => sample.startsWith(name)))
}

/** Ends the first `count` workers in turn, and waits for each replacement. */
const replace = async (signal: NodeJS.Signals, count = WORKERS): Promise<void> => {
  for (const pid of listWorkerPids(gateway).slice(0, count)) {
    process.kill(pid, signal)
    await until(() => !listWorkerPids(gateway).includes(pid) && listWorkerPids(gateway).length === WORKERS, {
      what: 'a new worker',
    })
    await until(async () => (await metric(gateway, 'gateway_workers')) === WORKERS, { what: 'all workers in /metrics' })
  }
}

/** One request per message, so that each worker stores some. */
const publishEach = (gateway: Gateway, count: number): Promise<unknown> => {
  const room = newRoom()
  return Promise.all(chats(count).map((message) => publish(gateway, room, message)))
}

test('counters and histograms never fall when workers are killed, and keep what the dead have counted', async () => {
  await publishEach(gateway, 100)
  const before = cumulative(await textOf())
  assert.ok(before.some(([sample]) => sample.startsWith('gateway_commit_duration_seconds_bucket')))
  await replace('SIGKILL')
  const after = new Map(cumulative(await textOf()))
  const fallen = before.filter(([sample, value]) => !((after.get(sample) ?? 0) >= value))
  assert.equal(fallen, [])
  assert.is(getSampleValue(after, STORED), 100)
  const { body } = await getJson(`${gateway.url}/api/health`)
  assert.is(body.data.totals.stored, 100)
})

test('a worker that is replaced has the settings of the start, even if a file of a secret has changed or is gone', async () => {
  const dir = tempDir()
  const [file, first, second] = ['url', 'first.db', 'second.db'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ]
  writeFileSync(file, `sqlite:${first}\n`)
  const gateway = await startGateway({
    dataDir: dir,
    env: { WORKERS: '2', DATABASE_URL: undefined, DATABASE_URL_FILE: file },
  })
  try {
    for (const url of [`sqlite:${second}`, 'mysql://nowhere']) {
      writeFileSync(file, url)
      const [victim] = listWorkerPids(gateway)
      process.kill(victim!, 'SIGKILL')
      await until(() => listWorkerPids(gateway).length === 2 && !listWorkerPids(gateway).includes(victim!), {
        what: 'a new worker',
      })
      const failed = () => gateway.output().includes('config_invalid')
      await until(async () => failed() || existsSync(second) || (await metric(gateway, 'gateway_workers')) === 2, {
        what: 'both workers in /metrics',
      })
      assert.equal([failed(), existsSync(second)], [false, false])
    }
    assert.not.match(readFileSync(`/proc/${listWorkerPids(gateway)[0]}/environ`, 'utf8'), first)
  } finally {
    await gateway.dispose()
  }
})

for (const workers of [1, 2]) {
  test(`a process whose writer of the database has ended is started again (WORKERS=${workers})`, async () => {
    const entry = 'test/support/servers/mortal-writer-gateway.ts'
    const gateway = await startGateway({ entry, env: { WORKERS: String(workers) } })
    try {
      await publishEach(gateway, 20)
      const [victim = gateway.pid] = listWorkerPids(gateway)
      process.kill(victim, 'SIGUSR2')
      const found = () => gateway.logs().find(({ code }) => code === 'storage_unavailable')
      // A write notices it at the latest.
      await until(() => found() !== undefined || publish(gateway, newRoom(), chats(1)).then(() => false), {
        what: 'its end is noticed',
      })
      assert.is(found()?.level, 'error', gateway.output())
      await until(() => !isRunning(victim), { what: 'the end of the process' })
      if (workers === 1) {
        assert.is((await gateway.term()).code, 1)
        await gateway.restart()
      }
      await until(async () => (await metric(gateway, 'gateway_workers')) === workers, {
        what: 'all workers in /metrics',
      })
      await publishEach(gateway, 20)
    } finally {
      await gateway.dispose()
    }
  })
}

test.full('workers that were all killed at once are replaced when they are killed again', async () => {
  const wal = `${gateway.dbFile}-wal`
  const { ino } = statSync(wal)
  // Keeps the inode in use, so that the first replacement, which makes new files, gets another one.
  linkSync(wal, `${wal}.link`)
  const dead = listWorkerPids(gateway)
  for (const pid of dead) process.kill(pid, 'SIGKILL')
  await until(() => listWorkerPids(gateway).filter((pid) => !dead.includes(pid)).length === WORKERS, {
    what: 'new workers',
  })
  await until(async () => (await metric(gateway, 'gateway_workers')) === WORKERS, { what: 'all workers in /metrics' })
  assert.is.not(statSync(wal).ino, ino)
  await replace('SIGKILL', 1)
})

test.full('a worker that exits in order reports all that it has counted', async () => {
  const before = await metric(gateway, STORED)
  await publishEach(gateway, 30)
  await replace('SIGTERM')
  assert.is(await metric(gateway, STORED), before + 30)
})

/** A gateway with a broker and a load, as `work` needs it. */
const underLoad = async (work: (stage: Stage, load: Load) => Promise<void>): Promise<void> => {
  const stage = await openStage(broker.url, 'failures', { env: { WORKERS: String(WORKERS), SHUTDOWN_SECONDS: '60' } })
  const agent = new PikaPublisher({ url: broker.url, exchange: stage.names.exchange, mandatory: true, retry: true })
  try {
    await work(stage, new Load(agent, newRoom()).start())
  } finally {
    await agent.kill9()
    await stage.dispose()
  }
}

test.full('workers whose primary is killed under load close their streams, commit, acknowledge and exit', () =>
  underLoad(async ({ gateway, names, open }, load) => {
    const streams = await Promise.all(Array.from({ length: STREAMS }, () => open(load.event_id)))
    await load.more(100)
    // An EventSource gives up on any status but 200, and comes back after a refused connection.
    const statuses = new Set<number>()
    let opening = true
    const openers = Array.from({ length: 4 }, async () => {
      while (opening) {
        const stream = await open(load.event_id).catch(() => null)
        if (stream !== null) statuses.add(stream.status)
        stream?.close()
      }
    })
    const workers = listWorkerPids(gateway)
    await gateway.kill9()
    for (const stream of streams) {
      await stream.closed
      assert.equal(stream.events.at(-1)?.data, { reason: 'shutdown' })
    }
    await until(() => !workers.some(isRunning), { what: 'the workers to exit' })
    opening = false
    await Promise.all(openers)
    assert.equal([...statuses], [200])
    await load.stop()
    const stopped = gateway.logs().filter(({ msg }) => msg === 'stopped')
    assert.is(stopped.length, WORKERS, gateway.output())
    assert.not.match(gateway.output(), /EPIPE|ERR_IPC|Uncaught|node:internal/)
    await until(async () => (await queueReady(broker.url, names.queue))?.consumers === 0, { what: 'no consumer' })
    const left = (await queueReady(broker.url, names.queue))?.messages ?? -1
    assert.is(left, load.confirmed.length - countMessages(gateway.dbFile), 'each stored message is acknowledged')
  }),
)

test.full('the primary survives workers that are killed while it writes to them', () =>
  underLoad(async ({ gateway }, load) => {
    const before = gateway.pid
    for (let death = 0; death < runs(4, 30); death++) {
      await load.more(20)
      const [victim] = listWorkerPids(gateway)
      process.kill(victim!, 'SIGKILL')
      await until(() => listWorkerPids(gateway).length === WORKERS && !listWorkerPids(gateway).includes(victim!), {
        what: 'a new worker',
      })
    }
    await load.stop()
    await assertNothingLost(gateway.dbFile, [load], [])
    assert.equal([gateway.running, gateway.pid], [true, before])
    assert.not.match(gateway.output(), /EPIPE|ERR_IPC|Uncaught|node:internal/)
  }),
)

test('a worker that hangs is named by /readyz within 10 s, does not stop /metrics, and is killed and replaced', async () => {
  const gateway = await startGateway({
    env: { WORKERS: String(WORKERS), WORKER_TIMEOUT_SECONDS: String(runs(12, 40)) },
  })
  try {
    await publishEach(gateway, 100)
    assert.is(await metric(gateway, STORED), 100)
    const [victim] = listWorkerPids(gateway)
    const startedAt = Date.now()
    process.kill(victim!, 'SIGSTOP')
    const fault = await faultNamed(gateway, { component: 'workers', code: 'worker_unresponsive' }, startedAt)
    assert.match(fault.message, `pid ${victim}`)
    const { status, text } = await anyAnswer(`${gateway.url}/metrics`)
    assert.is(status, 200, text)
    assert.is(getSampleValue(parseMetrics(text), STORED), 100, 'with the last known values of the worker that hangs')
    await until(() => !isRunning(victim!) && listWorkerPids(gateway).length === WORKERS, { what: 'a new worker' })
    const killed = gateway.logs().find(({ msg, pid }) => msg?.startsWith('worker does not respond') && pid === victim)
    assert.ok(killed !== undefined && killed.time > fault.since, `named before it is killed: ${gateway.output()}`)
    await gateway.ready()
    assert.is(await metric(gateway, STORED), 100)
  } finally {
    await gateway.dispose()
  }
})

/** Sets the limit of open descriptors of a running process. */
const limitDescriptors = (pid: number, count: number): void =>
  void execFileSync('prlimit', ['--pid', String(pid), `--nofile=${count}:`])

test('a new worker opens the database of the others, wherever a symbolic link of its path leads meanwhile', async () => {
  const dataDir = tempDir()
  const link = join(dataDir, 'link.db')
  symlinkSync('gateway.db', link)
  const linked = await startGateway({ dataDir, env: { WORKERS: '2', DATABASE_URL: `sqlite:${link}` } })
  try {
    rmSync(link)
    symlinkSync('other.db', link)
    const [killed] = listWorkerPids(linked)
    process.kill(killed!, 'SIGKILL')
    await until(() => !listWorkerPids(linked).includes(killed!) && listWorkerPids(linked).length === 2, {
      what: 'a new worker',
    })
    await until(async () => (await metric(linked, 'gateway_workers')) === 2, { what: 'all workers in /metrics' })
    assert.not(existsSync(join(dataDir, 'other.db')))
  } finally {
    await linked.dispose()
  }
})

test.full('a primary without free descriptors replaces a worker once it has some again', async () => {
  const gateway = await startGateway({ env: { WORKERS: '2', SHUTDOWN_SECONDS: '60' } })
  try {
    // Less than it has open, so that it gets no new one.
    limitDescriptors(gateway.pid, 6)
    process.kill(listWorkerPids(gateway)[0]!, 'SIGKILL')
    await gateway.waitForLog(({ msg, err }) => msg === 'worker error' && err.code === 'EMFILE')
    limitDescriptors(gateway.pid, 1_000)
    await until(() => listWorkerPids(gateway).length === 2, { what: 'a new worker' })
    await until(async () => (await getJson(`${gateway.url}/api/health`)).body.data.ready, { what: 'two ready workers' })
    assert.is((await gateway.term()).code, 0, gateway.output())
  } finally {
    await gateway.dispose()
  }
})

test.full('a suspended machine and a stopped primary kill no worker', async () => {
  const gateways = await Promise.all(
    [0, 1].map(() => startGateway({ env: { WORKERS: '2', WORKER_TIMEOUT_SECONDS: '6' } })),
  )
  try {
    const before = gateways.map(listWorkerPids)
    // Of the first one the primary alone, of the second one all processes.
    const targets = [gateways[0]!.pid, -gateways[1]!.pid]
    for (const pid of targets) process.kill(pid, 'SIGSTOP')
    await sleep(9_000)
    for (const pid of targets) process.kill(pid, 'SIGCONT')
    // The primary has then had messages of all workers, so that their silence is over.
    for (const { url } of gateways) {
      await until(async () => (await getJson(`${url}/api/health`)).body.data?.ready, { what: 'all workers reply' })
    }
    assert.equal(gateways.map(listWorkerPids), before)
    for (const gateway of gateways) await gateway.ready()
  } finally {
    for (const gateway of gateways) await gateway.dispose()
  }
})

test.run()
