// needs: postgres, pgbouncer
import { type ChildProcess, spawn } from 'node:child_process'
import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { killAtExit } from '../../support/harness/cleanup.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, getJson, type Json, postJson, tempDir, until } from '../../support/harness/wait.ts'
import { startGateway } from '../../support/servers/gateway.ts'
import { connect, freshSchema, queryRows, runAs, sharedPostgres } from '../../support/servers/postgres.ts'
import { store } from '../../support/stages/entries.ts'
import { openPostgres } from '../../support/store/postgres-store.ts'

const test = suite('pgbouncer')

let server = ''

test.before(async () => {
  server = await sharedPostgres()
})

/** Starts pgbouncer before a database. @returns the URL that leads through it */
const startPooler = async (
  url: string,
  mode: 'session' | 'transaction',
  size = 20,
): Promise<{ url: string; stop(): void }> => {
  const { hostname, port, username, password } = new URL(url)
  const listen = await freePort()
  const dir = tempDir('gateway-pgbouncer-')
  const file = join(dir, 'pgbouncer.ini')
  const target = `host=${hostname} port=${port} user=${username} password='${decodeURIComponent(password)}'`
  writeFileSync(
    file,
    `[databases]
* = ${target}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${listen}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
default_pool_size = ${size}
ignore_startup_parameters = extra_float_digits
`,
  )
  const user = runAs()
  if (user !== null) for (const path of [dir, file]) chownSync(path, user.uid, user.gid)
  const child: ChildProcess = spawn('pgbouncer', [file], {
    ...user,
    stdio: 'ignore',
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
  })
  child.on('error', () => undefined)
  if (child.pid !== undefined) child.once('exit', killAtExit(child.pid))
  const through = new URL(url)
  through.port = String(listen)
  await until(() => queryRows(through.href, 'SELECT 1').then(() => true), { what: 'an answer through pgbouncer' })
  return { url: through.href, stop: () => void child.kill('SIGKILL') }
}

test('a pooler in transaction mode never gets a commit that another client has made unsafe, and is named', async () => {
  const url = freshSchema(server)
  const pooler = await startPooler(url, 'transaction')
  const direct = await startGateway({ env: { DATABASE_URL: url } })
  await direct.dispose()
  await queryRows(
    url,
    `CREATE TABLE seen (setting text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
      INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END$$;
    CREATE TRIGGER note AFTER INSERT ON message FOR EACH ROW EXECUTE FUNCTION note()`,
  )
  const gateway = await startGateway({ env: { DATABASE_URL: pooler.url } })
  const others = await Promise.all(Array.from({ length: 8 }, () => connect(pooler.url)))
  /** Leaves server processes of the pool with a setting that loses commits. */
  const disturb = () =>
    Promise.all(
      others.map((other) => other.query('BEGIN; SET synchronous_commit = off; SELECT pg_sleep(0.05); COMMIT')),
    )
  try {
    let accepted = 0
    let refused: Json
    await until(
      async () => {
        const disturbed = disturb()
        const { status, body } = await postJson(`${gateway.url}/api/events/pool/messages`, {})
        await disturbed
        if (status === 201) accepted++
        else if (body.code === 'database_unsuitable') refused = body
        return accepted + (refused === undefined ? 0 : 32) >= 32
      },
      { what: 'a refusal, or 32 commits' },
    )
    const seen = await queryRows<{ setting: string }>(url, 'SELECT DISTINCT setting FROM seen')
    assert.ok(
      seen.every(({ setting }) => setting === 'on'),
      JSON.stringify(seen),
    )
    assert.match(refused?.hint ?? '', 'session mode')
    const { body } = await getJson(`${gateway.url}/readyz`)
    assert.ok(body.faults === undefined || body.faults.length > 0)
  } finally {
    for (const other of others) await other.end()
    await gateway.dispose()
    pooler.stop()
  }
})

test('a commit has its own settings, whatever another client has left in the server process', async () => {
  const url = freshSchema(server)
  await (await openPostgres(url)).stop()
  await queryRows(
    url,
    `CREATE TABLE seen (setting text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
      INSERT INTO seen SELECT concat_ws(' ', current_setting('synchronous_commit'), current_setting('client_min_messages'));
      RETURN NULL; END$$;
    CREATE TRIGGER note AFTER INSERT ON message FOR EACH ROW EXECUTE FUNCTION note()`,
  )
  // With one server process the pooler is not noticed.
  const pooler = await startPooler(url, 'transaction', 1)
  const log = await openPostgres(pooler.url, { connections: 3 })
  try {
    await store(log, {})
    await queryRows(pooler.url, 'SET synchronous_commit = off; SET client_min_messages = error')
    await store(log, {})
  } finally {
    await log.stop()
    pooler.stop()
  }
  assert.equal(await queryRows(url, 'SELECT setting FROM seen'), Array(2).fill({ setting: 'on warning' }))
})

test('a pooler in session mode serves the gateway', async () => {
  const pooler = await startPooler(freshSchema(server), 'session')
  const gateway = await startGateway({ env: { DATABASE_URL: pooler.url } })
  try {
    await gateway.ready()
    for (let n = 0; n < 10; n++) assert.is((await postJson(`${gateway.url}/api/events/pool/messages`, {})).status, 201)
  } finally {
    await gateway.dispose()
    pooler.stop()
  }
})

test.run()
