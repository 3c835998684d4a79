// needs: postgres, rabbitmq, pika
import { spawn } from 'node:child_process'
import * as assert from 'uvu/assert'
import { callCli, jsonLines } from '../../support/clients/cli.ts'
import { assertReadOnce, assertSameOnce, IdReader, Load } from '../../support/clients/load.ts'
import { PikaPublisher } from '../../support/clients/pika.ts'
import { openSse } from '../../support/clients/sse.ts'
import { bearer, guarded, sign } from '../../support/clients/tokens.ts'
import { killAtExit } from '../../support/harness/cleanup.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { getJson, type Json, postJson, request, until } from '../../support/harness/wait.ts'
import { type Env, type Gateway, startGateway } from '../../support/servers/gateway.ts'
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
import { chat, eventUrl } from '../../support/stages/rooms.ts'
import { brokerEnv, KEY, streamUrl, waitForMessages } from '../../support/stages/stage.ts'

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
