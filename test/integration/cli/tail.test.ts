import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as assert from 'uvu/assert'
import { follow, type StreamItem } from '../../../src/cli/follow.ts'
import { noToken } from '../../../src/cli/token/source.ts'
import { hasTerminal, jsonLines, runCli, startCli, startOnTerminal, startShell } from '../../support/clients/cli.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, postJson, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chats, newRoom, publish } from '../../support/stages/rooms.ts'

let gateway: Gateway
const env = () => ({ PORT: new URL(gateway.url).port })

const tail = suite('tail')

tail.before(async () => {
  gateway = await startGateway({ env: { HEARTBEAT_SECONDS: '1' } })
})
tail.after(() => gateway.dispose())

const dbIds = (text: string): number[] => jsonLines<{ db_id: number }>(text).map(({ db_id }) => db_id)

tail('--once prints what is stored, from the cursor that is asked for, and ends', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(5))
  const printed = async (...flags: string[]) => {
    const { code, stdout, stderr } = await runCli(['tail', room, '--json', '--once', ...flags], { env: env() })
    assert.equal([code, stderr], [0, ''])
    return dbIds(stdout)
  }
  assert.equal(await printed(), ids)
  assert.equal(await printed('--after', String(ids[1])), ids.slice(2))
  assert.equal(await printed('--last', '2'), ids.slice(3))
  assert.equal(await printed('--after', 'latest'), [])
  assert.equal(await printed('--type', 'nothing,llm_response'), ids)
  assert.equal(await printed('--from', 'nobody'), [])
})

tail('--json prints the text that the stream carries, digit for digit', async () => {
  const room = newRoom()
  await publish(gateway, room, { n: 1 })
  await postJson(`${gateway.url}/api/events/${room}/messages`, '{ "n":\n12302548181076029, "r":1.10}')
  const { stdout } = await runCli(['tail', room, '--json', '--once', '--url', gateway.url], {})
  assert.match(stdout.split('\n')[1]!, /^\{ "n": 12302548181076029, "r":1\.10,"event_id":/)
})

tail('several events, or all of them, come on one line with the name of each', async () => {
  const [one, two] = [newRoom(), newRoom()]
  await publish(gateway, one, chats(1))
  await publish(gateway, two, chats(1))
  for (const words of [[one, two], ['*']]) {
    const { stdout } = await runCli(['tail', ...words, '--once'], { env: env() })
    for (const room of [one, two]) assert.match(stdout, new RegExp(` ${room} +captain +llm_response +message 1$`, 'm'))
  }
})

tail('kill -9 and a restart of the gateway: nothing is missing, nothing comes twice', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(100))
  const run = startCli(['tail', room, '--json'], { env: env() })
  await run.seen(new RegExp(`"db_id":${ids.at(-1)}\\}`))
  for (let round = 0; round < 2; round++) {
    await gateway.kill9()
    await gateway.restart()
    ids.push(...(await publish(gateway, room, chats(100))))
    await run.seen(new RegExp(`"db_id":${ids.at(-1)}\\}`))
  }
  run.child.kill('SIGINT')
  const { code, stdout, stderr } = await run.done
  assert.is(code, 130)
  assert.equal(dbIds(stdout), ids)
  assert.is(stderr.match(/The line is lost/g)?.length, 2, stderr)
  assert.is(stderr.match(/Connected again/g)?.length, 2, stderr)
})

tail('a gateway that stops in order is come back to', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(3))
  const run = startCli(['tail', room, '--json'], { env: env() })
  await run.seen(new RegExp(`"db_id":${ids.at(-1)}\\}`))
  await gateway.restart()
  ids.push(...(await publish(gateway, room, chats(3))))
  await run.seen(new RegExp(`"db_id":${ids.at(-1)}\\}`))
  run.child.kill('SIGTERM')
  const { code, stdout, stderr } = await run.done
  assert.is(code, 143)
  assert.equal(dbIds(stdout), ids)
  assert.match(stderr, 'closes the stream (shutdown)')
})

