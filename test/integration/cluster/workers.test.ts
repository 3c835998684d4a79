// needs: rabbitmq, pika
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { assertNothingLost, IdReader, Load } from '../../support/clients/load.ts'
import { PikaPublisher } from '../../support/clients/pika.ts'
import { openSse } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { freePort, getJson, type HttpResult, postJson, until } from '../../support/harness/wait.ts'
import { countMessages } from '../../support/servers/database.ts'
import { type Gateway, listWorkerPids, startGateway } from '../../support/servers/gateway.ts'
import { type SharedBroker, sharedBroker } from '../../support/servers/rabbitmq.ts'
import { chat, chats, eventUrl, metric, newRoom, publish } from '../../support/stages/rooms.ts'
import { openStage } from '../../support/stages/stage.ts'

const test = suite('workers')

const WORKERS = runs(2, 3)
/** Enough that each worker very likely has one. */
const STREAMS = 24

let broker: SharedBroker
/** Embedded, with workers; shared by all tests that need no broker. */
let gateway: Gateway

test.before(async () => {
  broker = await sharedBroker()
  // It must stop without reaching the deadline.
  gateway = await startGateway({ env: { WORKERS: String(WORKERS), SHUTDOWN_SECONDS: '60' } })
})
test.after(async () => {
  await gateway?.dispose()
  await broker?.dispose()
})

/** How many sockets listen on the gateway's port: each worker has one of its own. */
const listenersOf = (gateway: Gateway): number => {
  const port = Number(new URL(gateway.url).port).toString(16).toUpperCase().padStart(4, '0')
  const sockets = readFileSync('/proc/net/tcp', 'utf8').split('\n')
  return sockets.filter((line) => line.includes(`:${port} 00000000:0000 0A`)).length
}

test('the gateway reports listening once every worker listens', () => assert.is(listenersOf(gateway), WORKERS))

/** Keeps each worker busy at its start, so that it reads the first messages of the primary together. */
const SLOW_WORKERS = `data:text/javascript,${encodeURIComponent(`
import cluster from 'node:cluster'
for (const end = Date.now() + 1_500; cluster.isWorker && Date.now() < end; );
`)}`

test('a worker that is told to stop before it has loaded ends in order', async () => {
  const env = { WORKERS: '2', SHUTDOWN_SECONDS: '60', NODE_OPTIONS: `--import=${SLOW_WORKERS}` }
  const slow = await startGateway({ env })
  try {
    const first = listWorkerPids(slow)
    process.kill(first[0]!, 'SIGKILL')
    await until(() => listWorkerPids(slow).some((pid) => !first.includes(pid)), { what: 'a new worker' })
    assert.equal((await slow.term()).code, 0, slow.output())
  } finally {
    await slow.dispose()
  }
})

test('a message that one worker stores reaches the subscribers of every worker, once and in order', async () => {
  const room = newRoom()
  const url = `${gateway.url}/api/events/${room}/stream`
  const streams = await Promise.all(Array.from({ length: STREAMS }, () => openSse(url)))
  await until(async () => (await metric(gateway, 'gateway_subscribers')) === STREAMS, { what: 'all readers counted' })
  await Promise.all(chats(100).map((message) => publish(gateway, room, message)))
  const { body } = await getJson(`${gateway.url}/api/events/${room}/messages`)
  const ids = body.data.map(({ db_id }: { db_id: number }) => db_id)
  assert.is(ids.length, 100)
  for (const stream of streams) {
    const got = () => stream.events.filter(({ event }) => event === 'new_message').map(({ id }) => Number(id))
    await stream.waitFor(() => got().length >= 100)
    assert.equal(got(), ids)
    stream.close()
  }
  assert.is(await metric(gateway, 'gateway_messages_stored_total'), 100, 'the figures are those of all workers')
})

test('a worker that dies is replaced and takes only its own connections with it', async () => {
  const room = newRoom()
  const readers = Array.from({ length: STREAMS }, () => new IdReader(gateway, room, { retryMs: 100 }))
  for (const reader of readers) reader.start()
  await until(async () => (await metric(gateway, 'gateway_subscribers')) === STREAMS, { what: 'all readers' })
  await publish(gateway, room, chats(20))
  const [victim] = listWorkerPids(gateway)
  process.kill(victim!, 'SIGKILL')
  await until(() => !listWorkerPids(gateway).includes(victim!) && listWorkerPids(gateway).length === WORKERS, {
    what: 'a new worker',
  })
  await until(
    () =>
      publish(gateway, room, chats(20)).then(
        () => true,
        () => false,
      ),
    { what: 'publishing goes on' },
  )
  for (const reader of readers) {
    await reader.waitForCount(40)
    assert.ok(reader.ids.every((id, index) => id > (reader.ids[index - 1] ?? 0)))
    assert.is(reader.ids.length, 40)
    await reader.stop()
  }
  const stayed = readers.filter((reader) => reader.connections === 1).length
  assert.ok(stayed > 0 && stayed < STREAMS, `${stayed} of ${STREAMS} readers kept their connection`)
})

test('when the consuming worker dies, the next takes over in order, and nothing is lost, nor when all die at once', async () => {
  const stage = await openStage(broker.url, 'workers', { env: { WORKERS: String(WORKERS) } })
  try {
    const agent = new PikaPublisher({ url: broker.url, exchange: stage.names.exchange, mandatory: true, retry: true })
    const load = new Load(agent, newRoom()).start()
    const reader = new IdReader(stage.gateway, load.event_id, { retryMs: 100 })
    reader.start()
    for (let death = 0; death < WORKERS; death++) {
      await load.more(100)
      // Any worker may be the consumer, so each of the initial ones is killed.
      const pid = listWorkerPids(stage.gateway)[0]!
      process.kill(pid, 'SIGKILL')
      await until(
        () => !listWorkerPids(stage.gateway).includes(pid) && listWorkerPids(stage.gateway).length === WORKERS,
        {
          what: 'a new worker',
        },
      )
    }
    // Then the whole gateway with all its workers is killed.
    await load.more(100)
    await stage.gateway.kill9()
    await stage.gateway.restart()
    await load.more(100)
    await load.stop()
    await agent.close()
    await assertNothingLost(stage.gateway.dbFile, [load], [reader])
    await reader.stop()
  } finally {
    await stage.dispose()
  }
})

