// needs: rabbitmq
import * as assert from 'uvu/assert'
import { callCli, jsonLines, runCli, startCli } from '../../support/clients/cli.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, until } from '../../support/harness/wait.ts'
import { countMessages, messageRows, rejectedRows } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import {
  deleteNames,
  type Names,
  type SharedBroker,
  sharedBroker,
  uniqueNames,
  withChannel,
} from '../../support/servers/rabbitmq.ts'
import { newRoom } from '../../support/stages/rooms.ts'
import { brokerEnv, FIXTURE, FIXTURE_EVENT } from '../../support/stages/stage.ts'

type Told = { line: number; message_id: string; db_id?: number }

let broker: SharedBroker
let names: Names
let gateway: Gateway
/** Environment of the gateway, with an unused HTTP port: messages can only arrive through the broker. */
let env: ReturnType<typeof brokerEnv>

const test = suite('the command line with a broker')

test.before(async () => {
  broker = await sharedBroker()
  names = uniqueNames('cli')
  gateway = await startGateway({ env: brokerEnv(broker.url, names) })
  await gateway.ready()
  env = { ...brokerEnv(broker.url, names), PORT: String(await freePort()) }
})
test.after(async () => {
  await gateway.dispose()
  await deleteNames(broker.url, names)
  await broker.dispose()
})

const stored = (count: number, event_id: string) =>
  until(() => countMessages(gateway.dbFile, event_id) >= count, { what: `${count} messages` })

test('publish goes through the exchange: in order, digit for digit, each confirmed', async () => {
  const input = FIXTURE.join('\n')
  const { code, stdout, stderr } = await runCli(['publish'], { env, input })
  assert.equal([code, stderr], [0, ''])
  await stored(FIXTURE.length, FIXTURE_EVENT)
  const rows = messageRows(gateway.dbFile, FIXTURE_EVENT)
  assert.equal(
    rows.map(({ body }) => body),
    FIXTURE,
  )
  assert.equal(
    jsonLines<Told>(stdout),
    rows.map(({ message_id }, index) => ({ line: index + 1, message_id })),
  )
})

test('5,000 lines with bad ones among them: the good ones in order, the bad ones by their numbers', async () => {
  const room = newRoom('cli-broker')
  const bad = (n: number) => n % 1_000 === 500
  const lines = Array.from({ length: 5_000 }, (_, n) => (bad(n) ? '{"n":NaN}' : `{"n":${n}}`))
  const { code, stdout, stderr } = await callCli(['publish', '--event', room], { env, input: lines.join('\n') })
  assert.is(code, 1)
  const faults = [...stderr.matchAll(/^line (\d+): invalid_json/gm)].map(([, line]) => Number(line))
  assert.equal(faults, [501, 1_501, 2_501, 3_501, 4_501])
  assert.match(stderr, '4995 published, 5 failed.')
  const told = jsonLines<Told>(stdout)
  assert.is(told.length, 4_995)
  await stored(4_995, room)
  const rows = messageRows(gateway.dbFile, room)
  assert.equal(
    rows.map(({ message_id }) => message_id),
    told.map(({ message_id }) => message_id),
  )
  assert.equal(
    rows.map(({ body }) => JSON.parse(body).n),
    lines.map((_, n) => n).filter((n) => !bad(n)),
  )
})

test('--url means HTTP, also where a broker is named', async () => {
  const room = newRoom('cli-broker')
  const call = ['publish', '--event', room, '--content', 'by HTTP', '--url', gateway.url]
  const { code, stdout } = await callCli(call, { env })
  assert.is(code, 0)
  assert.ok(jsonLines<Told>(stdout)[0]!.message_id)
  await stored(1, room)
})

test('a broker that is unreachable or refuses messages is reported with a hint', async () => {
  const away = { ...env, RABBITMQ_URL: `amqp://127.0.0.1:${await freePort()}` }
  const none = await callCli(['publish', '--event', 'e', '--content', 'x', '--timeout', '1'], { env: away })
  assert.equal([none.code, none.stdout], [1, ''])
  assert.match(none.stderr, /broker_unreachable: .*Check that RabbitMQ is running/)
  const missing = { ...env, RABBITMQ_EXCHANGE: `${names.exchange}.gone` }
  const wrong = await callCli(['publish', '--event', 'e'], { env: missing, input: '{"n":1}\n{"n":2}\n' })
  assert.is(wrong.code, 1)
  assert.match(wrong.stderr, /line 1: exchange_missing/)
  assert.match(wrong.stderr, 'publish again from line 1 on')
})