tail('a cursor beyond the end is said, and everything follows', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(2))
  const { code, stdout, stderr } = await runCli(['tail', room, '--after', '9000000', '--json', '--once'], {
    env: env(),
  })
  assert.is(code, 0)
  assert.equal(dbIds(stdout), ids)
  assert.match(stderr, 'cursor_ahead')
})

tail('no gateway at the first try is exit 1, and so is one that refuses', async () => {
  const none = await runCli(['tail', 'e'], { env: { PORT: String(await freePort()) } })
  assert.equal([none.code, none.stdout], [1, ''])
  assert.match(none.stderr, /no_gateway[\s\S]*hint: Start the gateway/)
  const refused = await runCli(['tail', ...Array.from({ length: 101 }, (_, index) => `e${index}`)], { env: env() })
  assert.is(refused.code, 1)
  assert.match(refused.stderr, /too_many_events[\s\S]*hint:/)
})

tail('a reader that hangs up ends it quietly', async () => {
  const room = newRoom()
  await publish(gateway, room, chats(1_000))
  const run = startShell(`$CLI tail ${room} --json | head -n 1; echo "codes \${PIPESTATUS[*]}"`, {
    env: env(),
    input: '',
  })
  const { stdout, stderr } = await run.done
  assert.is(stderr, '')
  assert.match(stdout, /^\{.*\}\ncodes 0 0\n$/)
})

const HOSTILE = '\x1b[2J\x1b]0;owned\x07\u009b31m\u202e\u007f'

