import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
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
import { runs } from '../../support/harness/tier.ts'
import { freePort, until } from '../../support/harness/wait.ts'
import { countMessages, messageRows } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { newRoom } from '../../support/stages/rooms.ts'
import { FIXTURE, FIXTURE_EVENT } from '../../support/stages/stage.ts'

/** Number of lines in the full run and in the short one. */
const MANY = runs(10_000, 100_000)
/** Limit above the memory of Node itself; the lines of the full run alone exceed it. */
const MOST_MEGABYTES = 300

type Told = { line?: number; message_id: string; db_id?: number; duplicate?: boolean }

let gateway: Gateway
const env = () => ({ PORT: new URL(gateway.url).port })

const publish = suite('publish over HTTP')

publish.before(async () => {
  gateway = await startGateway()
})
publish.after(() => gateway.dispose())

publish('one message by flags, its content text or JSON as it stands', async () => {
  const room = newRoom()
  const flags = ['--event', room, '--from', '_captain', '--type', 'chat', '--round', '3', '--id', 'x-1']
  const text = await runCli(['publish', ...flags, '--content', 'it is "text"'], { env: env() })
  assert.equal([text.code, text.stderr], [0, ''])
  const [told] = jsonLines<Told>(text.stdout)
  const exact = '{"n":12302548181076029, "r":1.10}'
  const json = await callCli(['publish', '--event', room, '--content', exact, '--url', gateway.url], {})
  assert.is(json.code, 0, json.stderr)
  const rows = messageRows(gateway.dbFile, room)
  assert.equal(told, { message_id: 'x-1', db_id: rows[0]!.db_id })
  const { message_from, message_type, round_id, body } = rows[0]!
  assert.equal([message_from, message_type, round_id], ['_captain', 'chat', 3])
  assert.is(JSON.parse(body).message_content, 'it is "text"')
  assert.ok(rows[1]!.body.includes(exact), rows[1]!.body)
  assert.is(jsonLines<Told>(json.stdout)[0]!.message_id, rows[1]!.message_id)
})

publish('--content - publishes all of stdin as one content', async () => {
  const room = newRoom()
  const contentOf = async (input: string | Buffer) => {
    const ran = await callCli(['publish', '--event', room, '--content', '-', '--url', gateway.url], { input })
    assert.equal([ran.code, ran.stderr], [0, ''])
    return JSON.parse(messageRows(gateway.dbFile, room).at(-1)!.body).message_content
  }
  assert.is(await contentOf('one\n\ttwo 中文\n\n'), 'one\n\ttwo 中文\n')
  assert.equal(await contentOf('{"a":\n1}\n'), { a: 1 })
  assert.is(await contentOf(''), '')
  for (const [input, code] of [
    [Buffer.from([0x61, 0xff]), 'invalid_utf8'],
    ['x'.repeat(1_048_577), 'body_too_large'],
  ] as const) {
    const args = ['publish', '--event', room, '--content', '-', '--url', gateway.url]
    const { code: exit, stdout, stderr } = await callCli(args, { input })
    assert.equal([exit, stdout], [1, ''])
    assert.match(stderr, code)
  }
})

publish('lines of stdin arrive unchanged and in order, and a second run stores no duplicates', async () => {
  const input = `${FIXTURE.join('\n')}\n`
  const first = await callCli(['publish'], { env: env(), input })
  assert.equal([first.code, first.stderr], [0, ''])
  const rows = messageRows(gateway.dbFile, FIXTURE_EVENT)
  assert.equal(
    rows.map(({ body }) => body),
    FIXTURE,
  )
  assert.equal(
    jsonLines<Told>(first.stdout),
    rows.map(({ message_id, db_id }, index) => ({ line: index + 1, message_id, db_id })),
  )
  const second = await callCli(['publish'], { env: env(), input })
  assert.is(second.code, 0)
  assert.ok(jsonLines<Told>(second.stdout).every(({ duplicate }) => duplicate === true))
  assert.is(countMessages(gateway.dbFile, FIXTURE_EVENT), FIXTURE.length)
})