test('SIGINT ends a publish that waits for the broker', async () => {
  const away = { ...env, RABBITMQ_URL: `amqp://127.0.0.1:${await freePort()}` }
  const run = startCli(['publish', '--event', 'e', '--timeout', '3600'], { env: away })
  for (let n = 0; n < 3_000; n++) run.child.stdin.write('{"n":1}\n')
  // It reads until its buffers are full, and no more.
  await until(() => run.child.stdin.writableLength === 0, { what: 'the input is taken' })
  run.child.kill('SIGINT')
  const { code, stderr } = await run.done
  assert.is(code, 130, stderr)
  assert.match(stderr, /^0 published, \d+ failed; stopped, publish again from line 1 on; interrupted\.$/m)
})

test('a host can be an IPv6 address with a zone, as for the gateway', async () => {
  const away = { ...env, RABBITMQ_URL: '', RABBITMQ_HOST: '::1%lo', RABBITMQ_PORT: String(await freePort()) }
  const { code, stderr } = await callCli(['publish', '--event', 'e', '--content', 'x', '--timeout', '1'], { env: away })
  assert.is(code, 1)
  assert.match(stderr, /^broker_unreachable: /)
})

test('demo plays through the broker', async () => {
  const { code, stderr } = await callCli(['demo', '--events', '1', '--speed', '5000', '--seed', '3'], { env })
  assert.is(code, 0, stderr)
  const [, event] = /events\/(\S+)/.exec(stderr) ?? []
  const [, count] = /(\d+) messages published/.exec(stderr) ?? []
  await stored(Number(count), event!)
  const ids = messageRows(gateway.dbFile, event).map(({ body }) => (JSON.parse(body) as { id: number }).id)
  assert.equal(
    ids,
    Array.from({ length: Number(count) }, (_, index) => index + 1),
  )
})

test('serve --demo waits for the gateway to declare its exchange, and plays', async () => {
  const own = uniqueNames('cli-demo')
  const served = await startGateway({
    args: ['serve', '--demo', '--events', '1', '--speed', '5000'],
    env: brokerEnv(broker.url, own),
  })
  try {
    await until(() => countMessages(served.dbFile) > 20, { what: 'messages of the demo' })
    assert.is((await served.term()).code, 0, served.output())
    assert.not.match(served.output(), 'The demo was interrupted')
  } finally {
    await served.dispose()
    await deleteNames(broker.url, own)
  }
})

test('quarantined messages are listed with their origin, shown, and kept while they are invalid', async () => {
  const envelope = { exchange: names.exchange, routingKey: 'notifications.frontend.cli.bad', confirm: true }
  await withChannel(broker.url, async (channel) => {
    await channel.confirmSelect()
    const headers = { source: 'legacy \x1b[31m' }
    await channel.basicPublish(
      { ...envelope, headers, messageId: 'from-amqp' },
      Buffer.from('{"event_id":"cli","n":NaN}'),
    )
  })
  await until(() => rejectedRows(gateway.dbFile).length === 1, { what: 'the row in the quarantine' })
  const own = { DATABASE_URL: `sqlite:${gateway.dbFile}` }
  const listed = await callCli(['rejected', 'list', '--routing-key', '*.cli.*', '--json'], { env: own })
  const [row] = jsonLines<{ rejected_id: number; reason: string; exchange: string }>(listed.stdout)
  assert.equal([row!.reason, row!.exchange], ['invalid_json', names.exchange])
  const shown = await callCli(['rejected', 'show', String(row!.rejected_id)], { env: own })
  assert.match(shown.stdout, 'from-amqp')
  assert.match(shown.stdout, 'legacy \\u001b[31m')
  const replayed = await callCli(['rejected', 'replay', String(row!.rejected_id)], { env: own })
  assert.is(replayed.code, 1)
  assert.match(replayed.stdout, /is still invalid: invalid_json/)
  assert.is(rejectedRows(gateway.dbFile).length, 1)
})

test.run()
