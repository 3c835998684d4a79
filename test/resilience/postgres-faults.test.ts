// needs: postgres, rabbitmq, pika
import { randomBytes } from 'node:crypto'
import { chownSync } from 'node:fs'
import * as assert from 'uvu/assert'
import type { GatewayError } from '../../src/core/errors.ts'
import { callCli } from '../support/clients/cli.ts'
import { assertReadOnce, assertSameOnce, IdReader, Load } from '../support/clients/load.ts'
import { PikaPublisher } from '../support/clients/pika.ts'
import { suite } from '../support/harness/suite.ts'
import { runs } from '../support/harness/tier.ts'
import { getJson, type Json, until } from '../support/harness/wait.ts'
import { faultNamed } from '../support/resilience/observe.ts'
import { fastDir } from '../support/servers/fast-dir.ts'
import { type Gateway, startGateway } from '../support/servers/gateway.ts'
import {
  connect,
  extractSchemaName,
  freshSchema,
  messagesIn,
  type Postgres,
  queryRows,
  runAs,
  startPostgres,
  startStandby,
} from '../support/servers/postgres.ts'
import { type ControlledBroker, controlledBroker } from '../support/servers/rabbitmq.ts'
import { mountTinyDisk, noTinyDisk } from '../support/servers/tiny-disk.ts'
import { newEntry, store } from '../support/stages/entries.ts'
import { brokerEnv, listMessages, openStage, type Stage, waitForMessages } from '../support/stages/stage.ts'
import { openPostgres } from '../support/store/postgres-store.ts'
import { openSqlite } from '../support/store/sqlite-store.ts'

const MEGABYTE = 1024 * 1024

const test = suite('faults of PostgreSQL')

let postgres: Postgres
let broker: ControlledBroker

test.before(async () => {
  ;[postgres, broker] = await Promise.all([startPostgres(), controlledBroker()])
  // Would hide the warning that the wait of a commit was cancelled.
  await queryRows(postgres.url, 'ALTER ROLE CURRENT_USER SET client_min_messages = error')
})
test.after(async () => {
  await broker?.dispose()
  await postgres?.dispose()
})

const open = (prefix: string, url: string): Promise<Stage> =>
  openStage(broker.url, prefix, { env: { DATABASE_URL: url, DATABASE_POOL_SIZE: '4' } })

const faultOf = (gateway: Gateway, component: string, code: string): Promise<Json> => {
  let faults: Json
  return until(
    async () => {
      faults = (await getJson(`${gateway.url}/readyz`)).body.faults
      return faults?.find((fault: Json) => fault.component === component && fault.code === code)
    },
    { what: `the fault ${code} of ${component}`, saw: () => faults },
  )
}

/** Publishes messages without ids, so that a second copy or another order would be visible. */
const publishNumbers = ({ publish }: Stage, event_id: string, from: number, to: number): Promise<void> => {
  const numbers = Array.from({ length: to - from }, (_, index) => from + index)
  // Random, since PostgreSQL compresses long values.
  return publish(numbers.map((n) => JSON.stringify({ event_id, n, pad: randomBytes(4_000).toString('hex') })))
}

/** Resolves when each message is stored once, in order, acknowledged, and sent on one stream. */
const assertComplete = async (stage: Stage, url: string, event_id: string, count: number): Promise<void> => {
  const stored = async (): Promise<number[]> => (await messagesIn(url, event_id)).map(({ body }) => JSON.parse(body).n)
  await until(async () => (await stored()).length >= count, { what: `${count} messages in the database` })
  assert.equal(
    await stored(),
    Array.from({ length: count }, (_, n) => n),
  )
  await until(async () => (await broker.queueDepth(stage.names.queue)) === 0, { what: 'an empty queue' })
}

/** Asserts that writing failed with this code from the first failure to the success of what had failed. */
const assertFailedOnce = (gateway: Gateway, code: string): void => {
  const lines = gateway.logs().filter(({ component }) => component === 'store_write')
  const changes = lines.map((line) => (line.msg === 'component failed' ? line.code : line.msg))
  const distinct = changes.filter((change, index) => change !== changes[index - 1])
  assert.equal(distinct, [code, 'component recovered'])
}

