// workers: 1; full: 1, 3
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { callCli, jsonLines } from '../../support/clients/cli.ts'
import { bearer, guarded, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type HttpResult, type Json, postJson, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { startLocalGateway } from '../../support/servers/local-gateway.ts'
import { eventUrl, getSampleValue, isError, newRoom, parseMetrics } from '../../support/stages/rooms.ts'

const test = suite('GET /api/search')

let gateway: Gateway
let all: string

test.before(async () => {
  gateway = await startGateway({ env: guarded() })
  all = await sign({ events: '*', scope: 'publish admin' })
})
test.after(() => gateway.dispose())

const put = async (event_id: string, message_content: Json, extra: object = {}): Promise<number> => {
  const message = { message_from: '_expert', message_type: 'text', message_content, ...extra }
  const { status, text, body } = await postJson(`${eventUrl(gateway, event_id)}/messages`, message, {
    headers: bearer(all),
  })
  assert.is(status, 201, text)
  return body.data.db_id
}

const search = (query: Record<string, string>, token = all): Promise<HttpResult> =>
  getJson(`${gateway.url}/api/search?${new URLSearchParams(query)}`, { headers: bearer(token) })

const found = async (query: Record<string, string>, token = all): Promise<number[]> => {
  const { status, text, body } = await search(query, token)
  assert.is(status, 200, text)
  return body.data.map(({ db_id }: Json) => db_id)
}

test('finds a message as soon as it is stored, with its surroundings', async () => {
  const room = newRoom('where/事件')
  const db_id = await put(room, { data: { text: `${'x '.repeat(200)}login from 203.0.113.7 failed\n封禁该地址` } })
  const { body } = await search({ q: '203.0.113.7' })
  const [{ snippet, received_at, ...rest }] = body.data
  assert.equal(rest, { event_id: room, db_id, message_from: '_expert', message_type: 'text' })
  assert.match(snippet, /^…x .*login from 203\.0\.113\.7 failed 封禁该地址/)
  assert.is(new Date(received_at).toISOString(), received_at)
  assert.equal([body.status, body.next_before, body.indexed], ['success', null, 1])
  assert.equal(await found({ q: '封禁' }), [db_id])
  assert.equal(await found({ q: '203.0.113.8' }), [])
})

test('a token finds nothing of events that it does not open, and cannot name them', async () => {
  const [own, foreign, quiet] = [newRoom('own'), newRoom('foreign'), newRoom('quiet')]
  const mine = await put(own, 'secret-indicator')
  const theirs = await put(foreign, 'secret-indicator')
  await put(foreign, 'their-own-indicator')
  const token = await sign({ events: [own, quiet] })
  assert.equal(await found({ q: 'secret-indicator' }), [theirs, mine])
  assert.equal(await found({ q: 'secret-indicator' }, token), [mine])
  assert.equal(await found({ q: 'secret-indicator', event_id: '*' }, token), [mine])
  assert.equal(await found({ q: 'secret-indicator', event_id: own }, token), [mine])
  assert.equal(await found({ q: 'secret-indicator', event_id: quiet }, token), [])
  // What is there and what is nowhere look the same.
  const answers = await Promise.all(
    ['their-own-indicator', 'nowhere-at-all'].map((q) => search({ q, limit: '1' }, token)),
  )
  assert.is(answers[0]!.text, answers[1]!.text)
  const denied = await Promise.all(
    [foreign, 'unknown'].map((event_id) => search({ q: 'secret-indicator', event_id }, token)),
  )
  for (const answer of denied) isError(answer, 403, 'event_forbidden')
  assert.is(denied[0]!.text, denied[1]!.text)
  assert.equal(await found({ q: 'secret-indicator' }, await sign({})), [])
  isError(await getJson(`${gateway.url}/api/search?q=secret-indicator`), 401, 'token_missing')
})

test('filters by event, type, sender and time, and pages backwards', async () => {
  const room = newRoom('filters')
  const ids: number[] = []
  for (let n = 0; n < 5; n++) {
    ids.unshift(await put(room, `needle ${n}`, { message_type: `t${n % 2}`, message_from: `f${n % 2}` }))
  }
  const other = await put(newRoom('filters'), 'needle elsewhere')
  assert.equal(await found({ q: 'needle' }), [other, ...ids])
  assert.equal(await found({ q: 'needle', event_id: room }), ids)
  assert.equal(await found({ q: 'needle', event_id: room, message_type: 't1' }), [ids[1], ids[3]])
  assert.equal(await found({ q: 'needle', event_id: room, message_from: 'f0,f1', message_type: 't0' }), [
    ids[0],
    ids[2],
    ids[4],
  ])
  const hour = 3_600_000
  const now = Date.now()
  assert.equal(await found({ q: 'needle', since: new Date(now - hour).toISOString() }), [other, ...ids])
  assert.equal(await found({ q: 'needle', since: String(now + hour) }), [])
  assert.equal(await found({ q: 'needle', until: new Date(now - hour).toISOString() }), [])
  const pages: number[][] = []
  let before: number | null = Number.MAX_SAFE_INTEGER
  while (before !== null) {
    const { body } = await search({ q: 'needle', event_id: room, limit: '2', before: String(before) })
    pages.push(body.data.map(({ db_id }: Json) => db_id))
    before = body.next_before
  }
  assert.equal(pages, [ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)])
})