publish('bad lines are reported with their numbers, the rest is published, and the exit code is 1', async () => {
  const room = newRoom()
  const lines: (string | Buffer)[] = [
    '{"n":1}',
    '{"n":NaN}',
    '',
    '[{"n":1}]',
    Buffer.from('{"n":"\xff"}', 'latin1'),
    '{"event_id":7}',
    '{"event_id":"a\\u0007"}',
    `{"pad":"${'x'.repeat(2_000_000)}"}`,
    `{"event_id":"${room}","message_id":"same","n":2}\r`,
    '{"message_id":"same","n":3}',
    '{"n":4}',
  ]
  const input = Buffer.concat(lines.flatMap((line) => [Buffer.from(line), Buffer.from('\n')]).slice(0, -1))
  const { code, stdout, stderr } = await callCli(['publish', '--event', room], { env: env(), input })
  assert.is(code, 1)
  const faults = [...stderr.matchAll(/^line (\d+): (\w+):/gm)].map(([, line, reason]) => `${line} ${reason}`)
  assert.equal(faults.sort(), [
    '10 message_conflict',
    '2 invalid_json',
    '4 not_an_object',
    '5 invalid_utf8',
    '6 invalid_event_id',
    '7 invalid_event_id',
    '8 body_too_large',
  ])
  assert.equal(
    jsonLines<Told>(stdout).map(({ line }) => line),
    [1, 9, 11],
  )
  assert.match(stderr, /^3 published, 7 failed\.$/m)
  assert.equal(
    messageRows(gateway.dbFile, room).map(({ body }) => JSON.parse(body).n),
    [1, 2, 4],
  )
})

publish(`${MANY} lines go through in order with bounded memory`, async () => {
  const room = newRoom()
  const run = startCli(['publish'], { env: env() })
  let most = 0
  for (let n = 1; n <= MANY; n++) {
    const room_left = run.child.stdin.write(`{"event_id":"${room}","n":${n},"id":12302548181076029}\n`)
    if (!room_left) await once(run.child.stdin, 'drain')
    if (n % 500 === 0) most = Math.max(most, peakMegabytes(run.child.pid!))
  }
  run.child.stdin.end()
  const { code, stdout, stderr } = await run.done
  assert.equal([code, stderr], [0, ''])
  const told = jsonLines<Told>(stdout)
  assert.is(told.length, MANY)
  assert.ok(told.every(({ line, db_id }, index) => line === index + 1 && db_id === told[0]!.db_id! + index))
  const rows = messageRows(gateway.dbFile, room)
  assert.ok(rows.every(({ body }, index) => body.includes(`"n":${index + 1},"id":12302548181076029,"message_id"`)))
  assert.ok(most > 10 && most < MOST_MEGABYTES, `${most} MB`)
})

/** Returns the peak resident set size of a process. */
const peakMegabytes = (pid: number): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024

publish('while the gateway does not respond, reading stops at the buffer limit', async () => {
  const silent = await silentServer()
  const run = startCli(['publish', '--event', 'e'], { env: { PORT: String(silent.port) } })
  const chunk = `${'{"pad":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}\n'.repeat(12_000)}`
  let taken = 0
  const writeOn = (): void => {
    if (taken === 64) return
    run.child.stdin.write(chunk, (error) => {
      if (error) return
      taken++
      writeOn()
    })
  }
  run.child.stdin.write(chunk)
  await silent.asked
  writeOn()
  const { pid } = run.child
  let looks = 0
  let bytes = ''
  await until(
    () => {
      const before = bytes
      bytes = bytesRead(pid!)
      // The process sleeps although bytes are waiting: it is not reading.
      const isStalled = bytes === before && run.child.stdin.writableLength > 0 && isAsleep(pid!)
      looks = isStalled ? looks + 1 : 0
      return taken === 64 || looks === 20
    },
    { what: 'a command that reads no more' },
  )
  assert.ok(taken < 16, `${taken} MB were taken`)
  assert.ok(peakMegabytes(pid!) < MOST_MEGABYTES)
  run.child.kill('SIGINT')
  assert.is((await run.done).code, 130)
  silent.close()
})

const bytesRead = (pid: number): string => /rchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1] ?? ''

const isAsleep = (pid: number): boolean => readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') S ')

/** Starts an HTTP server that accepts every request and never responds. */
const silentServer = async () => {
  const asked = Promise.withResolvers<void>()
  const server = createServer(() => asked.resolve())
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  return { port, asked: asked.promise, close }
}

publish('slow input is published immediately, not when stdin ends', async () => {
  const room = newRoom()
  const run = startCli(['publish', '--event', room], { env: env() })
  for (const n of [1, 2, 3]) {
    run.child.stdin.write(`{"n":${n}}\n`)
    await run.seen(new RegExp(`"line":${n},`))
    assert.is(countMessages(gateway.dbFile, room), n)
  }
  run.child.stdin.end()
  assert.is((await run.done).code, 0)
})

