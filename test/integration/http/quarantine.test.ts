// workers: 1; full: 1, 3
import * as assert from 'uvu/assert'
import { runCli } from '../../support/clients/cli.ts'
import { openSse } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type HttpResult, type Json, postJson, request } from '../../support/harness/wait.ts'
import {
  addRejected,
  clearRejected,
  holdWriteLock,
  messageRows,
  type NewRejected,
  rejectedRows,
} from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { isError, metric, newRoom, publish } from '../../support/stages/rooms.ts'
import { streamUrl, waitForMessages } from '../../support/stages/stage.ts'

let gateway: Gateway

const test = suite('the quarantine over HTTP')

test.before(async () => {
  gateway = await startGateway()
})
test.after(() => gateway.dispose())
// Rows of one test must not be counted by the next.
test.before.each(() => clearRejected(gateway.dbFile))

const add = (...rows: NewRejected[]): number[] => addRejected(gateway.dbFile, rows)
const get = (path: string): Promise<HttpResult> => getJson(`${gateway.url}/api/rejected${path}`)
const post = (path: string): Promise<HttpResult> => postJson(`${gateway.url}/api/rejected${path}`, '')
const drop = (id: number): Promise<HttpResult> => request('DELETE', `${gateway.url}/api/rejected/${id}`)
const good = (event_id: string, message_id: string, more = ''): string =>
  `{"event_id":"${event_id}","message_id":"${message_id}","id":12302548181076029${more}}`
const idsOf = (answer: HttpResult): number[] => answer.body.data.map(({ rejected_id }: Json) => rejected_id)

const HOSTILE = '</script><img src=x onerror=alert(1)>\u202e\u0000'

test('rows of 0.1.0 are selected by the reason that they keep', async () => {
  const [previous] = add({ body: 'p', reason: 'storage_refused' }, { body: 'q', reason: 'message_unstorable' })
  assert.equal(idsOf(await get('?reason=storage_refused')), [previous])
})

test('the list is newest first, supports every filter and paging, and reads only the columns that it shows', async () => {
  const day = 86_400_000
  const [old, conflict, other] = add(
    { body: 'x', reason: 'invalid_json', received_at: Date.now() - 3 * day, routing_key: 'a.b[c].d' },
    { body: 'y', reason: 'message_conflict', routing_key: 'a.executor.x', detail: HOSTILE },
    { body: 'z', reason: 'invalid_utf8', routing_key: 'a.captain.x' },
  )
  const fitting = async (query: string) => idsOf(await get(query))
  assert.equal(await fitting(''), [other, conflict, old])
  assert.equal(await fitting('?reason=invalid_json,invalid_utf8'), [other, old])
  assert.equal(await fitting('?since=2d'), [other, conflict])
  assert.equal(await fitting('?routing_key=*.executor.*'), [conflict])
  assert.equal(await fitting('?routing_key=a.b%5Bc%5D.d'), [old])
  assert.equal(await fitting(`?id=${old},${other}`), [other, old])
  assert.equal(await fitting('?reason=invalid_json&since=2d'), [])
  const first = await get('?limit=2')
  assert.equal([idsOf(first), first.body.has_more], [[other, conflict], true])
  const second = await get(`?limit=2&before=${conflict}`)
  assert.equal([idsOf(second), second.body.has_more], [[old], false])
  const [line] = second.body.data
  assert.equal(Object.keys(line).sort(), [
    'body_bytes',
    'detail',
    'exchange',
    'reason',
    'received_at',
    'rejected_id',
    'routing_key',
    'sha256',
  ])
})

test('invalid filters are rejected by name, and nothing is changed without a filter', async () => {
  const [id] = add({ body: good(newRoom(), 'm') })
  for (const path of ['?reason=nonsense', '?since=soon', '?limit=0', '?before=x', '?id=1,x', '?id=-1', '/x', '/0']) {
    isError(await get(path), 400, 'invalid_query')
  }
  for (const path of ['/replay', '/replay?all=no', `/replay?all=true&id=${id}`, '/replay?reason=', '/x/replay']) {
    isError(await post(path), 400, 'invalid_query')
  }
  assert.is(rejectedRows(gateway.dbFile).length, 1)
})

