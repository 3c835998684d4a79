import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { parseCall } from '../../../src/cli/command.ts'
import { parseQuarantineFilter } from '../../../src/cli/rejected/options.ts'
import { rejected as group } from '../../../src/cli/rejected.ts'
import { SqliteQuarantine } from '../../../src/store/sqlite/quarantine.ts'
import {
  callCli,
  hasTerminal,
  jsonLines,
  runCli,
  startCli,
  startOnTerminal,
  startShell,
} from '../../support/clients/cli.ts'
import { collectIds, openSse } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, tempDir, until } from '../../support/harness/wait.ts'
import {
  addRejected,
  checkIntegrity,
  clearRejected,
  countMessages,
  holdWriteLock,
  messageRows,
  type NewRejected,
  type RejectedRow,
  rejectedRows,
} from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { newRoom, publish } from '../../support/stages/rooms.ts'
import { streamUrl } from '../../support/stages/stage.ts'

let gateway: Gateway
const env = () => ({ DATABASE_URL: `sqlite:${gateway.dbFile}` })

const rejected = suite('rejected')

rejected.before(async () => {
  gateway = await startGateway()
})
rejected.after(() => gateway.dispose())
// Rows of one test must not be counted by the next.
rejected.before.each(() => clearRejected(gateway.dbFile))

const add = (...rows: NewRejected[]): number[] => addRejected(gateway.dbFile, rows)
const call = (...args: string[]) => callCli(['rejected', ...args], { env: env() })
const body = (event_id: string, n: number, more: object = {}): string =>
  `{"event_id":"${event_id}","n":${n},"id":12302548181076029${JSON.stringify(more)
    .slice(1, -1)
    .replace(/^(?=.)/, ',')}}`

const HOSTILE = 'a\x1b[2J\u009b31m\u202eb'

rejected('a replay finishes if nobody reads its output any more', async () => {
  const room = newRoom()
  add(...Array.from({ length: 3_000 }, (_, n) => ({ body: body(room, n), reason: 'message_unstorable' })))
  const run = startShell(`$CLI rejected replay --all | head -n 1; echo "codes \${PIPESTATUS[*]}"`, {
    env: env(),
    input: '',
  })
  const { stdout, stderr } = await run.done
  assert.match(stdout, / stored as .*\ncodes 0 0\n$/)
  assert.match(stderr, '3000 stored')
  assert.is(rejectedRows(gateway.dbFile).length, 0)
})

rejected('rows of 0.1.0 are selected by the reason that they keep', async () => {
  const [previous] = add({ body: 'p', reason: 'storage_refused' }, { body: 'q', reason: 'message_unstorable' })
  const listed = await call('list', '--json', '--reason', 'storage_refused')
  const rows = jsonLines<{ rejected_id: number }>(listed.stdout)
  assert.equal(
    rows.map(({ rejected_id }) => rejected_id),
    [previous],
  )
})

rejected('list shows the newest first, supports every filter, and prints how many more there are', async () => {
  const day = 86_400_000
  const [old, conflict, other] = add(
    { body: 'x', reason: 'invalid_json', received_at: Date.now() - 3 * day, routing_key: 'a.b[c].d' },
    { body: 'y', reason: 'message_conflict', routing_key: 'a.executor.x', detail: HOSTILE },
    { body: 'z', reason: 'invalid_utf8', routing_key: 'a.captain.x' },
  )
  const quarantine = new SqliteQuarantine(gateway.dbFile)
  const fitting = (...flags: string[]) => {
    const filter = parseQuarantineFilter(parseCall(group.commands.list!, flags)!)
    return quarantine.newest(filter, 0, 100).map(({ rejected_id }) => rejected_id)
  }
  assert.equal(fitting(), [other, conflict, old])
  assert.equal(fitting('--reason', 'invalid_json,invalid_utf8'), [other, old])
  assert.equal(fitting('--since', '2d'), [other, conflict])
  assert.equal(fitting('--routing-key', '*.executor.*'), [conflict])
  assert.equal(fitting('--routing-key', 'a.b[c].d'), [old])
  assert.equal(fitting('--routing-key', 'a.?aptain.x'), [])
  assert.equal(fitting(String(old), String(other)), [other, old])
  assert.equal(fitting('--reason', 'invalid_json', '--since', '2d'), [])
  quarantine.close()
  const json = await call('list', '--json', '--limit', '1', '--routing-key', 'a.*')
  assert.equal(
    jsonLines<{ rejected_id: number }>(json.stdout).map(({ rejected_id }) => rejected_id),
    [other],
  )
  const { stdout, stderr } = await call('list', '--limit', '2')
  assert.match(stdout, /ID +RECEIVED[\s\S]+invalid_utf8[\s\S]+message_conflict/)
  assert.match(stdout, 'a\\x1b[2J\\x9b31m\\u202eb')
  assert.match(stderr, '2 of 3 rows')
})

