// needs: rabbitmq, pika
// workers: 1; full: 1, 3
// transports: http1; full: http1, https1, http2
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import net from 'node:net'
import * as assert from 'uvu/assert'
import { openSse } from '../../support/clients/sse.ts'
import { getCommandLine, PROGRAM } from '../../support/harness/program.ts'
import { suite } from '../../support/harness/suite.ts'
import { TRANSPORT } from '../../support/harness/transport.ts'
import { getJson, type HttpResult, type Json, postJson, until } from '../../support/harness/wait.ts'
import { everyWorker, type Gateway, listWorkerPids, RUN_WORKERS, startGateway } from '../../support/servers/gateway.ts'
import { type SharedBroker, sharedBroker } from '../../support/servers/rabbitmq.ts'
import { eventUrl, isError, metric } from '../../support/stages/rooms.ts'
import { openStage, waitForMessages } from '../../support/stages/stage.ts'

const test = suite('connections above the limit')

/** Of each process. 66 of them are left to connections of clients. */
const OPEN_FILES = 200
const SERVED = 66
/** Enough for every worker, however the kernel distributes them. */
const IDLE = (SERVED + 100) * RUN_WORKERS
/** Idle clients must stay for as long as a slow test takes. */
const env = { HEADERS_TIMEOUT_SECONDS: '600' }

let broker: SharedBroker

test.before(async () => {
  broker = await sharedBroker()
})
test.after(() => broker?.dispose())

const processesOf = (gateway: Gateway): number[] => (RUN_WORKERS === 1 ? [gateway.pid] : listWorkerPids(gateway))

/** Opens connections that send nothing. @returns a function that closes them */
const openIdle = async (gateway: Gateway, count: number): Promise<() => void> => {
  const port = Number(new URL(gateway.url).port)
  const connect = () =>
    new Promise<net.Socket>((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => resolve(socket))
      socket.on('error', () => resolve(socket)).resume()
    })
  const sockets = await Promise.all(Array.from({ length: count }, connect))
  return () => {
    for (const socket of sockets) socket.destroy()
  }
}

/** A response; null if the connection was closed, since it was the oldest one above the limit. */
const answer = (gateway: Gateway, path: string): Promise<HttpResult | null> =>
  getJson(gateway.url + path).catch(() => null)

const faultIs = async (gateway: Gateway, code: string): Promise<boolean> =>
  (await answer(gateway, '/readyz'))?.body.faults?.some(
    (fault: Json) => fault.component === 'connections' && fault.code === code,
  ) ?? false

const failuresOf = (gateway: Gateway): Json[] =>
  gateway.logs().filter(({ msg, component }) => msg === 'component failed' && component === 'connections')

const isReady = (gateway: Gateway): Promise<boolean> =>
  everyWorker(async () => (await answer(gateway, '/readyz'))?.status === 200)

test('idle clients leave descriptors for everything else: streams and commits go on, /readyz names the cause, and it passes', async () => {
  const [program = '', ...args] = getCommandLine(PROGRAM)
  const prlimit = { entry: '/usr/bin/prlimit', args: [`--nofile=${OPEN_FILES}`, program, ...args, 'serve'] }
  const stage = await openStage(broker.url, 'descriptors', { gateway: prlimit, env })
  const { gateway } = stage
  const streams = await Promise.all(Array.from({ length: 6 }, () => stage.open('room')))
  try {
    const closeIdle = await openIdle(gateway, IDLE)
    await until(() => everyWorker(() => faultIs(gateway, 'too_many_open_files')), { what: 'the fault in /readyz' })
    for (const pid of processesOf(gateway)) {
      const open = readdirSync(`/proc/${pid}/fd`).length
      assert.ok(open <= OPEN_FILES - 40, `${open} of ${OPEN_FILES} descriptors are open`)
    }
    // Over HTTP/2 the client sends them on a connection that is served.
    if (TRANSPORT !== 'http2') {
      const refusal = await until(() => answer(gateway, '/api/events'), { what: 'an answer' })
      isError(refusal, 503, 'overloaded')
      assert.ok(Number(refusal.headers['retry-after']) > 0)
      const lost = await openSse(`${eventUrl(gateway, 'room')}/stream`, {
        headers: { accept: 'text/event-stream' },
      }).then(
        ({ status }) => status,
        () => 'closed',
      )
      assert.is(lost, 'closed', 'an EventSource comes back after a closed connection only')
    }
    await stage.publish(['{"event_id":"room","n":1}', '{"event_id":"room","n":2}'])
    for (const stream of streams) await waitForMessages(stream, 2)
    assert.is(await until(() => metric(gateway, 'gateway_connections_max')), SERVED * RUN_WORKERS)
    assert.is(await metric(gateway, 'gateway_component_failures_total{code="too_many_open_files"}'), RUN_WORKERS)
    closeIdle()
    await until(() => isReady(gateway), { what: 'every worker to be ready' })
    const after = await stage.open('room')
    await stage.publish(['{"event_id":"room","n":3}'])
    for (const stream of [...streams, after]) await waitForMessages(stream, 3)
    after.close()
    const failures = failuresOf(gateway)
    assert.is(failures.length, RUN_WORKERS, 'logged once by each')
    assert.match(failures[0].hint, 'LimitNOFILE')
    assert.not.match(gateway.output(), 'EMFILE')
  } finally {
    for (const stream of streams) stream.close()
    await stage.dispose()
  }
})

test('MAX_CONNECTIONS is named in the same way, and its health checks are answered', async () => {
  const gateway = await startGateway({ env: { ...env, MAX_CONNECTIONS: '20' } })
  try {
    const closeIdle = await openIdle(gateway, 100 * RUN_WORKERS)
    await until(() => everyWorker(() => faultIs(gateway, 'too_many_connections')), { what: 'the fault in /readyz' })
    closeIdle()
    await until(() => isReady(gateway), { what: 'every worker to be ready' })
    assert.match(failuresOf(gateway)[0].hint, 'MAX_CONNECTIONS')
  } finally {
    await gateway.dispose()
  }
})

test('a process that has no descriptor left all the same logs it, goes on, and recovers', async () => {
  const gateway = await startGateway({ env })
  /** Sets the limit of open descriptors of the running processes. */
  const limitDescriptors = (count: number): void => {
    for (const pid of processesOf(gateway)) execFileSync('prlimit', ['--pid', String(pid), `--nofile=${count}:`])
  }
  const store = () =>
    everyWorker(async () => (await postJson(`${eventUrl(gateway, 'room')}/messages`, {})).status === 201)
  try {
    // The thread of the database is then running, everywhere.
    assert.ok(await store())
    const before = processesOf(gateway)
    limitDescriptors(10)
    await until(() => failuresOf(gateway).length === RUN_WORKERS, { what: 'the log line of every process' })
    assert.is(failuresOf(gateway)[0].code, 'too_many_open_files')
    assert.match(failuresOf(gateway)[0].cause, 'EMFILE')
    // They wait in the accept queue.
    const closeIdle = await openIdle(gateway, 20 * RUN_WORKERS)
    limitDescriptors(10_000)
    closeIdle()
    await until(() => isReady(gateway), { what: 'every worker to be ready' })
    assert.ok(await store())
    assert.equal(processesOf(gateway), before, 'no process has died')
    assert.is((await gateway.term()).code, 0, gateway.output())
  } finally {
    await gateway.dispose()
  }
})

test.run()