test('a row is shown with all its fields and a bounded body, as JSON that no browser renders as a page', async () => {
  const long = `{"x":"${'中'.repeat(40_000)}"}`
  const bytes = Buffer.concat([Buffer.from(HOSTILE), Buffer.from([0xff, 0x00])])
  const [hostile, large, half] = add(
    { body: bytes, headers: '{"n":12302548181076029}', properties: '{"messageId":"p"}', routing_key: HOSTILE },
    { body: long },
    { body: Buffer.from(long).subarray(0, 1_000), body_bytes: 120_008 },
  )
  const { text, body, headers } = await get(`/${hostile}`)
  assert.match(text, '"headers":{"n":12302548181076029}')
  assert.is(body.data.body_base64, bytes.toString('base64'))
  assert.equal([body.data.properties, body.data.routing_key], [{ messageId: 'p' }, HOSTILE])
  assert.match(headers['content-type'] as string, /^application\/json/)
  assert.is(headers['x-content-type-options'], 'nosniff')
  assert.is(headers['cache-control'], 'no-store')
  const shown = (await get(`/${large}`)).body.data
  assert.ok(long.startsWith(shown.body), 'text, cut between two characters')
  assert.ok(shown.shown_bytes > 65_530 && shown.shown_bytes <= 65_536, String(shown.shown_bytes))
  assert.is(shown.body_bytes, Buffer.byteLength(long))
  assert.ok(long.startsWith((await get(`/${half}`)).body.data.body), 'so is what was cut when it was quarantined')
  isError(await get('/999999'), 404, 'not_found')
})

test('a replayed row becomes a message of its event immediately, and the response identifies it', async () => {
  const room = newRoom()
  await publish(gateway, room, [{ message_id: 'standing', n: 1 }])
  const streams = await Promise.all(Array.from({ length: 6 }, () => openSse(streamUrl(gateway, room))))
  for (const stream of streams) await stream.next('caught_up')
  const stored = await metric(gateway, 'gateway_messages_stored_total')
  const [fresh, byProperty, bad, conflict, cut] = add(
    { body: good(room, 'fresh') },
    { body: `{"event_id":"${room}"}`, properties: '{"messageId":"by-property"}' },
    { body: '{"event_id":NaN}', reason: 'internal' },
    { body: good(room, 'standing') },
    { body: good(room, 'cut'), body_bytes: 5_000_000 },
  )
  const one = await post(`/${fresh}/replay`)
  assert.is(one.status, 200, one.text)
  assert.equal(
    [one.body.data.kind, one.body.data.event_id, one.body.data.message_id, one.body.data.rejected_id],
    ['stored', room, 'fresh', fresh],
  )
  for (const stream of streams) {
    const ids = (await waitForMessages(stream, 2)).map(({ data }) => data.db_id)
    assert.is(ids.at(-1), one.body.data.db_id, 'readers of every worker have it')
    stream.close()
  }
  assert.match(messageRows(gateway.dbFile, room).at(-1)!.body, '12302548181076029', 'digit for digit')
  assert.is((await post(`/${byProperty}/replay`)).body.data.message_id, 'by-property')
  const fateOf = async (id: number | undefined) => {
    const { kind, reason } = (await post(`/${id}/replay`)).body.data
    return [kind, reason]
  }
  assert.equal(await fateOf(bad), ['kept', 'invalid_json'])
  assert.equal(await fateOf(conflict), ['kept', 'message_conflict'])
  assert.equal(await fateOf(cut), ['kept', 'body_too_large'])
  isError(await post(`/${fresh}/replay`), 404, 'not_found')
  assert.equal(
    rejectedRows(gateway.dbFile).map(({ rejected_id, reason }) => [rejected_id, reason]),
    [
      [bad, 'invalid_json'],
      [conflict, 'message_conflict'],
      [cut, 'body_too_large'],
    ],
    'what stays has the reason of now',
  )
  const [again] = add({ body: good(room, 'fresh') })
  const duplicate = (await post(`/${again}/replay`)).body.data
  assert.equal([duplicate.kind, duplicate.db_id], ['duplicate', one.body.data.db_id])
  assert.is(await metric(gateway, 'gateway_messages_stored_total'), stored + 2, 'they count as stored, once')
})

