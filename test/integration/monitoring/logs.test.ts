import { randomUUID } from 'node:crypto'
import { chmodSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { ERRORS } from '../../../src/core/errors.ts'
import { startShell } from '../../support/clients/cli.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { freePort, getJson, postJson, tempDir, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, eventUrl, publish } from '../../support/stages/rooms.ts'

const logs = suite('the log')

let gateway: Gateway

logs.before(async () => {
  gateway = await startGateway({ env: { LOG_LEVEL: 'debug' } })
})
logs.after(() => gateway?.dispose())

logs('is JSON, each line with a time, a level in words and what it is about', async () => {
  await publish(gateway, 'e', chat(1))
  const lines = gateway.logs()
  assert.ok(lines.length >= 2)
  for (const { level, time, msg } of lines) {
    assert.match(level!, /^(debug|info|warn|error)$/)
    assert.is(new Date(time).toISOString(), time)
    assert.ok(msg!.length > 0)
  }
})

logs('logs each request with the request id and status of its response', async () => {
  const refused = await postJson(`${eventUrl(gateway, 'e')}/messages`, { round_id: 'x' })
  const { headers } = await getJson(`${eventUrl(gateway, 'e')}/messages`)
  for (const [id, method, status, code] of [
    [refused.headers['x-request-id'], 'POST', 400, 'invalid_round_id'],
    [headers['x-request-id'], 'GET', 200, undefined],
  ]) {
    const line = await gateway.waitForLog(({ request_id }) => request_id === id)
    assert.equal([line.method, line.path, line.status], [method, '/api/events/e/messages', status])
    assert.is(line.code, code)
    assert.is(line.level, 'debug')
    assert.ok(line.duration_ms >= 0)
  }
})

logs('logs no requests at the default level', async () => {
  const quiet = await startGateway()
  await publish(quiet, 'e', chat(1))
  await postJson(`${eventUrl(quiet, 'e')}/messages`, 'no JSON')
  await quiet.term()
  assert.equal(
    quiet.logs().map(({ msg }) => msg),
    ['listening', 'signal received', 'stopping', 'stopped'],
  )
  await quiet.dispose()
})

logs('a log that cannot be written does not stop the gateway', async () => {
  const port = await freePort()
  const env = { PORT: String(port), DATABASE_URL: `sqlite:${join(tempDir(), 'gateway.db')}` }
  const { child, done } = startShell('exec $CLI serve > /dev/full', { env, input: '' })
  let ended = false
  void done.then(() => (ended = true))
  await until(async () => ended || (await getJson(`http://127.0.0.1:${port}/livez`)).status === 200)
  assert.not.ok(ended)
  child.kill()
  assert.is((await done).code, 0)
})

logs('names at the start the files of the database to which other users have access', async () => {
  const own = await startGateway({ env: { WORKERS: String(runs(1, 2)) } })
  await own.term()
  assert.equal(
    own.logs().filter(({ level }) => level === 'warn'),
    [],
  )
  chmodSync(own.dbFile, 0o644)
  await own.restart()
  const named = own.logs().filter(({ level }) => level === 'warn')
  assert.equal(
    named.map(({ paths }) => paths),
    [[own.dbFile, `${own.dbFile}-wal`, `${own.dbFile}-shm`]],
  )
  assert.match(named[0]!.hint, `chmod go= ${own.dbFile} `)
  await own.dispose()
})

logs('logs a fault once, with cause and hint, regardless of the number of retries', async () => {
  const port = await freePort()
  const own = await startGateway({ env: { RABBITMQ_URL: `amqp://guest:guest@127.0.0.1:${port}/${randomUUID()}` } })
  const faults = () => own.logs().filter(({ level }) => level === 'warn')
  await until(() => faults().length === 2, { what: 'the faults of consumer and publisher' })
  for (const { msg, cause } of faults()) assert.ok(msg === 'component failed' && /ECONNREFUSED/.test(String(cause)))
  // The same fault now has another cause, and its attempts can be counted.
  let attempts = 0
  const hangingUp = createServer((socket) => {
    attempts += 1
    socket.on('error', () => {}).once('data', () => socket.end())
  })
  await new Promise<void>((resolve) => hangingUp.listen(port, '127.0.0.1', resolve))
  await until(() => attempts >= 8, { what: 'more attempts' })
  const both = ['consumer', 'publisher'].map((component) => [
    component,
    'broker_unreachable',
    ERRORS.broker_unreachable.hint,
  ])
  const logged = faults().map(({ component, code, hint }) => [component, code, hint])
  assert.equal(logged.sort(), both)
  const { body } = await getJson(`${own.url}/readyz`)
  for (const { message } of body.faults) assert.match(message, /closed unexpectedly/)
  await own.dispose()
  hangingUp.close()
})

logs.run()