/** Returns the server processes whose commit waits for a standby. */
const waitingCommits = (): Promise<{ pid: number }[]> =>
  queryRows(postgres.url, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")

const setStandby = async (name: string): Promise<void> => {
  await queryRows(postgres.url, `ALTER SYSTEM SET synchronous_standby_names = '${name}'`)
  await queryRows(postgres.url, 'SELECT pg_reload_conf()')
}

/** Makes commits wait for a standby that is not there, and returns once they do. */
const loseStandby = async (): Promise<void> => {
  const client = await connect(postgres.url)
  await client.query('CREATE TABLE IF NOT EXISTS public.trial (n integer)')
  await setStandby('missing')
  const commitWaits = async (): Promise<boolean> => {
    let done = false
    client.query('INSERT INTO public.trial VALUES (1)').then(
      () => (done = true),
      () => undefined,
    )
    await until(async () => done || (await waitingCommits()).length > 0, { what: 'a commit' })
    return !done
  }
  await until(commitWaits, { what: 'a commit that waits' })
  for (const { pid } of await waitingCommits()) await queryRows(postgres.url, `SELECT pg_terminate_backend(${pid})`)
  await until(async () => (await waitingCommits()).length === 0, { what: 'its end' })
}

test('a commit that did not wait for its standby is a failure, and whoever finds it stored waits as well', async () => {
  const url = freshSchema(postgres.url)
  const [one, other] = [await openPostgres(url), await openPostgres(url)]
  const batch = [newEntry({ message_id: 'a' }), newEntry({ message_id: 'b' })]
  await loseStandby()
  try {
    for (const [end, expected] of [
      ['pg_cancel_backend', 'database_standby_unavailable'],
      ['pg_terminate_backend', 'database_unreachable'],
      ['pg_cancel_backend', 'database_standby_unavailable'],
    ] as const) {
      let outcome = ''
      const appended = one.append(batch).then(
        () => (outcome = 'acknowledged'),
        ({ code }: GatewayError) => (outcome = code),
      )
      const waits = async () => outcome !== '' || (await waitingCommits()).length > 0
      await until(waits, { what: 'a commit that waits' })
      for (const { pid } of await waitingCommits()) await queryRows(url, `SELECT ${end}(${pid})`)
      assert.is(await appended, expected)
    }
    const retried = other.append(batch)
    await until(async () => (await waitingCommits()).length > 0, { what: 'a commit of the other host that waits' })
    await setStandby('')
    assert.equal(
      (await retried).map(({ kind }) => kind),
      ['duplicate', 'duplicate'],
    )
    assert.is((await messagesIn(url)).length, 2)
  } finally {
    await setStandby('')
    await Promise.all([one.stop(), other.stop()])
  }
})

test('a migration whose commit did not wait for its standby fails, and continues when it is called again', async () => {
  const [file, url] = [`${fastDir()}/gateway.db`, freshSchema(postgres.url)]
  const log = await openSqlite(file, true)
  await store(log, {}, {})
  await log.stop()
  const move = () => callCli(['migrate', '--from', `sqlite:${file}`, '--to', url])
  await loseStandby()
  try {
    const failed = move()
    await until(async () => (await waitingCommits()).length > 0, { what: 'a commit that waits' })
    for (const { pid } of await waitingCommits()) await queryRows(url, `SELECT pg_cancel_backend(${pid})`)
    const { code, stderr } = await failed
    assert.is(code, 1)
    assert.match(stderr, 'database_standby_unavailable')
    await setStandby('')
    const { code: next, stderr: text } = await move()
    assert.is(next, 0, text)
    assert.is((await messagesIn(url)).length, 2)
  } finally {
    await setStandby('')
  }
})

test('commits that wait for a missing standby are named within 10 s, until they succeed, and nothing is acknowledged', async () => {
  const url = freshSchema(postgres.url)
  const stage = await open('standby', url)
  try {
    const stream = await stage.open('standby')
    await publishNumbers(stage, 'standby', 0, 5)
    await waitForMessages(stream, 5)
    await loseStandby()
    const startedAt = Date.now()
    await publishNumbers(stage, 'standby', 5, 20)
    const named = { component: 'store_write', code: 'database_standby_unavailable' }
    const fault = await faultNamed(stage.gateway, named, startedAt)
    assert.match(fault.hint, 'synchronous_standby_names')
    assert.is((await getJson(`${stage.gateway.url}/api/events`)).status, 200, 'reading goes on')
    assert.ok((await broker.queueDepth(stage.names.queue)) >= 15, 'what has reached no standby is not acknowledged')
    await setStandby('')
    await stage.gateway.ready()
    await assertComplete(stage, url, 'standby', 20)
    await waitForMessages(stream, 20)
    assertFailedOnce(stage.gateway, 'database_standby_unavailable')
    stream.close()
  } finally {
    await setStandby('')
    await stage.dispose()
  }
})

test('a role without a connection left is named, nothing is acknowledged meanwhile, and the gateway recovers', async () => {
  await queryRows(postgres.url, "CREATE ROLE limited LOGIN PASSWORD 'limited'")
  await queryRows(postgres.url, 'GRANT CREATE ON DATABASE postgres TO limited')
  const url = freshSchema(postgres.url)
  const limited = url.replace(/\/\/[^@]+@/, '//limited:limited@')
  const stage = await open('limited', limited)
  try {
    const stream = await stage.open('limited')
    await publishNumbers(stage, 'limited', 0, 5)
    await waitForMessages(stream, 5)
    await queryRows(postgres.url, 'ALTER ROLE limited CONNECTION LIMIT 0')
    await queryRows(postgres.url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'limited'")
    await publishNumbers(stage, 'limited', 5, 20)
    for (const component of ['store_write', 'store_read']) {
      const fault = await faultOf(stage.gateway, component, 'database_too_many_connections')
      assert.match(fault.hint, 'max_connections')
    }
    const answer = await getJson(`${stage.gateway.url}/api/events`)
    assert.equal([answer.status, answer.body.code], [503, 'database_too_many_connections'])
    assert.is((await getJson(`${stage.gateway.url}/livez`)).status, 200)
    assert.is((await messagesIn(url)).length, 5)
    assert.ok((await broker.queueDepth(stage.names.queue)) >= 15, 'what is not stored is not acknowledged')
    await queryRows(postgres.url, 'ALTER ROLE limited CONNECTION LIMIT -1')
    await stage.gateway.ready()
    await assertComplete(stage, url, 'limited', 20)
    await waitForMessages(stream, 20)
    assert.is(listMessages(stream).length, 20)
    stream.close()
  } finally {
    await stage.dispose()
  }
})

const withoutDisk = noTinyDisk()
const onTinyDisk = withoutDisk === null ? test : (name: string, _run: unknown) => test.skip(name, withoutDisk)

onTinyDisk('a full disk of PostgreSQL stops acknowledging, is named, and loses nothing', async () => {
  const disk = mountTinyDisk(24 * MEGABYTE)
  const user = runAs()
  if (user !== null) chownSync(disk.dir, user.uid, user.gid)
  await queryRows(postgres.url, `CREATE TABLESPACE tiny LOCATION '${disk.dir}'`)
  await queryRows(postgres.url, 'CREATE DATABASE tiny TABLESPACE tiny')
  const url = postgres.url.replace(/\/postgres$/, '/tiny')
  const stage = await open('full', url)
  try {
    const stream = await stage.open('full')
    await publishNumbers(stage, 'full', 0, 5)
    await waitForMessages(stream, 5)
    disk.fill()
    await publishNumbers(stage, 'full', 5, 60)
    const fault = await faultOf(stage.gateway, 'store_write', 'database_full')
    assert.match(fault.hint, 'disk space')
    const stored = (await messagesIn(url)).length
    assert.ok(stored < 60, `${stored} stored`)
    assert.ok((await broker.queueDepth(stage.names.queue)) >= 60 - stored, 'what is not stored is not acknowledged')
    assert.is((await getJson(`${stage.gateway.url}/api/events`)).status, 200, 'reading goes on')
    assert.is((await getJson(`${stage.gateway.url}/livez`)).status, 200)
    disk.free()
    await stage.gateway.ready()
    await assertComplete(stage, url, 'full', 60)
    await waitForMessages(stream, 60)
    assert.is(listMessages(stream).length, 60)
    assertFailedOnce(stage.gateway, 'database_full')
    stream.close()
  } finally {
    await stage.dispose()
    await queryRows(postgres.url, 'DROP DATABASE tiny WITH (FORCE)')
    await queryRows(postgres.url, 'DROP TABLESPACE tiny')
    await disk.dispose()
  }
})

/** Starts the old primary again, which is named first in the URL: neither a running gateway nor a new one may use it. */
const assertOldPrimaryUnused = async (stage: Stage, standby: Postgres, hosts: string): Promise<void> => {
  await postgres.start()
  const late = await startGateway({ env: brokerEnv(broker.url, stage.names, { DATABASE_URL: hosts }) })
  try {
    const ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'deepsoc-gateway'"
    await queryRows(standby.url, ours)
    for (const gateway of [stage.gateway, late]) {
      await gateway.waitForLog(({ msg = '' }) =>
        /an old primary is not used: .* timeline 1, the store is at 2/.test(msg),
      )
      await gateway.ready()
    }
    await stage.publish([JSON.stringify({ event_id: 'later' })])
    const copy = `${standby.url}?schema=${extractSchemaName(hosts)}`
    await until(async () => (await messagesIn(copy, 'later')).length === 1, { what: 'the message on the new primary' })
    await standby.kill9()
    const named = { component: 'store_write', code: 'database_old_timeline' }
    assert.match((await faultNamed(stage.gateway, named)).hint, 'pg_rewind')
    await standby.start()
    await Promise.all([stage.gateway.ready(), late.ready()])
  } finally {
    await late.dispose()
  }
}

/** Waits until `health --cluster` exits with this code, and its last line matches. */
const clusterIs = async (gateway: Gateway, code: number, last: RegExp): Promise<void> => {
  let shown = ''
  const matches = async (): Promise<boolean> => {
    const ran = await callCli(['health', '--cluster', '--url', gateway.url])
    shown = `exit ${ran.code}\n${ran.stdout}${ran.stderr}`
    return ran.code === code && last.test(ran.stdout)
  }
  await until(matches, { what: `exit ${code} of health --cluster`, saw: () => shown })
}

test('a failover to a synchronous standby under load loses nothing acknowledged, and no stream ends', async () => {
  const standby = await startStandby(postgres)
  await queryRows(postgres.url, "ALTER SYSTEM SET synchronous_standby_names = '*'")
  await queryRows(postgres.url, 'SELECT pg_reload_conf()')
  const replication = () => queryRows<Json>(postgres.url, 'SELECT sync_state FROM pg_stat_replication')
  await until(async () => (await replication())[0]?.sync_state === 'sync', { what: 'a synchronous standby' })
  const url = freshSchema(postgres.url)
  const copy = `${standby.url}?schema=${extractSchemaName(url)}`
  const hosts = url.replace(/@([^/]+)/, `@$1,127.0.0.1:${standby.port}`)
  const stage = await open('failover', hosts)
  const agent = new PikaPublisher({ url: broker.url, exchange: stage.names.exchange, mandatory: true, retry: true })
  const load = new Load(agent, 'failover', { everyMs: 10 })
  const reader = new IdReader(stage.gateway, 'failover')
  try {
    load.start()
    reader.start()
    await load.more(runs(60, 300))
    await clusterIs(stage.gateway, 0, /\nsafe\n$/)
    await standby.kill9()
    await clusterIs(stage.gateway, 1, /\nnot safe: .*\bstandby\b.*\n$/)
    await standby.start()
    await clusterIs(stage.gateway, 0, /\nsafe\n$/)
    await postgres.kill9()
    const fault = await faultOf(stage.gateway, 'store_write', 'database_read_only')
    assert.match(fault.hint, 'standby')
    assert.is((await getJson(`${stage.gateway.url}/livez`)).status, 200)
    await load.more(50)
    await queryRows(standby.url, 'SELECT pg_promote()')
    await stage.gateway.ready()
    await load.more(50)
    await load.stop()
    await until(async () => (await messagesIn(copy)).length >= load.confirmed.length, { what: 'all messages' })
    const rows = await messagesIn(copy)
    assertSameOnce(
      rows.map(({ message_id }) => message_id),
      load.confirmed,
      'the rows',
    )
    const gaps = rows.slice(1).map(({ db_id }, index) => db_id - rows[index]!.db_id)
    assert.is(gaps.filter((gap) => gap >= 1_000_000_000).length, 1, 'ids of the old primary are skipped once')
    await assertReadOnce([load], [reader])
    assert.is(reader.connections, 1, 'no stream was ended')
    await until(async () => (await broker.queueDepth(stage.names.queue)) === 0, { what: 'an empty queue' })
    await assertOldPrimaryUnused(stage, standby, hosts)
  } finally {
    await reader.stop()
    await agent.kill9()
    await stage.dispose()
    await standby.dispose()
  }
})

test.run()
