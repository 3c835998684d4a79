// needs: openssl
// transports: http1; full: http1, https1
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { callCli, runCli } from '../../support/clients/cli.ts'
import { collectIds, openSse, Reader } from '../../support/clients/sse.ts'
import { bearer, guarded, now, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { TRANSPORT, testAuthority } from '../../support/harness/transport.ts'
import { getJson, type Json, postJson, tempDir, until } from '../../support/harness/wait.ts'
import { type Env, type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { store } from '../../support/stages/entries.ts'
import { edgeIsLive } from '../../support/stages/rooms.ts'
import { openSqlite } from '../../support/store/sqlite-store.ts'

const test = suite('an edge and its core')

const ALL = '/api/stream?event_id=*'

let core: Gateway
let edge: Gateway
let upstream: Env
let token: string
let admin: string
let ann: string

const signed = (claims: Record<string, unknown>): Promise<string> =>
  // Older than a revocation of the same second.
  sign({ iat: now() - 10, ...claims })

const publish = (gateway: Gateway, body: unknown, event = 'e', as = token) =>
  postJson(`${gateway.url}/api/events/${event}/messages`, body, { headers: bearer(as) })

/** Calls a command in this process, or with TLS in one of its own, which trusts the authority. */
const command = (args: string[], env: Env = {}) =>
  TRANSPORT === 'http1'
    ? callCli(args, { env: { GATEWAY_TOKEN: token, ...env } })
    : runCli(args, { env: { GATEWAY_TOKEN: token, NODE_EXTRA_CA_CERTS: testAuthority().caFile, ...env } })

const statusFor = async (gateway: Gateway, as: string): Promise<number> =>
  (await getJson(`${gateway.url}/api/events`, { headers: bearer(as) })).status

const metricsOf = async (gateway: Gateway): Promise<string> =>
  (await getJson(`${gateway.url}/metrics`, { headers: bearer(admin) })).text

const readyz = async (gateway: Gateway, as = admin): Promise<Json> => {
  const { status, text } = await getJson(`${gateway.url}/readyz`, { headers: bearer(as) })
  return { ...JSON.parse(text), status }
}

const upstreamOf = async (gateway: Gateway): Promise<Json> => {
  const { upstream, data } = await readyz(gateway)
  return upstream ?? data.upstream
}

/** Everything that a client receives of all messages, without `hello`, whose time differs. */
const received = async (gateway: Gateway): Promise<string> => {
  const stream = await openSse(`${gateway.url}${ALL}`, { headers: bearer(token) })
  await stream.next('caught_up')
  stream.close()
  return stream.raw().toString().split('\n\n').slice(1).join('\n\n')
}

test.before(async () => {
  token = await signed({ sub: 'agent', events: '*', scope: 'publish' })
  admin = await signed({ sub: 'ops', scope: 'admin' })
  ann = await signed({ sub: 'ann', events: '*' })
  core = await startGateway({ env: guarded() })
  await publish(core, [{ message_content: 1 }, { message_content: '事件 12302548181076029' }])
  upstream = {
    UPSTREAM_TOKEN: await signed({ sub: 'edge', events: '*', scope: 'edge' }),
    ...(TRANSPORT === 'http1' ? {} : { NODE_EXTRA_CA_CERTS: testAuthority().caFile }),
  }
  edge = await startGateway({ env: guarded({ ...upstream, UPSTREAM_URL: core.url }) })
  await edgeIsLive(edge)
})
test.after(async () => {
  await edge?.dispose()
  await core?.dispose()
})

test('send the same bytes', async () => {
  await publish(core, { message_content: 'live' }, 'f')
  await until(async () => (await received(edge)) === (await received(core)))
  const list = async (gateway: Gateway) => (await getJson(`${gateway.url}/api/events`, { headers: bearer(token) })).text
  assert.is(await list(edge), await list(core), 'the counts of the events, and the log_id')
})

test('answer a publisher alike: the edge forwards the request with the token of its caller', async () => {
  const stored = await publish(edge, { message_id: 'via-edge', message_content: 'x', published_by: 'forged' })
  assert.is(stored.status, 201, stored.text)
  const { db_id } = JSON.parse(stored.text).data
  await until(async () => (await received(edge)).includes(`"db_id":${db_id}}`))
  const text = await received(edge)
  assert.match(text, '"message_id":"via-edge","message_content":"x","published_by":"forged","published_by":"agent"')
  const calls: [body: string, headers: Record<string, string>][] = [
    ['{"message_id":"via-edge","message_content":"other"}', bearer(token)],
    ['{NaN', bearer(token)],
    [JSON.stringify({ message_content: 'x'.repeat(1_100_000) }), bearer(token)],
    ['{}', bearer(admin)],
    ['{}', {}],
  ]
  for (const [body, headers] of calls) {
    const [here, there] = await Promise.all(
      [edge, core].map((gateway) => postJson(`${gateway.url}/api/events/e/messages`, body, { headers })),
    )
    assert.equal(
      [here!.status, JSON.parse(here!.text).code],
      [there!.status, JSON.parse(there!.text).code],
      body.slice(0, 60),
    )
  }
})

test('refuse a revoked subject alike', async () => {
  const stream = await openSse(`${edge.url}${ALL}`, { headers: bearer(ann) })
  await stream.next('caught_up')
  // At the edge, which forwards it.
  const answer = await postJson(`${edge.url}/api/revocations`, { sub: 'ann' }, { headers: bearer(admin) })
  assert.is(answer.status, 201, answer.text)
  assert.is((await stream.next('closing')).data.reason, 'token_expired')
  assert.is(await statusFor(edge, ann), 401)
})

test('serve history and report the lag while the core is away, also after a restart, but publish nothing', async () => {
  const before = await received(edge)
  await core.kill9()
  await until(async () => (await upstreamOf(edge)).state === 'away')
  assert.match(await metricsOf(edge), 'gateway_upstream_state{state="away"} 1')
  await edge.restart()
  const ready = await readyz(edge)
  assert.equal([ready.status, ready.data.degraded], [200, true], 'the copy was complete')
  const { core: host, lag_messages, lag_seconds } = ready.data.upstream
  assert.equal([host, lag_messages], [new URL(core.url).host, null], 'nothing is known of the core yet')
  assert.type(lag_seconds, 'number')
  assert.is(JSON.parse((await getJson(`${edge.url}/readyz`)).text).data.upstream.core, undefined, 'without a token')
  assert.match(await metricsOf(edge), /^gateway_upstream_lag_seconds \d/m)
  assert.is((await command(['health', '--url', edge.url])).code, 0)
  assert.is(await received(edge), before)
  assert.equal([await statusFor(edge, ann), await statusFor(edge, token)], [401, 200], 'revocations are kept')
  const refused = await publish(edge, { message_content: 'x' })
  assert.equal([refused.status, JSON.parse(refused.text).code], [503, 'upstream_unreachable'])
  assert.ok(Number(refused.headers['retry-after']) > 0)
  await core.restart()
  await edgeIsLive(edge)
  assert.is(await received(edge), before)
})

test('lose and repeat nothing for a reader that moves between them, though both are killed', async () => {
  const gateways = [edge, core]
  let turns = 0
  const reader = new Reader(() => `${gateways[turns++ % 2]!.url}${ALL}`, {
    headers: bearer(token),
    retryMs: 20,
    obeysRetry: false,
  }).start()
  await reader.waitForConnections(1)
  const rounds = runs(2, 20)
  let sent = 0
  for (let round = 0; round < rounds; round++) {
    for (let n = 0; n < 5; n++) sent += (await publish(core, [{}, {}])).status === 201 ? 2 : 0
    reader.drop()
    const victim = round % 2 === 0 ? edge : core
    await victim.kill9()
    await victim.restart()
  }
  assert.is(sent, rounds * 10)
  const last = collectIds({ events: await eventsOf(core) })
  await reader.waitForId(last.at(-1)!)
  await until(async () => JSON.stringify(collectIds({ events: await eventsOf(edge) })) === JSON.stringify(last))
  assert.equal(reader.ids, last)
  assert.equal(Object.keys(reader.counts).includes('reset'), false)
  await reader.stop()
})

const eventsOf = async (gateway: Gateway) => {
  const stream = await openSse(`${gateway.url}${ALL}`, { headers: bearer(token) })
  await stream.next('caught_up')
  stream.close()
  return stream.events
}

test('let the commands read the edge, and its backup becomes a store of its own', async () => {
  const tail = await command(['tail', '*', '--once', '--json', '--url', edge.url])
  assert.is(tail.stdout.trim().split('\n').length, collectIds({ events: await eventsOf(core) }).length)
  await until(async () =>
    (await command(['search', 'live', '--json', '--url', edge.url])).stdout.includes('"event_id":"f"'),
  )
  const file = join(tempDir(), 'backup.db')
  const backup = await command(['backup', file], { DATABASE_URL: `sqlite:${edge.dbFile}` })
  assert.is(backup.code, 0, backup.stderr)
  const restored = await openSqlite(file, true)
  const [id = 0] = await store(restored, {})
  assert.ok(id > 1_000_000_000, 'beyond all ids of the core')
  await restored.stop()
})

test('name a cycle of edges, forward nothing in it, and are live once one of them follows the core', async () => {
  const second = await startGateway({ env: guarded({ ...upstream, UPSTREAM_URL: edge.url }) })
  try {
    await edgeIsLive(second)
    await edge.restart({ UPSTREAM_URL: second.url })
    for (const gateway of [edge, second]) await gateway.waitForLog(({ code }) => code === 'upstream_cycle')
    const refused = await publish(edge, { message_content: 'round and round' })
    assert.equal([refused.status, JSON.parse(refused.text).code], [503, 'upstream_cycle'])
    await edge.restart({ UPSTREAM_URL: core.url })
    for (const gateway of [edge, second]) await edgeIsLive(gateway)
    assert.is(await received(second), await received(core))
    await second.restart({ UPSTREAM_URL: second.url })
    await second.waitForLog(({ code }) => code === 'upstream_cycle')
  } finally {
    await second.dispose()
  }
})

/** What a client with this cursor gets until it has caught up: the `log_id`, and the bytes after `hello`. */
const resumed = async (gateway: Gateway, cursor: string, as: string): Promise<[string, string]> => {
  const headers = { ...bearer(as), 'last-event-id': cursor }
  const stream = await openSse(`${gateway.url}/api/stream?event_id=e`, { headers })
  const { data } = await stream.next('hello')
  await stream.next('caught_up')
  stream.close()
  return [data.log_id, stream.raw().toString().split('\n\n').slice(1).join('\n\n')]
}

test('answer alike after the core was restored from a backup, whatever a client has received before', async () => {
  const some = await signed({ sub: 'some', events: ['e'] })
  const file = join(tempDir(), 'core.db')
  const location = { DATABASE_URL: `sqlite:${core.dbFile}` }
  assert.is((await command(['backup', file], location)).code, 0)
  const kept = await received(core)
  const { db_id } = JSON.parse((await publish(core, { message_content: 'lost' })).text).data
  await until(async () => (await received(edge)).includes('"lost"'))
  const stream = await openSse(`${edge.url}${ALL}`, { headers: bearer(token) })
  await core.term()
  const restored = await command(['restore', file], location)
  assert.is(restored.code, 0, restored.stderr)
  await core.restart()
  assert.is((await stream.next('closing')).data.reason, 'upstream_reset')
  await edgeIsLive(edge)
  assert.is(await received(edge), kept)
  const newer = JSON.parse((await publish(edge, { message_content: 'after' })).text).data.db_id
  assert.ok(newer > db_id, 'no cursor is beyond it')
  await until(async () => (await received(edge)) === (await received(core)))
  for (const cursor of [String(db_id), '1']) {
    for (const as of [token, some]) {
      const [here, there] = [await resumed(edge, cursor, as), await resumed(core, cursor, as)]
      assert.equal(here, there, `cursor ${cursor}`)
      assert.match(here[1], `id: ${newer}`)
    }
  }
})

test.run()