if (hasTerminal) {
  const ESC = '\x1b'

  tail('on a terminal it colours its own text and shows that of others harmless and shortened', async () => {
    const room = newRoom()
    const content = `${HOSTILE} ${'long '.repeat(100)}`
    const message = { message_from: '_captain', message_type: HOSTILE, message_content: content, raw: '\u009b' }
    await publish(gateway, room, message)
    const { code, stdout } = await startOnTerminal(['tail', room, '--once'], { env: env() }).done
    assert.is(code, 0)
    assert.ok(stdout.includes(`${ESC}[38;5;39mcaptain`), JSON.stringify(stdout))
    const ownColours = stdout.split(ESC).slice(1)
    assert.ok(
      ownColours.every((part) => /^\[[\d;]*m/.test(part)),
      JSON.stringify(stdout),
    )
    for (const bad of ['\x07', '\u009b', '\u202e', '\x7f']) assert.not.ok(stdout.includes(bad))
    assert.match(stdout, '\\x1b[2J')
    const bare = stdout
      .trimEnd()
      .split(ESC)
      .map((part, index) => (index === 0 ? part : part.replace(/^\[[\d;]*m/, '')))
      .join('')
    assert.ok(bare.length <= 120, `${bare.length}: ${bare}`)
    const json = await startOnTerminal(['tail', room, '--once', '--json'], { env: env() }).done
    assert.not.ok(/[\u007f-\u009f\u202e]/.test(json.stdout))
    assert.is(JSON.parse(json.stdout).message_content, content)
  })

  tail('NO_COLOR is honoured', async () => {
    const room = newRoom()
    await publish(gateway, room, chats(1))
    const { stdout } = await startOnTerminal(['tail', room, '--once'], { env: { ...env(), NO_COLOR: '1' } }).done
    assert.match(stdout, 'message 1')
    assert.not.ok(stdout.includes(ESC))
  })

  tail('Ctrl-C ends it with 130 and leaves the terminal clean', async () => {
    const room = newRoom()
    await publish(gateway, room, chats(1))
    const run = startOnTerminal(['tail', room], { env: env() })
    await run.seen(/message 1/)
    run.child.stdin.write('\x03')
    const { code, stdout } = await run.done
    assert.is(code, 130)
    // Every colour is taken back, the cursor was never hidden and no other screen was opened.
    assert.ok(stdout.lastIndexOf(`${ESC}[0m`) > stdout.lastIndexOf(`${ESC}[38`))
    assert.not.ok(stdout.includes(`${ESC}[?`))
  })
} else {
  tail.skip('on a terminal it colours its own text', 'there is no script of util-linux')
}

const lines = suite('a followed stream')

type Played = { server: Server; url: string; asked: { query: string; lastEventId: string | undefined }[] }

/** A server that answers the n-th connection with the n-th of these texts; where a text ends in `hang`, it stays open. */
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
  `retry: 10\n\nid: ${cursor}\nevent: hello\ndata: {"log_id":"${log_id}","cursor":${cursor},"last_db_id":9}\n\n`
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

/** Follows until so many messages were said. */
const hearOut = async ({ url, server }: Played, count: number, silenceMs = 10_000) => {
  const stop = new AbortController()
  const ids: number[] = []
  const notes: string[] = []
  try {
    const heard = follow({ url, start: ['last_message_db_id', '0'], silenceMs, signal: stop.signal, token: noToken })
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

lines('another database behind the same address is read from its start, though it knows the cursor', async () => {
  const played = await playStreams([
    stream(hello('old', 0) + message(3) + message(7)),
    stream(hello('new', 7) + message(8)),
    stream(hello('new', 0) + message(1) + message(8), 'hangs'),
  ])
  const { ids, notes } = await hearOut(played, 4)
  assert.equal(ids, [3, 7, 1, 8])
  assert.match(notes, 'another database')
  assert.equal(
    played.asked.map(({ lastEventId }) => lastEventId),
    [undefined, '7', '0'],
  )
})

lines('a restored database gives its ids out again, and they are said again', async () => {
  const played = await playStreams([
    stream(hello('log', 0) + message(1) + message(7)),
    stream(hello('log', 0) + reset('cursor_ahead') + message(1) + message(2), 'hangs'),
  ])
  assert.equal((await hearOut(played, 4)).ids, [1, 7, 1, 2])
})

lines('after pruning, what was said already is not said again', async () => {
  const played = await playStreams([
    stream(hello('log', 0) + message(1) + message(7)),
    stream(hello('log', 0) + reset('history_pruned') + message(5) + message(7) + message(8), 'hangs'),
  ])
  const { ids, notes } = await hearOut(played, 3)
  assert.equal(ids, [1, 7, 8])
  assert.match(notes, 'history_pruned')
})

lines('a stream cut within a message is taken up before it', async () => {
  const played = await playStreams([
    stream(hello('log', 0) + message(1) + message(2).slice(0, -9), 'breaks'),
    stream(hello('log', 1) + message(2), 'hangs'),
  ])
  assert.equal((await hearOut(played, 2)).ids, [1, 2])
  assert.is(played.asked[1]!.lastEventId, '1')
  assert.not.match(played.asked[1]!.query, 'last_message_db_id')
})

lines('a line that falls silent is given up and made anew', async () => {
  const played = await playStreams([
    stream(hello('log', 0) + message(1), 'hangs'),
    (response) => void response.writeHead(503, { 'content-type': 'application/json' }).end('{"code":"shutting_down"}'),
    stream(hello('log', 1) + message(2), 'hangs'),
  ])
  const { ids, notes } = await hearOut(played, 2, 300)
  assert.equal(ids, [1, 2])
  assert.match(notes, 'The line is lost')
})

lines('what is no stream of a gateway is refused for good', async () => {
  for (const [answer, code] of [
    [
      (response: ServerResponse) => void response.writeHead(200, { 'content-type': 'text/html' }).end('hi'),
      'not_a_gateway',
    ],
    [(response: ServerResponse) => void response.writeHead(403).end('<html>'), 'not_a_gateway'],
    [stream('event: new_message\ndata: {}\n\n'), 'not_a_gateway'],
    [stream('event: hello\ndata: nonsense\n\n'), 'not_a_gateway'],
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

lines('a slow reader holds the stream back instead of piling it up', async () => {
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
  const heard = follow({ url: played.url, start: ['tail', '5'], silenceMs: 2_000, signal: stop.signal, token: noToken })
  await heard.next()
  // The reader does nothing, for longer than the silence that a dead line would be allowed.
  let seen = -1
  const standsStill = () => {
    const before = seen
    seen = written
    return before === written
  }
  await until(standsStill, { everyMs: 2_500, what: 'the stream stands still' })
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

tail.run()
lines.run()