/** What a browser or an agent may see of a restart: it connects again after a lost or refused connection. */
const HARMLESS = ['success', 'ECONNREFUSED', 'ECONNRESET']

test.full('workers that are restarted one by one under load lose no message and refuse no request', async () => {
  const stage = await openStage(broker.url, 'rolling', { env: { WORKERS: String(WORKERS), SHUTDOWN_SECONDS: '60' } })
  const { gateway, names } = stage
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: true, retry: true })
  const load = new Load(agent, newRoom(), { everyMs: 10 })
  const readers = Array.from({ length: STREAMS }, () => new IdReader(gateway, load.event_id, { retryMs: 50 }))
  const outcomes = new Set<unknown>()
  let visiting = true
  /** Makes requests, each on a new connection, until the restarts are over. @returns the number of successes */
  const visit = async (ask: (n: number) => Promise<HttpResult>): Promise<number> => {
    let successes = 0
    while (visiting) {
      const outcome = await ask(successes).then(
        ({ status, body }) => (status < 300 ? 'success' : `${status} ${body?.code}: ${body?.message}`),
        ({ code }) => code,
      )
      outcomes.add(outcome)
      if (outcome === 'success') successes += 1
      await sleep(5)
    }
    return successes
  }
  try {
    load.start()
    for (const reader of readers) reader.start()
    const posts = Array.from({ length: 4 }, () => {
      const event_id = newRoom()
      const post = (n: number) =>
        postJson(`${eventUrl(gateway, event_id)}/messages`, { ...chat(n), message_id: `m${n}` })
      return { event_id, done: visit(post) }
    })
    const reads = [
      visit(() => getJson(`${eventUrl(gateway, load.event_id)}/messages?tail=10`)),
      visit(() => getJson(`${gateway.url}/api/events`)),
    ]
    for (const pid of listWorkerPids(gateway)) {
      await load.more(50)
      process.kill(pid, 'SIGTERM')
      await until(() => !listWorkerPids(gateway).includes(pid), { what: 'the exit of the worker' })
      await until(async () => (await metric(gateway, 'gateway_workers')) === WORKERS, { what: 'a new worker' })
    }
    await load.more(50)
    visiting = false
    await Promise.all([...posts.map(({ done }) => done), ...reads])
    assert.equal(
      [...outcomes].filter((outcome) => !HARMLESS.includes(outcome as string)),
      [],
    )
    const exits = gateway.logs().filter(({ msg }) => msg === 'worker exited, restarting')
    assert.equal(
      exits.map(({ code }) => code),
      Array.from({ length: WORKERS }, () => 0),
    )
    await load.stop()
    await assertNothingLost(gateway.dbFile, [load], readers)
    for (const { event_id, done } of posts) {
      const count = await done
      await until(() => countMessages(gateway.dbFile, event_id) === count, { what: 'what was posted, once each' })
    }
    for (const { connections, counts } of readers)
      assert.ok(connections > 1 && counts.closing! >= 1, 'each was drained')
  } finally {
    visiting = false
    for (const reader of readers) await reader.stop()
    await agent.kill9()
    await stage.dispose()
  }
})

test('SIGTERM drains all workers, and each stream ends with closing', async () => {
  const room = newRoom()
  await publish(gateway, room, chat(1))
  const url = `${gateway.url}/api/events/${room}/stream`
  const streams = await Promise.all(Array.from({ length: STREAMS }, () => openSse(url)))
  await Promise.all(streams.map((stream) => stream.next('caught_up')))
  // The exit code is not 0 if a worker had to be killed at the deadline.
  assert.is((await gateway.term()).code, 0, gateway.output())
  for (const stream of streams) {
    await stream.closed
    assert.equal(stream.events.at(-1)?.data, { reason: 'shutdown' })
  }
})

test('workers exit when the primary is killed', async () => {
  await gateway.restart()
  const pids = listWorkerPids(gateway)
  process.kill(gateway.pid, 'SIGKILL')
  const gone = (pid: number): boolean => {
    try {
      process.kill(pid, 0)
      return false
    } catch {
      return true
    }
  }
  await until(() => pids.every(gone), { what: 'the workers to end' })
})

test('workers do not share the port for metrics with those of another gateway', async () => {
  const env = { WORKERS: '2', METRICS_PORT: String(await freePort()) }
  const first = await startGateway({ env })
  let second: Gateway | undefined
  try {
    const error = await startGateway({ env }).then(
      (started) => {
        second = started
      },
      (failure: Error) => failure,
    )
    assert.match(String(error), 'listen_failed')
  } finally {
    await first.dispose()
    await second?.dispose()
  }
})

test('a startup error of the first worker is reported once and ends the gateway', async () => {
  const port = await freePort()
  const first = await startGateway({ env: { PORT: String(port) } })
  try {
    const error = await startGateway({ env: { PORT: String(port), WORKERS: String(WORKERS) } }).then(
      () => assert.unreachable(),
      (failure: Error) => failure,
    )
    assert.is(String((error as Error).message).match(/listen_failed/g)?.length, 1, String(error))
  } finally {
    await first.dispose()
  }
})

test.run()