publish('publish waits for a gateway that starts late or is unreachable for a while', async () => {
  const room = newRoom()
  const run = startCli(['publish', '--event', room], { env: env() })
  run.child.stdin.write('{"n":1}\n')
  await run.seen(/"line":1,/)
  await gateway.kill9()
  run.child.stdin.write('{"n":2}\n{"n":3}\n')
  await gateway.restart()
  run.child.stdin.end('{"n":4}\n')
  const { code, stdout, stderr } = await run.done
  assert.equal([code, stderr], [0, ''])
  assert.equal(
    jsonLines<Told>(stdout).map(({ line }) => line),
    [1, 2, 3, 4],
  )
  assert.equal(
    messageRows(gateway.dbFile, room).map(({ body }) => JSON.parse(body).n),
    [1, 2, 3, 4],
  )
})

publish('no gateway: exit 1, a hint, and the line to continue from', async () => {
  const lone = { PORT: String(await freePort()) }
  const one = await callCli(['publish', '--event', 'e', '--content', 'x', '--timeout', '0.5'], { env: lone })
  assert.equal([one.code, one.stdout], [1, ''])
  assert.match(one.stderr, /gateway_unreachable: .* Start the gateway, or name its address with --url/)
  const many = startCli(['publish', '--event', 'e', '--timeout', '0.5'], { env: lone })
  many.child.stdin.write('{"n":1}\n{"n":2}\n')
  // stdin stays open: the command ends by itself.
  const { code, stderr } = await many.done
  assert.is(code, 1)
  assert.match(stderr, 'stopped, publish again from line 1 on')
  assert.is(stderr.match(/gateway_unreachable/g)?.length, 1)
})

publish('another server at the address is distinguished from a gateway', async () => {
  const { code, stderr } = await callCli([
    'publish',
    '--event',
    'e',
    '--content',
    'x',
    '--url',
    `${gateway.url}/api/events`,
  ])
  assert.is(code, 1)
  assert.match(stderr, /not_found/)
})

publish('publishes the rest without an error if nobody reads its output any more', async () => {
  const room = newRoom()
  const before = countMessages(gateway.dbFile)
  const line = `yes '{"event_id":"${room}"}' | head -n 20000 | $CLI publish | head -n 2; echo "codes \${PIPESTATUS[*]}"`
  const { stdout, stderr } = await startShell(line, { env: env(), input: '' }).done
  assert.is(stderr, '')
  assert.match(stdout, /codes .* 0 0\n$/)
  assert.is(stdout.split('\n').length, 4)
  assert.is(countMessages(gateway.dbFile) - before, 20_000)
})

publish('SIGINT ends it promptly with 130, also while the gateway delays its response', async () => {
  const silent = await silentServer()
  const run = startCli(['publish', '--event', 'e', '--timeout', '3600'], { env: { PORT: String(silent.port) } })
  run.child.stdin.write('{"n":1}\n')
  await silent.asked
  run.child.kill('SIGINT')
  const { code, stderr } = await run.done
  assert.is(code, 130, stderr)
  assert.match(stderr, 'interrupted')
  silent.close()
})

if (hasTerminal) {
  publish('shows a progress bar with its rate on a terminal, and clears it', async () => {
    const room = newRoom()
    const file = join(gateway.dataDir, 'input.jsonl')
    const make = `seq 1 ${MANY} | sed 's/.*/{"event_id":"${room}"}/' > ${file}`
    await startShell(make, { input: '' }).done
    const line = `script -qec 'stty cols 120; '"$CLI"' publish < ${file} > /dev/null' /dev/null`
    const { stdout } = await startShell(line, { env: { ...env(), SHELL: '/bin/sh' }, input: '' }).done
    const wiped = stdout.split('\r\x1b[K')
    assert.ok(wiped.some((drawn) => /^\[#*\.*\] publishing [\d,]+, [\d,]+\/s/.test(drawn)))
    assert.is(wiped.at(-1), `${MANY} published, 0 failed.\r\n`)
  })

  publish('with nothing to publish on a terminal it prints its usage', async () => {
    const { code, stdout } = await startOnTerminal(['publish'], { env: env() }).done
    assert.is(code, 2)
    assert.match(stdout, 'nothing to publish')
  })
} else {
  publish.skip('shows a progress bar with its rate on a terminal, and clears it', 'there is no script of util-linux')
}

publish.run()