test('a replay by filter proceeds page by page to the initial end, and reports the outcome of every row', async () => {
  const room = newRoom()
  const rows = Array.from({ length: 450 }, (_, n) => ({
    body: n % 3 === 2 ? 'no json' : good(room, `m${n}`),
    reason: n % 2 === 0 ? 'message_unstorable' : 'internal',
  }))
  const ids = add(...rows)
  const outcomes: Json[] = []
  let page = await post('/replay?reason=message_unstorable')
  const [late] = add({ body: good(room, 'late'), reason: 'message_unstorable' })
  let pages = 1
  for (outcomes.push(...page.body.data); page.body.has_more; pages++) {
    page = await post(`/replay?reason=message_unstorable&after=${page.body.after}&through=${page.body.through}`)
    assert.is(page.status, 200, page.text)
    outcomes.push(...page.body.data)
  }
  assert.ok(pages > 1, `${pages} pages`)
  assert.equal(
    outcomes.map(({ rejected_id, kind }) => [rejected_id, kind]),
    ids.filter((_, n) => n % 2 === 0).map((id, index) => [id, (index * 2) % 3 === 2 ? 'kept' : 'stored']),
  )
  assert.is(messageRows(gateway.dbFile, room).length, 150)
  const left = rejectedRows(gateway.dbFile)
  assert.ok(
    left.some(({ rejected_id }) => rejected_id === late),
    'what came in meanwhile was not meant',
  )
  assert.is(left.length, 451 - 150)
  const all = await post('/replay?all=true')
  assert.ok(all.body.data.length > 0)
})

test('concurrent replays of the same rows, one of them on the command line, store each message once', async () => {
  const room = newRoom()
  const ids = add(...Array.from({ length: 60 }, (_, n) => ({ body: good(room, `m${n}`) })))
  const single = ids.map((id) => post(`/${id}/replay`))
  const bulk = Array.from({ length: 3 }, () => post('/replay?all=true'))
  const cli = runCli(['rejected', 'replay', '--all', '--json'], { env: { DATABASE_URL: `sqlite:${gateway.dbFile}` } })
  const answers = await Promise.all([...single, ...bulk])
  for (const { status, text } of answers) assert.ok([200, 404].includes(status), text)
  const outcomes = answers.flatMap(({ status, body }) => (status === 200 ? [body.data].flat() : []))
  const { stdout } = await cli
  outcomes.push(
    ...stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line)),
  )
  const stored = outcomes.filter(({ kind }) => kind === 'stored').map(({ rejected_id }) => rejected_id)
  assert.equal(
    stored.sort((a, b) => a - b),
    ids,
  )
  assert.is(messageRows(gateway.dbFile, room).length, ids.length)
  assert.equal(rejectedRows(gateway.dbFile), [])
})

test('rows reported as stored or deleted survive a kill; if writing fails, an error is returned and the row is kept', async () => {
  const room = newRoom()
  const [kept, gone] = add({ body: good(room, 'kept') }, { body: 'x' })
  const lock = holdWriteLock(gateway.dbFile)
  try {
    const [replayed, dropped] = await Promise.all([post(`/${kept}/replay`), drop(gone!)])
    isError(replayed, 503, 'storage_busy')
    isError(dropped, 503, 'storage_busy')
    assert.is(rejectedRows(gateway.dbFile).length, 2)
  } finally {
    lock.release()
  }
  await gateway.ready()
  const { db_id } = (await post(`/${kept}/replay`)).body.data
  assert.equal((await drop(gone!)).body.data, { dropped: true })
  assert.equal((await drop(gone!)).body.data, { dropped: false })
  await gateway.kill9()
  assert.equal([messageRows(gateway.dbFile, room).at(-1)?.db_id, rejectedRows(gateway.dbFile)], [db_id, []])
  await gateway.restart()
})

test.run()