rejected('show prints everything with an escaped body; --raw prints its bytes', async () => {
  const bytes = Buffer.concat([Buffer.from(`{"中":"${HOSTILE}`), Buffer.from([0xff, 0x00])])
  const [id] = add({
    body: bytes,
    headers: '{"n":12302548181076029}',
    properties: '{"messageId":"p"}',
    body_bytes: 999,
  })
  const shown = await call('show', String(id))
  for (const part of [
    '{"n":12302548181076029}',
    '{"messageId":"p"}',
    'agents',
    'sha256',
    '999 bytes, of which',
    '中',
  ]) {
    assert.ok(shown.stdout.includes(part), `${part} in ${shown.stdout}`)
  }
  assert.match(shown.stdout, 'a\\x1b[2J\\x9b31m\\u202eb\\xff\\x00')
  const { stdout: encoded } = await startShell(`$CLI rejected show ${id} --raw | base64 -w0`, { env: env(), input: '' })
    .done
  assert.equal(Buffer.from(encoded, 'base64'), bytes)
  const json = (await call('show', String(id), '--json')).stdout
  assert.is(JSON.parse(json).body_base64, bytes.toString('base64'))
  assert.match(json, '"headers":{"n":12302548181076029}')
  const none = await call('show', '999999')
  assert.equal([none.code, none.stdout], [1, ''])
})

rejected('replay stores valid messages, delivers them live on a running gateway, and keeps the rest', async () => {
  const room = newRoom()
  await publish(gateway, room, [
    { message_id: 'twice', n: 1 },
    { message_id: 'other', n: 1 },
  ])
  const stream = await openSse(streamUrl(gateway, room))
  await stream.next('caught_up')
  const [good, property, bad, conflict, cut, again] = add(
    { body: body(room, 10) },
    { body: body(room, 11), properties: '{"messageId":"by-property"}' },
    { body: `{"event_id":"${room}","n":NaN}`, reason: 'internal' },
    { body: `{"event_id":"${room}","message_id":"other","n":2}` },
    { body: `{"event_id":"${room}"`, body_bytes: 5_000_000, reason: 'body_too_large' },
    { body: '{"message_id":"twice","n":1}'.replace('{', `{"event_id":"${room}",`) },
  )
  await publish(gateway, room, { message_id: 'same', x: 1 })
  const { code, stdout, stderr } = await call('replay', '--all', '--json')
  assert.is(code, 1)
  type Outcome = { rejected_id: number; kind: string; reason?: string; db_id?: number; message_id?: string }
  const outcomes = new Map(jsonLines<Outcome>(stdout).map((outcome) => [outcome.rejected_id, outcome]))
  assert.is(outcomes.get(good!)?.kind, 'stored')
  assert.is(outcomes.get(property!)?.message_id, 'by-property')
  assert.equal(
    [bad, conflict, cut].map((id) => outcomes.get(id!)?.reason),
    ['invalid_json', 'message_conflict', 'body_too_large'],
  )
  assert.match(stderr, /2 stored, 0 already stored, 4 still invalid/)
  await stream.waitFor(() => collectIds(stream).includes(outcomes.get(property!)!.db_id!))
  stream.close()
  const ids = collectIds(stream)
  assert.equal(
    ids,
    [...ids].sort((a, b) => a - b),
  )
  const left = new Map(rejectedRows(gateway.dbFile).map((row) => [row.rejected_id, row.reason]))
  assert.equal(
    [...left],
    [
      [bad, 'invalid_json'],
      [conflict, 'message_conflict'],
      [cut, 'body_too_large'],
      [again, 'message_conflict'],
    ],
  )
  const stored = messageRows(gateway.dbFile, room)
  assert.is(stored.find(({ db_id }) => db_id === outcomes.get(good!)!.db_id)?.body, body(room, 10))
  const { body: events } = await getJson(`${gateway.url}/api/events`)
  const summary = events.data.find(({ event_id }: { event_id: string }) => event_id === room)
  assert.equal([summary.messages, summary.last_db_id], [stored.length, stored.at(-1)!.db_id])
})

