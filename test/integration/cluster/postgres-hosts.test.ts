// needs: postgres, rabbitmq, pika
import { spawn } from 'node:child_process'
import { hostname } from 'node:os'
import pg from 'pg'
import * as assert from 'uvu/assert'
import { callCli, jsonLines } from '../../support/clients/cli.ts'
import { assertReadOnce, assertSameOnce, IdReader, Load } from '../../support/clients/load.ts'
import { PikaPublisher } from '../../support/clients/pika.ts'
import { openSse } from '../../support/clients/sse.ts'
import { bearer, guarded, sign } from '../../support/clients/tokens.ts'
import { killAtExit } from '../../support/harness/cleanup.ts'
import { Clock } from '../../support/harness/clock.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { getJson, type Json, postJson, request, until } from '../../support/harness/wait.ts'
import { type Env, type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { startLocalGateway } from '../../support/servers/local-gateway.ts'
import {
  freshSchema,
  messagesIn,
  type Postgres,
  queryRows,
  rejectedIn,
  startPostgres,
} from '../../support/servers/postgres.ts'
import {
  deleteNames,
  type Names,
  type SharedBroker,
  sharedBroker,
  uniqueNames,
} from '../../support/servers/rabbitmq.ts'
import { store } from '../../support/stages/entries.ts'
import { chat, eventUrl, parseMetrics } from '../../support/stages/rooms.ts'
import { brokerEnv, KEY, streamUrl, waitForMessages } from '../../support/stages/stage.ts'
import { openPostgres } from '../../support/store/postgres-store.ts'

const test = suite('gateways on several hosts')

let postgres: Postgres
let broker: SharedBroker

test.before(async () => {
  ;[postgres, broker] = await Promise.all([startPostgres(), sharedBroker()])
})
test.after(async () => {
  await broker?.dispose()
  await postgres?.dispose()
})

/** Each message is a separate commit, which two gateways read and send. */
const PACE = { everyMs: runs(10, 3) }
const BURST = runs(60, 150)

/** Two gateways as on two hosts: they share only a database and a queue. */
type Hosts = {
  readonly url: string
  readonly one: Gateway
  readonly other: Gateway
  readonly names: Names
  readonly agent: PikaPublisher
}

const withHosts = async (work: (hosts: Hosts) => Promise<void>, env: Env = {}): Promise<void> => {
  const url = freshSchema(postgres.url)
  const names = uniqueNames('hosts')
  const common = { env: brokerEnv(broker.url, names, { DATABASE_URL: url, ...env }) }
  const [one, other] = await Promise.all([startGateway(common), startGateway(common)])
  const agent = new PikaPublisher({ url: broker.url, exchange: names.exchange, mandatory: true, retry: true })
  try {
    await Promise.all([one.ready(), other.ready()])
    await work({ url, one, other, names, agent })
  } finally {
    await agent.kill9()
    await Promise.all([one.dispose(), other.dispose()])
    await deleteNames(broker.url, names)
  }
}

const assertStoredOnce = async (url: string, load: Load): Promise<void> => {
  const stored = async () => (await messagesIn(url, load.event_id)).map(({ message_id }) => message_id)
  await until(async () => (await stored()).length >= load.confirmed.length, {
    what: `all ${load.confirmed.length} confirmed messages`,
  })
  assertSameOnce(await stored(), load.confirmed, 'the rows')
}

const faultOf = (gateway: Gateway, code: string): Promise<Json> =>
  until(async () => (await getJson(`${gateway.url}/readyz`)).body.faults?.find((fault: Json) => fault.code === code), {
    what: `the fault ${code}`,
  })

test('messages received by one host are live on both, whichever consumes, and over HTTP too', () =>
  withHosts(async ({ one, other, agent }) => {
    const streams = await Promise.all([openSse(streamUrl(one, 'room')), openSse(streamUrl(other, 'room'))])
    for (let n = 1; n <= 5; n++) {
      await agent.publish({
        key: KEY,
        body: JSON.stringify({ event_id: 'room', n, id: 12302548181076029n.toString() }),
      })
      for (const stream of streams) await waitForMessages(stream, n)
    }
    const answer = await postJson(`${eventUrl(other, 'room')}/messages`, chat(6))
    assert.is(answer.status, 202, answer.text)
    const got = await Promise.all(streams.map((stream) => waitForMessages(stream, 6)))
    assert.equal(
      got[0]!.map(({ id }) => id),
      got[1]!.map(({ id }) => id),
    )
    const hellos = await Promise.all(streams.map((stream) => stream.next('hello')))
    assert.is(hellos[0]!.data.log_id, hellos[1]!.data.log_id)
    for (const stream of streams) stream.close()
  }))

test('every host shows all hosts, and health --cluster names what is not safe', () =>
  withHosts(async ({ one, other, agent }) => {
    const readCluster = async (): Promise<Json> => (await getJson(`${one.url}/api/health`)).body.data.cluster
    const nameOf = ({ url }: Gateway): string => `${hostname()}:${new URL(url).port}`
    const check = () => callCli(['health', '--cluster', '--url', one.url])
    await other.restart({ RETENTION_DAYS: '7' })
    await other.ready()
    await agent.publish({ key: KEY, body: '{"event_id":"c","n":1}' })
    const cluster = await until(
      async () => {
        const { gateways, ...rest } = await readCluster()
        // What a host knows of the other one can be of the time before its restart.
        const restarted = gateways.some(({ retention_days }: Json) => retention_days === 7)
        const ready = gateways.length === 2 && gateways.every(({ ready }: Json) => ready)
        return restarted && ready && { gateways, ...rest }
      },
      { what: 'both hosts are ready' },
    )
    assert.equal(
      cluster.gateways.map(({ gateway }: Json) => gateway).toSorted(),
      [nameOf(one), nameOf(other)].toSorted(),
    )
    // The other one was restarted, so the first one consumes.
    const active = cluster.gateways.find(({ consumer }: Json) => consumer === 'active')
    assert.equal([active.gateway, active.own, active.retention_days], [nameOf(one), true, null])
    assert.ok(cluster.gateways.every(({ clock_offset_seconds: offset }: Json) => Math.abs(offset) < 5))
    assert.equal([cluster.database.timeline, cluster.database.schema_version], [1, active.schema_version])
    assert.equal(
      cluster.checks.map(({ code }: Json) => code),
      [
        ...['one_primary', 'standby_not_configured', 'one_consumer', 'gateways_ready', 'clocks_agree'],
        ...['versions_compatible', 'retention_differs'],
      ],
    )
    await one.waitForLog(({ level, msg = '' }) => level === 'warn' && /^RETENTION_DAYS or .*\(7 days\)/.test(msg))
    const { code, stdout } = await check()
    assert.equal([code, /\nnot safe: standby\n$/.test(stdout)], [1, true], stdout)
    assert.match(stdout, /^failed {3}standby .*is empty\.\n {20}What to do: .*synchronous_standby_names/m)
    assert.match(stdout, new RegExp(`^${nameOf(one)} .* active `, 'm'))
    await other.kill9()
    const gone = await until(
      async () => (await readCluster()).checks.find(({ code }: Json) => code === 'gateways_gone'),
      {
        what: 'a host that is gone',
      },
    )
    assert.equal(gone.names, [nameOf(other)])
    assert.match((await check()).stdout, /\nnot safe: standby, gateways\n$/)
    const metrics = parseMetrics((await getJson(`${one.url}/metrics`)).text)
    const sample = (name: string): number | undefined => metrics.get(name)
    assert.equal(
      [
        ...['gateway_active_consumer', 'gateway_cluster_gateways{state="gone"}', 'gateway_database_timeline'],
        ...['gateway_cluster_check_failed{check="gateways"}', 'gateway_cluster_check_failed{check="clocks"}'],
      ].map(sample),
      [1, 1, 1, 1, 0],
    )
  }))

test('a host without readers sends no query when another one commits', async () => {
  const url = freshSchema(postgres.url)
  const queries: string[] = []
  const { query } = pg.Client.prototype
  pg.Client.prototype.query = function (this: pg.Client & { connectionParameters: Json }, ...args: unknown[]) {
    const [call] = args as [string | { text: string }]
    if (this.connectionParameters.application_name === 'passive')
      queries.push(typeof call === 'string' ? call : call.text)
    return Reflect.apply(query, this, args)
  } as typeof query
  // Only what a commit causes is counted: the periodic checks do not run.
  const clock = new Clock().install()
  const passive = await startLocalGateway({ DATABASE_URL: `${url}&application_name=passive`, ...guarded() })
  const active = await openPostgres(url)
  try {
    const notified = async (subject: string): Promise<string[]> => {
      // Its notification comes after those of the commits, and causes one query.
      await active.revoke({ subject, issued_before: 1, until: null }, 0)
      await until(() => queries.some((text) => text.includes('"revocation"')), { what: 'the notification' })
      return queries.splice(0).filter((text) => !text.includes('"revocation"'))
    }
    await notified('ann')
    for (let n = 0; n < 20; n++) await store(active, { event_id: 'e' })
    assert.equal(await notified('bob'), [])
    const headers = bearer(await sign({ events: '*' }))
    const stream = await openSse(streamUrl(passive, 'e'), { headers })
    await waitForMessages(stream, 20)
    await notified('eve')
    await store(active, { event_id: 'e' })
    await waitForMessages(stream, 21)
    assert.ok((await notified('fay')).length > 0, 'with a reader it reads')
    stream.close()
  } finally {
    await passive.stop()
    await active.stop()
    clock.uninstall()
    pg.Client.prototype.query = query
  }
})

test('gateways that are killed in a burst, one after the other, lose nothing and store nothing twice', () =>
  withHosts(async ({ url, one, other, agent }) => {
    const load = new Load(agent, 'burst', PACE).start()
    const readers = [one, other].map((gateway) => new IdReader(gateway, 'burst', { retryMs: 50 }))
    for (const reader of readers) reader.start()
    for (const victim of [one, other, one].slice(0, runs(2, 3))) {
      await load.more(BURST)
      await victim.kill9()
      await load.more(BURST)
      await victim.restart()
      await victim.ready()
    }
    await load.stop()
    await assertStoredOnce(url, load)
    await assertReadOnce([load, load], readers)
    for (const reader of readers) await reader.stop()
  }))

test.full('a database that loses its power in a burst loses nothing acknowledged; streams stay, and go on', () =>
  withHosts(async ({ url, one, other, agent }) => {
    const load = new Load(agent, 'power', PACE).start()
    const readers = [one, other].map((gateway) => new IdReader(gateway, 'power'))
    for (const reader of readers) reader.start()
    for (let round = 0; round < runs(1, 2); round++) {
      await load.more(BURST)
      await postgres.kill9()
      for (const gateway of [one, other]) {
        const fault = await faultOf(gateway, 'database_unreachable')
        assert.match(fault.hint, 'DATABASE_URL')
        assert.is((await getJson(`${gateway.url}/livez`)).status, 200)
        const answer = await getJson(`${gateway.url}/api/events`)
        assert.equal([answer.status, answer.body.code], [503, 'database_unreachable'])
      }
      await load.more(50)
      await postgres.start()
      await Promise.all([one.ready(), other.ready()])
    }
    await load.stop()
    await assertStoredOnce(url, load)
    await assertReadOnce([load, load], readers)
    for (const reader of readers) {
      assert.is(reader.connections, 1, 'no stream was ended')
      await reader.stop()
    }
    for (const gateway of [one, other]) assert.not.match(gateway.output(), encodeURIComponent('p@ss/word'))
  }),
)

test('a ticket opens one stream on either host, and a sign-out and a revocation apply to both', () =>
  withHosts(async ({ one, other }) => {
    const token = await sign({ sub: 'ann', events: '*' })
    const ticketOf = async (gateway: Gateway): Promise<string> =>
      (await postJson(`${gateway.url}/api/stream-tickets`, '', { headers: bearer(token) })).body.data.ticket
    const ticket = await ticketOf(one)
    const stream = await openSse(`${streamUrl(other, 'e')}?ticket=${ticket}`)
    for (const gateway of [one, other]) {
      const again = await getJson(`${streamUrl(gateway, 'e')}?ticket=${ticket}`)
      assert.equal([again.status, again.body.code], [401, 'ticket_invalid'])
    }
    const session = { headers: { cookie: `gateway_session=${token}` } }
    const ofSession = await openSse(streamUrl(other, 'e'), session)
    assert.is((await request('DELETE', `${one.url}/api/session`, '', session)).status, 200)
    assert.equal((await ofSession.next('closing')).data, { reason: 'token_expired' })
    const admin = { headers: bearer(await sign({ sub: 'root', scope: 'admin' })) }
    const statusOf = async (gateway: Gateway): Promise<number> =>
      (await getJson(`${gateway.url}/api/events`, { headers: bearer(token) })).status
    assert.equal([await statusOf(one), await statusOf(other)], [200, 200])
    assert.is((await postJson(`${one.url}/api/revocations`, { sub: 'ann' }, admin)).status, 201)
    assert.is(await statusOf(one), 401)
    await until(async () => (await statusOf(other)) === 401, { what: 'the other host refuses her' })
    await stream.closed
    assert.is((await request('DELETE', `${other.url}/api/revocations/ann`, undefined, admin)).status, 200)
    await until(async () => (await statusOf(one)) === 200, { what: 'the first host lets her in again' })
  }, guarded()))

test.full('the quarantine is listed, replayed and emptied by the command line while gateways run', () =>
  withHosts(async ({ url, one, agent }) => {
    const stream = await openSse(streamUrl(one, 'q'))
    await agent.publish({ key: KEY, body: '{"event_id":"q","x":NaN}' })
    await agent.publish({ key: KEY, body: '{"event_id":"q","n":1}', properties: { message_id: 'x'.repeat(255) } })
    await agent.publish({ key: `${KEY}.x`, body: 'not JSON' })
    await until(async () => (await rejectedIn(url)).length === 2, { what: 'two rejections' })
    const call = (...args: string[]) => callCli(['rejected', ...args], { env: { DATABASE_URL: url } })
    const listed = jsonLines<{ rejected_id: number; reason: string }>((await call('list', '--json')).stdout)
    assert.equal(
      listed.map(({ reason }) => reason),
      ['invalid_json', 'invalid_json'],
    )
    assert.match((await call('show', String(listed[0]!.rejected_id))).stdout, 'not JSON')
    assert.is(jsonLines((await call('list', '--json', '--routing-key', '*.x')).stdout).length, 1)
    assert.match((await call('replay', '--all')).stderr, '2 still invalid')
    assert.is((await call('drop', '--routing-key', '*.x', '--yes')).stdout, '1 deleted\n')
    assert.is((await rejectedIn(url)).length, 1)
    assert.is((await waitForMessages(stream, 1)).length, 1)
    stream.close()
    const missing = await callCli(['rejected', 'list'], { env: { DATABASE_URL: freshSchema(postgres.url) } })
    assert.is(missing.code, 1)
    assert.match(missing.stderr, 'has no gateway tables yet')
  }),
)

test('a gateway that starts before its database waits for it; one that is refused reports the reason and exits', async () => {
  await postgres.kill9()
  const starting = startGateway({ env: { DATABASE_URL: freshSchema(postgres.url) } })
  await postgres.start()
  const gateway = await starting
  await gateway.ready()
  await gateway.dispose()
  const wrong = postgres.url.replace(/:[^:@]+@/, ':not-the-word@')
  const error = await startGateway({ env: { DATABASE_URL: wrong } }).then(
    () => assert.unreachable(),
    (failure: Error) => failure,
  )
  assert.match(String(error), 'database_auth_failed')
  assert.match(String(error), 'pg_hba.conf')
  assert.not.match(String(error), 'not-the-word')
})

test.full('six gateways that start at once on a busy machine all become ready', async () => {
  const DATABASE_URL = freshSchema(postgres.url)
  const busy = spawn(process.execPath, ['-e', 'for (;;);'])
  const spare = killAtExit(busy.pid!)
  const gateways = await Promise.all(Array.from({ length: 6 }, () => startGateway({ env: { DATABASE_URL } })))
  try {
    await Promise.all(gateways.map((gateway) => gateway.ready()))
    assert.is((await queryRows(DATABASE_URL, 'SELECT * FROM log')).length, 1)
  } finally {
    busy.kill('SIGKILL')
    spare()
    await Promise.all(gateways.map((gateway) => gateway.dispose()))
  }
})

test.full('workers each have their connections, and all are notified of every commit', async () => {
  const gateway = await startGateway({
    env: { DATABASE_URL: freshSchema(postgres.url), WORKERS: '2', DATABASE_POOL_SIZE: '3' },
  })
  const streams = await Promise.all(Array.from({ length: 8 }, () => openSse(streamUrl(gateway, 'w'))))
  for (let n = 1; n <= 10; n++) {
    assert.is((await postJson(`${eventUrl(gateway, 'w')}/messages`, chat(n))).status, 201)
  }
  for (const stream of streams) {
    assert.is((await waitForMessages(stream, 10)).length, 10)
    stream.close()
  }
  await gateway.dispose()
})

test.run()