test('a query that cannot be searched is refused by name', async () => {
  for (const query of [
    {},
    { q: '' },
    { q: 'a' },
    { q: 'x'.repeat(257) },
    { q: 'needle', since: 'yesterday' },
    { q: 'needle', until: '2026-11-22' },
    { q: 'needle', limit: '0' },
    { q: 'needle', before: 'x' },
  ] as Record<string, string>[]) {
    isError(await search(query), 400, 'invalid_query')
  }
  isError(await search({ q: 'needle', event_id: '' }), 400, 'invalid_event_id')
  // Query syntax of the index is only text.
  for (const q of [
    'needle OR',
    '"needle',
    'NEAR(needle)',
    'needle*',
    "'; DROP TABLE gram",
    'grams:needle',
    '^needle -x',
  ]) {
    assert.is((await search({ q })).status, 200, q)
  }
})

test('the command search prints what it finds, newest first', async () => {
  const room = newRoom('cli')
  const [first, second] = [await put(room, 'beacon \x1b[31m one'), await put(room, 'beacon two')]
  const call = (...words: string[]) =>
    callCli(['search', ...words], { env: { PORT: new URL(gateway.url).port, GATEWAY_TOKEN: all } })
  const plain = await call('beacon')
  assert.equal([plain.code, plain.stderr], [0, ''])
  assert.match(
    plain.stdout,
    new RegExp(`^\\S+ \\S+  ${room}  #${second}  expert  beacon two .*\n.*#${first}  expert  beacon \\[31m one`),
  )
  const json = await call('beacon', '--json', '--limit', '1', '--since', '2h', '--event', room)
  assert.equal(
    jsonLines<{ db_id: number }>(json.stdout).map(({ db_id }) => db_id),
    [second],
  )
  const nothing = await call('beacon', '--until', '2h', '--type', 'text', '--from', '_expert')
  assert.equal([nothing.code, nothing.stdout, nothing.stderr], [0, '', 'No message contains all of this.\n'])
  assert.is((await call('beacon', '--since', 'soon')).code, 2)
  assert.is((await call()).code, 2)
})

test('the metrics have the size of the index', async () => {
  const sample = async (name: string): Promise<number> => {
    const { status, text } = await getJson(`${gateway.url}/metrics`, { headers: bearer(all) })
    assert.is(status, 200, text)
    return getSampleValue(parseMetrics(text), name)
  }
  await until(async () => (await sample('gateway_search_index_bytes')) > 0, { what: 'the size' })
  await until(async () => (await sample('gateway_search_index_pending_messages')) === 0, { what: 'an index of all' })
})

test('SEARCH=off: no search and no index', async () => {
  const local = await startLocalGateway({ SEARCH: 'off' })
  try {
    isError(await getJson(`${local.url}/api/search?q=needle`), 404, 'search_disabled')
  } finally {
    await local.stop()
  }
  assert.not.ok(existsSync(join(local.dbFile, '..', 'gateway.db.search')))
})

test.run()