rejected('a message that is stored already leaves the quarantine without a second row', async () => {
  const room = newRoom()
  add({ body: body(room, 1, { message_id: 'm' }) }, { body: body(room, 1, { message_id: 'm' }) })
  const { code, stderr } = await call('replay', '--reason', 'internal')
  assert.is(code, 0, stderr)
  assert.match(stderr, '1 stored, 1 already stored')
  assert.equal([countMessages(gateway.dbFile, room), rejectedRows(gateway.dbFile).length], [1, 0])
})

rejected('1,000 rows next to a busy gateway: each message once, and the gateway keeps working', async () => {
  const room = newRoom()
  add(...Array.from({ length: 1_000 }, (_, n) => ({ body: body(room, n) })))
  const stream = await openSse(streamUrl(gateway, room))
  const replay = startCli(['rejected', 'replay', '--all'], { env: env() })
  let busy = 0
  let ended = false
  const done = replay.done.finally(() => {
    ended = true
  })
  do {
    await publish(
      gateway,
      room,
      Array.from({ length: 50 }, (_, n) => ({ busy: busy + n })),
    )
    busy += 50
  } while (!ended)
  const { code, stdout, stderr } = await done
  assert.is(code, 0, stderr)
  assert.is(stdout.split('\n').length - 1, 1_000)
  await stream.waitFor(() => collectIds(stream).length >= 1_000 + busy)
  stream.close()
  const ids = collectIds(stream)
  assert.equal(
    ids,
    messageRows(gateway.dbFile, room).map(({ db_id }) => db_id),
  )
  const order = messageRows(gateway.dbFile, room)
    .map((row) => JSON.parse(row.body).n)
    .filter((n) => n !== undefined)
  assert.equal(
    order,
    Array.from({ length: 1_000 }, (_, n) => n),
  )
})

rejected('kill -9 during a replay leaves each message in exactly one of the two places', async () => {
  const room = newRoom()
  const ids = add(...Array.from({ length: 3_000 }, (_, n) => ({ body: body(room, n, { message_id: `m${n}` }) })))
  const replay = startCli(['rejected', 'replay', '--all'], { env: env() })
  await replay.seen(/stored as/)
  replay.child.kill('SIGKILL')
  await replay.done
  const left = rejectedRows(gateway.dbFile).map((row: RejectedRow) => JSON.parse(String(row.body)).message_id as string)
  const stored = messageRows(gateway.dbFile, room).map(({ message_id }) => message_id)
  assert.ok(stored.length > 0 && stored.length < ids.length, `${stored.length} stored`)
  assert.equal(new Set([...left, ...stored]).size, ids.length)
  assert.is(left.length + stored.length, ids.length)
  assert.is((await call('replay', '--all')).code, 0)
  assert.is(countMessages(gateway.dbFile, room), ids.length)
  assert.is(checkIntegrity(gateway.dbFile), 'ok')
})

rejected('two replays at once store each message once', async () => {
  const room = newRoom()
  add(...Array.from({ length: 1_000 }, (_, n) => ({ body: body(room, n) })))
  const replay = () => runCli(['rejected', 'replay', '--all', '--json'], { env: env() })
  const both = await Promise.all([replay(), replay()])
  const stored = both
    .flatMap(({ stdout }) => jsonLines<{ kind: string }>(stdout))
    .filter(({ kind }) => kind === 'stored')
  assert.equal([stored.length, countMessages(gateway.dbFile, room)], [1_000, 1_000])
  assert.equal(rejectedRows(gateway.dbFile), [])
})

