import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mock } from 'node:test'
import * as assert from 'uvu/assert'
import { follow, type StreamItem } from '../../../src/cli/tail/follow.ts'
import { findCursor } from '../../../src/cli/tail/since.ts'
import { noToken } from '../../../src/cli/token/source.ts'
import { suite } from '../../support/harness/suite.ts'
import { until } from '../../support/harness/wait.ts'

const lines = suite('a followed stream')

type Played = { server: Server; url: string; asked: { query: string; lastEventId: string | undefined }[] }

/** Starts a server that answers the n-th connection with the n-th text; if the text ends in `hang`, the connection stays open. */
const playStreams = async (answers: ((response: ServerResponse) => void)[]): Promise<Played> => {
  const asked: Played['asked'] = []
  const server = createServer((request, response) => {
    const answer = answers[asked.length]
    asked.push({
      query: new URL(request.url!, 'http://x').search,
      lastEventId: request.headers['last-event-id'] as string | undefined,
    })
    if (answer === undefined) response.writeHead(500).end()
    else answer(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/stream?event_id=e` }
}

const hello = (log_id: string, cursor: number) =>
  `retry: 10\nid: ${cursor}\nevent: hello\ndata: {"log_id":"${log_id}","cursor":${cursor},"last_db_id":9}\n\n`
const message = (db_id: number) => `id: ${db_id}\nevent: new_message\ndata: {"db_id":${db_id}}\n\n`
const reset = (reason: string) => `event: reset\ndata: {"reason":"${reason}","first_db_id":1}\n\n`

const stream =
  (text: string, end: 'ends' | 'breaks' | 'hangs' = 'ends') =>
  (response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    response.write(text)
    if (end === 'ends') response.end()
    if (end === 'breaks') setImmediate(() => response.destroy())
  }

/** Runs the command until this many messages were printed. */
const hearOut = async ({ url, server }: Played, count: number, silenceMs = 10_000) => {
  const stop = new AbortController()
  const ids: number[] = []
  const notes: string[] = []
  try {
    const heard = follow({
      url,
      start: ['last_message_db_id', '0'],
      silenceMs,
      signal: stop.signal,
      token: noToken,
    })
    for await (const one of heard as AsyncGenerator<StreamItem>) {
      if (one.kind === 'message') ids.push(one.db_id)
      if (one.kind === 'note') notes.push(one.text)
      if (ids.length === count) stop.abort()
    }
  } finally {
    server.closeAllConnections()
    server.close()
  }
  return { ids, notes: notes.join('\n') }
}

lines('a gateway that accepts a connection and sends nothing, not even a head, counts as silent', async () => {
  const asked = Promise.withResolvers<AbortSignal>()
  const fetching = mock.method(globalThis, 'fetch', (_url: string, { signal }: { signal: AbortSignal }) => {
    asked.resolve(signal)
    return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  })
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const options = {
      start: ['tail', '5'],
      silenceMs: 10_000,
      signal: new AbortController().signal,
      token: noToken,
    } as const
    const first = follow({ url: 'http://127.0.0.1/api/stream', ...options }).next()
    first.catch(() => {})
    const signal = await asked.promise
    mock.timers.tick(10_000)
    assert.ok(signal.aborted)
    await first.then(
      () => assert.unreachable(),
      (error: { code: string }) => assert.is(error.code, 'gateway_unreachable'),
    )
  } finally {
    mock.timers.reset()
    fetching.mock.restore()
  }
})

lines('another database at the same address is read from its start, though the cursor is valid there', async () => {
  const played = await playStreams([
    stream(hello('old', 0) + message(3) + message(7)),
    stream(hello('new', 7) + message(8)),
    stream(hello('new', 0) + message(1) + message(8), 'hangs'),
  ])
  const { ids, notes } = await hearOut(played, 4)
  assert.equal(ids, [3, 7, 1, 8])
  assert.match(notes, 'The database was replaced')
  assert.equal(
    played.asked.map(({ lastEventId }) => lastEventId),
    [undefined, '7', '0'],
  )
})

lines('a restored database assigns ids again, and their messages are printed again', async () => {
  const played = await playStreams([
    stream(hello('log', 0) + message(1) + message(7)),
    stream(hello('log', 0) + reset('cursor_ahead') + message(1) + message(2), 'hangs'),
  ])
  assert.equal((await hearOut(played, 4)).ids, [1, 7, 1, 2])
})

lines('after pruning, printed messages are not printed again', async () => {
  const played = await playStreams([
    stream(hello('log', 0) + message(1) + message(7)),
    stream(hello('log', 0) + reset('history_pruned') + message(5) + message(7) + message(8), 'hangs'),
  ])
  const { ids, notes } = await hearOut(played, 3)
  assert.equal(ids, [1, 7, 8])
  assert.match(notes, 'history_pruned')
})

lines('a stream cut within a message resumes before it', async () => {
  const played = await playStreams([
    stream(hello('log', 0) + message(1) + message(2).slice(0, -9), 'breaks'),
    stream(hello('log', 1) + message(2), 'hangs'),
  ])
  assert.equal((await hearOut(played, 2)).ids, [1, 2])
  assert.is(played.asked[1]!.lastEventId, '1')
  assert.not.match(played.asked[1]!.query, 'last_message_db_id')
})

lines('a silent connection is closed and replaced', async () => {
  const played = await playStreams([
    stream(hello('log', 0) + message(1), 'hangs'),
    (response) => void response.writeHead(503, { 'content-type': 'application/json' }).end('{"code":"shutting_down"}'),
    // Plus once for each time that a busy machine takes longer than the timeout to read.
    ...Array.from({ length: 20 }, () => stream(hello('log', 1) + message(2), 'hangs')),
  ])
  const { ids, notes } = await hearOut(played, 2, 300)
  assert.equal(ids, [1, 2])
  assert.match(notes, 'Connection lost')
})

lines('a connection may be silent for longer than any timer lasts', async () => {
  const warnings: string[] = []
  const onWarning = ({ name }: Error): void => void warnings.push(name)
  process.on('warning', onWarning)
  const { ids } = await hearOut(await playStreams([stream(hello('log', 0) + message(1), 'hangs')]), 1, 2 ** 40)
  await new Promise(setImmediate)
  process.off('warning', onWarning)
  assert.equal([ids, warnings], [[1], []])
})

lines('a response that is not a gateway’s stream is a permanent error', async () => {
  for (const [answer, code] of [
    [
      (response: ServerResponse) => void response.writeHead(200, { 'content-type': 'text/html' }).end('hi'),
      'unexpected_response',
    ],
    [(response: ServerResponse) => void response.writeHead(403).end('<html>'), 'unexpected_response'],
    [stream('event: new_message\ndata: {}\n\n'), 'unexpected_response'],
    [stream('event: hello\ndata: nonsense\n\n'), 'unexpected_response'],
  ] as const) {
    const played = await playStreams([answer])
    const error = await hearOut(played, 1).then(
      () => null,
      (thrown: { code: string }) => thrown,
    )
    assert.is(error?.code, code)
    assert.is(played.asked.length, 1)
  }
})

lines('slow output applies back-pressure to the stream instead of buffering it', async () => {
  let written = 0
  const played = await playStreams([
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(hello('log', 0))
      const pad = 'x'.repeat(65_536)
      let id = 0
      const more = () => {
        while (id < 1_000) {
          id++
          written++
          if (!response.write(`id: ${id}\nevent: new_message\ndata: {"db_id":${id},"pad":"${pad}"}\n\n`)) break
        }
        if (id < 1_000) response.once('drain', more)
      }
      more()
    },
  ])
  const stop = new AbortController()
  const heard = follow({
    url: played.url,
    start: ['tail', '5'],
    silenceMs: 10_000,
    signal: stop.signal,
    token: noToken,
  })
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    await heard.next()
    // The reader is idle for longer than the timeout of a dead connection.
    mock.timers.tick(60_000)
  } finally {
    mock.timers.reset()
  }
  let [seen, looks] = [-1, 0]
  const standsStill = () => {
    looks = seen === written ? looks + 1 : 0
    seen = written
    return looks === 10
  }
  await until(standsStill, { what: 'a stream that stands still' })
  assert.ok(written < 500, `${written} of 1000 were written`)
  let count = 1
  for await (const one of heard) {
    if (one.kind === 'message') count++
    if (count === 1_000) stop.abort()
  }
  assert.is(count, 1_000)
  assert.is(played.asked.length, 1)
  played.server.closeAllConnections()
  played.server.close()
})

const position = suite('the cursor of --since')

const DAY_MS = 86_400_000
const NOON = Date.parse('2026-11-22T12:00:00Z')

/**
 * Serves a stream of messages with these times of receipt, by db_id.
 *
 * @returns its address and the number of messages that clients have requested
 */
const serveTimes = async (times: ReadonlyMap<number, number>) => {
  const ids = [...times.keys()]
  let sent = 0
  const server = createServer((request, response) => {
    const query = new URL(request.url!, 'http://x').searchParams
    const after = Number(query.get('last_message_db_id'))
    const rows = query.has('tail') ? ids.slice(-Number(query.get('tail'))) : ids.filter((id) => id > after)
    const messages = rows.slice(0, 1_000).map((id) => {
      const received_at = new Date(times.get(id)!).toISOString()
      return `id: ${id}\nevent: new_message\ndata: {"received_at":"${received_at}","db_id":${id}}\n\n`
    })
    sent += messages.length
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`${hello('log', after)}${messages.join('')}event: caught_up\ndata: {}\n\n`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const source = { url: `http://127.0.0.1:${port}/api/stream?event_id=*`, silenceMs: 10_000, token: noToken }
  return { server, source: { ...source, signal: new AbortController().signal }, sent: () => sent }
}

position('is in front of the first message since then, and only a part of the messages is read for it', async () => {
  // A message a minute, with a gap in the ids as a restore leaves it, and replayed messages that are a month old.
  const times = new Map<number, number>()
  const replayed = NOON - 30 * DAY_MS
  for (let n = 1; n <= 40_000; n++) {
    const time = n % 1_000 < 150 ? replayed : NOON - (40_000 - n) * 60_000
    times.set(n < 20_000 ? n : n + 5_000_000_000, time)
  }
  const { server, source, sent } = await serveTimes(times)
  try {
    for (const ageMs of [0, 30 * 60_000, DAY_MS, 6.9 * DAY_MS, 14 * DAY_MS, 20 * DAY_MS, 40 * DAY_MS]) {
      const since = NOON - ageMs
      const cursor = await findCursor(source, since)
      const missed = [...times].filter(([id, time]) => id <= cursor && time >= since)
      assert.equal(missed, [], `${ageMs} ms: ${cursor}`)
      const older = [...times].filter(([id, time]) => id > cursor && time < since && time !== replayed)
      assert.ok(older.length < 1_500, `${ageMs} ms: ${older.length} older messages follow ${cursor}`)
    }
    assert.is(await findCursor(source, NOON + DAY_MS), 5_000_040_000)
    assert.ok(sent() < 8 * 40_000, `${sent()} messages`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

lines.run()
position.run()
