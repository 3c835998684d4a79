import * as assert from 'uvu/assert'
import {
  callCli,
  hasTerminal,
  jsonLines,
  runCli,
  startCli,
  startOnTerminal,
  startShell,
} from '../../support/clients/cli.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, getJson, postJson, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chats, newRoom, publish } from '../../support/stages/rooms.ts'

let gateway: Gateway
const env = () => ({ PORT: new URL(gateway.url).port })

const tail = suite('tail')

const events = suite('events')

// Both suites use this gateway; the first one needs it empty.
events.before(async () => {
  gateway = await startGateway({ env: { HEARTBEAT_SECONDS: '1' } })
})
tail.after(() => gateway.dispose())

const dbIds = (text: string): number[] => jsonLines<{ db_id: number }>(text).map(({ db_id }) => db_id)

tail('--once prints the stored messages from the given cursor and exits', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(5))
  const printed = async (...flags: string[]) => {
    const call = flags.length === 0 ? runCli : callCli
    const { code, stdout, stderr } = await call(['tail', room, '--json', '--once', ...flags], { env: env() })
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

tail('--since prints the messages received since then, of all events too', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(2))
  const stored = async () => (await getJson(`${gateway.url}/api/events/${room}/messages`)).body.data
  // Messages of the same millisecond cannot be told apart.
  await until(async () => {
    ids.push(...(await publish(gateway, room, chats(1))))
    const [previous, last] = (await stored()).slice(-2)
    return last.received_at > previous.received_at
  })
  const since: string = (await stored()).at(-1).received_at
  for (const words of [[room], ['*', '--type', 'llm_response']]) {
    const { code, stdout, stderr } = await callCli(['tail', ...words, '--json', '--once', '--since', since], {
      env: env(),
    })
    assert.equal([code, stderr], [0, ''])
    assert.equal(dbIds(stdout), ids.slice(-1))
  }
  const hour = await callCli(['tail', room, '--json', '--once', '--since', '1h'], { env: env() })
  assert.equal(dbIds(hour.stdout), ids)
})

tail('--json prints the text that the stream carries, digit for digit', async () => {
  const room = newRoom()
  await publish(gateway, room, { n: 1 })
  await postJson(`${gateway.url}/api/events/${room}/messages`, '{ "n":\n12302548181076029, "r":1.10}')
  const { stdout } = await callCli(['tail', room, '--json', '--once', '--url', gateway.url], {})
  assert.match(stdout.split('\n')[1]!, /^\{ "n": 12302548181076029, "r":1\.10,"event_id":/)
})

tail('several events, or all of them, share one connection and are printed with their names', async () => {
  const [one, two] = [newRoom(), newRoom()]
  await publish(gateway, one, chats(1))
  await publish(gateway, two, chats(1))
  for (const words of [[one, two], ['*']]) {
    const { stdout } = await callCli(['tail', ...words, '--once'], { env: env() })
    for (const room of [one, two]) assert.match(stdout, new RegExp(` ${room} +captain +llm_response +message 1$`, 'm'))
  }
})

tail('kill -9 and a restart of the gateway: nothing is lost or duplicated', async () => {
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
  assert.is(stderr.match(/Connection lost/g)?.length, 2, stderr)
  assert.is(stderr.match(/Reconnected\./g)?.length, 2, stderr)
})

tail('tail reconnects to a gateway that was shut down gracefully', async () => {
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
  assert.match(stderr, 'closed the stream (shutdown)')
})

tail('a cursor beyond the end is reported, and everything follows', async () => {
  const room = newRoom()
  const ids = await publish(gateway, room, chats(2))
  const { code, stdout, stderr } = await callCli(['tail', room, '--after', '9000000', '--json', '--once'], {
    env: env(),
  })
  assert.is(code, 0)
  assert.equal(dbIds(stdout), ids)
  assert.match(stderr, 'cursor_ahead')
})

tail('no gateway at the first attempt exits with 1, and so does one that refuses', async () => {
  const none = await callCli(['tail', 'e'], { env: { PORT: String(await freePort()) } })
  assert.equal([none.code, none.stdout], [1, ''])
  assert.match(none.stderr, /gateway_unreachable[\s\S]*hint: Start the gateway/)
  const refused = await callCli(['tail', ...Array.from({ length: 101 }, (_, index) => `e${index}`)], { env: env() })
  assert.is(refused.code, 1)
  assert.match(refused.stderr, /too_many_events[\s\S]*hint:/)
})

tail('a closed stdout pipe ends it without an error', async () => {
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

  tail('on a terminal it colours its own text, and escapes and wraps the text of others', async () => {
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
    const lines = bare.split('\r\n')
    for (const line of lines) assert.ok(line.length <= 120, `${line.length}: ${line}`)
    assert.is(lines.slice(1).filter((line) => !/^ {50}(long ?)+$/.test(line)).length, 0, bare)
    assert.is(bare.match(/long/g)?.length, 100)
    const json = await startOnTerminal(['tail', room, '--once', '--json'], { env: env() }).done
    assert.not.ok(/[\u007f-\u009f\u202e]/.test(json.stdout))
    assert.is(JSON.parse(json.stdout).message_content, content)
  })

  tail('NO_COLOR disables colours', async () => {
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
    // Every colour is reset, the cursor was never hidden and no alternate screen was opened.
    assert.ok(stdout.lastIndexOf(`${ESC}[0m`) > stdout.lastIndexOf(`${ESC}[38`))
    assert.not.ok(stdout.includes(`${ESC}[?`))
  })
} else {
  tail.skip('on a terminal it colours its own text', 'there is no script of util-linux')
}

const list = async (...flags: string[]) => {
  const { code, stdout, stderr } = await callCli(['events', ...flags], { env: env() })
  assert.is(code, 0, stderr)
  return { stdout, stderr }
}

events('are listed by latest activity, over several pages', async () => {
  assert.equal(await list(), { stdout: '', stderr: 'No event matches.\n' })
  for (const room of ['a', 'b', 'c\u202e']) await publish(gateway, room, chats(2))
  await publish(gateway, 'a', chats(1))
  const { data } = (await getJson(`${gateway.url}/api/events`)).body
  assert.equal(jsonLines((await list('--json')).stdout), data)
  const table = (await list('--limit', '2')).stdout.split('\n')
  assert.match(table[0]!, /^ MESSAGES {2}LAST MESSAGE \(UTC\) +LAST DB_ID {2}EVENT_ID$/)
  const { last_at } = data[0]
  assert.is(table[1], `        3  ${last_at.slice(0, 19).replace('T', ' ')}             7  a`)
  assert.match(table[2]!, / 2 {2}.* {2}c\\u202e$/)
  assert.match((await list('--limit', '2')).stderr, /^The latest 2 events; use --limit/)
  assert.equal(jsonLines((await list('--json', '--since', data[1].last_at)).stdout), data.slice(0, 2))
  assert.is((await list('--since', '2100-01-01')).stdout, '')
  const many = Array.from({ length: 1_050 }, (_, n) => `{"event_id":"many-${n}"}`)
  assert.is((await callCli(['publish', '--url', gateway.url], { input: many.join('\n') })).code, 0)
  const all = jsonLines<{ event_id: string }>((await list('--limit', '0', '--json')).stdout)
  assert.is(new Set(all.map(({ event_id }) => event_id)).size, 1_053)
})

events.run()
tail.run()