rejected('replay waits for a lock of another process, and Ctrl-C ends the wait', async () => {
  const room = newRoom()
  const [id] = add({ body: body(room, 1) })
  const lock = holdWriteLock(gateway.dbFile)
  const impatient = startCli(['rejected', 'replay', String(id)], { env: env() })
  const patient = startCli(['rejected', 'replay', String(id)], { env: env() })
  try {
    for (const { child } of [impatient, patient]) await opened(child.pid!, gateway.dbFile)
    impatient.child.kill('SIGINT')
    const { code, stdout } = await impatient.done
    assert.equal([code, stdout], [130, ''])
    assert.is(patient.child.exitCode, null)
    assert.is(countMessages(gateway.dbFile, room), 0)
  } finally {
    lock.release()
  }
  assert.is((await patient.done).code, 0)
  assert.is(countMessages(gateway.dbFile, room), 1)
})

/** Resolves once a process has opened the write-ahead log of a database, as readers and writers do. */
const opened = (pid: number, file: string): Promise<unknown> =>
  until(async () => (await startShell(`ls -l /proc/${pid}/fd`, { input: '' }).done).stdout.includes(`${file}-wal`), {
    what: 'the database is open',
  })

rejected('drop deletes the selected rows, and only those', async () => {
  const [one, two, three] = add({ body: '1' }, { body: '2' }, { body: '3', reason: 'invalid_json' })
  const unasked = await call('drop', String(one))
  assert.is(unasked.code, 2)
  assert.is(rejectedRows(gateway.dbFile).length, 3)
  const dropped = await call('drop', '--reason', 'invalid_json', '--yes')
  assert.equal([dropped.code, dropped.stdout], [0, '1 deleted\n'])
  const partly = await call('drop', String(one), '999999', '--yes')
  assert.equal([partly.code, partly.stdout], [1, '1 deleted\n'])
  assert.match(partly.stderr, '999999 is not in the quarantine')
  assert.equal(
    rejectedRows(gateway.dbFile).map(({ rejected_id }) => rejected_id),
    [two],
  )
  assert.ok(three)
})

if (hasTerminal) {
  rejected('drop asks for confirmation on a terminal, and anything but yes counts as no', async () => {
    add({ body: '1' }, { body: '2' })
    for (const [answer, code, left] of [
      ['\n', 1, 2],
      ['no\n', 1, 2],
      ['\x04', 1, 2],
      ['y\n', 0, 0],
    ] as const) {
      const run = startOnTerminal(['rejected', 'drop', '--all'], { env: env() })
      await run.seen(/Delete 2 quarantined messages permanently\? \[y\/N\] /)
      run.child.stdin.write(answer)
      assert.is((await run.done).code, code, run.stdout)
      assert.is(rejectedRows(gateway.dbFile).length, left)
    }
  })

  rejected('a long replay shows its progress on a terminal', async () => {
    const room = newRoom()
    add(...Array.from({ length: 1_000 }, (_, n) => ({ body: body(room, n) })))
    const { code, stdout } = await startOnTerminal(['rejected', 'replay', '--all'], { env: env() }).done
    assert.is(code, 0)
    assert.match(stdout, /\[#+\.*\] replaying [\d,]+ of 1,000, [\d,]+\/s/)
    assert.match(stdout, /1000 stored, 0 already stored, 0 still invalid, 0 gone\.\r\n$/)
  })
} else {
  rejected.skip(
    'drop asks for confirmation on a terminal, and anything but yes counts as no',
    'there is no script of util-linux',
  )
}

rejected('a missing database is reported and not created; a foreign file is left unchanged', async () => {
  const file = join(tempDir(), 'none.db')
  for (const words of [['list'], ['replay', '--all'], ['drop', '--all', '--yes']]) {
    const { code, stdout, stderr } = await callCli(['rejected', ...words], { env: { DATABASE_URL: `sqlite:${file}` } })
    assert.equal([code, stdout], [1, ''])
    assert.match(stderr, /database_open_failed[\s\S]+hint:/)
  }
  assert.not.ok(existsSync(file))
  const foreign = join(import.meta.dirname, '../../fixtures/messages.jsonl')
  const { code, stderr } = await callCli(['rejected', 'list'], { env: { DATABASE_URL: `sqlite:${foreign}` } })
  assert.is(code, 1)
  assert.match(stderr, 'database_not_ours')
})

rejected.run()
